import type { Clock } from '../core/clock.ts'
import { ProxyError } from '../core/errors.ts'
import type { ProxyResponse, Stage } from '../core/types.ts'
import type { Rate, RateBy } from '../core/values.ts'
import { limitFields, resetSeconds, tooManyRequests } from './answer.ts'
import { keyBy } from './keys.ts'
import type { Limiter, Queue } from './limiter.ts'
import type { SharedRedis } from './shared.ts'

/** Options of the rate limit. */
export interface RateLimitOptions {
  readonly rate: Rate
  readonly by: RateBy
  /** Over the rate: answer 429 at once, or wait for the next window. */
  readonly mode: 'reject' | 'delay'
  /** Longest wait in delay mode; then 429. */
  readonly maxWaitMs: number
  readonly clock: Clock
  /** Counts shared with other processes; reject mode only. */
  readonly redis?: SharedRedis | undefined
  /** A Redis that does not answer in time is passed over, `--cache-timeout`. */
  readonly redisTimeoutMs?: number
  /** Counts instead, together with other processes. */
  readonly limiter?: Limiter | undefined
}

/** What a limiter is made of. */
export type LimiterOptions = Pick<
  RateLimitOptions,
  'rate' | 'mode' | 'maxWaitMs' | 'clock' | 'redis' | 'redisTimeoutMs'
>

/** The limiter of this process. Imported when wanted: rate-limiter-flexible costs 21 ms to load, bottleneck 10. */
export const makeLimiter = async (options: LimiterOptions): Promise<Limiter> => {
  const { rate, maxWaitMs, clock, redis, redisTimeoutMs = 50 } = options
  if (options.mode === 'delay') return (await import('./delay.ts')).delayLimiter({ rate, maxWaitMs, clock })
  return (await import('./window.ts')).windowLimiter({ rate, redis, redisTimeoutMs })
}

const withFields = (response: ProxyResponse, added: readonly string[]): ProxyResponse => {
  const { status, body, trailers } = response
  const headers = [...response.headers, ...added]
  return trailers === undefined ? { status, headers, body } : { status, headers, body, trailers }
}

/**
 * Admits so many requests per key and window. Over that it answers 429 without calling on, or in delay mode lets
 * them wait first. Every answer says how much is left.
 */
export const rateLimit = async (options: RateLimitOptions): Promise<Stage & Queue> => {
  const { rate, by, mode, clock } = options
  const limiter = options.limiter ?? (await makeLimiter(options))
  const keyOf = keyBy(by)
  const stage: Stage = (next) => async (req) => {
    const { exchange } = req
    const startedAt = clock.now()
    const decision = await limiter.take(keyOf(req), req.cancel)
    const endedAt = clock.now()
    if (mode === 'delay') exchange.queuedMs = (exchange.queuedMs ?? 0) + (endedAt - startedAt)
    exchange.limit = {
      startedAt,
      endedAt,
      allowed: decision.verdict === 'admitted',
      limit: rate.requests,
      remaining: decision.remaining,
      resetSeconds: resetSeconds(decision.resetMs),
    }
    if (decision.verdict === 'gone' || req.cancel.fired) {
      throw new ProxyError(499, 'client-gone', 'the client left before its turn')
    }
    if (decision.verdict === 'refused') return tooManyRequests(rate, decision)
    return withFields(await next(req), limitFields(rate, decision))
  }
  return Object.assign(stage, { waiting: () => limiter.waiting?.() ?? 0 })
}
