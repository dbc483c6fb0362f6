/** The language of `--expect`: `metric[{route=…,method=…,reason=…}] op value`. */
import { BadValue, parseDuration } from '../cli/values.ts'
import type { ErrorCode } from '../core/errors.ts'
import { reasons, storageReasons } from '../core/reasons.ts'
import { isMetric, type Metric, metrics } from './metrics.ts'

/** Which requests count. `route` is a template as in `--route`; all that is given must hold. */
export interface Selector {
  readonly route?: string
  readonly method?: string
  readonly reason?: string
}

/** What a metric is compared with. */
export type Bound =
  | { readonly kind: 'fixed'; readonly value: number }
  /** A count as a share of the requests. */
  | { readonly kind: 'percent'; readonly share: number }
  /** `baseline*factor+plus` */
  | { readonly kind: 'baseline'; readonly factor: number; readonly plus: number }

export const operators = ['<=', '>=', '==', '<', '>'] as const

/** One expectation, understood. */
export interface Expectation {
  /** As it was written. */
  readonly text: string
  readonly metric: Metric
  readonly selector: Selector
  readonly operator: (typeof operators)[number]
  readonly bound: Bound
  /** The right side as it was written. */
  readonly boundText: string
}

/** The codes by which `errors{reason=…}` selects; the compiler holds it against the catalogue. */
const errorCodes: Record<ErrorCode, true> = {
  'upstream-refused': true,
  'upstream-unresolved': true,
  'upstream-unreachable': true,
  'upstream-reset': true,
  'upstream-tls': true,
  'upstream-protocol': true,
  'upstream-timeout': true,
  'connect-timeout': true,
  'upstream-aborted': true,
  'client-gone': true,
  'bad-request': true,
  'body-too-large': true,
  'queue-full': true,
  'queue-timeout': true,
  'shutting-down': true,
  internal: true,
}

/** The metric with its selector, always written the same way: the key of a baseline. */
export const canonical = (metric: Metric, { route, method, reason }: Selector): string => {
  const labels = Object.entries({ route, method, reason }).filter(([, value]) => value !== undefined)
  return labels.length === 0 ? metric : `${metric}{${labels.map(([k, v]) => `${k}=${v}`).join(',')}}`
}

/** Reads an expression; throws BadValue with the place where it stops making sense. */
export const parseExpectation = (given: string): Expectation => {
  const text = given.trim()
  let at = 0
  const skip = (): void => {
    while (text[at] === ' ' || text[at] === '\t') at++
  }
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0] ?? ''
    at += found.length
    return found
  }
  const metricAt = at
  const name = take(/[\w-]+/y)
  if (!isMetric(name)) throw new BadValue(notMetric(name), metricAt)
  skip()
  const selector = text[at] === '{' ? readLabels() : {}
  skip()
  const operatorAt = at
  const operator = operators.find((each) => text.startsWith(each, at))
  if (operator === undefined) {
    const hint = text[at] === '=' ? '; to be equal is ==' : ''
    throw new BadValue(`here one of < <= == >= > is missing${hint}`, operatorAt)
  }
  at += operator.length
  skip()
  const valueAt = at
  const boundText = text.slice(valueAt)
  if (boundText === '') throw new BadValue('here a value is missing', valueAt)
  const bound = readBound(name, boundText, valueAt)
  return { text, metric: name, selector, operator, bound, boundText }

  function readLabels(): Selector {
    const labels: Record<string, string> = {}
    at++
    for (;;) {
      skip()
      const labelAt = at
      const label = take(/[\w-]+/y)
      if (label !== 'route' && label !== 'method' && label !== 'reason')
        throw new BadValue('here route, method or reason must stand', labelAt)
      if (labels[label] !== undefined) throw new BadValue(`${label} stands here twice`, labelAt)
      skip()
      if (text[at] !== '=') throw new BadValue(`here = is missing: ${label}=…`, at)
      at++
      skip()
      const valueAt = at
      const quoted = text[at] === '"'
      const value = quoted ? take(/"[^"]*"/y).slice(1, -1) : take(/[^,}\s"]+/y)
      if (value === '') {
        throw new BadValue(
          quoted && at === valueAt ? 'this " is not closed' : `here the ${label} is missing`,
          at,
        )
      }
      labels[label] = checkedLabel(name as Metric, label, value, valueAt)
      skip()
      if (text[at] === ',') at++
      else if (text[at] === '}') break
      else throw new BadValue('here } is missing', at)
    }
    at++
    return labels
  }
}

