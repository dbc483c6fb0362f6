/** The answer that a stored response gives to a request: whole, 304, part or 416 (RFC 9110 §13, §14). Pure. */
import type { Fields, ProxyResponse } from '../core/types.ts'
import { MAX_DELTA } from '../http/cache-control.ts'
import { parseDate } from '../http/date.ts'
import { hasField, withoutFields } from '../http/fields.ts'
import { type Part, parseRange, resolveRange } from '../http/range.ts'
import { listNames, strongMatch } from '../http/validators.ts'
import type { Entry } from './entry.ts'
import type { RequestMarks } from './key.ts'

const empty = Buffer.alloc(0)
/** What a part does not share with the whole. */
const aboutThisBody = ['content-length', 'content-range', 'content-digest', 'content-md5']
const partial: ReadonlySet<string> = new Set(['age', ...aboutThisBody])
/** What a 304 leaves out: it speaks of a body that it does not carry (RFC 9110 §15.4.5). */
const aboutContent = ['content-encoding', 'content-type', 'content-language', ...aboutThisBody]
const notInNotModified: ReadonlySet<string> = new Set(['age', ...aboutContent])
/** What a 416 leaves out besides: it is no representation, and nobody may keep it as one. */
const notInUnsatisfiable: ReadonlySet<string> = new Set([
  'age',
  ...aboutContent,
  'etag',
  'last-modified',
  'content-location',
  'content-disposition',
  'cache-control',
  'cdn-cache-control',
  'expires',
  'pragma',
  'set-cookie',
])

/**
 * Whether the conditionals of a request are met by 304 (RFC 9111 §4.3.2, in the order of RFC 9110 §13.2.2).
 */
export const notModified = (marks: RequestMarks, entry: Entry): boolean => {
  if (entry.status !== 200 && entry.status !== 206) return false
  if (marks.ifNoneMatch !== undefined) return listNames(marks.ifNoneMatch, entry.etag) // RFC 9110 §13.1.2
  if (marks.ifModifiedSince === undefined) return false
  const asked = parseDate(marks.ifModifiedSince, entry.parts.receivedAt) // RFC 9110 §13.1.3
  if (asked === undefined) return false
  // RFC 9111 §4.3.2: where the upstream does not say when the content changed, it is no newer than the response.
  const modified = entry.lastModified === undefined ? entry.dateAt : modifiedAt(entry)
  return modified !== undefined && modified <= asked
}

const modifiedAt = (entry: Entry): number | undefined =>
  entry.lastModified === undefined ? undefined : parseDate(entry.lastModified, entry.parts.receivedAt)

/**
 * Whether If-Range lets a range stand (RFC 9110 §13.1.5): the same strong tag, or exactly the date of the last change
 * where that is a strong validator, at least a second before Date (§8.8.2.2).
 */
export const rangeStands = (ifRange: string | undefined, entry: Entry): boolean => {
  if (ifRange === undefined) return true
  if (/^(?:W\/)?"/.test(ifRange)) return entry.etag !== undefined && strongMatch(ifRange, entry.etag)
  const asked = parseDate(ifRange, entry.parts.receivedAt)
  return asked !== undefined && asked === modifiedAt(entry) && entry.dateAt - asked >= 1000
}

/**
 * The part that the Range of a request asks for, `'unsatisfiable'`, or undefined where the request is for the whole:
 * no Range, one that may be ignored (RFC 9110 §14.2), or an If-Range that does not let it stand.
 */
export const wantedPart = (marks: RequestMarks, entry: Entry): Part | 'unsatisfiable' | undefined => {
  const { total } = entry
  if (marks.range === undefined || total === undefined || !rangeStands(marks.ifRange, entry)) return undefined
  const asked = parseRange(marks.range)
  if (asked === undefined) return undefined
  // Every suffix of nothing is nothing, which no Content-Range can say: the whole, empty as it is.
  if (asked.kind === 'suffix' && asked.length > 0 && total === 0) return undefined
  return resolveRange(asked, total) ?? 'unsatisfiable'
}

/**
 * Whether a stored response, perhaps only a part, holds what the request wants. Conditionals do not matter: they are
 * met only by what could be reused otherwise (RFC 9111 §4.3.2).
 */
export const holds = (marks: RequestMarks, entry: Entry, method = 'GET'): boolean => {
  const { part } = entry.parts
  if (part === undefined) return true
  // RFC 9110 §14.2: a range has a meaning with GET only.
  const wanted = method === 'GET' ? wantedPart(marks, entry) : undefined
  if (wanted === undefined) return false
  return wanted === 'unsatisfiable' || within(wanted, part)
}

const within = (wanted: Part, part: Part | undefined): boolean =>
  part === undefined || (wanted.first >= part.first && wanted.last <= part.last)

/**
 * The answer; `ageSeconds` and further fields go into its head. Asked for what is not held it is the stored response as
 * it is: a part says of itself which one.
 */
export const deliver = (
  entry: Entry,
  method: string,
  marks: RequestMarks,
  ageSeconds: number,
  extra: Fields,
): ProxyResponse => {
  const { status, fields, body } = entry
  const added = ['Age', String(Math.min(ageSeconds, MAX_DELTA)), ...extra] // RFC 9111 §1.2.2, §5.1
  if (notModified(marks, entry)) {
    return { status: 304, headers: [...withoutFields(fields, notInNotModified), ...added], body: empty }
  }
  if (method === 'GET' && (status === 200 || status === 206)) {
    const wanted = wantedPart(marks, entry)
    if (wanted === 'unsatisfiable') return unsatisfiable(entry, added)
    if (wanted !== undefined && within(wanted, entry.parts.part)) return part(entry, wanted, added)
  }
  const headers = entry.ageless.concat(added)
  // RFC 9110 §9.3.2, §8.6: a HEAD tells the length that a GET would be sent with.
  if (method === 'HEAD' && status !== 204 && !hasField(fields, 'content-length'))
    headers.push('Content-Length', String(body.length))
  // What is served once need not be remembered.
  return { status, headers, known: entry.hits > 1 ? entry.known : undefined, body }
}

/** RFC 9110 §15.5.17 */
const unsatisfiable = (entry: Entry, added: Fields): ProxyResponse => ({
  status: 416,
  headers: [
    ...withoutFields(entry.fields, notInUnsatisfiable),
    'Content-Range',
    `bytes */${entry.total}`,
    'Content-Length',
    '0',
    ...added,
  ],
  body: empty,
})

/** RFC 9110 §15.3.7 */
const part = (entry: Entry, wanted: Part, added: Fields): ProxyResponse => {
  const start = entry.parts.part?.first ?? 0
  const piece = entry.body.subarray(wanted.first - start, wanted.last - start + 1)
  return {
    status: 206,
    headers: [
      ...withoutFields(entry.fields, partial),
      'Content-Range',
      `bytes ${wanted.first}-${wanted.last}/${entry.total}`,
      'Content-Length',
      String(piece.length),
      ...added,
    ],
    body: piece,
  }
}
