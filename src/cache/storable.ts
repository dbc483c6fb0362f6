/** Whether a response may be stored (RFC 9111 §3), and for how long it is worth keeping. Pure. */
import type { StorageReason } from '../core/reasons.ts'
import type { Fields } from '../core/types.ts'
import { type Directives, deltaSeconds, namedFields, responseDirectives } from '../http/cache-control.ts'
import { firstValue, hasField, isConnectionLevel, joinedValue, nominated } from '../http/fields.ts'
import { parseContentRange } from '../http/range.ts'
import { varyNames } from '../http/vary.ts'
import type { Entry } from './entry.ts'
import { currentAge, heuristicStatuses, type Lifetime, lifetime } from './freshness.ts'

/** What the decision needs of the request. */
export interface StorableRequest {
  readonly method: string
  readonly authorization: boolean
  /** Whether the upstream was asked for a part. */
  readonly range: boolean
  readonly directives: Directives
}

/** How the rules are bent by options. */
export interface StorageRules {
  /** false: behaves as a private cache (`private` and Authorization do not matter). */
  readonly shared: boolean
  /** `--cache-mode force`. */
  readonly force: boolean
  /** force concerns what belongs to one user too, `--force-private`. */
  readonly forcePrivate: boolean
  /** false: `--no-cache-cookies`. */
  readonly storeCookies: boolean
  readonly maxEntryBytes: number
}

/** Statuses whose caching rules this cache knows (RFC 9110 §15, RFC 6585, RFC 7538, RFC 8470). */
const understood: ReadonlySet<number> = new Set([
  200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405,
  406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 429, 431, 451, 500,
  501, 502, 503, 504, 505, 511,
])

/**
 * Why a response is not to be stored, or undefined when it may be. `entry` stands for it as it would be stored (its
 * body may still be empty).
 */
export const refusal = (
  req: StorableRequest,
  entry: Entry,
  rules: StorageRules,
): StorageReason | undefined => {
  const { status, fields, directives } = entry
  if (rules.force && isForced(req, entry, rules)) return tooLarge(fields, rules)
  if (req.method !== 'GET' && !storablePost(req, entry, rules)) return 'method'
  if (status < 200) return 'status-uncacheable' // RFC 9111 §3: the status is final
  if (status === 304) return 'not-modified'
  if (directives.has('must-understand')) {
    // RFC 9111 §5.2.2.3: it takes the place of no-store where the status is understood.
    if (!understood.has(status)) return 'must-understand'
  } else if (directives.has('no-store')) return 'no-store' // RFC 9111 §5.2.2.5
  if (req.directives.has('no-store')) return 'req-no-store' // RFC 9111 §5.2.1.5
  if (rules.shared) {
    if (directives.has('private') && namedFields(directives, 'private') === undefined) return 'private' // RFC 9111 §5.2.2.7
    if (
      req.authorization && // RFC 9111 §3.5
      !directives.has('public') &&
      !directives.has('must-revalidate') &&
      !directives.has('s-maxage')
    ) {
      return 'authorization'
    }
  }
  const setsCookie = hasField(fields, 'set-cookie')
  if (setsCookie && !rules.storeCookies) return 'set-cookie-policy'
  if (variesPerClient(fields)) return 'vary-star' // RFC 9111 §4.1
  if (/^text\/event-stream/i.test(firstValue(fields, 'content-type') ?? '')) return 'streaming'
  if (status === 206 && !soundPart(fields)) return 'range'
  // 416 above all (RFC 9110 §15.5.17): it may be wrong for those who ask without that Range, which is not in the key.
  if (req.range && status >= 400) return 'range'
  const not = notWorthKeeping(entry, rules)
  if (not !== undefined) return not
  // RFC 9111 §7.3 leaves it to the response, so the response has to say so: not by an entity tag alone, of which a
  // backend may know nothing whose framework adds one to every answer; the next client would get this one's session.
  if (setsCookie && !mayShareCookie(entry, rules)) return 'set-cookie-policy'
  return tooLarge(fields, rules)
}

/**
 * The same where one word of a response to a GET decides, without looking at the rest of it: most of what passes by says
 * `no-store`, and what it would be stored as need not be made.
 */
export const refusedOutright = (
  status: number,
  fields: Fields,
  rules: StorageRules,
): StorageReason | undefined => {
  if (rules.force || status === 304) return undefined
  const directives = responseDirectives(fields, rules.shared)
  return directives.has('no-store') && !directives.has('must-understand') ? 'no-store' : undefined
}

/** Force concerns GETs answered with 2xx; what belongs to one user stays out unless asked for (DESIGN §2). */
export const isForced = (
  req: StorableRequest,
  entry: Entry,
  { forcePrivate }: Pick<StorageRules, 'forcePrivate'>,
): boolean =>
  req.method === 'GET' &&
  entry.status >= 200 &&
  entry.status < 300 &&
  entry.status !== 206 &&
  entry.parts.ruled?.by === 'force' &&
  (forcePrivate || (!req.authorization && !hasField(entry.fields, 'set-cookie'))) &&
  !variesPerClient(entry.fields) &&
  !/^text\/event-stream/i.test(firstValue(entry.fields, 'content-type') ?? '')

