/** The store in this process: keyv over an LRU that is bounded in bytes. Slots are kept as they are, not serialised. */
import Keyv from 'keyv'
import { LRUCache } from 'lru-cache'
import type { Reason } from '../../core/reasons.ts'
import { Entry } from '../entry.ts'
import { Index, type Slot, type Store, Tombstone } from './store.ts'

/** What keyv hands to an adapter when it does not serialise. */
interface Kept {
  readonly value: Slot
  readonly expires?: number
}

/** Bytes of what is kept under a key, the key and the maps' own share counted. */
const sizeOf = ({ value }: Kept, key: string): number => {
  const own = key.length * 2 + 200
  if (value instanceof Entry) return own + value.bytes
  if (value instanceof Index) {
    return (
      own +
      value.variants.reduce(
        (sum, variant) => sum + variant.key.length * 2 + variant.selection.join('').length * 2 + 200,
        0,
      )
    )
  }
  return own
}

/** Why keys were dropped is remembered for so many of them. */
const REMEMBERED = 10_000

/** keyv's own Map never evicts; this does, least recently used first. */
class LruAdapter {
  namespace: string | undefined
  readonly opts = {}
  evictions = 0
  readonly dropped = new LRUCache<string, Reason>({ max: REMEMBERED })
  readonly lru: LRUCache<string, Kept>

  constructor(maxBytes: number) {
    this.lru = new LRUCache<string, Kept>({
      maxSize: Math.max(1, maxBytes),
      sizeCalculation: sizeOf,
      dispose: (_kept, key, reason) => {
        if (reason !== 'evict') return
        this.evictions++
        this.dropped.set(key, 'evicted-size')
      },
    })
  }

  get(key: string): Kept | undefined {
    return this.lru.get(key)
  }

  set(key: string, kept: Kept): boolean {
    // lru-cache silently leaves out what is larger than the whole; then an older one must not stay either.
    this.lru.set(key, kept)
    return true
  }

  delete(key: string): boolean {
    return this.lru.delete(key)
  }

  clear(): void {
    this.lru.clear()
  }
}

/** A store of at most so many bytes. */
export const memoryStore = (maxBytes: number): Store => {
  const adapter = new LruAdapter(maxBytes)
  const keyv = new Keyv<Slot>({ store: adapter, useKeyPrefix: false })
  // Its default serialisation costs 10–500 µs a call; slots never leave the process.
  keyv.serialize = undefined
  keyv.deserialize = undefined
  return {
    kind: 'memory',
    get: (key) => keyv.get(key) as Promise<Slot | undefined>,
    async peek(key) {
      const slot = adapter.lru.peek(key)?.value
      if (slot === undefined) return undefined
      if (slot instanceof Entry) return { kind: 'entry', at: slot.parts.receivedAt }
      return slot instanceof Tombstone ? { kind: 'tombstone', at: slot.at } : { kind: 'index', at: 0 }
    },
    async set(key, slot, keepMs) {
      adapter.dropped.delete(key)
      // A TTL that is no integer is silently not stored by some adapters of keyv.
      await keyv.set(key, slot, Math.max(1, Math.ceil(keepMs)))
    },
    async delete(key) {
      await keyv.delete(key)
    },
    whyGone: (key) => adapter.dropped.get(key),
    async *keys(prefix) {
      for (const key of [...adapter.lru.keys()]) if (key.startsWith(prefix)) yield key
    },
    stats: () => ({
      entries: adapter.lru.size,
      bytes: adapter.lru.calculatedSize,
      evictions: adapter.evictions,
    }),
    async close() {
      adapter.clear()
    },
  }
}
