/** What Vary names, and when two requests select the same response (RFC 9111 §4.1, RFC 9110 §12.5.5). */
import type { Fields } from '../core/types.ts'
import { allValues, joinedValue, listMembers, nominated, trimOws } from './fields.ts'

/** Lower-case names, sorted, without repeats; `'*'` when a `*` stands anywhere. */
export const varyNames = (fields: Fields): readonly string[] | '*' => {
  const lines = allValues(fields, 'vary')
  if (lines.length === 0) return []
  const names = new Set<string>()
  for (const line of lines) {
    for (const member of listMembers(line)) {
      if (member === '*') return '*'
      names.add(member.toLowerCase())
    }
  }
  return [...names].sort()
}

/** Lists of choices with weights, without regard to case (RFC 9110 §12.5.3, §12.5.4). */
const weightedLists: ReadonlySet<string> = new Set(['accept-language', 'accept-encoding'])
/** Lists whose members have parameters; their case may tell. */
const parameterLists: ReadonlySet<string> = new Set(['accept', 'accept-charset', 'te', 'prefer'])
/** Fields that are no lists: a comma or a space in them may mean anything, so they are compared as they are. */
const singletons: ReadonlySet<string> = new Set([
  'authorization',
  'cookie',
  'from',
  'host',
  'if-range',
  'origin',
  'range',
  'referer',
  'user-agent',
])

const WEIGHT = /^q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/ // RFC 9110 §12.4.2

/**
 * Members of a weighted list in lower case, the heaviest first, those of one weight in the order of the alphabet. One
 * that has several weights, or nothing to weigh, stays as it is: who knows how its readers take it.
 */
const choices = (value: string): Array<{ item: string; weight: number }> =>
  listMembers(value.toLowerCase())
    .map((member) => {
      const parts = member.split(';').map(trimOws)
      const [item, ...parameters] = parts
      const weights = parameters.filter((parameter) => WEIGHT.test(parameter))
      if (weights.length !== 1 || item === '') return { item: parts.join(';'), weight: 1 }
      const others = parameters.filter((parameter) => parameter !== weights[0])
      return { item: [item, ...others].join(';'), weight: Number(weights[0]!.slice(2)) }
    })
    .sort((a, b) => b.weight - a.weight || (a.item < b.item ? -1 : a.item > b.item ? 1 : 0))

/** A weighted list in a form in which order among equal weights, case and white space no longer tell. */
const weighted = (value: string): string =>
  choices(value)
    .map(({ item, weight }) => (weight === 1 ? item : `${item};q=${weight}`))
    .join(',')

const withoutSpaceAroundSemicolons = (member: string): string =>
  member.includes('"') ? member : member.split(';').map(trimOws).join(';')

/**
 * The value of a selecting field of a request in its normal form; undefined when the field is absent. RFC 9111 §4.1:
 * lines may be combined, and what is known to mean the same may be written the same.
 */
export const selectingValue = (headers: Fields, name: string): string | undefined => {
  const value = joinedValue(headers, name)
  if (value === undefined) return undefined
  if (weightedLists.has(name)) return weighted(value)
  if (singletons.has(name)) return trimOws(value)
  const members = listMembers(value)
  return (parameterLists.has(name) ? members.map(withoutSpaceAroundSemicolons) : members).join(', ')
}

/** Names with their values in one request: name, value or undefined, name … */
export type Selection = ReadonlyArray<string | undefined>

/**
 * What a request selects by under these names. A field that its `Connection` names does not reach the upstream
 * (RFC 9110 §7.6.1), so that the answer is not for those who do send it.
 */
export const selectionOf = (headers: Fields, names: readonly string[]): Selection => {
  const held = nominated(headers)
  return names.flatMap((name) => [name, held?.has(name) === true ? undefined : selectingValue(headers, name)])
}

const LANGUAGE = /^[a-z]{1,8}(?:-[a-z\d]{1,8})*$/

/** The one language that a request wants most, in lower case; undefined when none, any or several (RFC 9110 §12.5.4). */
export const preferredLanguage = (headers: Fields): string | undefined => {
  if (nominated(headers)?.has('accept-language') === true) return undefined
  const [first, second] = choices(joinedValue(headers, 'accept-language') ?? '')
  if (first === undefined || first.weight === 0 || first.weight === second?.weight) return undefined
  return LANGUAGE.test(first.item) ? first.item : undefined
}

/** The one language that a response says it is in (RFC 9110 §8.5), in lower case. */
export const contentLanguage = (fields: Fields): string | undefined => {
  const language = joinedValue(fields, 'content-language')?.toLowerCase()
  return language !== undefined && LANGUAGE.test(language) ? language : undefined
}

/** The first field by which a request would select something else, `but` one left out; undefined when it matches. */
export const differingField = (
  selection: Selection,
  headers: Fields,
  but?: string,
): { name: string; stored: string | undefined; given: string | undefined } | undefined => {
  if (selection.length === 0) return undefined
  const held = nominated(headers)
  for (let i = 0; i < selection.length; i += 2) {
    const name = selection[i]!
    if (name === but) continue
    const given = held?.has(name) === true ? undefined : selectingValue(headers, name)
    if (given !== selection[i + 1]) return { name, stored: selection[i + 1], given }
  }
  return undefined
}
