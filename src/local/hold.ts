/**
 * Requests wait while the target refuses connections: it is being restarted.
 *
 * - A refused connection carried nothing, so any method may be tried again, as long as no byte of its body was read.
 *   What has been sent is never sent again, with one exception: a GET, HEAD or OPTIONS without body whose connection
 *   broke before an answer is sent a second time, once, if the target refuses connections right after (it went down
 *   with that request in hand; RFC 9110 §9.2.2 allows it).
 * - While it is known to refuse, nobody tries: one probe for all of them, with a growing pause between two. When it
 *   is taken, those who wait go on in the order they came, some at a time.
 * - Each waits for its own time, counted from its first refusal or its coming. Whoever leaves gives up its place at once.
 */
import type { Cancel } from '../core/cancel.ts'
import type { Clock } from '../core/clock.ts'
import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Handler, ProxyRequest, ProxyResponse, Stage } from '../core/types.ts'

/** What holding needs. */
export interface HoldOptions {
  /** The longest that a request waits; then 502. */
  readonly holdMs: number
  /** The target as the user wrote it. */
  readonly target: string
  /** Whether the target takes connections, and what was tried. Never rejects. */
  readonly probe: () => Promise<{
    readonly state: 'open' | 'refused' | 'unknown'
    readonly tried: readonly string[]
  }>
  readonly clock: Clock
  /** Most requests that wait; beyond that 503 at once. */
  readonly maxHeld?: number
}

/** The stage, and what ends the waiting. */
export interface Hold {
  readonly stage: Stage
  /**
   * Resolves once the target takes connections, or has not done so for too long, or nobody wants it any more: for what
   * is dialled past the stages. Never rejects.
   */
  ready(exchange: Exchange, cancel: Cancel): Promise<void>
  /** How many wait at this moment. */
  waiting(): number
  /** Whoever waits gets 503. */
  close(): void
}

const MAX_HELD = 10_000
const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 250
/** Requests let go in one turn of the event loop, lest the backlog of a server that has just come up overflows. */
const AT_ONCE = 64

