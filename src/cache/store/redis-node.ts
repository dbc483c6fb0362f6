/**
 * One connection to Redis, and whether it is of use.
 *
 * - It is up from a PONG in time until its connection breaks, three calls in a row miss their deadline, or after one
 *   that did a PING is not answered for a second.
 * - While it is not up nobody calls it. It is asked by PING, one at a time, so that no request pays for finding out
 *   and nothing piles up in a client whose Redis is frozen.
 * - Bytes that are no RESP leave replies out of step with calls: then the connection is made anew.
 */
import { ErrorReply } from '@redis/client'
import { within } from './deadline.ts'
import { StoreError } from './store.ts'

/** What is needed of a node-redis client. */
export interface NodeClient {
  readonly isReady: boolean
  ping(): Promise<unknown>
  connect(): Promise<unknown>
  destroy(): void
}

/** How long between two looks at a connection that is not up. */
const PROBE_MS = 200
/** A PING that is not answered for that long never will be. */
export const SILENCE_MS = 5000
/** Missed deadlines in a row that count as being away. */
const PATIENCE = 3
/** How long a PING may take, after fewer of them, before the connection counts as frozen. */
const SUSPICION_MS = 1000
const SILENT = 'no answer in time'

/** The sentence in whatever was thrown; an AggregateError of node's dialling has its own in its parts. */
export const messageOf = (error: unknown): string => {
  const { message, code, errors } = error as {
    message?: string
    code?: string
    errors?: Array<{ message: string }>
  }
  return message || errors?.[0]?.message || code || String(error)
}

export class RedisNode {
  readonly #client: () => NodeClient | undefined
  readonly #timeoutMs: number
  /** Told of every change: why it is of no use, or undefined when it is again. */
  readonly #tell: (error: string | undefined) => void
  #up = false
  #missed = 0
  #downSince = performance.now()
  #probing: NodeJS.Timeout | undefined
  #asked = false
  #suspected = false
  #askedAt = 0
  #stopped = false

  constructor(
    client: () => NodeClient | undefined,
    timeoutMs: number,
    tell: (error: string | undefined) => void,
  ) {
    this.#client = client
    this.#timeoutMs = timeoutMs
    this.#tell = tell
    this.#probe()
  }

  /** Whether a call is worth its while. */
  get usable(): boolean {
    return this.#up && this.#client()?.isReady === true
  }

  /** ms since it was of use; 0 while it is. */
  get downMs(): number {
    return this.#up ? 0 : performance.now() - this.#downSince
  }

  /** The connection said `error`. */
  failed(error: unknown): void {
    const client = this.#client()
    if (client?.isReady === true) {
      // An error reply to a PING of the client itself leaves the connection as it is.
      if (error instanceof ErrorReply) return
      // Not the socket's error: the decoder's. Whatever comes next on this connection answers nobody knows what.
      this.#connectAnew(client)
    }
    this.#down(messageOf(error))
  }

  /** The connection is made and greeted. */
  ready(): void {
    this.#asked = false
    this.#ask()
  }

  inTime(): void {
    this.#missed = 0
  }

  late(): void {
    if (!this.#up) return
    // Large answers may be the cause; it is told only when a PING is late too.
    if (++this.#missed >= PATIENCE) {
      this.#leave()
      this.#ask()
    } else this.#suspect()
  }

  /** Few calls may come while it is frozen: one that is late is enough to ask, with more patience, whether it is. */
  #suspect(): void {
    const client = this.#client()
    if (this.#suspected || client === undefined) return
    this.#suspected = true
    within(SUSPICION_MS, client.ping())
      .catch((error: unknown) => {
        if (this.#up && error instanceof StoreError) this.#down(SILENT)
      })
      .finally(() => {
        this.#suspected = false
      })
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#probing)
  }

  #down(error: string): void {
    if (this.#stopped) return
    this.#leave()
    this.#tell(error)
  }

  #leave(): void {
    if (this.#up) this.#downSince = performance.now()
    this.#up = false
    this.#probe()
  }

  #connectAnew(client: NodeClient): void {
    if (this.#stopped) return
    client.destroy()
    client.connect().catch(() => {
      // Each failure is emitted.
    })
  }

  #probe(): void {
    this.#probing ??= setInterval(() => this.#ask(), PROBE_MS).unref()
  }

  #ask(): void {
    const client = this.#client()
    if (this.#up || this.#stopped || client?.isReady !== true) return
    const askedAt = performance.now()
    if (this.#asked) {
      // Its socket may be busy all the same, with bytes in which no reply will ever be found.
      if (askedAt - this.#askedAt > SILENCE_MS) this.#connectAnew(client)
      return
    }
    this.#asked = true
    this.#askedAt = askedAt
    const asked = client.ping()
    asked
      .catch(() => {})
      .finally(() => {
        this.#asked = false
      })
    within(this.#timeoutMs, asked).then(
      () => {
        // An answer from before the connection broke once more tells nothing of now.
        if (askedAt >= this.#downSince && client.isReady) this.#wellAgain()
      },
      (error: unknown) => this.#tell(error instanceof StoreError ? SILENT : messageOf(error)),
    )
  }

  #wellAgain(): void {
    if (this.#stopped) return
    clearInterval(this.#probing)
    this.#probing = undefined
    this.#missed = 0
    this.#up = true
    this.#tell(undefined)
  }
}
