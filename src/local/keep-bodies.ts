/**
 * Copies of the first bytes of bodies, for `--har`. A request's body is copied where it is pushed, so that whoever reads
 * it (or leaves it unread) has the same stream as without us; an answer's goes through a stream of ours, since its
 * first bytes may have been there before we are.
 */
import { pipeline, type Readable, Transform } from 'node:stream'
import type { BodyCopy, Exchange, KeptBody } from '../core/exchange.ts'
import type { RequestBody, Stage } from '../core/types.ts'

/** Notes up to `maxBytes` of each body on the exchange, while they go by. Goes before all others. */
export const keepBodies =
  (maxBytes: number): Stage =>
  (next) =>
  async (req) => {
    const copies: NonNullable<Exchange['copies']> = {}
    req.exchange.copies = copies
    if (req.body !== undefined) copies.request = watched(req.body, maxBytes)
    const answer = await next(req)
    const copy = new Copy(maxBytes)
    copies.response = copy
    if (!Buffer.isBuffer(answer.body)) return { ...answer, body: copied(answer.body, copy) }
    copy.add(answer.body)
    copy.ended = true
    return answer
  }

class Copy implements BodyCopy {
  readonly #max: number
  #chunks: Buffer[] = []
  #length = 0
  #cut = false
  ended = false

  constructor(max: number) {
    this.#max = max
  }

  add(chunk: Buffer | string): void {
    const bytes = Buffer.from(chunk as Buffer).subarray(0, this.#max - this.#length)
    if (bytes.length < Buffer.byteLength(chunk)) this.#cut = true
    if (bytes.length === 0) return
    this.#chunks.push(bytes)
    this.#length += bytes.length
  }

  take(): KeptBody {
    const bytes = Buffer.concat(this.#chunks)
    this.#chunks = []
    this.#length = this.#max
    return { bytes, whole: this.ended && !this.#cut }
  }
}

const watched = (body: RequestBody, maxBytes: number): Copy | undefined => {
  // What has come already cannot be told without taking it.
  if (body.readableLength > 0) return undefined
  const copy = new Copy(maxBytes)
  if (body.whole !== undefined) {
    copy.add(body.whole)
    copy.ended = true
    return copy
  }
  const { push } = body
  body.push = (chunk: Buffer | string | null, encoding?: BufferEncoding) => {
    if (chunk === null) copy.ended = true
    else copy.add(chunk)
    return push.call(body, chunk, encoding)
  }
  return copy
}

const copied = (body: Readable, copy: Copy): Readable => {
  const through = new Transform({
    transform(chunk: Buffer, _, done) {
      copy.add(chunk)
      done(null, chunk)
    },
    flush(done) {
      copy.ended = true
      done()
    },
  })
  // Each one's end is the other's; the error is the reader's to see.
  pipeline(body, through, () => {})
  return through
}
