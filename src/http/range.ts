/** Byte ranges (RFC 9110 §14). Positions are inclusive, as they stand in the fields. */
import { trimOws } from './fields.ts'

/** A part of a whole. */
export interface Part {
  readonly first: number
  readonly last: number
}

/** What a Range field asks for: one range, as written. */
export type RangeAsked =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

/** A single byte range; undefined for several ranges, other units and what is invalid, which may all be ignored. */
export const parseRange = (value: string): RangeAsked | undefined => {
  const match = /^bytes=[ \t]*(\d*)-(\d*)$/i.exec(trimOws(value)) // RFC 9110 §14.1.2
  if (match === null) return undefined
  const [, first, last] = match as unknown as [string, string, string]
  if (first === '') return last === '' ? undefined : { kind: 'suffix', length: safe(last) }
  if (last !== '' && safe(last) < safe(first)) return undefined
  return { kind: 'from', first: safe(first), last: last === '' ? undefined : safe(last) }
}

const safe = (digits: string): number => Math.min(Number(digits), Number.MAX_SAFE_INTEGER)

/** The part of a whole of `total` bytes that is asked for; undefined when it cannot be satisfied (RFC 9110 §14.1.2). */
export const resolveRange = (asked: RangeAsked, total: number): Part | undefined => {
  if (asked.kind === 'suffix') {
    return asked.length === 0 || total === 0
      ? undefined
      : { first: Math.max(0, total - asked.length), last: total - 1 }
  }
  if (asked.first >= total) return undefined
  return { first: asked.first, last: Math.min(asked.last ?? total - 1, total - 1) }
}

/** `bytes first-last/total` of a 206 (RFC 9110 §14.4); the total is undefined when it is `*`. */
export const parseContentRange = (
  value: string,
): (Part & { readonly total: number | undefined }) | undefined => {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(?:(\d{1,15})|\*)$/i.exec(trimOws(value))
  if (match === null) return undefined
  const [first, last] = [Number(match[1]), Number(match[2])]
  const total = match[3] === undefined ? undefined : Number(match[3])
  if (last < first || (total !== undefined && last >= total)) return undefined
  return { first, last, total }
}
