/** Cache directives of requests and responses (RFC 9111 §5.2), and of CDN-Cache-Control (RFC 9213). */
import type { Fields } from '../core/types.ts'
import { joinedValue, listMembers, trimOws } from './fields.ts'
import { parseDictionary } from './structured.ts'

/** Largest delta-seconds we calculate with (RFC 9111 §1.2.2). */
export const MAX_DELTA = 2 ** 31

/** Names in lower case; a directive without an argument has `true`. */
export type Directives = ReadonlyMap<string, string | true>

const none: Directives = new Map()

const MEMBER = /^([!#$%&'*+\-.^_`|~0-9a-z]+)(.*)$/is
/** Directives that permit something: where they are malformed they are not there. */
const permissive: ReadonlySet<string> = new Set(['public', 'must-understand', 'immutable'])
/** Directives whose argument names fields. */
const qualified: ReadonlySet<string> = new Set(['no-cache', 'private'])

/**
 * Directives of all the lines of a Cache-Control field, joined. Never throws; what is malformed is read the strict way:
 * `private; max-age=60` is private, and `max-age =60` has no argument that is a number.
 */
export const parseCacheControl = (value: string | undefined): Directives => {
  if (value === undefined) return none
  let directives = parsed.get(value)
  if (directives !== undefined) return directives
  directives = parse(value)
  if (parsed.size >= MAX_PARSED) parsed.clear()
  if (value.length <= MAX_PARSED_LENGTH) parsed.set(value, directives)
  return directives
}

/** A backend says the same few things over and over; nobody changes what was read. */
const parsed = new Map<string, Directives>()
const MAX_PARSED = 200
const MAX_PARSED_LENGTH = 200

const parse = (value: string): Directives => {
  const directives = new Map<string, string | true>()
  for (const member of listMembers(value)) {
    const match = MEMBER.exec(member)
    if (match === null) continue
    const name = match[1]!.toLowerCase() // RFC 9111 §5.2: names are case-insensitive
    const rest = match[2]!
    const malformed = rest !== '' && !/^=[^ \t]/.test(rest) // RFC 9111 §5.2: no white space around "="
    if (malformed && permissive.has(name)) continue
    const given = rest === '' ? true : malformed ? ` ${rest}` : unquote(rest.slice(1))
    // Without a name that can be read it concerns the whole.
    const argument = qualified.has(name) && (malformed || given === '') ? true : given
    const before = directives.get(name)
    if (before === undefined) directives.set(name, argument)
    // RFC 9111 §4.2.1: of several the first counts. Of several that name fields all do, and one without wins.
    else if (qualified.has(name))
      directives.set(name, before === true || argument === true ? true : `${before},${argument}`)
  }
  return directives
}

/**
 * Directives of a response: for a shared cache CDN-Cache-Control where it is valid, else Cache-Control (RFC 9213 §2.2).
 */
export const responseDirectives = (fields: Fields, shared: boolean): Directives =>
  (shared ? parseTargeted(joinedValue(fields, 'cdn-cache-control')) : undefined) ??
  parseCacheControl(joinedValue(fields, 'cache-control'))

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

/** Fields that a stored response cannot be used without: to withhold one of them is to withhold the response. */
const indispensable: ReadonlySet<string> = new Set([
  'age',
  'cache-control',
  'cdn-cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'date',
  'expires',
  'vary',
])

/**
 * Field names that `no-cache` or `private` limit themselves to, lower-case; undefined when they concern the whole
 * (RFC 9111 §5.2.2.4, §5.2.2.7), as they also do when their argument is none that can be followed.
 */
export const namedFields = (directives: Directives, name: string): readonly string[] | undefined => {
  const argument = directives.get(name)
  if (typeof argument !== 'string') return undefined
  const names = argument.split(',').map((each) => trimOws(each).toLowerCase())
  const given = names.filter((each) => each !== '')
  const usable =
    given.length > 0 &&
    !argument.includes("'") && // no field has an apostrophe: somebody took it for a quote
    given.every((each) => /^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(each) && !indispensable.has(each)) // RFC 9110 §5.6.2
  return usable ? given : undefined
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
    if (item === false) continue
    // RFC 9213 §2.1: delta-seconds are Integers, field names Strings. A value of another type is not to be consumed:
    // read as no argument, which is stale for a lifetime and the whole response for no-cache and private.
    if (typeof item === 'number') directives.set(name, String(item))
    else directives.set(name, typeof item === 'string' && !/^\d/.test(item) ? item : true)
  }
  return directives
}
