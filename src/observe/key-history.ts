/** What became of the last requests for each cache key, for `revproxy explain`. Bounded in keys and in length. */
import type { Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'

/** One request that touched a key. */
export interface KeyEvent {
  readonly id: number
  /** ms since the epoch. */
  readonly at: number
  readonly method: string
  readonly status: number
  readonly cause: 'client' | 'refresh'
  readonly cache: string
  readonly reason: string
  readonly detail?: string
  readonly storage?: string
}

const MAX_KEYS = 2000
const MAX_EVENTS = 8

/** An observer, and what it remembers of a key, newest first. */
export const keyHistory = (): { observer: Observer; of(key: string): readonly KeyEvent[] } => {
  const byKey = new Map<string, KeyEvent[]>()
  const remember = (exchange: Readonly<Exchange>): void => {
    const { cache, ended } = exchange
    if (cache?.key === undefined || ended === undefined || cache.key.length > 4096) return
    const events = byKey.get(cache.key) ?? []
    byKey.delete(cache.key)
    byKey.set(cache.key, events)
    if (byKey.size > MAX_KEYS) byKey.delete(byKey.keys().next().value!)
    events.unshift({
      id: exchange.id,
      at: ended.at,
      method: exchange.method,
      status: ended.status,
      cause: exchange.cause,
      cache: cache.status,
      reason: cache.reason,
      ...(cache.detail === undefined ? {} : { detail: cache.detail }),
      ...(cache.storage === undefined ? {} : { storage: cache.storage }),
    })
    events.length = Math.min(events.length, MAX_EVENTS)
  }
  return { observer: { ended: remember }, of: (key) => byKey.get(key) ?? [] }
}
