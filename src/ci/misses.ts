/** What misses cost, by route and reason, and the one change that would help. */
import { lookupRemedies, storageRemedies } from '../cache/remedies.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Reason, StorageReason } from '../core/reasons.ts'

/** Misses of one route for one reason. */
export interface CostlyMisses {
  readonly route: string
  readonly reason: Reason
  /** Why the answer was not stored, where it was not. */
  readonly storage: StorageReason | undefined
  readonly count: number
  /** Time that clients waited for the upstream, all together. */
  readonly upstreamMs: number
  readonly remedy: string | undefined
}

/** Bounded: beyond so many routes and reasons further ones are not told apart. */
const MAX_GROUPS = 1000

/** Adds up misses. */
export const missCosts = () => {
  const groups = new Map<string, { -readonly [K in keyof CostlyMisses]: CostlyMisses[K] }>()
  return {
    /** `waitedMs` is what the client waited for the upstream. */
    add(route: string, { cache, ended }: Readonly<Exchange>, waitedMs: number): void {
      if (cache === undefined || (cache.status !== 'miss' && cache.status !== 'bypass')) return
      // What failed wants mending, not caching.
      if (ended === undefined || ended.status === 0 || ended.status >= 500) return
      if (cache.reason === 'method' || cache.reason === 'upgrade') return
      const storage = cache.storage === 'stored' ? undefined : cache.storage
      const key = `${route}\n${cache.reason}\n${storage ?? ''}`
      const group = groups.get(key)
      if (group !== undefined) {
        group.count++
        group.upstreamMs += waitedMs
        return
      }
      if (groups.size >= MAX_GROUPS) return
      groups.set(key, {
        route,
        reason: cache.reason,
        storage,
        count: 1,
        upstreamMs: waitedMs,
        remedy: remedyFor(cache.reason, storage, cache.detail),
      })
    },
    /** The costliest first. */
    costliest: (most: number): CostlyMisses[] =>
      [...groups.values()].sort((a, b) => b.upstreamMs - a.upstreamMs).slice(0, most),
  }
}

const remedyFor = (
  reason: Reason,
  storage: StorageReason | undefined,
  detail: string | undefined,
): string | undefined => {
  const remedy = lookupRemedies[reason] ?? (storage === undefined ? undefined : storageRemedies[storage])
  // The first word of a vary-miss is the field that differed.
  return detail === undefined || reason !== 'vary-miss'
    ? remedy
    : remedy?.replace('<name>', detail.split(/[\s,]/)[0]!)
}
