import type { ErrorCode } from './errors.ts'
import type { Reason, StorageReason } from './reasons.ts'

/** What the cache did for an answer; the one vocabulary of log, `Cache-Status`, metrics, spans and tests. */
export type CacheStatus = 'hit' | 'stale' | 'revalidated' | 'miss' | 'coalesced' | 'bypass'

/** What the rate limit decided. Times in ms since the epoch. */
export interface LimitFacts {
  startedAt: number
  endedAt: number
  allowed: boolean
  /** Requests a window admits. */
  limit: number
  remaining: number
  /** Seconds until the window opens anew. */
  resetSeconds: number
}

/** What the cache decided and did. Times in ms since the epoch. */
export interface CacheFacts {
  status: CacheStatus
  /** Why it was not simply a hit (or `hit`). One word of the catalogue. */
  reason: Reason
  /** A few words more: the field that differed, by how much it had expired. */
  detail?: string
  /** The primary key that was looked up. */
  key?: string
  lookupAt?: number
  lookedUpAt?: number
  /** Age of what was served, whole seconds (RFC 9111 §4.2.3). */
  ageSeconds?: number
  /** Freshness left in whole seconds; negative when stale (RFC 9211 §2.4). */
  ttlSeconds?: number
  /** Whether the answer was stored: `stored`, or why not. Absent when nothing new was to be stored. */
  storage?: StorageReason | 'stored'
  storeAt?: number
  storedAt?: number
  /** The exchange whose upstream request this one waited for. */
  leader?: number
  /** Status of the upstream's answer to a forwarded request (RFC 9211 §2.3). */
  forwardStatus?: number
}

/** The request to the upstream, where there was one. Times in ms since the epoch. */
export interface UpstreamFacts {
  /** Handed to the client of the upstream. */
  startedAt: number
  /** The request was written on a connection. */
  sentAt?: number
  headAt?: number
  endedAt?: number
  status?: number
  /** Why it gave no answer, or not a whole one: also where the client got another one, such as a stale one. */
  error?: ErrorCode
  /** Body bytes sent to and received from the upstream. */
  sentBytes: number
  receivedBytes: number
  /** What the upstream says of its own time: its `Server-Timing` field, joined. */
  serverTiming?: string
  /** `host:port` or the path of the socket. */
  address: string
}

/** Ids of a trace context, lower-case hex (W3C Trace Context). */
export interface TraceFacts {
  /** 32 hex digits. */
  traceId: string
  /** 16 hex digits: our server span. */
  spanId: string
  /** 16 hex digits: our client span, the parent of what the upstream does. */
  upstreamSpanId: string
  parentSpanId?: string
  sampled: boolean
  /** `tracestate` as it came (W3C Trace Context §3.3). */
  traceState?: string
  /** Jaeger's `uberctx-` baggage lines as they came: name, value … */
  baggage?: readonly string[]
}

/** The beginning of a body. */
export interface BodySample {
  readonly kept: Buffer[]
  keptBytes: number
}

/** The first bytes of a body; `whole` when they are all there was. */
export interface KeptBody {
  readonly bytes: Buffer
  readonly whole: boolean
}

/** Keeps the first bytes of a body while it goes by. */
export interface BodyCopy {
  /** What was kept so far, and is from now on the caller's: the record may be remembered for long. */
  take(): KeptBody
}

/** How an exchange ended. */
export interface EndFacts {
  at: number
  /** Status given to the client; 0 when it was gone before one was known. */
  status: number
  /** Body bytes given to the client. */
  bytes: number
  error?: ErrorCode
  /** The sentence of the error, for people. */
  errorMessage?: string
}

/** What is known of an exchange from the start. */
export interface ExchangeInit {
  readonly cause: 'client' | 'refresh'
  readonly method: string
  readonly url: string
  readonly host: string
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  readonly forwardedBy?: string | undefined
  readonly httpVersion: string
  readonly parent?: number
  readonly requestHeaders: readonly string[]
}

/** The record of one request and its answer. Stages write facts, observers read them. */
export class Exchange {
  readonly id: number
  readonly cause: 'client' | 'refresh'
  readonly method: string
  readonly url: string
  /** The `Host` the client addressed. */
  readonly host: string
  readonly scheme: 'http' | 'https'
  readonly clientAddress: string
  /** The proxy in front on whose word client address, host and scheme are what they are (`--trust-proxy`). */
  readonly forwardedBy: string | undefined
  readonly httpVersion: string
  readonly startedAt: number
  /** The exchange that caused this one (a refresh behind a stale answer). */
  readonly parent: number | undefined
  /** Request field lines as the client sent them. */
  readonly requestHeaders: readonly string[]
  trace: TraceFacts | undefined = undefined
  limit: LimitFacts | undefined = undefined
  /** Time spent waiting for a turn (`--rate-mode delay`, `--concurrency`), ms. */
  queuedMs: number | undefined = undefined
  /** Time spent waiting for a target that refused connections (`--hold`), ms. */
  heldMs: number | undefined = undefined
  cache: CacheFacts | undefined = undefined
  upstream: UpstreamFacts | undefined = undefined
  /** Request body bytes received from the client. */
  requestBytes = 0
  /** When the head of the answer was handed to the client's connection. */
  headAt: number | undefined = undefined
  /** Answer's field lines as given to the client. */
  responseHeaders: readonly string[] | undefined = undefined
  /** What is kept of the bodies that are text; undefined unless the log shows them (`-vv`). */
  bodies: { request?: BodySample; response?: BodySample } | undefined = undefined
  /** What is kept of the bodies whatever they are; undefined unless a HAR is written with bodies. */
  copies: { request?: BodyCopy | undefined; response?: BodyCopy | undefined } | undefined = undefined
  /** What the connection became after a 101 (RFC 9110 §7.8). */
  upgraded: string | undefined = undefined
  ended: EndFacts | undefined = undefined

  constructor(
    init: ExchangeInit & { readonly id?: number; readonly startedAt?: number },
    id = init.id ?? 0,
    startedAt = init.startedAt ?? 0,
  ) {
    this.id = id
    this.cause = init.cause
    this.method = init.method
    this.url = init.url
    this.host = init.host
    this.scheme = init.scheme
    this.clientAddress = init.clientAddress
    this.forwardedBy = init.forwardedBy
    this.httpVersion = init.httpVersion
    this.startedAt = startedAt
    this.parent = init.parent
    this.requestHeaders = init.requestHeaders
  }
}
