/** Whether expectations were met, and the sentence that says why not. */
import type { Exchange } from '../core/exchange.ts'
import { formatDuration } from '../observe/units.ts'
import { type Baseline, baselineKey } from './baseline.ts'
import { canonical, type Expectation } from './expression.ts'
import type { Account, Ledger } from './ledger.ts'
import { type Metric, metrics, type Unit } from './metrics.ts'
import type { Measured } from './tally.ts'

/** What is compared with, once the baseline is read. */
export type JudgedBound =
  | { readonly kind: 'value'; readonly value: number }
  /** Of the requests that route and method select. */
  | { readonly kind: 'percent'; readonly share: number }

/** One expectation and what became of it. */
export interface Judged {
  readonly text: string
  readonly metric: Metric
  readonly outcome: 'passed' | 'failed' | 'skipped'
  /** In the metric's unit; null when there was nothing to measure. */
  readonly actual: number | null
  readonly actualText: string
  readonly bound: number | null
  /** One sentence for people. */
  readonly because: string
  /** The worst requests that stood in the way. */
  readonly offenders: ReadonlyArray<Readonly<Exchange>>
}

/** The bound of an expectation; undefined when the baseline has no value for it. */
export const boundOf = (
  { bound, metric, selector }: Expectation,
  baseline: Baseline | undefined,
): JudgedBound | undefined => {
  if (bound.kind === 'fixed') return { kind: 'value', value: bound.value }
  if (bound.kind === 'percent') return bound
  const before = baseline?.metrics[baselineKey(metric, selector)]
  return before === undefined ? undefined : { kind: 'value', value: before * bound.factor + bound.plus }
}

/** Whether an expectation can no longer be met, whatever comes. */
export const brokenForGood = ({ expectation, bound, chosen }: Account): boolean => {
  const { metric, operator } = expectation
  if (bound?.kind !== 'value' || !metrics[metric].grows || operator.startsWith('>')) return false
  const value = chosen.value(metric)
  return value !== null && (operator === '<' ? value >= bound.value : value > bound.value)
}

/** How bad an exchange is for an expectation; undefined when it is not. */
export const rankOf = (
  measured: Measured,
  { metric, operator }: Expectation,
  bound: JudgedBound,
): number | undefined => {
  const { exchange } = measured
  const { ended, cache, id } = exchange
  const tooMany = !operator.startsWith('>')
  if (metrics[metric].unit === 'duration') {
    const ms = metric.startsWith('upstream-')
      ? measured.upstreamMs
      : metric.startsWith('overhead-')
        ? measured.overheadMs
        : measured.durationMs
    return tooMany && ms !== undefined && bound.kind === 'value' && ms >= bound.value ? ms : undefined
  }
  // A ratio of hits is too low because of misses.
  if (metric === 'hit-ratio')
    return !tooMany && cache?.status === 'miss' ? (measured.upstreamMs ?? 0) : undefined
  if (!tooMany) return undefined
  const status = ended?.status ?? 0
  const first = -id
  switch (metric) {
    case '4xx':
      return status >= 400 && status < 500 ? first : undefined
    case '5xx':
      return status >= 500 ? first : undefined
    case 'errors':
      return measured.failed ? first : undefined
    case 'rate-limited':
      return measured.rateLimited ? first : undefined
    case 'stale':
      return measured.ofClient && cache?.status === 'stale' ? first : undefined
    case 'misses':
      return measured.ofClient && cache?.status === 'miss' ? (measured.upstreamMs ?? 0) : undefined
    case 'upstream-requests':
      return measured.ofClient ? measured.upstreamMs : undefined
    default:
      return undefined
  }
}

/** What an expectation is judged with. */
export interface JudgeInput {
  readonly ledger: Ledger
  /** Where the proxy listened. */
  readonly url: string
  /** The variables that carried it to the command; undefined without one. */
  readonly variables: readonly string[] | undefined
  /** The variable that sends requests for this machine to another proxy. */
  readonly proxiedBy: string | undefined
}

/** Judges all expectations, in their order. */
export const judge = (input: JudgeInput): Judged[] =>
  input.ledger.accounts.map((account) => judgeOne(account, input))

