/** Validation of stored responses (RFC 9111 §4.3): the question to the upstream, and what its 304 changes. Pure. */
import type { Fields } from '../core/types.ts'
import { parseCacheControl } from '../http/cache-control.ts'
import { formatDate } from '../http/date.ts'
import { firstValue, hasField, joinedValue, withoutFields } from '../http/fields.ts'
import { strongMatch, weakMatch } from '../http/validators.ts'
import { Entry } from './entry.ts'
import { storedFields } from './storable.ts'

/** The client's own conditionals and ranges, which a question of ours replaces. */
const ownConditionals: ReadonlySet<string> = new Set([
  'if-none-match',
  'if-modified-since',
  'if-range',
  'range',
  'if-match',
  'if-unmodified-since',
])

/** The request's fields with the stored validators in place of the client's (RFC 9111 §4.3.1). */
export const validatingFields = (headers: Fields, entry: Entry): Fields => {
  const fields = withoutFields(headers, ownConditionals)
  if (entry.etag !== undefined) fields.push('If-None-Match', entry.etag)
  if (entry.lastModified !== undefined) fields.push('If-Modified-Since', entry.lastModified)
  return fields
}

/** The request's fields without conditionals and ranges: asks for the whole. */
export const unconditionalFields = (headers: Fields): Fields => withoutFields(headers, ownConditionals)

/**
 * Whether a 304 speaks of this stored response (RFC 9111 §4.3.4): a strong validator must be equal; without one in the
 * 304 it is the one we asked about.
 */
export const speaksOf = (notModified: Fields, entry: Entry): boolean => {
  const etag = firstValue(notModified, 'etag')
  if (etag === undefined || entry.etag === undefined) return true
  return etag.startsWith('W/')
    ? weakMatch(etag, entry.etag)
    : strongMatch(etag, entry.etag) || weakMatch(etag, entry.etag)
}

/** Fields about the stored body, which a 304 or a HEAD cannot change (RFC 9111 §3.2). */
const aboutBody: ReadonlySet<string> = new Set(['content-length', 'content-encoding', 'content-range'])

/** The stored response with the fields of a 304 (or of the answer to a HEAD) in place of its own (RFC 9111 §3.2). */
export const freshened = (
  entry: Entry,
  update: Fields,
  times: { requestedAt: number; receivedAt: number },
): Entry => {
  const given = storedFields(update, parseCacheControl(joinedValue(update, 'cache-control')))
  const replaced = new Set<string>(['age'])
  const added: string[] = []
  for (let i = 0; i < given.length; i += 2) {
    const name = given[i]!.toLowerCase()
    if (aboutBody.has(name)) continue
    replaced.add(name)
    added.push(given[i]!, given[i + 1]!)
  }
  // An answer without Date gets the time of its receipt (RFC 9110 §6.6.1), not the old one's.
  if (!replaced.has('date')) {
    replaced.add('date')
    added.push('Date', formatDate(times.receivedAt))
  }
  const fields = [...withoutFields(entry.fields, replaced), ...added]
  const next = new Entry({ ...entry.parts, fields, ...times })
  next.hits = entry.hits
  return next
}

/** Whether the answer to a HEAD shows that the stored GET is another representation (RFC 9111 §4.3.5). */
export const headContradicts = (headFields: Fields, entry: Entry): boolean => {
  for (const name of ['etag', 'last-modified', 'content-length']) {
    if (!hasField(headFields, name) || !hasField(entry.fields, name)) continue
    const [given, stored] = [firstValue(headFields, name)!, firstValue(entry.fields, name)!]
    if (name === 'etag' ? !weakMatch(given, stored) : given !== stored) return true
  }
  return false
}