const notMetric = (name: string): string => {
  const all = Object.keys(metrics)
  if (name === '') return `here a metric is missing: one of ${all.join(', ')}`
  const lower = name.toLowerCase().replaceAll('_', '-')
  const near =
    all.find((each) => each === lower) ??
    all.find((each) => each.startsWith(lower) || lower.startsWith(each)) ??
    all
      .filter((each) => each.length === lower.length && typed(each, lower) <= 0x100)
      .sort((a, b) => typed(a, lower) - typed(b, lower))[0]
  return `${name} is not a metric. ${near === undefined ? `They are ${all.join(', ')}` : `Did you mean ${near}?`}`
}

/** How far apart two words of one length are: by characters first, then by how far these are (p98 is nearer to p99 than to p90). */
const typed = (a: string, b: string): number =>
  [...a].reduce(
    (sum, c, i) => sum + (c === b[i] ? 0 : 0x80 + Math.abs(c.charCodeAt(0) - (b.charCodeAt(i) || 0))),
    0,
  )

const checkedLabel = (
  metric: Metric,
  label: 'route' | 'method' | 'reason',
  value: string,
  at: number,
): string => {
  if (label === 'route') {
    if (!value.startsWith('/')) throw new BadValue('a route begins with /, such as /users/:id or /api/*', at)
    // No request would ever be on it: the query is no part of a route.
    if (/[?#]/.test(value)) throw new BadValue('a route is a path without query, such as /users/:id', at)
    return value
  }
  if (label === 'method') return value.toUpperCase()
  const kind = metrics[metric].reasons
  if (kind === undefined) {
    const having = Object.entries(metrics).flatMap(([name, spec]) =>
      spec.reasons === undefined ? [] : [name],
    )
    throw new BadValue(`${metric} takes no reason; these do: ${having.join(', ')}`, at)
  }
  const known = kind === 'errors' ? errorCodes : { ...reasons, ...storageReasons }
  if (!Object.hasOwn(known, value))
    throw new BadValue(`${value} is not a reason of ${metric}. They are ${Object.keys(known).join(', ')}`, at)
  return value
}

const readBound = (metric: Metric, text: string, at: number): Bound => {
  if (text.startsWith('baseline')) return readBaseline(metric, text, at)
  const { unit } = metrics[metric]
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)
  if (unit === 'count' && percent !== null) {
    if (metric === 'requests') throw new BadValue('requests are counted: a whole number', at)
    return { kind: 'percent', share: Number(percent[1]) / 100 }
  }
  return { kind: 'fixed', value: readValue(metric, text, at) }
}

const readValue = (metric: Metric, text: string, at: number): number => {
  const { unit } = metrics[metric]
  if (unit === 'duration') {
    try {
      return parseDuration(text.replace(/\s+/g, ''))
    } catch (error) {
      const { message } = error as Error
      throw new BadValue(message.startsWith('a duration') ? `here ${message} must stand` : message, at)
    }
  }
  if (unit === 'count') {
    if (!/^\d{1,15}$/.test(text)) {
      const right =
        metric === 'requests' ? 'a whole number' : 'a whole number, or a share of the requests such as 1%'
      throw new BadValue(`${metric} is counted: ${right}`, at)
    }
    return Number(text)
  }
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)
  const share =
    percent === null ? (/^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN) : Number(percent[1]) / 100
  if (!(share >= 0 && share <= 1))
    throw new BadValue(`${metric} is a share: from 0 to 1, or from 0% to 100%`, at)
  return share
}

const readBaseline = (metric: Metric, text: string, at: number): Bound => {
  const match = /^baseline(?:\s*\*\s*(\d+(?:\.\d+)?))?(?:\s*([+-])\s*(\S.*))?$/.exec(text)
  if (match === null) throw new BadValue('baseline is used as baseline, baseline*1.2 or baseline*1.2+5ms', at)
  const [, factor = '1', sign, plus] = match
  const amount = plus === undefined ? 0 : readValue(metric, plus, at + text.length - plus.length)
  return { kind: 'baseline', factor: Number(factor), plus: sign === '-' ? -amount : amount }
}
