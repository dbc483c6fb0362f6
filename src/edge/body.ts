/**
 * The client's body as a stream of its own.
 *
 * - The message is read only when somebody asks; a reader that stops pauses the client.
 * - Destroying it leaves the connection alone: what is still coming is read and dropped, so that an answer can be
 *   given and the connection used again.
 */
import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Fields } from '../core/types.ts'

const unlimited = Number.POSITIVE_INFINITY
const ignore = (): void => {}

const size = (bytes: number): string => {
  for (const [unit, factor] of [
    ['GB', 1024 ** 3],
    ['MB', 1024 ** 2],
    ['kB', 1024],
  ] as const) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor} ${unit}`
  }
  return `${bytes} bytes`
}

/** The refusal of a body over the bound (RFC 9110 §15.5.14). */
export const bodyTooLarge = (maxBytes: number): ProxyError =>
  new ProxyError(
    413,
    'body-too-large',
    `the body of this request is larger than ${size(maxBytes)} (--max-body).`,
  )

/** The refusal of a body that does not come (RFC 9110 §15.5.9). */
export const bodyTooSlow = (ms: number): ProxyError =>
  new ProxyError(
    408,
    'bad-request',
    `nothing came of the body of this request for ${ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`} (--body-timeout).`,
  )

/** Whether a request has a body, by its framing (RFC 9112 §6.3). */
export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** Where a body comes from: a message, or what reads like one. */
export interface BodySource {
  /** Whether all of it has come. */
  readonly complete: boolean
  /** Trailer fields as they came, once all of it has: name, value … */
  readonly rawTrailers?: readonly string[]
  on(event: 'data', listener: (chunk: Buffer) => void): unknown
  on(event: 'end' | 'close', listener: () => void): unknown
  pause(): unknown
  resume(): unknown
}

/** The body of a message; counts its bytes on the exchange and fails once there are more than `maxBytes`. */
export class RequestBody extends Readable {
  readonly #message: BodySource
  #beforeFirstRead: (() => void) | undefined
  readonly #idleMs: number
  readonly #onIdle: (() => void) | undefined
  #idle: NodeJS.Timeout | undefined

  constructor(
    message: BodySource,
    exchange: Exchange,
    options: {
      readonly maxBytes?: number | undefined
      /** Called when somebody wants the body: the moment to send 100 (Continue). */
      readonly beforeFirstRead?: (() => void) | undefined
      /** Silence of the client while its body is waited for; 0 and undefined wait for ever. */
      readonly idleMs?: number | undefined
      readonly onIdle?: (() => void) | undefined
    } = {},
  ) {
    super({ highWaterMark: 64 * 1024 })
    this.#message = message
    this.#beforeFirstRead = options.beforeFirstRead
    this.#idleMs = options.idleMs ?? 0
    this.#onIdle = options.onIdle
    const maxBytes = options.maxBytes ?? unlimited
    message.on('data', (chunk: Buffer) => {
      exchange.requestBytes += chunk.length
      if (this.destroyed) return
      this.#idle?.refresh()
      if (exchange.requestBytes > maxBytes) this.destroy(bodyTooLarge(maxBytes))
      else if (!this.push(chunk)) {
        // Now it is the upstream that is waited for.
        this.#stopIdle()
        message.pause()
      }
    })
    message.on('end', () => {
      this.#stopIdle()
      if (!this.destroyed) this.push(null)
    })
    message.on('close', () => {
      if (!message.complete)
        this.destroy(new ProxyError(499, 'client-gone', 'the client left while it sent the body'))
    })
    // Nobody may be reading when it fails; the edge ends the exchange in any case.
    this.on('error', ignore)
    message.pause()
  }

  /** Whether all of it has come from the client. */
  get complete(): boolean {
    return this.#message.complete
  }

  /** What came behind it (RFC 9110 §6.5), once it has ended. */
  get trailers(): Fields {
    return this.#message.rawTrailers ?? []
  }

  override _read(): void {
    const before = this.#beforeFirstRead
    if (before !== undefined) {
      this.#beforeFirstRead = undefined
      before()
    }
    if (this.#idleMs > 0 && !this.#message.complete)
      this.#idle ??= setTimeout(() => this.#onIdle?.(), this.#idleMs).unref()
    this.#message.resume()
  }

  #stopIdle(): void {
    clearTimeout(this.#idle)
    this.#idle = undefined
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stopIdle()
    this.#message.resume()
    done(error)
  }
}

/** A body that came whole with its head. */
export class WholeBody extends Readable {
  /** All of it, for whoever can use it at once, as long as nobody has read of it. */
  readonly whole: Buffer
  readonly complete = true
  readonly trailers: Fields = []

  constructor(bytes: Buffer, exchange: Exchange) {
    super()
    this.whole = bytes
    exchange.requestBytes = bytes.length
    // Nobody may be reading when it is destroyed.
    this.on('error', ignore)
  }

  override _read(): void {
    this.push(this.whole)
    this.push(null)
  }
}
