import type { Exchange } from '../core/exchange.ts'
import { type Quantiles, quantiles } from '../observe/quantiles.ts'
import { endless, upstreamMs } from '../observe/timing.ts'
import { type Metric, quantileOf } from './metrics.ts'

/** What every metric needs to know of one exchange that has ended; undefined where it does not count. */
export interface Measured {
  readonly exchange: Readonly<Exchange>
  /** A request of a client, not a refresh behind a stale answer. */
  readonly ofClient: boolean
  /** As the client saw it; not of what lasts for as long as somebody listens. */
  readonly durationMs: number | undefined
  readonly upstreamMs: number | undefined
  readonly overheadMs: number | undefined
  readonly rateLimited: boolean
  /** Ended with an error of the upstream or of ours. */
  readonly failed: boolean
}

/** Measures an exchange that has ended. */
export const measure = (exchange: Readonly<Exchange>): Measured => {
  const { ended, limit } = exchange
  const ofClient = exchange.cause === 'client'
  const timed = ended !== undefined && ended.status !== 0 && !endless(exchange)
  const rateLimited = ofClient && limit?.allowed === false && ended?.status === 429
  return {
    exchange,
    ofClient,
    durationMs: timed && ofClient ? Math.max(0, ended.at - exchange.startedAt) : undefined,
    upstreamMs: endless(exchange) ? undefined : upstreamMs(exchange),
    overheadMs: timed && ofClient ? overheadMs(exchange) : undefined,
    rateLimited,
    failed: ofClient && !rateLimited && ended?.error !== undefined && ended.error !== 'client-gone',
  }
}

/**
 * The time we added until the head of the answer: before the request was handed on and after the head came back,
 * without what it waited in a queue or for a target that restarts. Undefined where we waited for another's request.
 */
const overheadMs = (exchange: Readonly<Exchange>): number | undefined => {
  const { headAt, upstream, cache, startedAt } = exchange
  const waitedMs = (exchange.queuedMs ?? 0) + (exchange.heldMs ?? 0)
  if (headAt === undefined) return undefined
  if (upstream === undefined) {
    const waited = cache?.status === 'coalesced' || cache?.leader !== undefined
    return waited ? undefined : Math.max(0, headAt - startedAt - waitedMs)
  }
  if (upstream.headAt === undefined) return undefined
  return Math.max(0, upstream.startedAt - startedAt - waitedMs) + Math.max(0, headAt - upstream.headAt)
}

/** Counts of some selection of the traffic. */
export class Tally {
  readonly #exactUpTo: number
  #requests = 0
  #upstreamRequests = 0
  #fromCache = 0
  #misses = 0
  #stale = 0
  #status4xx = 0
  #status5xx = 0
  #errors = 0
  #rateLimited = 0
  readonly #quantiles = new Map<'' | 'upstream-' | 'overhead-', Quantiles>()

  /** Percentiles are exact for so many requests, and within 1 % from then on. */
  constructor({ exactUpTo = 100_000 }: { exactUpTo?: number } = {}) {
    this.#exactUpTo = exactUpTo
  }

  add({ exchange, ofClient, durationMs, upstreamMs, overheadMs, rateLimited, failed }: Measured): void {
    if (exchange.upstream !== undefined) this.#upstreamRequests++
    if (upstreamMs !== undefined) this.#of('upstream-').add(upstreamMs)
    if (!ofClient) return
    this.#requests++
    if (durationMs !== undefined) this.#of('').add(durationMs)
    if (overheadMs !== undefined) this.#of('overhead-').add(overheadMs)
    if (rateLimited) this.#rateLimited++
    if (failed) this.#errors++
    const status = exchange.ended?.status ?? 0
    if (status >= 400 && status < 500) this.#status4xx++
    if (status >= 500) this.#status5xx++
    const cached = exchange.cache?.status
    if (cached === 'miss') this.#misses++
    else if (cached !== undefined && cached !== 'bypass') this.#fromCache++
    if (cached === 'stale') this.#stale++
  }

  /** The metric's value; null where there is nothing to measure. */
  value(metric: Metric): number | null {
    switch (metric) {
      case 'requests':
        return this.#requests
      case 'upstream-requests':
        return this.#upstreamRequests
      case 'misses':
        return this.#misses
      case 'stale':
        return this.#stale
      case '4xx':
        return this.#status4xx
      case '5xx':
        return this.#status5xx
      case 'errors':
        return this.#errors
      case 'rate-limited':
        return this.#rateLimited
      case 'hit-ratio': {
        const possible = this.#fromCache + this.#misses
        return possible === 0 ? null : this.#fromCache / possible
      }
      default: {
        const kind = metric.startsWith('upstream-')
          ? 'upstream-'
          : metric.startsWith('overhead-')
            ? 'overhead-'
            : ''
        const found = this.#quantiles.get(kind)
        return (metric.endsWith('max') ? found?.max() : found?.quantile(quantileOf(metric))) ?? null
      }
    }
  }

  #of(kind: '' | 'upstream-' | 'overhead-'): Quantiles {
    let found = this.#quantiles.get(kind)
    if (found === undefined) {
      found = quantiles({ exactUpTo: this.#exactUpTo })
      this.#quantiles.set(kind, found)
    }
    return found
  }
}
