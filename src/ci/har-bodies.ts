/**
 * Copies of the first bytes of bodies, for a HAR. A request's body is copied where it is pushed, so that whoever reads
 * it (or leaves it unread) has the same stream as without us; an answer's goes through a stream of ours, since its
 * first bytes may have been there before we are.
 */
import { pipeline, type Readable, Transform } from 'node:stream'
import type { Exchange } from '../core/exchange.ts'
import type { RequestBody, Stage } from '../core/types.ts'

/** What was kept of a body. */
export interface Kept {
  readonly bytes: Buffer
  /** It is all there was. */
  readonly whole: boolean
}

/** The bodies of exchanges under way. */
export interface Bodies {
  /** Goes before all others. */
  readonly stage: Stage
  /** What was kept of both, once the exchange has ended. */
  of(exchange: Readonly<Exchange>): {
    readonly request: Kept | undefined
    readonly response: Kept | undefined
  }
}

interface Both {
  request: Copy | undefined
  response: Copy | undefined
}

/** Keeps up to `maxBytes` of each body; nothing where that is 0. */
export const keepBodies = (maxBytes: number): Bodies => {
  const copies = new WeakMap<Readonly<Exchange>, Both>()
  return {
    stage: (next) =>
      maxBytes === 0
        ? next
        : async (req) => {
            const both: Both = { request: undefined, response: undefined }
            copies.set(req.exchange, both)
            if (req.body !== undefined) both.request = watched(req.body, maxBytes)
            const answer = await next(req)
            const copy = new Copy(maxBytes)
            both.response = copy
            if (!Buffer.isBuffer(answer.body)) return { ...answer, body: copied(answer.body, copy) }
            copy.add(answer.body)
            copy.ended = true
            return answer
          },
    of(exchange) {
      const both = copies.get(exchange)
      return { request: both?.request?.kept(), response: both?.response?.kept() }
    },
  }
}

class Copy {
  readonly #max: number
  readonly #chunks: Buffer[] = []
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

  kept(): Kept {
    return { bytes: Buffer.concat(this.#chunks), whole: this.ended && !this.#cut }
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
