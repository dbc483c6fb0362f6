/** What Vary names, and when two requests select the same response (RFC 9111 §4.1, RFC 9110 §12.5.5). */
import type { Fields } from '../core/types.ts'
import { allValues, joinedValue, listMembers } from './fields.ts'

/** Lower-case names, sorted, without repeats; `'*'` when a `*` stands anywhere. */
export const varyNames = (fields: Fields): readonly string[] | '*' => {
  const names = new Set<string>()
  for (const line of allValues(fields, 'vary')) {
    for (const member of listMembers(line)) {
      if (member === '*') return '*'
      names.add(member.toLowerCase())
    }
  }
  return [...names].sort()
}

/** A weighted list in a form in which order among equal weights, case and white space no longer tell. */
const weighted = (value: string): string =>
  listMembers(value.toLowerCase())
    .map((member) => {
      const [item = '', ...parameters] = member.split(';').map((part) => part.trim())
      let weight = 1
      const others: string[] = []
      for (const parameter of parameters) {
        const q = /^q\s*=\s*([\d.]+)$/.exec(parameter)
        if (q === null) others.push(parameter)
        else weight = Number(q[1])
      }
      return { item: [item, ...others].join(';'), weight }
    })
    .sort((a, b) => b.weight - a.weight || (a.item < b.item ? -1 : a.item > b.item ? 1 : 0))
    .map(({ item, weight }) => (weight === 1 ? item : `${item};q=${weight}`))
    .join(',')

/** The value of a selecting field of a request in its normal form; undefined when the field is absent. */
export const selectingValue = (headers: Fields, name: string): string | undefined => {
  const value = joinedValue(headers, name)
  if (value === undefined) return undefined
  if (name === 'accept-language' || name === 'accept-encoding') return weighted(value)
  // RFC 9111 §4.1: lines may be combined and white space normalised where that does not change the meaning.
  return listMembers(value)
    .map((member) =>
      member.includes('"') ? member : member.replace(/\s+/g, ' ').replace(/\s*([;=])\s*/g, '$1'),
    )
    .join(', ')
}

/** Names with their values in one request: name, value or undefined, name … */
export type Selection = ReadonlyArray<string | undefined>

/** What a request selects by under these names. */
export const selectionOf = (headers: Fields, names: readonly string[]): Selection =>
  names.flatMap((name) => [name, selectingValue(headers, name)])

/** The first field by which a request would select something else; undefined when it matches. */
export const differingField = (
  selection: Selection,
  headers: Fields,
): { name: string; stored: string | undefined; given: string | undefined } | undefined => {
  for (let i = 0; i < selection.length; i += 2) {
    const name = selection[i]!
    const given = selectingValue(headers, name)
    if (given !== selection[i + 1]) return { name, stored: selection[i + 1], given }
  }
  return undefined
}