/** Nothing came through the proxy, and what that means. */
export const noTraffic = ({ url, variables, proxiedBy }: Omit<JudgeInput, 'ledger'>): string => {
  if (variables === undefined) return `no request came through the proxy on ${url}.`
  const elsewhere =
    proxiedBy === undefined ? '' : ` ${proxiedBy} is set and may send them elsewhere: NO_PROXY=localhost.`
  return `no request came through the proxy. The command should have sent them to ${url}: does it read ${either(variables)}? --url-env NAME sets another variable.${elsewhere}`
}

const either = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`

const judgeOne = (account: Account, input: JudgeInput): Judged => {
  const { expectation, bound, base, chosen } = account
  const { metric, selector, operator, text } = expectation
  const { unit } = metrics[metric]
  const actual = chosen.value(metric)
  const result = (outcome: Judged['outcome'], because: string, limit: number | null): Judged => ({
    text,
    metric,
    outcome,
    actual,
    actualText: actual === null ? 'nothing' : shown(actual, unit),
    bound: limit,
    because,
    offenders: outcome === 'failed' ? account.offenders() : [],
  })
  const requests = base.value('requests')!
  // Without a baseline yet there is none; a first run with nothing to measure would write one that is of no use.
  const limit = bound === undefined ? null : bound.kind === 'value' ? bound.value : bound.share * requests
  // `requests==0` and the like are fulfilled by silence, and nothing else is.
  const silenceIsMeant = metric === 'requests' && (limit === 0 || (limit === 1 && operator === '<'))
  if (input.ledger.total.value('requests') === 0 && !silenceIsMeant)
    return result('failed', noTraffic(input), limit)
  if (requests === 0 && metric !== 'requests')
    return result('failed', noMatch(expectation, input.ledger), limit)
  if (actual === null) {
    const what =
      metric === 'hit-ratio' ? 'no request was one that the cache could answer' : 'nothing was to measure'
    return result('failed', `${what}${selector.route === undefined ? '' : ` on ${selector.route}`}.`, limit)
  }
  if (limit === null) return result('skipped', 'there is no baseline yet; this run may write it.', null)
  if (holds(actual, operator, limit))
    return result('passed', `${canonical(metric, selector)} is ${shown(actual, unit)}.`, limit)
  return result(
    'failed',
    `${canonical(metric, selector)} is ${difference({ actual, limit, expectation, requests })}.`,
    limit,
  )
}

const holds = (actual: number, operator: Expectation['operator'], limit: number): boolean => {
  switch (operator) {
    case '<':
      return actual < limit
    case '<=':
      return actual <= limit
    case '==':
      return actual === limit
    case '>=':
      return actual >= limit
    case '>':
      return actual > limit
  }
}

const noMatch = ({ selector: { route, method } }: Expectation, ledger: Ledger): string => {
  const wanted = [method, route].filter((part) => part !== undefined).join(' ')
  const seen = ledger.routes()
  const there = seen.slice(0, 5).map(([name, tally]) => `${name} ×${tally.value('requests')}`)
  const more = seen.length > 5 ? `, and ${seen.length - 5} more` : ''
  return `no request was ${wanted}. There were ${there.join(', ')}${more}.`
}

/** What it was, and what it should have been. */
const difference = ({
  actual,
  limit,
  requests,
  expectation: { metric, operator, bound, boundText },
}: {
  actual: number
  limit: number
  requests: number
  expectation: Expectation
}): string => {
  const { unit } = metrics[metric]
  const is = shown(actual, unit)
  // Too near to be told apart in few digits.
  const told = is === shown(limit, unit) && actual !== limit ? exactly(actual, unit) : is
  if (bound.kind === 'percent') return `${told}, not ${operator}${boundText} of ${requests} requests`
  const wanted = bound.kind === 'fixed' ? boundText : `${shown(limit, unit)} (${boundText})`
  return `${told}, not ${operator}${wanted}`
}

const exact = (value: number): string => String(Math.round(value * 1e6) / 1e6)
const exactly = (value: number, unit: Unit): string =>
  unit === 'duration' ? `${exact(value)}ms` : unit === 'share' ? `${exact(value * 100)}%` : exact(value)
const percentText = (share: number): string => `${Math.round(share * 1000) / 10}%`

/** A value in its unit, for people. */
export const shown = (value: number, unit: Unit): string =>
  unit === 'duration' ? formatDuration(value) : unit === 'share' ? percentText(value) : exact(value)
