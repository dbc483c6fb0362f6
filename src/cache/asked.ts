/** A request as the cache looks at it, and the words that its verdict is written in. */
import type { Cancel } from '../core/cancel.ts'
import type { Clock } from '../core/clock.ts'
import type { CacheFacts, CacheStatus, Exchange } from '../core/exchange.ts'
import type { Exchanges } from '../core/exchanges.ts'
import type { Reason } from '../core/reasons.ts'
import type { Fields, ProxyRequest, ProxyResponse } from '../core/types.ts'
import { type Directives, parseCacheControl } from '../http/cache-control.ts'
import { type CacheStatusDetail, cacheStatus } from './cache-status.ts'
import type { Missing } from './combine.ts'
import type { Entry } from './entry.ts'
import { type RequestMarks, requestMarks } from './key.ts'
import type { KeyRules } from './key-rules.ts'
import type { ReuseRequest } from './reuse.ts'
import type { Store } from './store/store.ts'

/** Whose it is, among several processes, to fetch a key. None of its functions rejects. */
export interface Leases {
  /**
   * Waits while another process fetches the key; then it is ours, or the other's answer may be in the store: that of
   * the exchange `leader`, or of the exchange `stored` that ended a moment ago.
   */
  take(
    key: string,
    leader: number,
    cancel: Cancel,
  ): Promise<
    | { readonly mine: true; readonly stored?: number | undefined }
    | { readonly mine: false; readonly leader: number; readonly outcome: 'stored' | 'alone' | 'failed' }
  >
  /** Whether nobody fetches the key, and it is ours now. */
  tryTake(key: string, leader: number): Promise<boolean>
  /** What was ours can be found in the store, or never will be. */
  release(key: string, outcome: 'stored' | 'alone' | 'failed'): void
}

/** What the cache is made of. */
export interface CacheOptions {
  readonly store: Store
  readonly clock: Clock
  readonly exchanges: Exchanges
  readonly mode: 'rfc' | 'force'
  /** `--ttl`. */
  readonly ttlMs: number | undefined
  readonly maxEntryBytes: number
  /** Bytes that all bodies on their way into the store may take together. */
  readonly roomBytes: number
  readonly cacheStatus: CacheStatusDetail
  /** Fields whose values are secret. */
  readonly concealed: (name: string) => boolean
  /** Ids for a refresh behind a stale answer. */
  readonly childTrace?: ((parent: Exchange) => Exchange['trace']) | undefined
  /** `--cache-key`. */
  readonly keyRules?: KeyRules | undefined
  /** false: every miss goes to the upstream by itself. */
  readonly collapse: boolean
  /** Collapses with the misses of other processes too. */
  readonly leases?: Leases | undefined
  /** Responses with Set-Cookie are stored. */
  readonly storeCookies: boolean
  /** false: the cache of a single user. */
  readonly shared: boolean
  /** force concerns what belongs to one user too. */
  readonly forcePrivate: boolean
  /** PURGE is ours. */
  readonly purge: boolean
}

/** A request with what the cache has read of it. */
export interface Asked {
  readonly req: ProxyRequest
  readonly key: string
  readonly marks: RequestMarks
  readonly directives: Directives
  readonly reuse: ReuseRequest
  readonly facts: CacheFacts
  /** The client's fields as Vary sees them. */
  readonly selecting: Fields
}

/** Why a request is forwarded, and the stored response it may be validated against. */
export interface Miss {
  readonly reason: Reason
  readonly detail: string | undefined
  readonly stale: Entry | undefined
  /** A stored part, and what it lacks for this request. */
  readonly part?: { readonly entry: Entry; readonly missing: Missing; readonly headers: Fields } | undefined
  /** Order of events before the lookup (`Flights.mark`). */
  readonly mark?: number
  /** What flights are filed under: the key and what selects among variants. */
  readonly flightKey: string
}

/** For a request without Cache-Control. */
export const noDirectives: Directives = new Map()

/** What a request says of reusing stored responses. */
export const reuseRequest = (marks: RequestMarks): ReuseRequest => ({
  directives: marks.cacheControl === undefined ? noDirectives : parseCacheControl(marks.cacheControl),
  // RFC 9111 §5.4: Pragma counts only where there is no Cache-Control.
  pragmaNoCache:
    marks.pragma !== undefined &&
    marks.cacheControl === undefined &&
    /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(marks.pragma),
})

/** Reads a request; opens its cache facts as those of a request that the cache leaves alone. */
export const asking =
  (
    keyRules: KeyRules | undefined,
    keyFor: (scheme: string, host: string, url: string, headers: Fields) => string,
  ) =>
  (req: ProxyRequest): Asked => {
    const { exchange, headers } = req
    const marks = requestMarks(headers)
    const key = keyFor(exchange.scheme, exchange.host, req.url, headers)
    const reuse = reuseRequest(marks)
    const facts: CacheFacts = { status: 'bypass', reason: 'method', key }
    exchange.cache = facts
    return {
      req,
      key,
      marks,
      directives: reuse.directives,
      reuse,
      facts,
      selecting: keyRules?.selecting(headers) ?? headers,
    }
  }

/** Writes the verdict. */
export const setVerdict = (facts: CacheFacts, status: CacheStatus, reason: Reason, detail?: string): void => {
  facts.status = status
  facts.reason = reason
  if (detail !== undefined) facts.detail = detail
  else if (facts.detail !== undefined) delete facts.detail
}

/** Puts Cache-Status on an answer that comes from the upstream. */
export const labelled = (
  response: ProxyResponse,
  facts: CacheFacts,
  how: CacheStatusDetail,
): ProxyResponse => {
  const said = cacheStatus(facts, how)
  if (said === undefined) return response
  // Written out: a spread of the response costs more than the rest.
  const { status, body, trailers } = response
  const headers = response.headers.concat('Cache-Status', said)
  return trailers === undefined ? { status, headers, body } : { status, headers, body, trailers }
}

/** Whether a client asks on conditions, or for a part: a whole 200 is not all it understands. */
export const hasConditions = (marks: RequestMarks): boolean =>
  marks.ifNoneMatch !== undefined || marks.ifModifiedSince !== undefined || marks.range !== undefined
