/** How long a stored response is fresh, and how old it is (RFC 9111 §4.2). Pure: times are given. */
import { deltaSeconds, MAX_DELTA } from '../http/cache-control.ts'
import { parseDate } from '../http/date.ts'
import { allValues, firstValue } from '../http/fields.ts'
import type { Entry } from './entry.ts'

/** Where a lifetime comes from. */
export type LifetimeSource =
  | 's-maxage'
  | 'max-age'
  | 'Expires'
  | 'heuristic'
  | '--ttl'
  | '--cache-mode force'
  | 'none'

/** A freshness lifetime in seconds and where it comes from. */
export interface Lifetime {
  readonly seconds: number
  readonly source: LifetimeSource
}

/** Statuses that are cacheable by default (RFC 9110 §15.1); only for them may a lifetime be guessed. */
export const heuristicStatuses: ReadonlySet<number> = new Set([
  200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501,
])

/** RFC 9111 §4.2.2: a typical setting is a tenth of the time since the last change. */
const HEURISTIC_DIVISOR = 10
/** Guesses end here, so that a file of years ago is not fresh for months. */
const HEURISTIC_MAX_SECONDS = 24 * 3600

/** The freshness lifetime (RFC 9111 §4.2.1); the first that is there counts. */
export const lifetime = (entry: Entry, shared = true): Lifetime =>
  entry.memoLifetime(shared ? 'shared' : 'single', (e) => workOut(e, shared))

const workOut = (entry: Entry, shared: boolean): Lifetime => {
  const { ruled } = entry.parts
  if (ruled?.by === 'force') return { seconds: ruled.seconds, source: '--cache-mode force' }
  const { directives } = entry
  if (shared) {
    const sMaxAge = deltaSeconds(directives, 's-maxage') // RFC 9111 §5.2.2.10
    if (sMaxAge !== undefined) return { seconds: sMaxAge, source: 's-maxage' }
  }
  const maxAge = deltaSeconds(directives, 'max-age') // RFC 9111 §5.2.2.1
  if (maxAge !== undefined) return { seconds: maxAge, source: 'max-age' }
  // RFC 9213 §2.2: a targeted field takes the place of Expires too.
  if (entry.targeted === undefined) {
    const expires = allValues(entry.fields, 'expires') // RFC 9111 §5.3
    if (expires.length > 0) {
      const at = expires.length === 1 ? parseDate(expires[0]!, entry.parts.receivedAt) : undefined
      // An invalid date, "0" above all, means already expired.
      const seconds = at === undefined ? 0 : Math.max(0, (at - entry.dateAt) / 1000)
      return { seconds: Math.min(seconds, MAX_DELTA), source: 'Expires' }
    }
  }
  const guess = heuristic(entry)
  if (guess !== undefined) return guess
  if (ruled !== undefined) return { seconds: ruled.seconds, source: '--ttl' }
  return { seconds: 0, source: 'none' }
}

const heuristic = (entry: Entry): Lifetime | undefined => {
  if (!heuristicStatuses.has(entry.status) && !entry.directives.has('public')) return undefined // RFC 9111 §4.2.2
  const modified = firstValue(entry.fields, 'last-modified')
  const at = modified === undefined ? undefined : parseDate(modified, entry.parts.receivedAt)
  if (at === undefined || at >= entry.dateAt) return undefined
  const seconds = Math.min((entry.dateAt - at) / 1000 / HEURISTIC_DIVISOR, HEURISTIC_MAX_SECONDS)
  return { seconds, source: 'heuristic' }
}

/** The terms of the age calculation, in seconds. */
export interface AgeTerms {
  readonly apparent: number
  readonly corrected: number
  readonly resident: number
  readonly current: number
}

/** The current age (RFC 9111 §4.2.3), with its terms. */
export const ageTerms = (entry: Entry, now: number): AgeTerms => {
  const { requestedAt, receivedAt } = entry.parts
  const apparent = Math.max(0, (receivedAt - entry.dateAt) / 1000)
  const delay = Math.max(0, (receivedAt - requestedAt) / 1000)
  const corrected = Math.max(apparentWithoutJitter(apparent), entry.ageSaid + delay)
  const resident = Math.max(0, (now - receivedAt) / 1000)
  return { apparent, corrected, resident, current: corrected + resident }
}

/** Date has whole seconds: up to one second of apparent age may be nothing but its rounding. */
const apparentWithoutJitter = (seconds: number): number => (seconds < 1 ? 0 : seconds)

/** The current age in seconds (RFC 9111 §4.2.3). */
export const currentAge = (entry: Entry, now: number): number => ageTerms(entry, now).current

/** Seconds of freshness that are left; negative when stale. */
export const freshnessLeft = (entry: Entry, now: number, shared = true): number =>
  lifetime(entry, shared).seconds - currentAge(entry, now)
