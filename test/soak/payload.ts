/** Bodies that both ends can make and check without telling each other more than a seed and a size. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'

const PIECE = 64 * 1024

/** A body in pieces of 64 kB. */
export function* pieces(seed: number, bytes: number): Generator<Buffer> {
  for (let at = 0; at < bytes; at += PIECE) {
    const piece = Buffer.alloc(Math.min(PIECE, bytes - at), `${seed}:${at};`)
    yield piece
  }
}

/** The same as a stream. */
export const payload = (seed: number, bytes: number): Readable =>
  Readable.from(pieces(seed, bytes), { objectMode: false })

/** What is left of a body to compare it by. */
export class Digest {
  readonly #hash = createHash('sha1')
  bytes = 0

  add(chunk: Buffer): void {
    this.#hash.update(chunk)
    this.bytes += chunk.length
  }

  text(): string {
    return `${this.bytes} ${this.#hash.digest('hex')}`
  }
}

/** The digest of a body. */
export const digestOf = (seed: number, bytes: number): string => {
  const digest = new Digest()
  for (const piece of pieces(seed, bytes)) digest.add(piece)
  return digest.text()
}
