/** Cache directives of requests and responses (RFC 9111 §5.2), and of CDN-Cache-Control (RFC 9213). */
import { listMembers } from './fields.ts'
import { parseDictionary } from './structured.ts'

/** Largest delta-seconds we calculate with (RFC 9111 §1.2.2). */
export const MAX_DELTA = 2 ** 31

/** Names in lower case; a directive without an argument has `true`. The first of several of one name counts. */
export type Directives = ReadonlyMap<string, string | true>

const none: Directives = new Map()

/** Directives of all the lines of a Cache-Control field, joined; never throws: what cannot be read is left out. */
export const parseCacheControl = (value: string | undefined): Directives => {
  if (value === undefined) return none
  const directives = new Map<string, string | true>()
  for (const member of listMembers(value)) {
    const equals = member.indexOf('=')
    // RFC 9111 §5.2: names are case-insensitive; white space around "=" is not allowed and makes another name of it.
    const name = (equals === -1 ? member : member.slice(0, equals)).toLowerCase()
    if (directives.has(name)) continue
    directives.set(name, equals === -1 ? true : unquote(member.slice(equals + 1)))
  }
  return directives
}

const unquote = (value: string): string =>
  value.length >= 2 && value.startsWith('"') && value.endsWith('"')
    ? value.slice(1, -1).replace(/\\(.)/gs, '$1')
    : value

/**
 * The argument of a directive in seconds: undefined when the directive is not there; 0 when its argument is not a
 * non-negative integer (RFC 9111 §4.2.1: "encouraged to consider … stale"); capped at 2^31 (§1.2.2).
 */
export const deltaSeconds = (directives: Directives, name: string): number | undefined => {
  const argument = directives.get(name)
  if (argument === undefined) return undefined
  if (argument === true || !/^\d+$/.test(argument)) return 0
  return Math.min(Number(argument), MAX_DELTA)
}

/** Field names that `no-cache` or `private` limit themselves to, lower-case; undefined when they concern the whole. */
export const namedFields = (directives: Directives, name: string): readonly string[] | undefined => {
  const argument = directives.get(name)
  if (typeof argument !== 'string') return undefined
  const names = argument
    .split(',')
    .map((each) => each.trim().toLowerCase())
    .filter((each) => each !== '')
  // RFC 9110 §5.6.2: what is no token names no field; the strict reading is then the directive as a whole.
  return names.length > 0 && names.every((each) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(each))
    ? names
    : undefined
}

/**
 * Directives of CDN-Cache-Control (RFC 9213 §2.1): a Structured Fields dictionary; undefined when the field is absent,
 * empty or invalid, and then Cache-Control counts.
 */
export const parseTargeted = (value: string | undefined): Directives | undefined => {
  if (value === undefined) return undefined
  const dictionary = parseDictionary(value)
  if (dictionary === undefined || dictionary.size === 0) return undefined
  const directives = new Map<string, string | true>()
  for (const [name, item] of dictionary) {
    if (item === true) directives.set(name, true)
    else if (item === false) continue
    // RFC 9213 §2.1: delta-seconds are Integers; another type makes the directive useless, and strictly read stale.
    else
      directives.set(
        name,
        typeof item === 'number' && Number.isInteger(item)
          ? String(item)
          : typeof item === 'string'
            ? item
            : 'invalid',
      )
  }
  return directives
}
