/**
 * The store in this process: keyv over an LRU that is bounded in bytes, and that counts fields, keys and its own maps.
 * What was asked for lately is kept as it is, not serialised; the rest is packed.
 */
import Keyv from 'keyv'
import { LRUCache } from 'lru-cache'
import type { Reason } from '../../core/reasons.ts'
import { Entry } from '../entry.ts'
import { tightenHeap } from './heap.ts'
import { type Packed, pack, packedBodyBytes, unpack } from './packed.ts'
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

/** What keyv hands to an adapter when it does not serialise. */
interface Given {
  readonly value: Coming
  readonly expires?: number
}

/** What is kept under a key. */
class Kept {
  /** By the system's clock, as keyv has it. */
  readonly expires: number | undefined
  readonly guard: number
  /** As it is. */
  #slot: Slot | undefined
  #packed: Packed | undefined

  constructor(slot: Slot, expires: number | undefined, guard: number) {
    if (slot instanceof Tombstone) this.#slot = slot
    else this.#packed = pack(slot)
    this.expires = expires
    this.guard = guard
  }

  get value(): Slot {
    return this.#slot ?? unpack(this.#packed!)
  }

  get isLoose(): boolean {
    return this.#slot !== undefined
  }

  /** Keeps it as it is beside its packed form, so that it need not be unpacked each time. */
  loosen(slot: Slot): void {
    this.#slot = slot
  }

