/** How the limit shows in answers. */

import type { ProxyResponse } from '../core/types.ts'
import type { Rate } from '../core/values.ts'
import type { Decision } from './limiter.ts'

/** Whole seconds until the window ends, rounded up: whoever waits so long is not too early. */
export const resetSeconds = (resetMs: number): number => Math.max(1, Math.ceil(resetMs / 1000))

/** `RateLimit-Policy` and `RateLimit` lines (draft-ietf-httpapi-ratelimit-headers-10 §3, §4). */
export const limitFields = (rate: Rate, decision: Decision): string[] => {
  // `w` is a whole number of seconds and may be left out; a rounded one would tell a wrong rate.
  const window = rate.windowMs % 1000 === 0 ? `;w=${rate.windowMs / 1000}` : ''
  return [
    'RateLimit-Policy',
    `"default";q=${rate.requests}${window}`,
    'RateLimit',
    `"default";r=${decision.remaining};t=${resetSeconds(decision.resetMs)}`,
  ]
}

/** The answer to a request over the limit (RFC 6585 §4). */
export const tooManyRequests = (rate: Rate, decision: Decision): ProxyResponse => {
  const seconds = resetSeconds(decision.resetMs)
  const body = Buffer.from(`429 - Too Many Requests\nretry in ${seconds} s\n`)
  return {
    status: 429,
    headers: [
      'Content-Type',
      'text/plain; charset=utf-8',
      'Content-Length',
      String(body.length),
      'Retry-After', // RFC 9110 §10.2.3
      String(seconds),
      ...limitFields(rate, decision),
    ],
    body,
  }
}
