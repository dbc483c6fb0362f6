/**
 * A connection for reads whose values are kept: Redis (from version 6 on) remembers what was read over it, and tells
 * over the same connection when that changes, expires or is evicted (client-side caching, RESP3).
 *
 * It is a second connection, so that a Redis that knows nothing of this, or forbids it, is used as before.
 */
import { ErrorReply } from '@redis/client'
import { Proof, type Question } from './proof.ts'
import { destroy, stopPinging, trackingBytesOf, trackingClient } from './redis-clients.ts'

/** How long until it is tried again where Redis refused it. */
const REFUSED_MS = 10_000

/** What Redis says of a key that does not expire. */
const NO_END = -1

/** What the connection is made of. */
export interface TrackingOptions {
  readonly url: string
  /** Told of a key that changed, or of none: anything may have changed. */
  readonly onChange: (filed: string | undefined) => void
}

export class TrackedReads {
  readonly #client: ReturnType<typeof trackingClient>
  readonly #bytes: ReturnType<typeof trackingBytesOf>
  readonly #proof = new Proof()
  readonly #onChange: TrackingOptions['onChange']
  #retry: NodeJS.Timeout | undefined
  #closed = false

  /** Connects in the background. */
  constructor({ url, onChange }: TrackingOptions) {
    this.#onChange = onChange
    const client = trackingClient(url)
    this.#client = client
    this.#bytes = trackingBytesOf(client)
    client.on('invalidate', (filed: Buffer | null) => onChange(filed?.toString()))
    client.on('ready', () => {
      this.#broken()
      if (this.#closed) stopPinging(client)
    })
    client.on('error', (error: unknown) => this.#failed(error))
    client.on('end', () => this.#broken())
    client.on('connect', () => {
      // It forgets a socket that is still being connected when it is told to end; that one ends by its silence.
      if (this.#closed) client.unref()
    })
    this.#connect()
  }

  /** Whether copies of what was read may be used now; sees to it that it stays so. */
  get isProven(): boolean {
    const now = performance.now()
    if (this.#proof.isDue(now) && this.#client.isReady) this.#ask(() => this.#client.ping()).catch(() => {})
    return this.#proof.holds(now)
  }

  /** Whether it is worth asking. */
  get isUsable(): boolean {
    return this.#client.isReady && !this.#proof.isSilent(performance.now())
  }

  /**
   * The value of a key and for how long Redis keeps it, ms; from then on its changes are told. Rejects with whatever
   * node-redis does.
   */
  read(filed: string): Promise<[bytes: unknown, keepMs: number]> {
    return this.#ask(async () => {
      const [bytes, left] = await Promise.all([this.#bytes.get(filed), this.#client.pTTL(filed)])
      return [bytes, left === NO_END ? Number.POSITIVE_INFINITY : Math.max(0, left)]
    })
  }

  /** Ends the connection at once. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#retry)
    destroy(this.#client)
  }

  async #ask<T>(send: () => Promise<T>): Promise<T> {
    const question: Question = this.#proof.asked(performance.now())
    try {
      const answer = await send()
      this.#proof.answered(question)
      return answer
    } catch (error) {
      if (error instanceof ErrorReply) this.#proof.answered(question)
      else this.#proof.failed(question)
      throw error
    }
  }

  #broken(): void {
    this.#proof.broken()
    this.#onChange(undefined)
  }

  #failed(error: unknown): void {
    this.#broken()
    if (this.#closed) return
    if (!this.#client.isOpen) {
      // Refused: it does not go on by itself.
      this.#retry ??= setTimeout(() => this.#connect(), REFUSED_MS).unref()
    } else if (this.#client.isReady && !(error instanceof ErrorReply)) {
      // Not the socket's error: the decoder's. Nobody knows what was told in the bytes that it could not read.
      destroy(this.#client)
      this.#connect()
    }
  }

  #connect(): void {
    this.#retry = undefined
    this.#client.connect().catch(() => {
      // Each failure is emitted.
    })
  }
}
