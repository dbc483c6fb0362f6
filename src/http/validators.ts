/** Entity tags and their comparison (RFC 9110 §8.8.3). */
import { listMembers } from './fields.ts'

/** Equal when the opaque tags are, weak or not (RFC 9110 §8.8.3.2). */
export const weakMatch = (a: string, b: string): boolean => a.replace(/^W\//, '') === b.replace(/^W\//, '')

/** Equal and both strong (RFC 9110 §8.8.3.2). */
export const strongMatch = (a: string, b: string): boolean => a === b && !a.startsWith('W/')

/** Whether an If-None-Match (or If-Match) list names the tag, by weak comparison; `*` names every one. */
export const listNames = (list: string, etag: string | undefined): boolean => {
  if (list.trim() === '*') return true
  if (etag === undefined) return false
  return listMembers(list).some((member) => weakMatch(member, etag))
}
