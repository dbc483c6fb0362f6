/** What a run was, as plain facts: the one source of every form of the report. */
import type { Exchange } from '../core/exchange.ts'
import type { SummaryFacts } from '../observe/summary.ts'
import { upstreamMs } from '../observe/timing.ts'
import type { Judged } from './judge.ts'
import type { Ledger } from './ledger.ts'
import type { CostlyMisses } from './misses.ts'
import type { Tally } from './tally.ts'

/** Why a run ended as it did; one word for each exit code, for scripts. */
export type ExitReason =
  | 'ok'
  | 'command-failed'
  | 'cannot-start'
  | 'target-not-ready'
  | 'backend-ended'
  | 'expectation-failed'
  | 'internal-error'
  | 'interrupted'
  | 'terminated'
  | 'hung-up'

/** The exit code and its reason. */
export interface Exit {
  readonly code: number
  readonly reason: ExitReason
}

/** One row of the table of routes. */
export interface RouteRow {
  readonly route: string
  readonly requests: number
  readonly hitRatio: number | null
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
  readonly maxMs: number | null
  /** Answers with a 5xx status, and requests that ended without one. */
  readonly failed: number
}

/** One failed expectation's offender, to be tried again by hand. */
export interface Offender {
  readonly id: number
  readonly method: string
  readonly url: string
  readonly status: number
  readonly durationMs: number
  readonly upstreamMs?: number
  readonly error?: string
  readonly curl: string
}

/** An expectation as it is reported. */
export interface ReportedExpectation extends Omit<Judged, 'offenders'> {
  readonly offenders: readonly Offender[]
}

/** A run, whole. */
export interface Report {
  readonly version: string
  readonly startedAt: Date
  readonly durationMs: number
  readonly exit: Exit
  readonly target: string
  readonly url: string
  readonly command?: {
    readonly text: string
    readonly code: number
    readonly signal?: string
    readonly durationMs: number
  }
  /** What went wrong outside the expectations: sentences, the first being the gist. */
  readonly problems: readonly string[]
  /** What fails nothing and may yet explain much: an older server on the port, say. */
  readonly warnings: readonly string[]
  readonly totals: SummaryFacts
  readonly all: RouteRow
  readonly routes: readonly RouteRow[]
  readonly costliestMisses: readonly CostlyMisses[]
  readonly expectations: readonly ReportedExpectation[]
}

const COSTLIEST = 5

/** A selection as a row. */
export const routeRow = (route: string, tally: Tally): RouteRow => ({
  route,
  requests: tally.value('requests') ?? 0,
  hitRatio: tally.value('hit-ratio'),
  p50Ms: hundredths(tally.value('p50')),
  p95Ms: hundredths(tally.value('p95')),
  p99Ms: hundredths(tally.value('p99')),
  maxMs: hundredths(tally.value('max')),
  // An error has a status of its own, 502 or 504 mostly; whoever got none counts too.
  failed: Math.max(tally.value('5xx') ?? 0, tally.value('errors') ?? 0),
})

/** The parts of a report that come from the ledger. */
export const reported = (
  ledger: Ledger,
  judged: readonly Judged[],
  { redactUrl, curl }: { redactUrl: (url: string) => string; curl: (exchange: Readonly<Exchange>) => string },
): Pick<Report, 'all' | 'routes' | 'costliestMisses' | 'expectations'> => ({
  all: routeRow('all', ledger.total),
  routes: ledger.routes().map(([route, tally]) => routeRow(route, tally)),
  costliestMisses: ledger.costliestMisses(COSTLIEST),
  expectations: judged.map(({ offenders, ...rest }) => ({
    ...rest,
    offenders: offenders.map((exchange) => offender(exchange, redactUrl, curl)),
  })),
})

const offender = (
  exchange: Readonly<Exchange>,
  redactUrl: (url: string) => string,
  curl: (exchange: Readonly<Exchange>) => string,
): Offender => {
  const { id, method, url, ended, startedAt } = exchange
  const upstream = upstreamMs(exchange)
  return {
    id,
    method,
    url: redactUrl(url),
    status: ended?.status ?? 0,
    durationMs: hundredths((ended?.at ?? startedAt) - startedAt)!,
    ...(upstream === undefined ? {} : { upstreamMs: hundredths(upstream)! }),
    ...(ended?.error === undefined ? {} : { error: ended.error }),
    curl: curl(exchange),
  }
}

const hundredths = (ms: number | null): number | null => (ms === null ? null : Math.round(ms * 100) / 100)
