/**
 * The rejecting limiter: at most N requests of a key in a window, the rest are refused at once.
 *
 * - The window is fixed and starts with the first request of its key, so two windows' worth may pass within a short
 *   time around the end of one.
 * - With Redis, all processes that share it share the counts. While Redis is away or slow, each process counts by
 *   itself, from zero: more may pass then, but nothing fails and nothing waits.
 * - In memory, so many keys are counted apart; all further ones that come before old windows end count as one.
 */
import { RateLimiterMemory, RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible'
import type { Rate } from '../core/values.ts'
import { type Decision, type Limiter, OVERFLOW_KEY } from './limiter.ts'
import type { SharedRedis } from './shared.ts'

/** About 45 MB: a key costs records and a timer. */
const MAX_KEYS = 50_000
/** After a failure Redis is left alone for that long; then one request tries it. */
const RETRY_AFTER_MS = 1000

/**
 * Instead of the library's script, which counts in whole seconds and gives keys of shorter windows no end at all.
 * The library passes `duration` through as it is, so it is given milliseconds.
 */
const COUNT_SCRIPT = `redis.call('set', KEYS[1], 0, 'PX', ARGV[2], 'NX')
local consumed = redis.call('incrby', KEYS[1], ARGV[1])
local ttl = redis.call('pttl', KEYS[1])
if ttl < 0 then
  redis.call('pexpire', KEYS[1], ARGV[2])
  ttl = tonumber(ARGV[2])
end
return {consumed, ttl}`

/** The library's memory limiter with a bound on its keys, each of which costs it a record and a timer. */
class BoundedMemory extends RateLimiterMemory {
  readonly #maxKeys: number
  readonly #windowMs: number
  /** When each key's window ends. All windows are equally long, so the order of insertion is that of the ends. */
  readonly #ends = new Map<string, number>()

  constructor(rate: Rate, maxKeys: number) {
    super({ points: rate.requests, duration: rate.windowMs / 1000, keyPrefix: '' })
    this.#maxKeys = maxKeys
    this.#windowMs = rate.windowMs
  }

  override consume(key: string | number): Promise<RateLimiterRes> {
    return super.consume(this.#bounded(String(key)))
  }

  #bounded(key: string): string {
    const now = Date.now()
    const end = this.#ends.get(key)
    if (end !== undefined && end > now) return key
    for (const [old, oldEnd] of this.#ends) {
      if (oldEnd > now) break
      this.#ends.delete(old)
    }
    if (this.#ends.size >= this.#maxKeys) return OVERFLOW_KEY
    this.#ends.set(key, now + this.#windowMs)
    return key
  }
}

/** What the library takes for a node-redis client: each call has a deadline, and a failure opens a pause. */
class GuardedRedis {
  readonly #redis: SharedRedis
  readonly #timeoutMs: number
  #retryAt: number | undefined

  constructor(redis: SharedRedis, timeoutMs: number) {
    this.#redis = redis
    this.#timeoutMs = timeoutMs
  }

  /** Asked by the library before each call. */
  isReady(): boolean {
    if (!this.#redis.isReady()) return false
    if (this.#retryAt === undefined) return true
    const now = performance.now()
    if (now < this.#retryAt) return false
    // This one request tries; the others keep clear until its answer is known.
    this.#retryAt = now + RETRY_AFTER_MS
    return true
  }

  eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const failed = (error: unknown): void => {
        clearTimeout(timer)
        this.#retryAt ??= performance.now() + RETRY_AFTER_MS
        reject(error)
      }
      const timer = setTimeout(() => failed(new Error('Redis did not answer in time')), this.#timeoutMs)
      this.#redis.client.eval(script, options).then((reply) => {
        clearTimeout(timer)
        this.#retryAt = undefined
        resolve(reply)
      }, failed)
    })
  }
}

/** Options of the rejecting limiter. */
export interface WindowOptions {
  readonly rate: Rate
  readonly redis?: SharedRedis | undefined
  /** A Redis that takes longer is passed over. */
  readonly redisTimeoutMs: number
  readonly maxKeys?: number
}

/** Admits N requests of a key in each window and refuses the others. */
export const windowLimiter = (options: WindowOptions): Limiter => {
  const rate = { ...options.rate, windowMs: Math.ceil(options.rate.windowMs) }
  const memory = new BoundedMemory(rate, options.maxKeys ?? MAX_KEYS)
  const limiter =
    options.redis === undefined
      ? memory
      : new RateLimiterRedis({
          storeClient: new GuardedRedis(options.redis, options.redisTimeoutMs),
          useRedisPackage: true,
          rejectIfRedisNotReady: true,
          points: rate.requests,
          duration: rate.windowMs,
          customIncrTtlLuaScript: COUNT_SCRIPT,
          // The rate is part of the key: proxies with different rates on one Redis must not end each other's windows.
          keyPrefix: `revproxy:limit:${rate.requests}/${rate.windowMs}`,
          insuranceLimiter: memory,
        })
  return {
    async take(key): Promise<Decision> {
      try {
        const result = await limiter.consume(key)
        return { verdict: 'admitted', remaining: result.remainingPoints, resetMs: result.msBeforeNext }
      } catch (refusal) {
        // The library rejects with its result when the limit is reached, and with an Error when it is broken.
        if (!(refusal instanceof RateLimiterRes)) throw refusal
        return { verdict: 'refused', remaining: 0, resetMs: refusal.msBeforeNext }
      }
    },
  }
}
