/**
 * The language of `--filter`: comparisons such as `status>=400`, joined by `and`, `or`, `not` and parentheses.
 *
 *     either     = both { "or" both }
 *     both       = denied { "and" denied }
 *     denied     = "not" denied | "(" either ")" | comparison
 *     comparison = field [ ( "=" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" ) value ]   ("==" is "=", "=~" is "~")
 *     value      = word | "'" text "'" | '"' text '"'
 *
 * A field alone asks whether there is one: `error`, `not cache`.
 */
import type { Exchange } from '../core/exchange.ts'
import { escapeControl } from './escape.ts'
import { columnsOf } from './fit.ts'

/** An exchange that has ended, as a filter looks at it. */
export interface Filtered {
  readonly exchange: Readonly<Exchange>
  readonly durationMs: number
  /** Its route; called only by filters that ask for it. */
  readonly route: (exchange: Readonly<Exchange>) => string
}

/** Whether an exchange passes. */
export type Filter = (of: Filtered) => boolean

/** A filter that cannot be understood; `column` counts from 1. */
export class FilterError extends Error {
  readonly column: number

  constructor(message: string, column: number) {
    super(message)
    this.column = column
  }
}

type Field = NumberField | TextField
interface NumberField {
  readonly kind: 'number'
  readonly of: (from: Filtered) => number | undefined
  /** From what was written to a number; undefined for what is none. */
  readonly parse: (text: string) => number | undefined
  /** What would be right. */
  readonly such: string
}
interface TextField {
  readonly kind: 'text'
  readonly of: (from: Filtered) => string | undefined
}

const text = (of: TextField['of']): TextField => ({ kind: 'text', of })
const whole = (given: string): number | undefined => (/^\d{1,15}$/.test(given) ? Number(given) : undefined)

const MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const
const duration = (given: string): number | undefined => {
  if (/^0+$/.test(given)) return 0
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(given)) return undefined
  let total = 0
  for (const [, amount, unit] of given.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g))
    total += Number(amount) * MS[unit as keyof typeof MS]
  return total
}

const BYTES: Readonly<Record<string, number>> = { '': 1, b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 }
const size = (given: string): number | undefined => {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(b|kb|mb|gb)?$/i.exec(given) ?? []
  return amount === undefined ? undefined : Number(amount) * BYTES[unit.toLowerCase()]!
}

