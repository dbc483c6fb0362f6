/** The store in this process: keyv over an LRU that is bounded in bytes. Slots are kept as they are, not serialised. */
import Keyv from 'keyv'
import { LRUCache } from 'lru-cache'
import type { Reason } from '../../core/reasons.ts'
import { Entry } from '../entry.ts'
import { Index, type Put, type Slot, type Standing, type Store, Tombstone } from './store.ts'

/** A slot on its way in, and what became of it: keyv's own answer is only yes or no. */
class Coming {
  readonly slot: Slot
  readonly askedAt: number
  put: Put = { kept: 'stored' }

  constructor(slot: Slot, askedAt: number) {
    this.slot = slot
    this.askedAt = askedAt
  }
}

/** What is kept under a key. */
interface Kept {
  readonly value: Slot
  /** By the system's clock, as keyv has it. */
  readonly expires: number | undefined
  readonly guard: number
}

/** What keyv hands to an adapter when it does not serialise. */
interface Given {
  readonly value: Coming
  readonly expires?: number
}

/**
 * Costs that were measured on Node 20 (heap and buffers over 50,000 entries): of a key in the maps of the LRU, of an
 * Entry with its parts, of a string beyond its characters with its place in an array, of a body beyond its bytes.
 */
const KEY_BYTES = 250
const ENTRY_BYTES = 420
const TEXT_BYTES = 28
const BODY_BYTES = 230
const VARIANT_BYTES = 160

const textBytes = (texts: ReadonlyArray<string | undefined>): number => {
  let bytes = 0
  for (const text of texts) bytes += text === undefined ? 8 : text.length + TEXT_BYTES
  return bytes
}

/** Bytes in memory of what is kept under a key: fields, keys and the maps' own share counted. */
const sizeOf = ({ value }: { readonly value: Slot }, key: string): number => {
  const own = key.length + KEY_BYTES
  if (value instanceof Entry) {
    const { fields, selection, url, body } = value.parts
    return own + ENTRY_BYTES + textBytes(fields) + textBytes(selection) + url.length + BODY_BYTES + body.length
  }
  if (value instanceof Index) {
    let bytes = own
    for (const variant of value.variants)
      bytes += VARIANT_BYTES + variant.key.length + textBytes(variant.selection)
    return bytes
  }
  return own
}

/** A body may be a view of much more memory than its own bytes, which it would hold. */
const compact = (slot: Slot): Slot => {
  if (!(slot instanceof Entry)) return slot
  const { body } = slot.parts
  if (body.buffer.byteLength <= body.length + 1024) return slot
  const own = Buffer.allocUnsafeSlow(body.length)
  body.copy(own)
  return new Entry({ ...slot.parts, body: own })
}

/** Why keys were dropped is remembered for so many of them, and for so many characters of keys. */
const REMEMBERED = 10_000
const REMEMBERED_CHARACTERS = 4 * 1024 * 1024

/** keyv's own Map never evicts; this does, least recently used first. */
class LruAdapter {
  namespace: string | undefined
  readonly opts = {}
  evictions = 0
  readonly dropped = new LRUCache<string, Reason>({
    max: REMEMBERED,
    maxSize: REMEMBERED_CHARACTERS,
    sizeCalculation: (_reason, key) => key.length + 1,
  })
  readonly lru: LRUCache<string, Kept>
  readonly #maxBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = Math.max(1, Math.floor(maxBytes))
    this.lru = new LRUCache<string, Kept>({
      maxSize: this.#maxBytes,
      sizeCalculation: sizeOf,
      dispose: (_kept, key, reason) => {
        if (reason !== 'evict') return
        this.evictions++
        this.dropped.set(key, 'evicted-size')
      },
    })
  }

  get(key: string): Kept | undefined {
    return this.#fresh(key, this.lru.get(key))
  }

  peek(key: string): Kept | undefined {
    return this.#fresh(key, this.lru.peek(key))
  }

  #fresh(key: string, kept: Kept | undefined): Kept | undefined {
    if (kept?.expires === undefined || Date.now() <= kept.expires) return kept
    this.lru.delete(key)
    if (!(kept.value instanceof Tombstone)) this.dropped.set(key, 'evicted-age')
    return undefined
  }

  set(key: string, { value: coming, expires }: Given): boolean {
    const before = this.peek(key)
    const guard = before?.guard ?? 0
    if (guard > coming.askedAt) {
      coming.put = { kept: 'invalidated' }
      return false
    }
    const { slot } = coming
    const replaced = before?.value instanceof Index ? before.value : undefined
    const kept = { value: slot, expires, guard: slot instanceof Tombstone ? Math.max(guard, slot.at) : guard }
    if (sizeOf(kept, key) > this.#maxBytes) {
      // lru-cache would leave it out and say nothing; an older one must not stay in its place.
      this.lru.delete(key)
      this.dropped.set(key, 'evicted-size')
      coming.put = { kept: 'too-large', replaced }
      return false
    }
    coming.put = { kept: 'stored', replaced }
    this.dropped.delete(key)
    this.lru.set(key, kept)
    return true
  }

  delete(key: string): boolean {
    return this.lru.delete(key)
  }

  clear(): void {
    this.lru.clear()
    this.dropped.clear()
  }
}

const EMPTY = Buffer.alloc(0)

const standing = ({ value, guard }: Kept): Standing => {
  if (!(value instanceof Entry)) return { slot: value, bodyBytes: 0, guard }
  const slot = new Entry({ ...value.parts, body: EMPTY })
  slot.hits = value.hits
  return { slot, bodyBytes: value.body.length, guard }
}

/** A store of at most so many bytes. */
export const memoryStore = (maxBytes: number): Store => {
  const adapter = new LruAdapter(maxBytes)
  const keyv = new Keyv<Slot | Coming>({ store: adapter, useKeyPrefix: false })
  // Its default serialisation costs 10–500 µs a call; slots never leave the process.
  keyv.serialize = undefined
  keyv.deserialize = undefined
  return {
    kind: 'memory',
    timeoutMs: Number.POSITIVE_INFINITY,
    get: (key) => keyv.get(key) as Promise<Slot | undefined>,
    async peek(key) {
      const kept = adapter.peek(key)
      return kept === undefined ? undefined : standing(kept)
    },
    async set(key, slot, keepMs, askedAt = Number.POSITIVE_INFINITY) {
      const coming = new Coming(compact(slot), askedAt)
      // A TTL that is no integer is silently not stored by some adapters of keyv.
      await keyv.set(key, coming, Math.max(1, Math.ceil(keepMs)))
      return coming.put
    },
    async delete(key) {
      await keyv.delete(key)
    },
    whyGone: (key) => adapter.dropped.get(key),
    async *keys(prefix, most = Number.POSITIVE_INFINITY) {
      // A copy of the keys: what is evicted or stored meanwhile must not end or double the walk.
      const all: string[] = []
      for (const key of adapter.lru.keys()) {
        if (all.length >= most) break
        all.push(key)
      }
      for (const key of all) if (key.startsWith(prefix) && adapter.peek(key) !== undefined) yield key
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
