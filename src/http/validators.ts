/** Entity tags and their comparison (RFC 9110 §8.8.3). */
import { trimOws } from './fields.ts'

const opaqueTag = (tag: string): string => (tag.startsWith('W/') ? tag.slice(2) : tag)

/** Equal when the opaque tags are, weak or not (RFC 9110 §8.8.3.2). */
export const weakMatch = (a: string, b: string): boolean => opaqueTag(a) === opaqueTag(b)

/** Equal and both strong (RFC 9110 §8.8.3.2). */
export const strongMatch = (a: string, b: string): boolean => a === b && !a.startsWith('W/')

/** Whether it is a well-formed strong entity tag (RFC 9110 §8.8.3). */
export const isStrongTag = (tag: string | undefined): tag is string =>
  tag !== undefined && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(tag)

/**
 * Tags of an If-None-Match list. A tag has no escapes, and may have commas within its quotes (RFC 9110 §8.8.3); one
 * without quotes, which some servers send, ends at the next comma.
 */
const tagsOf = (list: string): string[] =>
  (list.match(/[ \t]*(?:W\/)?"[^"]*"(?=[ \t]*(?:,|$))|[^,]+/g) ?? []).map(trimOws).filter((tag) => tag !== '')

/** Whether an If-None-Match list names the tag, by weak comparison; `*` names every one (RFC 9110 §13.1.2). */
export const listNames = (list: string, etag: string | undefined): boolean => {
  if (trimOws(list) === '*') return true
  if (etag === undefined) return false
  return tagsOf(list).some((tag) => weakMatch(tag, etag))
}
