/** Reading and copying of raw field lines: name, value, name, value … Names given to these functions are lower-case. */
import type { Fields } from '../core/types.ts'

const named = (given: string, lower: string): boolean =>
  given.length === lower.length && (given === lower || given.toLowerCase() === lower)

/** Whether a field of that name is there. */
export const hasField = (fields: Fields, name: string): boolean => {
  for (let i = 0; i < fields.length; i += 2) if (named(fields[i]!, name)) return true
  return false
}

/** The value of the first line of that name. */
export const firstValue = (fields: Fields, name: string): string | undefined => {
  for (let i = 0; i < fields.length; i += 2) if (named(fields[i]!, name)) return fields[i + 1]
  return undefined
}

/** The values of all lines of that name, in order. */
export const allValues = (fields: Fields, name: string): string[] => {
  const values: string[] = []
  for (let i = 0; i < fields.length; i += 2) if (named(fields[i]!, name)) values.push(fields[i + 1]!)
  return values
}

/** All lines of that name as one list value, `, ` between them (RFC 9110 §5.3); undefined when there is none. */
export const joinedValue = (fields: Fields, name: string): string | undefined => {
  let joined: string | undefined
  for (let i = 0; i < fields.length; i += 2) {
    if (named(fields[i]!, name))
      joined = joined === undefined ? fields[i + 1]! : `${joined}, ${fields[i + 1]!}`
  }
  return joined
}

/** A copy without the lines of these names. */
export const withoutFields = (fields: Fields, names: ReadonlySet<string>): string[] => {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    if (!names.has(fields[i]!.toLowerCase())) kept.push(fields[i]!, fields[i + 1]!)
  }
  return kept
}

/** A copy in which this one line stands instead of all lines of its name. */
export const withField = (fields: Fields, name: string, value: string): string[] => {
  const kept = withoutFields(fields, new Set([name.toLowerCase()]))
  kept.push(name, value)
  return kept
}

/** Members of a comma-separated list, trimmed, without empty ones; commas in quoted strings do not separate. */
export const listMembers = (value: string): string[] => {
  if (!value.includes(',')) {
    const only = value.trim()
    return only === '' ? [] : [only]
  }
  const members: string[] = []
  let start = 0
  let quoted = false
  for (let i = 0; i <= value.length; i++) {
    const char = value[i]
    if (quoted && char === '\\') i++
    else if (char === '"') quoted = !quoted
    else if (i >= value.length || (char === ',' && !quoted)) {
      const member = value.slice(start, i).trim()
      if (member !== '') members.push(member)
      start = i + 1
    }
  }
  if (quoted && start < value.length) {
    const member = value.slice(start).trim()
    if (member !== '' && members.at(-1) !== member) members.push(member)
  }
  return members
}

/** Fields that speak of one connection only (RFC 9110 §7.6.1), beside those that `Connection` names. */
const connectionLevel: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
])

/** Fields whose removal through `Connection` would change framing or routing: such a wish is ignored. */
const neverNominated: ReadonlySet<string> = new Set([
  'content-length',
  'host',
  'cache-control',
  'vary',
  'set-cookie',
])

/** Whether a lower-case name is connection-level by itself. */
export const isConnectionLevel = (name: string): boolean => connectionLevel.has(name)

/** Names that the `Connection` lines nominate, lower-case; undefined when they name nothing beyond the usual. */
export const nominated = (fields: Fields): ReadonlySet<string> | undefined => {
  let names: Set<string> | undefined
  for (let i = 0; i < fields.length; i += 2) {
    if (!named(fields[i]!, 'connection')) continue
    const value = fields[i + 1]!
    if (value === 'keep-alive' || value === 'close') continue
    for (const member of value.split(',')) {
      const name = member.trim().toLowerCase()
      if (name === '' || connectionLevel.has(name) || neverNominated.has(name) || name === 'close') continue
      names ??= new Set()
      names.add(name)
    }
  }
  return names
}

/** A copy without connection-level fields and without what `Connection` names (RFC 9110 §7.6.1). */
export const endToEnd = (fields: Fields): string[] => {
  const named = nominated(fields)
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase()
    if (connectionLevel.has(name) || named?.has(name) === true) continue
    kept.push(fields[i]!, fields[i + 1]!)
  }
  return kept
}

/** What `Name: value` edits do to a list of fields: each name is replaced, or removed where the value is undefined. */
export const editFields = (
  fields: Fields,
  edits: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>,
): Fields => {
  if (edits.length === 0) return fields
  const edited = withoutFields(fields, new Set(edits.map(({ name }) => name.toLowerCase())))
  for (const { name, value } of edits) if (value !== undefined) edited.push(name, value)
  return edited
}
