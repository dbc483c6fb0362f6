/** Whether a stored response may answer a request (RFC 9111 §4). Pure: the time is given. */
import type { Reason } from '../core/reasons.ts'
import { type Directives, deltaSeconds, namedFields } from '../http/cache-control.ts'
import { Entry } from './entry.ts'
import { currentAge, lifetime } from './freshness.ts'

/** One rule that was tested on the way to a decision, for people (`revproxy explain`). */
export interface Step {
  readonly rule: string
  readonly section: string
  readonly passed: boolean
  /** The text that decided it. */
  readonly because: string
}

/** What becomes of a stored response that was selected for a request. Ages and times to live in seconds. */
export interface Decision {
  /** Serve it; serve it stale and refresh behind; or ask the upstream first. */
  readonly use: 'fresh' | 'stale' | 'stale-and-refresh' | 'validate'
  readonly reason: Reason
  readonly detail?: string
  readonly age: number
  readonly ttl: number
}

/** What the decision needs of the request: its Cache-Control, and `no-cache` that Pragma says in its absence. */
export interface ReuseRequest {
  readonly directives: Directives
  readonly pragmaNoCache: boolean
}

const seconds = (value: number): string => `${Math.round(value * 10) / 10} s`

/** Directives that forbid to serve a stale response without asking (RFC 9111 §4.2.4); the first that is there. */
export const forbidsStale = (directives: Directives, shared = true): string | undefined => {
  if (directives.has('must-revalidate')) return 'must-revalidate' // §5.2.2.2
  if (shared && directives.has('proxy-revalidate')) return 'proxy-revalidate' // §5.2.2.8
  if (shared && directives.has('s-maxage')) return 's-maxage' // §5.2.2.10
  if (isNoCache(directives)) return 'no-cache' // §5.2.2.4
  return undefined
}

/** `no-cache` that concerns the whole response, not only named fields (RFC 9111 §5.2.2.4). */
export const isNoCache = (directives: Directives): boolean =>
  directives.has('no-cache') && namedFields(directives, 'no-cache') === undefined

/** Decides on a selected response. `steps`, when given, receives the rules as they are tested. */
export const decide = (
  entry: Entry,
  req: ReuseRequest,
  now: number,
  steps?: Step[],
  shared = true,
): Decision => {
  const life = lifetime(entry, shared)
  const age = currentAge(entry, now)
  const ttl = life.seconds - age
  const forced = life.source === '--cache-mode force'
  const { directives } = entry
  const test = (passed: boolean, rule: string, section: string, because: () => string): boolean => {
    steps?.push({ rule, section, passed, because: because() })
    return passed
  }
  const validate = (reason: Reason, detail?: string): Decision =>
    detail === undefined
      ? { use: 'validate', reason, age, ttl }
      : { use: 'validate', reason, detail, age, ttl }

  if (
    !forced &&
    !test(!isNoCache(directives), 'stored response is not no-cache', 'RFC 9111 §5.2.2.4', () =>
      fieldText(entry),
    )
  ) {
    return validate('no-cache-stored')
  }
  const fresh = ttl > 0 // RFC 9111 §4.2: fresh while lifetime > age
  const asked = requestWish(req, age, ttl)
  if (
    test(
      fresh,
      'fresh: lifetime > age',
      'RFC 9111 §4.2',
      () => `${seconds(life.seconds)} from ${life.source}, age ${seconds(age)}`,
    )
  ) {
    if (
      !test(
        asked === undefined,
        'request accepts it',
        'RFC 9111 §5.2.1',
        () => asked?.detail ?? 'no wish against it',
      )
    ) {
      return validate(asked!.reason, asked!.detail)
    }
    return { use: 'fresh', reason: 'hit', age, ttl }
  }
  const stale = -ttl
  const forbidden = forced ? undefined : forbidsStale(directives, shared)
  if (
    !test(
      forbidden === undefined,
      'may be served stale',
      'RFC 9111 §4.2.4',
      () => forbidden ?? 'nothing forbids it',
    )
  ) {
    return validate(
      forbidden === 'no-cache' ? 'no-cache-stored' : 'must-revalidate',
      `${forbidden}, stale for ${seconds(stale)}`,
    )
  }
  const detail = `stale for ${seconds(stale)}`
  const wished = maxStaleSeconds(req.directives)
  // What never was fresh is kept to be asked about: no wish of a client makes it theirs.
  const maxStale = life.source === 'none' ? undefined : wished
  // §5.2.1.1: with max-age and without max-stale the client does not wish a stale response, however young.
  const unwished =
    asked?.detail ?? (req.directives.has('max-age') && wished === undefined ? 'max-age' : undefined)
  const swr = deltaSeconds(directives, 'stale-while-revalidate')
  if (
    (swr !== undefined || maxStale !== undefined) &&
    test(
      unwished === undefined,
      'request accepts it stale',
      'RFC 9111 §5.2.1',
      () => unwished ?? 'no wish against it',
    )
  ) {
    if (
      swr !== undefined &&
      // The window counts from expiry.
      test(stale <= swr, 'within stale-while-revalidate', 'RFC 5861 §3', () => `${detail} of ${swr} s`)
    ) {
      return { use: 'stale-and-refresh', reason: 'stale-served-swr', detail, age, ttl }
    }
    if (
      maxStale !== undefined &&
      test(stale <= maxStale, 'within max-stale', 'RFC 9111 §5.2.1.2', () => `${detail} of ${maxStale} s`)
    ) {
      return { use: 'stale', reason: 'stale-served-max-stale', detail, age, ttl }
    }
  }
  return validate('expired', life.source === 'none' ? 'no freshness given' : `by ${seconds(stale)}`)
}

