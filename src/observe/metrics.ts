/**
 * What is counted of exchanges, and its Prometheus text. The observer only adds to numbers of its own: prom-client
 * would take 2.2 µs an exchange for the histograms and the summary, as much as all else on a hit may take.
 */
import type { Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import { Counts } from './metrics/counts.ts'
import type { Scrape } from './metrics/registry.ts'

/** What the metrics need to know; the functions are called at each scrape. */
export interface MetricsOptions {
  /** Names the route of an exchange; gives a bounded number of names (`routes`). */
  readonly route: (exchange: Readonly<Exchange>) => string
  /** Our own version. */
  readonly version: string
  /** The store's numbers; undefined when there is no cache. */
  readonly cacheStats?: (() => { entries: number; bytes: number; evictions: number } | undefined) | undefined
  /** Which store the cache has and whether it answers; undefined when there is no cache. */
  readonly storeState?: (() => { kind: string; up: boolean } | undefined) | undefined
  /** Requests that wait at this moment, by what for; the names never change. */
  readonly waiting?: (() => Readonly<Record<string, number>>) | undefined
  /** Spans given up since the start. */
  readonly spansDropped?: (() => number) | undefined
  /** Spans received from others since the start. */
  readonly spansReceived?: (() => number) | undefined
  /** Log lines given up since the start. */
  readonly logLinesDropped?: (() => number) | undefined
  /** Where several processes serve. */
  readonly processes?: Processes | undefined
}

/** Further processes, whose own metrics (memory, processor, event loop) stand beside ours. */
export interface Processes {
  /** Label of this one. */
  readonly own: string
  /**
   * Metrics of each other one, as prom-client gives them; those that do not answer are left out. Asked for before
   * each scrape: by then all that they have served is counted here.
   */
  others(): Promise<Array<readonly ProcessFamily[]>>
  /** Workers that were replaced, and those that serve. */
  readonly restarts: () => number
  readonly serving: () => number
  /** Requests served by others that are counted nowhere. */
  readonly lost: () => number
}

/** A metric of a process, with its samples. */
export interface ProcessFamily {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly values: readonly object[]
}

/** What `metrics` gives. */
export interface Metrics {
  readonly observer: Observer
  /**
   * All metrics as text, in OpenMetrics when `accept` names it, else in Prometheus' own format. Rejects when
   * prom-client cannot be loaded.
   */
  scrape(accept?: string): Promise<{ contentType: string; body: string }>
  /** The totals since the start, for the live view. */
  totals(): Totals
}

/** Totals since the start, of what clients asked. */
export interface Totals {
  readonly requests: number
  readonly active: number
  /** Of these, waiting for their turn or for the target. */
  readonly waiting: number
  readonly failures: number
  readonly rateLimited: number
  readonly upstreamRequests: number
  readonly cache: Readonly<Record<string, number>>
  readonly routes: readonly RouteTotals[]
}

/** Totals of one route; durations in ms. */
export interface RouteTotals {
  readonly route: string
  readonly requests: number
  readonly fromCache: number
  readonly failures: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly missReasons: Readonly<Record<string, number>>
}

/** The metrics of a run. Until the first scrape nothing is loaded; `observer` costs about 0.3 µs an exchange. */
export const metrics = (options: MetricsOptions): Metrics => {
  const counts = new Counts()
  let scrape: Promise<Scrape> | undefined
  return {
    observer: {
      opened: (exchange) => counts.opened(exchange),
      ended(exchange) {
        if (exchange.ended !== undefined) counts.ended(exchange, exchange.ended, options.route)
      },
    },
    async scrape(accept = '') {
      scrape ??= import('./metrics/registry.ts').then(({ scraper }) => scraper(counts, options))
      const openMetrics = /\bapplication\/openmetrics-text\b/i.test(accept)
      return {
        contentType: openMetrics
          ? 'application/openmetrics-text; version=1.0.0; charset=utf-8'
          : 'text/plain; version=0.0.4; charset=utf-8',
        body: await (await scrape)(openMetrics),
      }
    },
    totals: () => totalsOf(counts, options.waiting?.() ?? {}),
  }
}

const totalsOf = (counts: Counts, waiting: Readonly<Record<string, number>>): Totals => {
  const routes = [...counts.routes].map(([route, of]) => ({
    route,
    requests: of.latency.count,
    fromCache: of.fromCache,
    failures: of.failures,
    p50Ms: of.latency.quantile(0.5),
    p99Ms: of.latency.quantile(0.99),
    missReasons: Object.fromEntries(of.misses?.counts ?? []),
  }))
  const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, n) => total + n, 0)
  return {
    requests: sum(routes.map(({ requests }) => requests)),
    active: sum(counts.active),
    waiting: sum(Object.values(waiting)),
    failures: sum(routes.map(({ failures }) => failures)),
    rateLimited: counts.rateLimited,
    upstreamRequests: counts.upstreamRequests,
    cache: Object.fromEntries(
      [...counts.cache].map(([status, { counts: by }]) => [status, sum(by.values())]),
    ),
    routes,
  }
}