const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000} s` : `${Math.round(ms)} ms`)

/** Holds requests around whatever reaches the target. */
export const hold = (options: HoldOptions): Hold => {
  const { clock, holdMs, target } = options
  const outage = new Outage(options)

  const stage: Stage = (next) => {
    const handle: Handler = (req) => {
      if (req.hasStandIn === true) return next(req)
      return outage.known ? persist(req, undefined) : next(req).catch((error) => persist(req, error))
    }

    /** Waits and tries until there is an answer, an error of another kind, or no time left. */
    const persist = async (req: ProxyRequest, error: unknown): Promise<ProxyResponse> => {
      let since = clock.now()
      let failure = error
      let broke: ProxyError | undefined
      for (;;) {
        if (isReset(failure) && broke === undefined && isRepeatable(req) && (await refusesNow())) {
          broke = failure
          since = clock.now()
        } else if (failure !== undefined && !(isRefusal(failure) && isUntouched(req))) throw failure
        // It takes connections when it is looked at, and refuses those that matter.
        else if (clock.now() > since + holdMs) throw failure
        await wait(req, since, broke)
        try {
          return await next(req)
        } catch (thrown) {
          failure = thrown
        }
      }
    }
    return handle
  }

  const wait = async ({ cancel, exchange }: Waiter, since: number, broke: ProxyError | undefined) => {
    const from = clock.now()
    const before = exchange.heldMs ?? 0
    // Said already while it waits, for whoever watches.
    exchange.heldMs = before
    try {
      await outage.over(cancel, since + holdMs)
    } catch (error) {
      // What brought it down may be this very request: that is the news.
      if (broke === undefined || !isRefusal(error)) throw error
      const text = `${broke.message} It has refused connections since, for ${seconds(holdMs)} (--hold).`
      throw new ProxyError(broke.status, broke.code, text, { cause: broke })
    } finally {
      exchange.heldMs = before + (clock.now() - from)
    }
  }
  /** A process that was killed may let go of its connections a moment before it stops listening: two looks. */
  const refusesNow = async (): Promise<boolean> => {
    if (outage.known || (await options.probe()).state === 'refused') return true
    await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS))
    return outage.known || (await options.probe()).state === 'refused'
  }

  return {
    stage,
    async ready(exchange, cancel) {
      if (!(await refusesNow())) return
      try {
        await wait({ exchange, cancel }, clock.now(), undefined)
      } catch {
        // Whoever dials now meets the failure itself.
      }
    },
    waiting: () => outage.waiting,
    close: () =>
      outage.end(new ProxyError(503, 'shutting-down', `the proxy was shut down while ${target} was down.`)),
  }
}

type Waiter = Pick<ProxyRequest, 'exchange' | 'cancel'>

const isRefusal = (error: unknown): boolean =>
  error instanceof ProxyError && error.code === 'upstream-refused'
const isReset = (error: unknown): error is ProxyError =>
  error instanceof ProxyError && error.code === 'upstream-reset'
/** undici reads a body only once it is connected, and leaves it alone when it never was. */
const isUntouched = ({ body }: ProxyRequest): boolean =>
  body === undefined || (!body.readableDidRead && !body.destroyed)
const isRepeatable = ({ method, body, retry }: ProxyRequest): boolean =>
  body === undefined && retry !== false && (method === 'GET' || method === 'HEAD' || method === 'OPTIONS')

/** One who waits. */
interface Waiting {
  readonly until: number
  /** Ends the wait: with an error, or well. */
  readonly settle: (error?: ProxyError) => void
}

/** The time in which the target refuses connections, and who waits for its end. */
class Outage {
  readonly #options: HoldOptions
  readonly #waiting = new Set<Waiting>()
  #state: 'none' | 'refusing' | 'releasing' = 'none'
  #pauseMs = FIRST_PAUSE_MS
  #timer: NodeJS.Timeout | undefined
  #closed: ProxyError | undefined

  constructor(options: HoldOptions) {
    this.#options = options
  }

  /** Whether the target refused when it was last asked. */
  get known(): boolean {
    return this.#state === 'refusing'
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Resolves once the target is worth a try; rejects when that takes too long, or nobody wants it any more. */
  over(cancel: Cancel, until: number): Promise<void> {
    const { holdMs, maxHeld = MAX_HELD, target } = this.#options
    if (this.#closed !== undefined) return Promise.reject(this.#closed)
    const gone = (): ProxyError =>
      new ProxyError(499, 'client-gone', `the client left while ${target} was down`)
    if (cancel.fired) return Promise.reject(gone())
    if (this.#waiting.size >= maxHeld) {
      const full = `${maxHeld} requests wait for ${target} already (--hold ${seconds(holdMs)}).`
      return Promise.reject(new ProxyError(503, 'queue-full', full))
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = {
        until,
        settle: (error) => {
          this.#waiting.delete(waiting)
          letGo()
          if (error === undefined) resolve()
          else reject(error)
        },
      }
      const letGo = cancel.onFire(() => waiting.settle(gone()))
      this.#waiting.add(waiting)
      if (this.#state === 'refusing') return
      this.#state = 'refusing'
      this.#pauseMs = FIRST_PAUSE_MS
      this.#lookLater()
    })
  }

  /** Ends every wait, now and later. */
  end(error: ProxyError): void {
    this.#closed = error
    this.#state = 'none'
    clearTimeout(this.#timer)
    for (const waiting of this.#waiting) waiting.settle(error)
  }

  #lookLater(): void {
    const now = this.#options.clock.now()
    let wait = this.#pauseMs
    for (const { until } of this.#waiting) wait = Math.min(wait, until - now)
    this.#timer = setTimeout(() => void this.#look(), Math.max(1, wait))
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2)
  }

  async #look(): Promise<void> {
    if (this.#waiting.size === 0) {
      this.#state = 'none'
      return
    }
    const { state, tried } = await this.#options.probe()
    if (this.#state !== 'refusing') return
    if (state !== 'refused') {
      this.#state = 'releasing'
      this.#release()
      return
    }
    const { clock, holdMs, target } = this.#options
    const now = clock.now()
    const where = tried.length === 0 ? '' : ` on ${tried.join(' and ')}`
    for (const waiting of this.#waiting) {
      if (waiting.until > now) continue
      const text = `${target} refused the connection${where} for ${seconds(holdMs)} (--hold). Is it running?`
      waiting.settle(new ProxyError(502, 'upstream-refused', text))
    }
    this.#lookLater()
  }

  #release(): void {
    // It may have gone down again meanwhile, or all is closed.
    if (this.#state !== 'releasing') return
    let room = AT_ONCE
    for (const waiting of this.#waiting) {
      waiting.settle()
      if (--room === 0) break
    }
    if (this.#waiting.size === 0) this.#state = 'none'
    else setImmediate(() => this.#release())
  }
}
