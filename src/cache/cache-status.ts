/** The Cache-Status response field (RFC 9211): what we did, in the field's own terms. */
import type { CacheFacts } from '../core/exchange.ts'
import type { Reason } from '../core/reasons.ts'
import { sfString } from '../http/structured.ts'

/** How much of it is said. */
export type CacheStatusDetail = 'full' | 'basic' | 'off'

/** RFC 9211 §2.2: why a request was forwarded. */
const forwarded: Partial<Record<Reason, string>> = {
  'uri-miss': 'uri-miss',
  'vary-miss': 'vary-miss',
  'vary-star': 'vary-miss',
  'evicted-size': 'uri-miss',
  'evicted-age': 'uri-miss',
  purged: 'uri-miss',
  'invalidated-by-unsafe': 'uri-miss',
  expired: 'stale',
  'must-revalidate': 'stale',
  'no-cache-stored': 'stale',
  'req-no-cache': 'request',
  'req-max-age': 'request',
  'req-min-fresh': 'request',
  'req-pragma': 'request',
  'req-no-store': 'bypass',
  method: 'method',
  upgrade: 'bypass',
  'range-unsupported': 'bypass',
  'range-incomplete': 'partial',
  'request-body': 'bypass',
  'rule-bypass': 'bypass',
  'store-down': 'bypass',
  'too-slow-store': 'bypass',
  'collapsed-hit': 'uri-miss',
  'collapsed-failed': 'uri-miss',
}

/** The member for one exchange; undefined when switched off. */
export const cacheStatus = (facts: CacheFacts, how: CacheStatusDetail): string | undefined => {
  if (how === 'off') return undefined
  let said = 'revproxy'
  if (facts.status === 'hit' || facts.status === 'stale') said += '; hit'
  else if (facts.reason !== 'only-if-cached') {
    said += `; fwd=${forwarded[facts.reason] ?? 'miss'}`
    if (facts.forwardStatus !== undefined) said += `; fwd-status=${facts.forwardStatus}`
    if (facts.storage === 'stored') said += '; stored'
    if (facts.status === 'coalesced') said += '; collapsed'
    else if (facts.reason === 'collapsed-failed') said += '; collapsed=?0'
  }
  if (facts.ttlSeconds !== undefined) said += `; ttl=${Math.floor(facts.ttlSeconds)}`
  if (how === 'full') {
    if (facts.key !== undefined && facts.key.length <= 1000) said += `; key=${sfString(facts.key)}`
    said += `; detail=${sfString(detailOf(facts))}`
  }
  return said
}

/** `vary-miss accept-language; not stored: no-store` and the like. */
export const detailOf = (facts: CacheFacts): string => {
  const lookup = facts.detail === undefined ? facts.reason : `${facts.reason} ${facts.detail}`
  return facts.storage === undefined || facts.storage === 'stored'
    ? lookup
    : `${lookup}; not stored: ${facts.storage}`
}
