/** The screen of `revproxy top`, as text for a window of a given size. */
import { escapeControl } from '../observe/escape.ts'
import type { RouteTotals } from '../observe/metrics.ts'
import { type ColorLevel, palette } from '../observe/palette.ts'
import type { Stats } from '../observe/stats.ts'
import { formatDuration, formatSeconds } from '../observe/units.ts'

const NUMBERS = 34
const NARROWEST_ROUTE = 12
const WIDEST_ROUTE = 48
const REASONS = 3

/** A second look tells the rates; without one they are those since the start. */
export interface TopOptions {
  readonly before?: Stats | undefined
  readonly width: number
  /** Undefined: as many lines as there are. */
  readonly height?: number | undefined
  readonly color: ColorLevel
}

const many = (n: number): string => n.toLocaleString('en-US')
const percent = (ratio: number | null): string => (ratio === null ? '–' : `${Math.round(ratio * 100)}%`)
const ms = (value: number | null): string => (value === null ? '–' : formatDuration(value))
const rateOf = (count: number, periodMs: number): string => {
  const rate = periodMs > 0 ? (count * 1000) / periodMs : 0
  return rate >= 100 ? many(Math.round(rate)) : String(Math.round(rate * 10) / 10)
}
const cut = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, Math.max(0, length - 1))}…`

/** Lines for the window, none wider than it and no more than fit in it. */
export const topScreen = (stats: Stats, options: TopOptions): string[] => {
  const { before, width, height = Number.POSITIVE_INFINITY, color } = options
  const paint = palette(color)
  // The proxy was started anew in between: its counts began at 0.
  const same = before !== undefined && before.startedAt === stats.startedAt
  const periodMs = stats.now - (same ? before.now : stats.startedAt)
  const since = same ? before : { requests: 0, failures: 0, rateLimited: 0, upstreamRequests: 0 }
  const rate = (key: 'requests' | 'failures' | 'rateLimited' | 'upstreamRequests'): string =>
    `${rateOf(stats[key] - since[key], periodMs)}/s`
  const { cache, lately } = stats
  const fromCache = (cache.hit ?? 0) + (cache.stale ?? 0) + (cache.revalidated ?? 0) + (cache.coalesced ?? 0)
  const possible = fromCache + (cache.miss ?? 0)

  const lines: string[] = []
  const add = (text: string, by: (text: string) => string = (same) => same): void =>
    void lines.push(by(cut(text, width)))
  const up = formatSeconds((stats.now - stats.startedAt) / 1000)
  add(`revproxy ${escapeControl(stats.version)} → ${escapeControl(stats.target)}   up ${up}`, paint.strong)
  add(
    `requests ${rate('requests')}   in flight ${stats.active}${
      stats.waiting > 0 ? ` (${stats.waiting} waiting)` : ''
    }   upstream ${rate('upstreamRequests')}   ` +
      `errors ${rate('failures')}   limited ${rate('rateLimited')}`,
  )
  add(
    `p50 ${ms(lately.p50Ms)}   p99 ${ms(lately.p99Ms)}   hits ${percent(lately.hitRatio)}   ` +
      `(last ${lately.requests})   since start: ${many(stats.requests)} requests, hits ${percent(
        possible === 0 ? null : fromCache / possible,
      )}`,
  )
  const room = height - lines.length
  const slowest = [...stats.routes].sort((a, b) => b.p99Ms - a.p99Ms)
  const missed = stats.routes
    .map((route) => ({ route, misses: missesOf(route) }))
    .filter(({ misses }) => misses > 0)
    .sort((a, b) => b.misses - a.misses)
  // Two tables with a gap and a head each share what is left of the window.
  const rowsEach = Math.max(0, Math.floor((room - 4) / 2))
  const slowRows = Math.max(rowsEach, room - 4 - missed.length)
  const longest = Math.max('most missed routes'.length, ...stats.routes.map(({ route }) => route.length))
  const routeWidth = Math.max(NARROWEST_ROUTE, Math.min(WIDEST_ROUTE, longest, width - NUMBERS))
  const row = (route: string, ...cells: string[]): string =>
    `${cut(escapeControl(route), routeWidth).padEnd(routeWidth)}${cells.join('')}`
  if (stats.routes.length > 0 && room > 2) {
    add('')
    add(
      row(
        'slowest routes',
        'requests'.padStart(10),
        'p50'.padStart(8),
        'p99'.padStart(8),
        'errors'.padStart(8),
      ),
      paint.quiet,
    )
    for (const of of slowest.slice(0, slowRows))
      add(
        row(
          of.route,
          many(of.requests).padStart(10),
          ms(of.p50Ms).padStart(8),
          ms(of.p99Ms).padStart(8),
          many(of.failures).padStart(8),
        ),
      )
  }
  if (missed.length > 0 && height - lines.length > 2) {
    add('')
    add(row('most missed routes', 'misses'.padStart(10), 'hits'.padStart(8), '  why'), paint.quiet)
    for (const { route, misses } of missed.slice(0, height - lines.length))
      add(
        row(
          route.route,
          many(misses).padStart(10),
          percent(route.fromCache / (route.fromCache + misses)).padStart(8),
          `  ${reasonsOf(route)}`,
        ),
      )
  }
  return lines.slice(0, height)
}

const missesOf = ({ missReasons }: RouteTotals): number =>
  Object.values(missReasons).reduce((sum, n) => sum + n, 0)

const reasonsOf = ({ missReasons }: RouteTotals): string =>
  Object.entries(missReasons)
    .sort(([, a], [, b]) => b - a)
    .slice(0, REASONS)
    .map(([reason, n]) => `${escapeControl(reason)} ×${n}`)
    .join(', ')