const pathOf = (url: string): string => {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

const fields: Readonly<Record<string, Field>> = {
  status: {
    kind: 'number',
    of: ({ exchange }) => exchange.ended?.status || undefined,
    parse: whole,
    such: 'a status such as 404 (or 4xx after = and !=)',
  },
  duration: {
    kind: 'number',
    of: ({ durationMs }) => durationMs,
    parse: duration,
    such: 'a duration such as 250ms or 2s',
  },
  bytes: {
    kind: 'number',
    of: ({ exchange }) => exchange.ended?.bytes,
    parse: size,
    such: 'a size such as 500 or 10kb',
  },
  id: { kind: 'number', of: ({ exchange }) => exchange.id, parse: whole, such: 'a number' },
  method: text(({ exchange }) => exchange.method),
  path: text(({ exchange }) => pathOf(exchange.url)),
  url: text(({ exchange }) => exchange.url),
  host: text(({ exchange }) => exchange.host),
  cache: text(({ exchange }) => exchange.cache?.status),
  reason: text(({ exchange }) => exchange.cache?.reason),
  error: text(({ exchange }) => exchange.ended?.error),
  route: text(({ exchange, route }) => route(exchange)),
  client: text(({ exchange }) => exchange.clientAddress),
}

/** Names of all fields, for messages and the README. */
export const filterFields: readonly string[] = Object.keys(fields)

interface Token {
  readonly kind: 'word' | 'quoted' | 'operator' | '(' | ')' | 'end'
  readonly text: string
  readonly column: number
}

/** `==` and `=~` are what other languages call `=` and `~`; as values they would match nothing, and nobody would know why. */
const OPERATOR = /^(?:!=|<=|>=|!~|==|=~|=|<|>|~)/
const SAME: Readonly<Record<string, string>> = { '==': '=', '=~': '~' }
const NAME = /^[A-Za-z][\w-]*/

/** Reads tokens as they are asked for: what follows an operator is a value, whatever it looks like. */
class Reader {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  #begin(): { rest: string; column: number } {
    while (/\s/.test(this.#source[this.#at] ?? '')) this.#at++
    return { rest: this.#source.slice(this.#at), column: this.#at + 1 }
  }

  #token(kind: Token['kind'], written: string, column: number, value = written): Token {
    this.#at += written.length
    return { kind, text: value, column }
  }

  /** The next token without passing it. */
  peek(): Token {
    const at = this.#at
    const token = this.next()
    this.#at = at
    return token
  }

  next(): Token {
    const { rest, column } = this.#begin()
    if (rest === '') return { kind: 'end', text: '', column }
    if (rest[0] === '(' || rest[0] === ')') return this.#token(rest[0], rest[0], column)
    const operator = OPERATOR.exec(rest)?.[0]
    if (operator !== undefined) return this.#token('operator', operator, column, SAME[operator])
    return this.#token('word', NAME.exec(rest)?.[0] ?? rest[0]!, column)
  }

  value(): Token {
    const { rest, column } = this.#begin()
    const quote = rest[0]
    if (quote === '"' || quote === "'") return this.#quoted(rest, quote, column)
    // Up to a space, or to the parenthesis that closes one outside of it: path~^/(a|b)$ needs no quotes.
    let depth = 0
    let length = 0
    for (; length < rest.length && !/\s/.test(rest[length]!); length++) {
      if (rest[length] === '(') depth++
      if (rest[length] === ')' && depth-- === 0) break
    }
    if (length === 0) throw new FilterError('a value belongs here', column)
    return this.#token('word', rest.slice(0, length), column)
  }

  /** A backslash takes the quote as it is; before anything else it stays, for regular expressions. */
  #quoted(rest: string, quote: string, column: number): Token {
    let value = ''
    for (let i = 1; i < rest.length; i++) {
      if (rest[i] === '\\' && rest[i + 1] === quote) value += rest[++i]
      else if (rest[i] === quote) return this.#token('quoted', rest.slice(0, i + 1), column, value)
      else value += rest[i]
    }
    throw new FilterError(`this ${quote} is never closed`, column)
  }
}

/** Makes the filter. Throws FilterError. */
export const parseFilter = (source: string): Filter => {
  const reader = new Reader(source)
  if (reader.peek().kind === 'end') throw new FilterError('a comparison belongs here, such as status>=400', 1)
  const filter = either(reader)
  const rest = reader.next()
  if (rest.kind === ')') throw new FilterError('this parenthesis closes none', rest.column)
  if (rest.kind !== 'end') throw new FilterError('and, or, or the end belongs here', rest.column)
  return filter
}

const takes = (reader: Reader, word: string): boolean => {
  const token = reader.peek()
  if (token.kind !== 'word' || token.text.toLowerCase() !== word) return false
  reader.next()
  return true
}

const either = (reader: Reader): Filter => {
  let filter = both(reader)
  while (takes(reader, 'or')) {
    const [left, right] = [filter, both(reader)]
    filter = (of) => left(of) || right(of)
  }
  return filter
}

const both = (reader: Reader): Filter => {
  let filter = denied(reader)
  while (takes(reader, 'and')) {
    const [left, right] = [filter, denied(reader)]
    filter = (of) => left(of) && right(of)
  }
  return filter
}

const denied = (reader: Reader): Filter => {
  if (takes(reader, 'not')) {
    const inner = denied(reader)
    return (of) => !inner(of)
  }
  if (reader.peek().kind !== '(') return comparison(reader)
  const open = reader.next()
  const inner = either(reader)
  const close = reader.next()
  if (close.kind === ')') return inner
  if (close.kind === 'end') throw new FilterError('this parenthesis is never closed', open.column)
  throw new FilterError('and, or, or ) belongs here', close.column)
}

const comparison = (reader: Reader): Filter => {
  const name = reader.next()
  const field = name.kind === 'word' ? fields[name.text.toLowerCase()] : undefined
  if (field === undefined || !Object.hasOwn(fields, name.text.toLowerCase())) {
    const what = name.kind === 'end' ? 'a comparison is missing here' : 'there is no such field'
    throw new FilterError(`${what}; fields are ${filterFields.join(', ')}`, name.column)
  }
  if (reader.peek().kind !== 'operator') {
    const { of } = field
    return (from) => of(from) !== undefined && of(from) !== ''
  }
  const operator = reader.next()
  const value = reader.value()
  if (operator.text === '~' || operator.text === '!~') return matching(field, operator.text === '~', value)
  return field.kind === 'number' ? ofNumbers(field, operator, value) : ofTexts(field, operator, value)
}

const matching = ({ of }: Field, wanted: boolean, value: Token): Filter => {
  let pattern: RegExp
  try {
    pattern = new RegExp(value.text, 'u')
  } catch (error) {
    const why = (error as Error).message.replace(/^.*\/u?: /s, '')
    throw new FilterError(`this is no regular expression: ${why.toLowerCase()}`, value.column)
  }
  return (from) => pattern.test(String(of(from) ?? '')) === wanted
}

const ofTexts = ({ of }: TextField, operator: Token, { text: wanted }: Token): Filter => {
  if (operator.text === '=') return (from) => (of(from) ?? '') === wanted
  if (operator.text === '!=') return (from) => (of(from) ?? '') !== wanted
  throw new FilterError('a text has no order; = != ~ and !~ are for texts', operator.column)
}

const ofNumbers = (field: NumberField, operator: Token, value: Token): Filter => {
  const { of } = field
  const [, statusClass] = field === fields.status ? (/^([1-5])xx$/i.exec(value.text) ?? []) : []
  if (statusClass !== undefined && (operator.text === '=' || operator.text === '!=')) {
    const wanted = operator.text === '='
    return (from) => (Math.trunc((of(from) ?? 0) / 100) === Number(statusClass)) === wanted
  }
  const bound = field.parse(value.text)
  if (bound === undefined) throw new FilterError(`this must be ${field.such}`, value.column)
  const order = orders[operator.text]!
  return (from) => order(of(from) ?? 0, bound)
}

const orders: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
}

/** The filter as it was given with a caret below the place, and what is wrong there. */
export const pointedOut = (source: string, { message, column }: FilterError): string =>
  `  ${escapeControl(source)}\n  ${' '.repeat(columnsOf(escapeControl(source.slice(0, column - 1))))}^ ${message}.`
