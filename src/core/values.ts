/** Values that options have once they are understood (DESIGN §2); the command line makes them. */

/** So many requests in so long. */
export interface Rate {
  readonly requests: number
  readonly windowMs: number
}

/** A field line to set, or with an `undefined` value to remove. */
export interface HeaderEdit {
  readonly name: string
  readonly value: string | undefined
}

/** Where requests go. */
export interface Target {
  readonly protocol: 'http:' | 'https:'
  /** Without brackets. */
  readonly hostname: string
  readonly port: number
  /** `host[:port]` as it stands in a Host field. */
  readonly authority: string
  /** `http://host[:port]`; for a unix socket `http://localhost`. */
  readonly origin: string
  /** Put before every request's path; no slash at the end. */
  readonly basePath: string
  /** Put into every request's query; without `?`. */
  readonly baseQuery: string
  readonly socketPath: string | undefined
  /** It speaks HTTP/2 without TLS. */
  readonly h2c?: boolean
  /** As a person would write it. */
  readonly display: string
}

/** How long `--cache-mode force` keeps a response fresh where no `--ttl` is given. */
export const FORCE_TTL_MS = 60_000

/** Where the cache keeps what it stores. */
export type CacheBackend =
  | { readonly kind: 'memory' }
  | { readonly kind: 'off' }
  | { readonly kind: 'redis'; readonly url: string }

/** Where spans are sent. */
export type TraceEndpoint =
  | { readonly kind: 'otlp'; readonly url: string }
  | { readonly kind: 'jaeger-agent'; readonly host: string; readonly port: number }
  | { readonly kind: 'jaeger-collector'; readonly url: string }

/** Whose requests count together. */
export type RateBy =
  | { readonly kind: 'ip' | 'host' | 'global' }
  | { readonly kind: 'header'; readonly name: string }

/** Where the admin listener stands; port 0 is a free one. */
export interface AdminAddress {
  readonly host: string | undefined
  readonly port: number
}

/** One rule of `--cache-key`: what counts in the key (`+`) or does not (`-`). `*` in a name stands for anything. */
export interface KeyRule {
  readonly sign: '+' | '-'
  readonly kind: 'query' | 'header' | 'cookie'
  readonly name: string
}

/**
 * Who may read answers from another origin: this one, `request` for whichever asks, `*` for any but without cookies.
 */
export type CorsOrigin = string

/** Whose word about the client is taken: that of so many proxies in front, or of those at these addresses. */
export type TrustProxy = { readonly hops: number } | { readonly ranges: readonly string[] }