  tighten(): void {
    // Nothing of it changes but how often it was served.
    if (this.#slot instanceof Entry && this.#packed !== undefined) this.#packed.hits = this.#slot.hits
    if (this.#packed !== undefined) this.#slot = undefined
  }

  /** It was served so many times from a copy. */
  served(times: number): void {
    if (this.#slot instanceof Entry) this.#slot.hits += times
    else if (this.#packed !== undefined) this.#packed.hits += times
  }

  /** What there is to look at; it stays as it is. */
  standing(): Standing {
    const { guard } = this
    const packed = this.#packed
    if (packed === undefined) return { slot: this.#slot!, bodyBytes: 0, guard }
    const slot = unpack(packed, true)
    if (this.#slot instanceof Entry && slot instanceof Entry) slot.hits = this.#slot.hits
    return { slot, bodyBytes: slot instanceof Entry ? packedBodyBytes(packed) : 0, guard }
  }
}

/**
 * Costs that were measured on Node 20, over 50,000 entries: of a key in the maps of the LRU with a packed slot (350 to
 * 450, and the rest for what the collector leaves until it runs), of a text or a number in a JSON head; and as objects,
 * of an Entry with what is read off it once, of a string beyond its characters with its place in an array.
 */
const KEY_BYTES = 800
const HEAD_BYTES = 160
const HEAD_TEXT_BYTES = 4
const VARIANT_BYTES = 100
const OBJECT_BYTES = 760
const OBJECT_TEXT_BYTES = 20

const textBytes = (texts: ReadonlyArray<string | undefined>, each: number): number => {
  let bytes = 0
  for (const text of texts) bytes += (text === undefined ? 0 : text.length) + each
  return bytes
}

/** Bytes of a slot when it is packed, its key and the maps' own share counted. */
const sizeOf = (slot: Slot, key: string): number => {
  const own = key.length + KEY_BYTES
  if (slot instanceof Entry) {
    const { fields, selection, url, body } = slot.parts
    const texts = textBytes(fields, HEAD_TEXT_BYTES) + textBytes(selection, HEAD_TEXT_BYTES)
    return own + HEAD_BYTES + texts + url.length + body.length
  }
  if (!(slot instanceof Index)) return own
  let bytes = own
  for (const { key: filed, selection } of slot.variants)
    bytes += VARIANT_BYTES + filed.length + textBytes(selection, HEAD_TEXT_BYTES)
  return bytes
}

/** Bytes that a slot takes beyond that while it is not packed. */
const looseSizeOf = (slot: Slot): number => {
  if (slot instanceof Entry)
    return (
      OBJECT_BYTES +
      textBytes(slot.fields, OBJECT_TEXT_BYTES) +
      // The same as one text, once it was written.
      textBytes(slot.fields, 2) +
      textBytes(slot.parts.selection, OBJECT_TEXT_BYTES)
    )
  if (!(slot instanceof Index)) return OBJECT_BYTES
  let bytes = OBJECT_BYTES
  for (const { key, selection } of slot.variants)
    bytes += OBJECT_BYTES / 4 + key.length + textBytes(selection, OBJECT_TEXT_BYTES)
  return bytes
}

/** Why keys were dropped is remembered for so many of them, and for so many characters of keys. */
const REMEMBERED = 10_000
const REMEMBERED_CHARACTERS = 4 * 1024 * 1024
/** Share of the whole for what is not packed, and the most that it may be. */
const LOOSE_SHARE = 1 / 8
const MOST_LOOSE_BYTES = 16 * 1024 * 1024
/** A store that holds more than that is large: what the collector leaves behind counts. */
const LARGE_BYTES = 32 * 1024 * 1024

/**
 * A large entry may put out thousands of small ones. Each takes 1 µs, and several when the collector has to follow; in
 * one go 8 MB over entries of 100 bytes held up the event loop for 6 ms at 128 MB and for 14 to 170 at 4 GB.
 */
const EVICTED_AT_ONCE = 100
const EVICTED_A_TURN = 500
/** Until the others have gone the store may be over its bound by that share, and no more than that. */
const OVER_SHARE = 1 / 4
const MOST_OVER_BYTES = 128 * 1024 * 1024

/** keyv's own Map never evicts; this does, least recently used first, and not too many in one turn of the event loop. */
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
  /** What is not packed. */
  readonly #loose: LRUCache<string, Kept>
  readonly #maxBytes: number
  #turn: NodeJS.Immediate | undefined

  constructor(maxBytes: number) {
    const looseBytes = Math.min(MOST_LOOSE_BYTES, Math.floor(maxBytes * LOOSE_SHARE))
    this.#maxBytes = Math.max(1, Math.floor(maxBytes) - looseBytes)
    this.lru = new LRUCache<string, Kept>({
      // Whatever comes, and however fast; what is over its own bound goes by and by.
      maxSize: this.#maxBytes + Math.min(MOST_OVER_BYTES, Math.floor(this.#maxBytes * OVER_SHARE)),
      dispose: (_kept, key, reason) => {
        if (reason !== 'set') this.#loose.delete(key)
        if (reason !== 'evict') return
        this.evictions++
        this.dropped.set(key, 'evicted-size')
      },
    })
    this.#loose = new LRUCache<string, Kept>({
      maxSize: Math.max(1, looseBytes),
      dispose: (kept, _key, reason) => {
        if (reason === 'evict') kept.tighten()
      },
    })
  }

  get bytes(): number {
    return this.lru.calculatedSize + this.#loose.calculatedSize
  }

  get(key: string): { value: Slot; expires: number | undefined } | undefined {
    const kept = this.#fresh(key, this.lru.get(key))
    if (kept === undefined) return undefined
    const { expires, value } = kept
    if (kept.isLoose) this.#loose.get(key)
    else this.#loosen(key, kept, value)
    return { value, expires }
  }

  /** What is not packed, and has not expired. */
  atHand(key: string): Slot | undefined {
    const kept = this.#loose.get(key)
    return kept === undefined || this.#fresh(key, kept) === undefined ? undefined : this.lru.get(key)?.value
  }

  peek(key: string): Kept | undefined {
    return this.#fresh(key, this.lru.peek(key))
  }

  #fresh(key: string, kept: Kept | undefined): Kept | undefined {
    if (kept?.expires === undefined || Date.now() <= kept.expires) return kept
    const wasStored = !(kept.standing().slot instanceof Tombstone)
    this.lru.delete(key)
    if (wasStored) this.dropped.set(key, 'evicted-age')
    return undefined
  }

  /** What is asked for is not packed again before others were asked for. */
  #loosen(key: string, kept: Kept, slot: Slot): void {
    const size = looseSizeOf(slot)
    if (size > this.#loose.maxSize) return
    kept.loosen(slot)
    this.#loose.set(key, kept, { size })
  }

  set(key: string, { value: coming, expires }: Given): boolean {
    const before = this.peek(key)
    const guard = before?.guard ?? 0
    if (guard > coming.askedAt) {
      coming.put = { kept: 'invalidated' }
      return false
    }
    const { slot } = coming
    const stood = before?.standing().slot
    const replaced = stood instanceof Index ? stood : undefined
    const size = sizeOf(slot, key)
    if (size > this.#maxBytes) {
      // lru-cache would leave it out and say nothing; an older one must not stay in its place.
      this.lru.delete(key)
      this.dropped.set(key, 'evicted-size')
      coming.put = { kept: 'too-large', replaced }
      return false
    }
    coming.put = { kept: 'stored', replaced }
    this.dropped.delete(key)
    const kept = new Kept(slot, expires, slot instanceof Tombstone ? Math.max(guard, slot.at) : guard)
    this.#loose.delete(key)
    this.lru.set(key, kept, { size })
    this.#makeRoom(EVICTED_AT_ONCE)
    if (this.lru.calculatedSize > LARGE_BYTES) tightenHeap()
    return true
  }

  /** Evicts so many at the most; the rest in the turns that follow. */
  #makeRoom(most: number): void {
    for (let left = most; this.lru.calculatedSize > this.#maxBytes; left--) {
      if (left === 0) {
        this.#turn ??= setImmediate(() => {
          this.#turn = undefined
          this.#makeRoom(EVICTED_A_TURN)
        })
        return
      }
      this.lru.pop()
    }
  }

  delete(key: string): boolean {
    return this.lru.delete(key)
  }

  clear(): void {
    this.lru.clear()
    this.dropped.clear()
  }
}

