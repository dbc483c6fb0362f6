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

const isOws = (code: number): boolean => code === 0x20 || code === 0x09

/** The text between two positions without the optional white space around it (RFC 9110 §5.6.3): SP and HTAB only. */
const trimmed = (text: string, from: number, to: number): string => {
  let [start, end] = [from, to]
  while (start < end && isOws(text.charCodeAt(start))) start++
  while (end > start && isOws(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}

/** A value without the optional white space around it (RFC 9110 §5.6.3). */
export const trimOws = (value: string): string => trimmed(value, 0, value.length)

/** Where the quoted string that began before `from` ends; -1 when it never does. */
const closingQuote = (value: string, from: number): number => {
  for (let i = from; i < value.length; i++) {
    if (value[i] === '\\') i++
    else if (value[i] === '"') return i
  }
  return -1
}

/**
 * Members of a comma-separated list (RFC 9110 §5.6.1), trimmed, without empty ones. Commas in quoted strings do not
 * separate; a quote that is never closed quotes nothing, lest it swallow the rest.
 */
export const listMembers = (value: string): string[] => {
  const members: string[] = []
  const add = (from: number, to: number): void => {
    const member = trimmed(value, from, to)
    if (member !== '') members.push(member)
  }
  let start = 0
  let closes = true
  for (let i = 0; i < value.length; i++) {
    if (value[i] === ',') {
      add(start, i)
      start = i + 1
    } else if (closes && value[i] === '"') {
      const end = closingQuote(value, i + 1)
      // No quoted string that begins later is closed either.
      if (end === -1) closes = false
      else i = end
    }
  }
  add(start, value.length)
  return members
}

/** Whether a list field has that member, whatever its parameters; the member is given in lower case. */
export const hasMember = (fields: Fields, name: string, member: string): boolean =>
  listMembers(joinedValue(fields, name) ?? '').some(
    (each) => trimOws(each.split(';', 1)[0]!).toLowerCase() === member,
  )

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

/**
 * Fields whose removal through `Connection` would change framing, routing, what the body is or how long it may be
 * kept: such a wish is ignored. RFC 9110 §7.6.1 forbids to list a field that is meant for all recipients.
 */
const neverNominated: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'content-type',
  'host',
  'cache-control',
  'cdn-cache-control',
  'age',
  'date',
  'expires',
  'vary',
  'set-cookie',
])

/**
 * A name as it is read by servers that make variables of names, as CGI does (RFC 3875 §4.1.18): to them
 * `X_Forwarded_Host` is `X-Forwarded-Host`.
 */
export const asVariable = (name: string): string => (name.includes('_') ? name.replaceAll('_', '-') : name)

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
