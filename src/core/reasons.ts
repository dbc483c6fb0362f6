/**
 * The catalogue of reasons: one word per decision of the cache and one per refusal to store. The same words stand
 * in the log, `Cache-Status` `detail`, metric labels, spans, JSON and the README.
 */
export const reasons = {
  hit: 'served from the cache while fresh',
  'uri-miss': 'nothing is stored for this URI',
  'vary-miss': 'a response is stored, but a field its Vary names differs (RFC 9111 §4.1)',
  'vary-star': 'the stored response varies on everything, Vary: * (RFC 9111 §4.1)',
  'evicted-size': 'it was stored, and dropped to make room',
  'evicted-age': 'it was stored, and dropped when it had become too old to be of use',
  purged: 'it was stored, and purged by hand',
  'invalidated-by-unsafe': 'it was stored, and an unsafe request to its URI invalidated it (RFC 9111 §4.4)',
  expired: 'the stored response is no longer fresh (RFC 9111 §4.2)',
  'must-revalidate':
    'stale, and must-revalidate, proxy-revalidate or s-maxage forbid serving it so (RFC 9111 §5.2.2.2)',
  'no-cache-stored': 'the stored response says no-cache: revalidate each time (RFC 9111 §5.2.2.4)',
  'stale-served-swr': 'served stale, refreshed behind (stale-while-revalidate, RFC 5861 §3)',
  'stale-served-sie': 'served stale since the upstream failed (stale-if-error, RFC 5861 §4, RFC 9111 §4.2.4)',
  'stale-served-max-stale': 'served stale since the client accepts that (max-stale, RFC 9111 §5.2.1.2)',
  'req-no-cache': 'the client asked for a fresh answer, no-cache (RFC 9111 §5.2.1.4)',
  'req-max-age': 'older than the client accepts, max-age (RFC 9111 §5.2.1.1)',
  'req-min-fresh': 'not fresh for as long as the client asks, min-fresh (RFC 9111 §5.2.1.3)',
  'req-pragma': 'the client asked for a fresh answer, Pragma: no-cache (RFC 9111 §5.4)',
  'req-no-store': 'the client forbids storing, no-store (RFC 9111 §5.2.1.5)',
  'only-if-cached': 'nothing usable stored and the client wants no upstream request (RFC 9111 §5.2.1.7)',
  method: 'the method is not GET or HEAD (RFC 9111 §3, §4)',
  upgrade: 'the connection changes its protocol (RFC 9110 §7.8)',
  'range-unsupported': 'a range that cannot be answered from what is stored (RFC 9111 §3.3)',
  'range-incomplete': 'only a part is stored (RFC 9111 §3.4)',
  'request-body': 'a GET or HEAD with a body is not what a cache key can tell apart',
  'rule-bypass': 'a local rule keeps this request out of the cache',
  'store-down': 'the shared store is away',
  'too-slow-store': 'the shared store did not answer within --cache-timeout',
  'collapsed-hit': 'waited for the same request already on its way (RFC 9211 §2.6)',
  'collapsed-failed': 'waited for the same request, whose answer could not be shared',
} as const

/** Why the cache decided as it did. */
export type Reason = keyof typeof reasons

/** Why a response was not stored. */
export const storageReasons = {
  'no-store': 'no-store (RFC 9111 §5.2.2.5)',
  'req-no-store': 'the client forbids storing, no-store (RFC 9111 §5.2.1.5)',
  private: 'private: not for shared caches (RFC 9111 §5.2.2.7)',
  authorization:
    'answers a request with Authorization without public, must-revalidate or s-maxage (RFC 9111 §3.5)',
  'set-cookie-policy':
    'sets a cookie without saying that it is fresh for others, or a local rule refuses that (RFC 9111 §7.3)',
  'status-uncacheable':
    'its status is not cacheable by default and nothing says how long it is fresh (RFC 9111 §3)',
  'must-understand': 'must-understand with a status this cache does not understand (RFC 9111 §5.2.2.3)',
  'no-freshness': 'nothing says how long it is fresh and it has no validator (RFC 9111 §3, §4.2.2)',
  'already-stale': 'it came stale and has no validator (RFC 9111 §4.2)',
  'vary-star': 'Vary: * matches no other request (RFC 9111 §4.1)',
  incomplete: 'the body ended before its length (RFC 9111 §3.3)',
  aborted: 'the exchange was aborted before the body was complete (RFC 9111 §3.3)',
  'too-large': 'larger than --cache-max-entry',
  streaming: 'an endless stream, such as server-sent events',
  method: 'the answer to this method is not stored (RFC 9111 §3)',
  range: 'a part of unknown place, or an error that may come of the Range alone (RFC 9111 §3.3)',
  'not-modified': 'a 304 to a conditional of the client, with nothing stored to update (RFC 9111 §4.3.3)',
  invalidated: 'the URI was invalidated while the answer was on its way (RFC 9111 §4.4)',
  'rule-bypass': 'a local rule keeps this request out of the cache',
  'store-down': 'the shared store is away',
} as const

/** Why a response was not stored. */
export type StorageReason = keyof typeof storageReasons
