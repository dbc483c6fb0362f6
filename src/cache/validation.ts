/** Validation of stored responses (RFC 9111 §4.3): the question to the upstream, and what its 304 changes. Pure. */
import type { Fields } from '../core/types.ts'
import { formatDate, parseDate } from '../http/date.ts'
import { firstValue, hasField, withoutFields } from '../http/fields.ts'
import { strongMatch, weakMatch } from '../http/validators.ts'
import type { Selection } from '../http/vary.ts'
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

const sameTime = (a: string, b: string, now: number): boolean => {
  const [first, second] = [parseDate(a, now), parseDate(b, now)]
  return first === undefined || second === undefined ? a === b : first === second
}

/**
 * Whether a 304 speaks of this stored response (RFC 9111 §4.3.4): by the validators that it has, the entity tag before
 * the date; a strong tag has to be the same strong one. A 304 that has none answers what we asked about, and so does
 * one without the tag that we asked by.
 */
export const speaksOf = (notModified: Fields, entry: Entry): boolean => {
  const etag = firstValue(notModified, 'etag') || undefined
  const modified = firstValue(notModified, 'last-modified') || undefined
  if (etag !== undefined && entry.etag !== undefined) {
    return etag.startsWith('W/') ? weakMatch(etag, entry.etag) : strongMatch(etag, entry.etag)
  }
  if (entry.etag !== undefined) return true
  if (modified !== undefined && entry.lastModified !== undefined)
    return sameTime(modified, entry.lastModified, entry.parts.receivedAt)
  // It names a representation that is not the one we have.
  return etag === undefined && modified === undefined
}

/**
 * Fields about the stored body: a 304 or the answer to a HEAD, which have none, cannot change them. RFC 9111 §3.2
 * excepts Content-Length, and lets a cache except what it depends on; RFC 9530 §2 computes Content-Digest of the body
 * that comes with it.
 */
const aboutBody: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'content-digest',
])

/**
 * The stored response with the fields of a 304 (or of the answer to a HEAD, or of a further part) in place of its own
 * (RFC 9111 §3.2). `select` says what the request selects by when the update changed Vary.
 */
export const freshened = (
  entry: Entry,
  update: Fields,
  times: { requestedAt: number; receivedAt: number },
  select?: (fields: Fields) => Selection,
): Entry => {
  const shared = entry.parts.single !== true
  const given = storedFields(update, shared)
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
  // Once more: what the directives that hold now withhold may have come with either.
  const fields = storedFields([...withoutFields(entry.fields, replaced), ...added], shared)
  const selection = replaced.has('vary') && select !== undefined ? select(fields) : entry.parts.selection
  const { requestedAt, receivedAt } = times
  const next = new Entry({ ...entry.parts, fields, requestedAt, receivedAt, selection })
  next.hits = entry.hits
  return next
}

/**
 * Whether the answer to a HEAD shows that the stored GET is another representation (RFC 9111 §4.3.5): each validator
 * it has, and its Content-Length, must be those of the stored response.
 */
export const headContradicts = (headFields: Fields, entry: Entry): boolean => {
  const etag = firstValue(headFields, 'etag') || undefined
  if (etag !== undefined && (entry.etag === undefined || !weakMatch(etag, entry.etag))) return true
  const modified = firstValue(headFields, 'last-modified') || undefined
  if (
    modified !== undefined &&
    (entry.lastModified === undefined || !sameTime(modified, entry.lastModified, entry.parts.receivedAt))
  ) {
    return true
  }
  // A Content-Length on a HEAD speaks of the body that a GET would get (RFC 9110 §8.6).
  return (
    hasField(headFields, 'content-length') &&
    entry.total !== undefined &&
    Number(firstValue(headFields, 'content-length')) !== entry.total
  )
}