/** What keeps force from a response that the rules refuse, until --force-private. */
export const unforced = (
  req: StorableRequest,
  { status, fields }: Entry,
  rules: StorageRules,
): string | undefined => {
  if (!rules.force || rules.forcePrivate || status < 200 || status > 299 || status === 206) return undefined
  return req.authorization ? 'Authorization' : hasField(fields, 'set-cookie') ? 'Set-Cookie' : undefined
}

const tooLarge = (fields: Fields, rules: StorageRules): StorageReason | undefined =>
  Number(firstValue(fields, 'content-length') ?? 0) > rules.maxEntryBytes ? 'too-large' : undefined

/** Fields that we write for the upstream from the client's address, whatever the client sent under these names. */
const ofTheClient: ReadonlySet<string> = new Set(['x-forwarded-for', 'forwarded', 'x-real-ip'])

/** `Vary: *`, or a field whose value is another one for each client, though its requests do not show it. */
const variesPerClient = (fields: Fields): boolean => {
  const names = varyNames(fields)
  return names === '*' || names.some((name) => ofTheClient.has(name))
}

/** Whether the response says itself that it is fresh for others, or belongs to a single user anyway. */
const mayShareCookie = (entry: Entry, { shared }: StorageRules): boolean =>
  !shared || (isExplicit(lifetime(entry, shared)) && lifetime(entry, shared).seconds > 0 && !isNoCache(entry))

/** `no-cache` that concerns the whole response (RFC 9111 §5.2.2.4). */
const isNoCache = ({ directives }: Entry): boolean =>
  directives.has('no-cache') && namedFields(directives, 'no-cache') === undefined

/** The response itself gives it, and it is no guess (RFC 9111 §4.2.1). */
const isExplicit = ({ source }: Lifetime): boolean =>
  source === 'max-age' || source === 's-maxage' || source === 'Expires'

/** RFC 9110 §9.3.3: a POST with explicit freshness and a Content-Location equal to its URI may serve later GETs. */
const storablePost = (req: StorableRequest, entry: Entry, { shared }: StorageRules): boolean => {
  if (req.method !== 'POST' || entry.status < 200 || entry.status > 299 || entry.status === 206) return false
  if (!isExplicit(lifetime(entry, shared))) return false
  return firstValue(entry.fields, 'content-location') !== undefined
}

/** A 206 that says which part of which whole it is, and is no multipart (RFC 9111 §3.3). */
const soundPart = (fields: Fields): boolean => {
  const range = parseContentRange(joinedValue(fields, 'content-range') ?? '')
  return range !== undefined && range.total !== undefined
}

const notWorthKeeping = (entry: Entry, rules: StorageRules): StorageReason | undefined => {
  const life = lifetime(entry, rules.shared)
  // RFC 9111 §3: what may be stored though nothing says how long it is fresh.
  const guessable =
    heuristicStatuses.has(entry.status) ||
    entry.directives.has('public') ||
    (!rules.shared && entry.directives.has('private'))
  if (life.source === 'none') {
    // With a validator it may be kept to be revalidated (RFC 9111 §3), where its status may be cached unasked.
    if (entry.hasValidator && guessable) return undefined
    return guessable ? 'no-freshness' : 'status-uncacheable'
  }
  if (life.seconds > currentAge(entry, entry.parts.receivedAt) || entry.hasValidator) return undefined
  return staleUseSeconds(entry) > 0 ? undefined : 'already-stale'
}

/** Seconds after its expiry for which stale-while-revalidate and stale-if-error still make use of it (RFC 5861). */
const staleUseSeconds = (entry: Entry): number =>
  Math.max(
    deltaSeconds(entry.directives, 'stale-while-revalidate') ?? 0,
    deltaSeconds(entry.directives, 'stale-if-error') ?? 0,
  )

/** How long something stale is kept to be revalidated or to stand in for an upstream that is gone. */
const KEEP_STALE_SECONDS = 24 * 3600

/** Milliseconds, at least 1, for which a response is worth keeping, stale use and revalidation included. */
export const keepMs = (entry: Entry, now: number): number => {
  const left = lifetime(entry).seconds - currentAge(entry, now)
  const seconds = Math.max(0, left) + Math.max(staleUseSeconds(entry), KEEP_STALE_SECONDS)
  return Math.max(1, Math.ceil(Math.min(seconds, 10 * 365 * 24 * 3600) * 1000))
}

/**
 * Field lines as they are stored: without connection-level ones (RFC 9111 §3.1), and without those that `no-cache`, or
 * in a shared cache `private`, withhold by name (§5.2.2.4, §5.2.2.7).
 */
export const storedFields = (fields: Fields, shared = true): Fields => {
  const directives = responseDirectives(fields, shared)
  const ofPrivate = shared ? namedFields(directives, 'private') : undefined
  const ofNoCache = namedFields(directives, 'no-cache')
  const named = nominated(fields)
  const isLeftOut = (name: string): boolean =>
    isConnectionLevel(name) ||
    ofPrivate?.includes(name) === true ||
    ofNoCache?.includes(name) === true ||
    named?.has(name) === true
  // Nearly always all of them stay.
  return fields.some((name, i) => i % 2 === 0 && isLeftOut(name.toLowerCase()))
    ? fields.filter((_, i) => !isLeftOut(fields[i - (i % 2)]!.toLowerCase()))
    : fields
}