const noWish: ReuseRequest = { directives: new Map(), pragmaNoCache: false }

/**
 * Whether a response that has just come may answer those too who were waiting for it. Not where each use of it needs to
 * be asked for (`no-cache`, no freshness): RFC 9111 §4 lets several requests have one response only where each of them
 * may reuse it. How long it was on its way does not count, since they waited for as long.
 */
export const servesWaiting = (entry: Entry, shared = true): boolean => {
  const { receivedAt } = entry.parts
  const come = new Entry({ ...entry.parts, requestedAt: receivedAt })
  return decide(come, noWish, receivedAt, undefined, shared).use !== 'validate'
}

/** A wish of the request that a stored response of that age does not meet (RFC 9111 §5.2.1, §5.4). */
const requestWish = (
  req: ReuseRequest,
  age: number,
  ttl: number,
): { reason: Reason; detail: string } | undefined => {
  if (req.pragmaNoCache) return { reason: 'req-pragma', detail: 'Pragma: no-cache' }
  if (req.directives.size === 0) return undefined
  if (req.directives.has('no-cache')) return { reason: 'req-no-cache', detail: 'Cache-Control: no-cache' }
  const maxAge = deltaSeconds(req.directives, 'max-age')
  if (maxAge !== undefined && age > maxAge) {
    return { reason: 'req-max-age', detail: `age ${seconds(age)}, max-age=${maxAge}` }
  }
  // A max-age of 0 asks for validation even within the first second.
  if (maxAge === 0) return { reason: 'req-max-age', detail: 'max-age=0' }
  const minFresh = deltaSeconds(req.directives, 'min-fresh')
  if (minFresh !== undefined && ttl < minFresh) {
    return { reason: 'req-min-fresh', detail: `fresh for ${seconds(ttl)}, min-fresh=${minFresh}` }
  }
  return undefined
}

/** How stale the client accepts it: without a number, of any age (RFC 9111 §5.2.1.2). */
const maxStaleSeconds = (directives: Directives): number | undefined =>
  directives.get('max-stale') === true ? Number.POSITIVE_INFINITY : deltaSeconds(directives, 'max-stale')

const fieldText = (entry: Entry): string =>
  entry.directives.size === 0
    ? 'no Cache-Control'
    : [...entry.directives].map(([name, value]) => (value === true ? name : `${name}=${value}`)).join(', ')

/**
 * Whether a stale response may stand in for an upstream that failed (RFC 9111 §4.2.4, RFC 5861 §4). An upstream that
 * cannot be reached is enough where nothing forbids it; an answer of 500, 502, 503 or 504 needs stale-if-error. What
 * never was fresh is kept to be asked about, and stands in only where it says so itself.
 */
export const standsInOnError = (
  entry: Entry,
  req: ReuseRequest,
  now: number,
  failure: 'unreachable' | 'status',
  shared = true,
): boolean => {
  if (req.directives.has('no-cache') || req.pragmaNoCache || isNoCache(entry.directives)) return false
  const life = lifetime(entry, shared)
  const stale = currentAge(entry, now) - life.seconds
  // §5.2.2.2 and the like concern what is stale: a fresh one that the client wanted anew may stand in.
  if (stale >= 0 && forbidsStale(entry.directives, shared) !== undefined) return false
  const own = deltaSeconds(entry.directives, 'stale-if-error')
  if (own !== undefined) return stale <= own
  if (life.source === 'none') return false
  const wished = deltaSeconds(req.directives, 'stale-if-error')
  return wished === undefined ? failure === 'unreachable' : stale <= wished
}

/** Statuses that count as a failure of the upstream (RFC 5861 §4). */
export const isFailureStatus = (status: number): boolean =>
  status === 500 || status === 502 || status === 503 || status === 504
