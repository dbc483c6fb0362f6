import type { Clock } from '../core/clock.ts'
import type { CacheStatus, Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import { type ColorLevel, palette } from './palette.ts'
import { quantiles } from './quantiles.ts'
import { endless } from './timing.ts'
import { formatDuration, formatSize, formatSpan } from './units.ts'

/** The totals of a run, plain JSON; refreshes behind stale answers count only where they are named. */
export interface SummaryFacts {
  readonly durationMs: number
  /** Exchanges with clients that have ended. */
  readonly requests: number
  /** Answers by what the cache did. */
  readonly cache: Readonly<Record<CacheStatus, number>>
  /**
   * Share of answers given without waiting for a body from the upstream (hit, stale, revalidated, coalesced) among
   * those the cache could have given (these and miss). Bypassed, refused and uncached requests count on neither side;
   * null when nothing counts.
   */
  readonly hitRatio: number | null
  /** Durations as the client saw them, without upgrades and event streams; null when there is none. */
  readonly p50Ms: number | null
  readonly p90Ms: number | null
  readonly p99Ms: number | null
  readonly maxMs: number | null
  /** Requests sent to the upstream, refreshes too. */
  readonly upstreamRequests: number
  /** Answers from the cache that needed no request to the upstream, less the refreshes made for them. */
  readonly upstreamSaved: number
  readonly refreshes: number
  /** Requests that ended with an error of the upstream or of ours. */
  readonly errors: number
  readonly rateLimited: number
  readonly clientsGone: number
  readonly upgrades: number
  /** Body bytes given to clients, and taken from them. */
  readonly bytes: number
  readonly requestBytes: number
  readonly statuses: Readonly<Record<string, number>>
  readonly missReasons: Readonly<Record<string, number>>
  /** Why answers were not stored. */
  readonly notStored: Readonly<Record<string, number>>
  readonly errorCodes: Readonly<Record<string, number>>
}

/** Counts a run and says at its end what it was. */
export interface Summary {
  readonly observer: Observer
  facts(): SummaryFacts
  /** A few lines for people, each within `width`, with a line end after the last. */
  text(options: { color: ColorLevel; width: number | undefined }): string
}

/** A summary of all exchanges that end from now on. */
export const summary = ({ clock }: { clock: Clock }): Summary => {
  const startedAt = clock.now()
  const cache: Record<CacheStatus, number> = {
    hit: 0,
    stale: 0,
    revalidated: 0,
    miss: 0,
    coalesced: 0,
    bypass: 0,
  }
  const durations = quantiles()
  const statuses = new Map<string, number>()
  const missReasons = new Map<string, number>()
  const notStored = new Map<string, number>()
  const errorCodes = new Map<string, number>()
  let requests = 0
  let upstreamRequests = 0
  let withoutUpstream = 0
  let refreshes = 0
  let refreshRequests = 0
  let errors = 0
  let rateLimited = 0
  let clientsGone = 0
  let upgrades = 0
  let bytes = 0
  let requestBytes = 0

  const ended = (exchange: Readonly<Exchange>) => {
    const { ended: end, cache: decided, upstream, limit } = exchange
    if (end === undefined) return
    if (upstream !== undefined) upstreamRequests++
    if (exchange.cause === 'refresh') {
      refreshes++
      if (upstream !== undefined) refreshRequests++
      return
    }
    requests++
    bytes += end.bytes
    requestBytes += exchange.requestBytes
    if (end.status !== 0) count(statuses, String(end.status))
    if (exchange.upgraded !== undefined) upgrades++
    if (limit?.allowed === false && end.status === 429) rateLimited++
    else if (end.error === 'client-gone') clientsGone++
    else if (end.error !== undefined) {
      errors++
      count(errorCodes, end.error)
    }
    if (end.status !== 0 && !endless(exchange)) durations.add(end.at - exchange.startedAt)
    if (decided === undefined) return
    cache[decided.status]++
    if (decided.status === 'miss') count(missReasons, decided.reason)
    else if (decided.status !== 'bypass' && upstream === undefined) withoutUpstream++
    if (decided.status !== 'bypass' && decided.storage !== undefined && decided.storage !== 'stored') {
      count(notStored, decided.storage)
    }
  }

  const facts = (): SummaryFacts => {
    const fromCache = cache.hit + cache.stale + cache.revalidated + cache.coalesced
    const possible = fromCache + cache.miss
    return {
      durationMs: round(clock.now() - startedAt),
      requests,
      cache: { ...cache },
      hitRatio: possible === 0 ? null : fromCache / possible,
      p50Ms: round(durations.quantile(0.5)),
      p90Ms: round(durations.quantile(0.9)),
      p99Ms: round(durations.quantile(0.99)),
      maxMs: round(durations.max()),
      upstreamRequests,
      upstreamSaved: Math.max(0, withoutUpstream - refreshRequests),
      refreshes,
      errors,
      rateLimited,
      clientsGone,
      upgrades,
      bytes,
      requestBytes,
      statuses: Object.fromEntries(statuses),
      missReasons: Object.fromEntries(missReasons),
      notStored: Object.fromEntries(notStored),
      errorCodes: Object.fromEntries(errorCodes),
    }
  }
  return {
    observer: { ended },
    facts,
    text: ({ color, width }) => summaryText(facts(), { color, width }),
  }
}

const count = (counts: Map<string, number>, name: string) => {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}

function round(ms: number): number
function round(ms: number | undefined): number | null
function round(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 100) / 100
}