const absent: Promise<undefined> = Promise.resolve(undefined)

/** Slots at hand; what is kept is no view of larger memory. */
export interface Copies {
  get(key: string): Slot | undefined
  keep(key: string, slot: Slot, keepMs: number): void
  drop(key: string): void
  clear(): void
  readonly bytes: number
}

/** Slots of at most so many bytes, at once and without a word about what became of them. */
export const copies = (maxBytes: number): Copies => {
  const adapter = new LruAdapter(maxBytes)
  return {
    get: (key) => adapter.get(key)?.value,
    keep(key, slot, keepMs) {
      adapter.set(key, { value: new Coming(slot, Number.POSITIVE_INFINITY), expires: Date.now() + keepMs })
    },
    drop: (key) => void adapter.delete(key),
    clear: () => adapter.clear(),
    get bytes() {
      return adapter.bytes
    },
  }
}

/** The store in this process. */
export interface MemoryStore extends Store {
  /** What stands under the key was used elsewhere, and served so many times. */
  used(key: string, times: number): void
}

/** A store of at most so many bytes. */
export const memoryStore = (maxBytes: number): MemoryStore => {
  const adapter = new LruAdapter(maxBytes)
  const keyv = new Keyv<Slot | Coming>({ store: adapter, useKeyPrefix: false })
  // Its default serialisation costs 10–500 µs a call; slots never leave the process.
  keyv.serialize = undefined
  keyv.deserialize = undefined
  return {
    kind: 'memory',
    timeoutMs: Number.POSITIVE_INFINITY,
    atHand: (key) => adapter.atHand(key),
    // What is not there need not be asked for: that costs a miss 1 µs.
    get: (key) => (adapter.lru.has(key) ? (keyv.get(key) as Promise<Slot | undefined>) : absent),
    async peek(key) {
      return adapter.peek(key)?.standing()
    },
    async set(key, slot, keepMs, askedAt = Number.POSITIVE_INFINITY) {
      const coming = new Coming(slot, askedAt)
      // A TTL that is no integer is silently not stored by some adapters of keyv.
      await keyv.set(key, coming, Math.max(1, Math.ceil(keepMs)))
      return coming.put
    },
    async delete(key) {
      await keyv.delete(key)
    },
    whyGone: (key) => adapter.dropped.get(key),
    used: (key, times) => adapter.lru.get(key)?.served(times),
    async *keys(prefix, most = Number.POSITIVE_INFINITY) {
      // A copy of the keys: what is evicted or stored meanwhile must not end or double the walk.
      const all: string[] = []
      for (const key of adapter.lru.keys()) {
        if (all.length >= most) break
        all.push(key)
      }
      for (const key of all) if (key.startsWith(prefix) && adapter.peek(key) !== undefined) yield key
    },
    stats: () => ({ entries: adapter.lru.size, bytes: adapter.bytes, evictions: adapter.evictions }),
    async close() {
      adapter.clear()
    },
  }
}
