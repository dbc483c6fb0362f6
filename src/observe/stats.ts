/** What the live view shows: totals since the start, and what the last exchanges were like. */
import type { Exchange } from '../core/exchange.ts'
import type { Metrics, Totals } from './metrics.ts'
import type { Recent } from './recent.ts'
import { endless } from './timing.ts'

/** Exchanges older than that say nothing of now. */
const WINDOW_MS = 10_000

/** Of the last ten seconds, or of the last exchanges where they are more; durations in ms. */
export interface Lately {
  readonly requests: number
  /** From the first of them on. */
  readonly spanMs: number
  readonly p50Ms: number | null
  readonly p99Ms: number | null
  /** Null when the cache could have answered none. */
  readonly hitRatio: number | null
}

/** Plain JSON. */
export interface Stats extends Totals {
  readonly target: string
  readonly version: string
  readonly startedAt: number
  /** ms since the epoch. */
  readonly now: number
  readonly lately: Lately
}

/** Numbers for one look. */
export const stats = ({
  metrics,
  recent,
  now,
  ...fixed
}: {
  metrics: Pick<Metrics, 'totals'>
  recent: Pick<Recent, 'all'>
  now: number
  target: string
  version: string
  startedAt: number
}): Stats => ({ ...fixed, now, ...metrics.totals(), lately: lately(recent.all(), now) })

const lately = (exchanges: ReadonlyArray<Readonly<Exchange>>, now: number): Lately => {
  const counted = exchanges.filter(
    ({ cause, ended }) => cause === 'client' && ended !== undefined && now - ended.at <= WINDOW_MS,
  )
  const durations = counted
    .filter((exchange) => !endless(exchange))
    .map(({ startedAt, ended }) => Math.max(0, ended!.at - startedAt))
    .sort((a, b) => a - b)
  const quantile = (share: number): number | null =>
    durations.length === 0 ? null : durations[Math.max(1, Math.ceil(share * durations.length)) - 1]!
  const decided = counted.flatMap(({ cache }) =>
    cache === undefined || cache.status === 'bypass' ? [] : [cache.status],
  )
  return {
    requests: counted.length,
    spanMs: counted.length === 0 ? 0 : now - counted.at(-1)!.ended!.at,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    hitRatio:
      decided.length === 0 ? null : decided.filter((status) => status !== 'miss').length / decided.length,
  }
}