const summaryText = (
  facts: SummaryFacts,
  { color, width }: { color: ColorLevel; width: number | undefined },
): string => {
  const paint = palette(color)
  const took = formatSpan(facts.durationMs)
  if (facts.requests === 0) return `no requests in ${took}\n`

  const totals: Item[] = [[`${many(facts.requests, 'request')} in ${took}`, paint.strong]]
  if (facts.hitRatio !== null) totals.push([`${percent(facts.hitRatio)} hits`, paint.fresh])
  if (facts.p50Ms !== null && facts.p99Ms !== null) {
    totals.push([`p50 ${formatDuration(facts.p50Ms)} p99 ${formatDuration(facts.p99Ms)}`])
  }
  if (facts.upstreamSaved > 0) totals.push([`${many(facts.upstreamSaved, 'upstream call')} saved`])
  totals.push([many(facts.errors, 'error'), facts.errors > 0 ? paint.failure : undefined])
  if (facts.rateLimited > 0) totals.push([`${facts.rateLimited} rate-limited`, paint.limited])
  if (facts.clientsGone > 0) totals.push([`${many(facts.clientsGone, 'client')} gone`])
  if (facts.upgrades > 0) totals.push([many(facts.upgrades, 'upgrade')])
  if (facts.bytes > 0) totals.push([formatSize(facts.bytes)])

  const paintStatus = (status: string) =>
    status >= '500' ? paint.failure : status >= '400' ? paint.warning : undefined
  const details: Array<[title: string, items: Item[]]> = [
    [
      'status',
      Object.keys(facts.statuses).some((status) => status >= '400') ? tally(facts.statuses, paintStatus) : [],
    ],
    ['misses', tally(facts.missReasons)],
    ['not stored', tally(facts.notStored)],
    ['errors', tally(facts.errorCodes, () => paint.failure)],
  ]
  let text = wrapped(totals, { indent: 2, first: '', width })
  for (const [title, items] of details) {
    if (items.length === 0) continue
    text += wrapped(items, { indent: 14, first: `  ${paint.quiet(title.padEnd(12))}`, width })
  }
  return text
}

/** A text and its colour. */
type Item = readonly [text: string, paint?: ((text: string) => string) | undefined]

const SHOWN = 6

/** The most frequent first; what is beyond a handful in one number. */
const tally = (
  counts: Readonly<Record<string, number>>,
  paint: (name: string) => Item[1] = () => undefined,
): Item[] => {
  const sorted = Object.entries(counts).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
  const items: Item[] = sorted.slice(0, SHOWN).map(([name, n]) => [`${name} ×${n}`, paint(name)])
  const rest = sorted.slice(SHOWN).reduce((sum, [, n]) => sum + n, 0)
  return rest === 0 ? items : [...items, [`others ×${rest}`]]
}

/** The items with ` · ` between them, on as many lines as the width asks for. */
const wrapped = (
  items: readonly Item[],
  { indent, first, width }: { indent: number; first: string; width: number | undefined },
): string => {
  // A terminal of width 0 does not know its own.
  const columns = width || Number.POSITIVE_INFINITY
  let text = first
  let length = first === '' ? 0 : indent
  items.forEach(([item, paint], i) => {
    // The separator goes to the end of a line, and takes two columns there.
    const after = i === items.length - 1 ? 0 : 2
    if (i > 0) {
      const fits = length + 3 + item.length + after <= columns
      text += fits ? ' · ' : ` ·\n${' '.repeat(indent)}`
      length = fits ? length + 3 : indent
    }
    text += paint === undefined ? item : paint(item)
    length += item.length
  })
  return `${text}\n`
}

const many = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? '' : 's'}`

/** Whole percent, but never 0 or 100 for what is only nearly so. */
const percent = (ratio: number): string => {
  if (ratio > 0 && ratio < 0.005) return '<1%'
  if (ratio < 1 && ratio >= 0.995) return '>99%'
  return `${Math.round(ratio * 100)}%`
}
