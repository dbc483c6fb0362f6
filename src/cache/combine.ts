/**
 * Parts of one representation, put together (RFC 9111 §3.4, RFC 9110 §15.3.7.3). Pure.
 *
 * - Only parts with the same strong entity tag and the same known total are of one representation. A date is no tag: where
 *   there is a weak one, a date may not be asked by (RFC 9110 §13.1.5).
 * - Only parts that touch or overlap are combined: what is stored is one run of bytes.
 * - Bytes that both have must be the same; where they are not, somebody is wrong and nothing is combined.
 */
import type { Fields } from '../core/types.ts'
import { firstValue, hasField, withField, withoutFields } from '../http/fields.ts'
import type { Part } from '../http/range.ts'
import { isStrongTag } from '../http/validators.ts'
import { rangeStands, wantedPart } from './deliver.ts'
import { Entry } from './entry.ts'
import type { RequestMarks } from './key.ts'
import { freshened, unconditionalFields } from './validation.ts'

/** What to ask the upstream for, so that its answer completes a stored part. */
export interface Missing {
  readonly range: string
  /** The strong entity tag of what is stored. Undefined where it has no validator: then a part that comes is of no use. */
  readonly ifRange: string | undefined
}

/** A response that is, or is a part of, a whole of known length: where it lies in it. */
const lies = (entry: Entry): (Part & { readonly total: number }) | undefined => {
  const { status, body, parts } = entry
  const { part } = parts
  if (status === 200 && part === undefined) return { first: 0, last: body.length - 1, total: body.length }
  if (status !== 206 || part?.total === undefined || part.last - part.first + 1 !== body.length)
    return undefined
  return part.last < part.total ? { first: part.first, last: part.last, total: part.total } : undefined
}

/**
 * What a stored part lacks for this request, when one range asked for makes it good: the rest of the whole, or of the
 * range that is wanted. Undefined when nothing is missing, when more than one piece is, or when no strong entity tag
 * vouches that the pieces belong together; but the rest of a beginning without any validator may be asked for.
 */
export const missingRange = (stored: Entry, marks: RequestMarks): Missing | undefined => {
  const has = lies(stored)
  if (has === undefined || stored.parts.part === undefined) return undefined
  if (!stored.hasValidator) return unvouchedRest(has, marks)
  if (!isStrongTag(stored.etag)) return undefined
  const wanted = wantedPart(marks, stored)
  if (wanted === 'unsatisfiable') return undefined
  // A Range that we do not read is the upstream's to answer; one that If-Range overrules is none.
  if (wanted === undefined && marks.range !== undefined && rangeStands(marks.ifRange, stored))
    return undefined
  const { first, last } = wanted ?? { first: 0, last: has.total - 1 }
  const [before, behind] = [first < has.first, last > has.last]
  if (before === behind) return undefined
  if (before) {
    if (last < has.first - 1) return undefined
    return { range: `bytes=${first}-${has.first - 1}`, ifRange: stored.etag }
  }
  if (first > has.last + 1) return undefined
  const end = last === has.total - 1 ? '' : String(last)
  return { range: `bytes=${has.last + 1}-${end}`, ifRange: stored.etag }
}

/**
 * The rest of a beginning that has no validator, for a plain request for the whole. RFC 9111 §3.4 lets a cache ask for
 * it. An upstream without ranges answers with the whole, which is as good; what one with ranges sends is not combined,
 * since nothing vouches for it, and the whole is asked for after all.
 */
const unvouchedRest = (has: Part & { readonly total: number }, marks: RequestMarks): Missing | undefined => {
  if (has.first !== 0 || has.last === has.total - 1) return undefined
  const wantsWhole = marks.range === undefined
  const plain = marks.ifNoneMatch === undefined && marks.ifModifiedSince === undefined
  return wantsWhole && plain ? { range: `bytes=${has.last + 1}-`, ifRange: undefined } : undefined
}

/** The request's fields that ask for what is missing, in place of the client's conditionals and ranges. */
export const completingFields = (headers: Fields, missing: Missing): Fields => {
  const fields = [...unconditionalFields(headers), 'Range', missing.range]
  if (missing.ifRange !== undefined) fields.push('If-Range', missing.ifRange)
  return fields
}

/**
 * A stored response with the bytes and the fields (RFC 9111 §3.2) of a further 206: a 200 without Content-Range when
 * that makes it whole, a larger part otherwise. Undefined when the two are not known to be of one representation.
 */
export const combined = (stored: Entry, response: Entry): Entry | undefined => {
  const [old, more] = [lies(stored), lies(response)]
  if (old === undefined || more === undefined || response.status !== 206) return undefined
  if (!isStrongTag(stored.etag) || stored.etag !== response.etag || old.total !== more.total) return undefined
  if (coding(stored) !== coding(response)) return undefined
  if (more.first > old.last + 1 || old.first > more.last + 1) return undefined
  const first = Math.min(old.first, more.first)
  const last = Math.max(old.last, more.last)
  const body = Buffer.alloc(last - first + 1)
  stored.body.copy(body, old.first - first)
  response.body.copy(body, more.first - first)
  // The newer bytes now lie over the older: where they differ, these parts do not belong together.
  if (!body.subarray(old.first - first, old.last - first + 1).equals(stored.body)) return undefined
  const { requestedAt, receivedAt, selection } = response.parts
  const { parts, fields, hits } = freshened(stored, response.fields, { requestedAt, receivedAt })
  const larger = new Entry({
    ...parts,
    status: 206,
    fields: withField(
      withField(withoutFields(fields, ofOnePart), 'Content-Length', String(body.length)),
      'Content-Range',
      `bytes ${first}-${last}/${old.total}`,
    ),
    body,
    part: { first, last, total: old.total },
    selection: hasField(response.fields, 'vary') ? selection : parts.selection,
  })
  const next = asWhole(larger)
  next.hits = hits
  return next
}

/**
 * A part that is all there is, from the first byte to the last, as the 200 that it could have been (RFC 9110
 * §15.3.7.3); anything else as it is.
 */
export const asWhole = (entry: Entry): Entry => {
  const has = entry.status === 206 ? lies(entry) : undefined
  if (has === undefined || entry.body.length !== has.total) return entry
  return new Entry({
    ...entry.parts,
    status: 200,
    fields: withField(withoutFields(entry.fields, ofOnePart), 'Content-Length', String(has.total)),
    part: undefined,
  })
}

/** Fields that were true of one part only. */
const ofOnePart: ReadonlySet<string> = new Set(['content-range', 'content-digest', 'content-md5'])

const coding = (entry: Entry): string =>
  (firstValue(entry.fields, 'content-encoding') ?? 'identity').toLowerCase()
