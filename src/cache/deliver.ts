/** The answer that a stored response gives to a request: whole, 304, part or 416 (RFC 9110 §13, §14). Pure. */
import type { Fields, ProxyResponse } from '../core/types.ts'
import { parseDate } from '../http/date.ts'
import { withoutFields } from '../http/fields.ts'
import { parseRange, resolveRange } from '../http/range.ts'
import { listNames, strongMatch } from '../http/validators.ts'
import type { Entry } from './entry.ts'
import type { RequestMarks } from './key.ts'

const empty = Buffer.alloc(0)
const age: ReadonlySet<string> = new Set(['age'])
/** What a 304 leaves out: it speaks of a body that it does not carry (RFC 9110 §15.4.5). */
const aboutContent: ReadonlySet<string> = new Set([
  'age',
  'content-length',
  'content-encoding',
  'content-type',
  'content-language',
  'content-range',
])
const partial: ReadonlySet<string> = new Set(['age', 'content-length', 'content-range'])

/** The conditionals of a request, as a stored response meets them (RFC 9110 §13.2.2): true means 304. */
export const notModified = (marks: RequestMarks, entry: Entry): boolean => {
  if (marks.ifNoneMatch !== undefined) return listNames(marks.ifNoneMatch, entry.etag) // before If-Modified-Since
  if (marks.ifModifiedSince === undefined) return false
  const asked = parseDate(marks.ifModifiedSince, entry.parts.receivedAt)
  if (asked === undefined) return false
  const modified =
    entry.lastModified === undefined ? undefined : parseDate(entry.lastModified, entry.parts.receivedAt)
  return modified !== undefined && modified <= asked
}

/** Whether If-Range lets a range stand (RFC 9110 §13.1.5): strong comparison, or the very date. */
const rangeStands = (ifRange: string | undefined, entry: Entry): boolean => {
  if (ifRange === undefined) return true
  if (/^(?:W\/)?"/.test(ifRange)) return entry.etag !== undefined && strongMatch(ifRange, entry.etag)
  return entry.lastModified === ifRange
}

/** Whether a stored response, perhaps only a part, holds what the request wants. */
export const holds = (marks: RequestMarks, entry: Entry): boolean => {
  const { part } = entry.parts
  if (part === undefined) return true
  if (marks.range === undefined || part.total === undefined || !rangeStands(marks.ifRange, entry))
    return false
  const asked = parseRange(marks.range)
  const wanted = asked === undefined ? undefined : resolveRange(asked, part.total)
  if (wanted === undefined) return false
  // The very range that was answered before, whatever the upstream made of its bounds.
  return wanted.first >= part.first && Math.min(wanted.last, part.last) === wanted.last
}

/** The answer; `ageSeconds` and further fields go into its head. */
export const deliver = (
  entry: Entry,
  method: string,
  marks: RequestMarks,
  ageSeconds: number,
  extra: Fields,
): ProxyResponse => {
  const { status, fields, body } = entry
  const added = ['Age', String(ageSeconds), ...extra]
  const conditional = status === 200 || status === 206
  if (conditional && notModified(marks, entry)) {
    return { status: 304, headers: [...withoutFields(fields, aboutContent), ...added], body: empty }
  }
  if (marks.range !== undefined && method === 'GET' && conditional && rangeStands(marks.ifRange, entry)) {
    const answer = ranged(entry, marks.range, added)
    if (answer !== undefined) return answer
  }
  return { status, headers: [...withoutFields(fields, age), ...added], body }
}

const ranged = (entry: Entry, range: string, added: Fields): ProxyResponse | undefined => {
  const asked = parseRange(range)
  if (asked === undefined) return undefined
  const { body, fields, parts } = entry
  const start = parts.part?.first ?? 0
  const total = parts.part === undefined ? body.length : parts.part.total
  if (total === undefined) return undefined
  const wanted = resolveRange(asked, total)
  const kept = withoutFields(fields, partial)
  if (wanted === undefined) {
    // RFC 9110 §15.5.17
    return {
      status: 416,
      headers: [...kept, 'Content-Range', `bytes */${total}`, 'Content-Length', '0', ...added],
      body: empty,
    }
  }
  const piece = body.subarray(wanted.first - start, wanted.last - start + 1)
  return {
    status: 206,
    headers: [
      ...kept,
      'Content-Range',
      `bytes ${wanted.first}-${wanted.first + piece.length - 1}/${total}`,
      'Content-Length',
      String(piece.length),
      ...added,
    ],
    body: piece,
  }
}
