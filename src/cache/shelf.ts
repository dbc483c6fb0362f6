/**
 * Responses by URI and variant, over any store.
 *
 * - What is under way in this process is seen at once: a lookup waits for a write to its key that began before it.
 * - An answer that was asked for before its URI was invalidated is not stored (RFC 9111 §4.4), whoever invalidated it.
 * - What the store could not be told of an invalidation is owed to it: this process serves nothing older meanwhile.
 * - Whatever the store does, no call takes longer than its deadline; a write that does goes on behind.
 * - Processes that write the index of one URI at the same moment may lose a variant: a miss, never a wrong answer.
 */
import { randomBytes } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import type { Reason, StorageReason } from '../core/reasons.ts'
import type { Fields } from '../core/types.ts'
import { type Selection, selectionOf, varyNames } from '../http/vary.ts'
import { Entry } from './entry.ts'
import { keysOf, type Listed, type Looked, list, lookAt, nearest, VARIANT_MARK } from './listing.ts'
import { Owed } from './owed.ts'
import { type Found, languageOf, nothing, select } from './selecting.ts'
import { keepMs } from './storable.ts'
import { within } from './store/deadline.ts'
import { Index, type Store, Tombstone, type Variant } from './store/store.ts'

/**
 * What dropping came to: there was something, there was nothing, or the store is away: then it counts in this process
 * and the store is told as soon as it answers.
 */
export type Dropped = 'dropped' | 'nothing' | 'owed'

const MAX_VARIANTS = 100
/** How long it is remembered why a URI has nothing; longer than any fetch that it must keep out. */
const TOMBSTONE_MS = 600_000

export class Shelf {
  readonly store: Store
  readonly #clock: Clock
  readonly #concealed: (name: string) => boolean
  readonly #writes = new Map<string, Promise<unknown>>()
  readonly #onDrop: (key: string) => void
  readonly #owed: Owed
  /** Keeps the keys of variants apart from those of other processes. */
  readonly #mark = randomBytes(9).toString('base64url')
  #lastVariant = 0

  /**
   * `concealed` says which field's values must not show in details; `onDrop` is told of each key as soon as it is to be
   * dropped.
   */
  constructor(
    store: Store,
    clock: Clock,
    concealed: (name: string) => boolean,
    onDrop: (key: string) => void = () => {},
  ) {
    this.store = store
    this.#clock = clock
    this.#concealed = concealed
    this.#onDrop = onDrop
    this.#owed = new Owed((key, tombstone) => this.#write(key, () => this.#bury(key, tombstone)))
  }

  /** A response that can be told without waiting, and has no variants; undefined where `find` has to look. */
  atHand(key: string): Entry | undefined {
    if (this.#writes.size > 0 || this.#owed.some) return undefined
    const slot = this.store.atHand?.(key)
    return slot instanceof Entry ? slot : undefined
  }

  /** The newest stored response that matches (RFC 9111 §4.1). Rejects with a StoreError. */
  async find(key: string, headers: Fields): Promise<Found> {
    const startedAt = performance.now()
    const write = this.#writes.size === 0 ? undefined : this.#writes.get(key)
    const waited = write !== undefined
    if (waited) await within(this.store.timeoutMs, write)
    if (this.#owed.some) {
      const owed = this.#owed.get(key)
      if (owed !== undefined) {
        this.#owed.pay()
        return { entry: undefined, reason: owed.reason }
      }
    }
    const left = (): number => this.store.timeoutMs - (performance.now() - startedAt)
    const slot = await (waited ? this.store.get(key, left()) : this.store.get(key))
    if (this.#owed.some) this.#owed.pay()
    if (slot === undefined) {
      const gone = this.store.whyGone(key)
      return gone === undefined ? nothing : { entry: undefined, reason: gone }
    }
    if (slot instanceof Entry) return this.#owed.outdates(slot) ? invalidated : { entry: slot, reason: 'hit' }
    if (slot instanceof Tombstone) return { entry: undefined, reason: slot.reason }
    return this.#select(slot, headers, left)
  }

  async #select(index: Index, headers: Fields, left: () => number): Promise<Found> {
    const load = async ({ key }: Variant): Promise<Entry | undefined> => {
      const slot = await this.store.get(key, left())
      return slot instanceof Entry && !this.#owed.outdates(slot) ? slot : undefined
    }
    return select(index, headers, {
      load,
      whyGone: (key) => this.store.whyGone(key),
      concealed: this.#concealed,
    })
  }

  /** Stores a response as answer to a request with these fields. Never rejects; says what became of it. */
  async save(key: string, entry: Entry): Promise<'stored' | StorageReason> {
    try {
      const saved = this.#write(key, () => this.#put(key, entry))
      return await within(this.store.timeoutMs + savingMs(entry), saved)
    } catch {
      // The store's own watch tells the user that it is away.
      return 'store-down'
    }
  }

  async #put(key: string, entry: Entry): Promise<'stored' | StorageReason> {
    const askedAt = entry.parts.requestedAt
    const owed = this.#owed.get(key)
    if (owed !== undefined) {
      if (owed.at > askedAt) return 'invalidated'
      // Before anything newer: that would bring older variants back, and let in what others asked for before.
      await this.#bury(key, owed)
    }
    const keep = keepMs(entry, this.#clock.now())
    if (entry.parts.selection.length > 0) return this.#putVariant(key, entry, keep)
    const { kept, replaced } = await this.store.set(key, entry, keep, askedAt)
    this.#forget(replaced?.variants)
    return kept
  }

  async #putVariant(
    key: string,
    entry: Entry,
    keep: number,
    again = false,
  ): Promise<'stored' | StorageReason> {
    const { requestedAt, receivedAt, selection } = entry.parts
    const standing = await this.store.peek(key)
    if (standing !== undefined && standing.guard > requestedAt) return 'invalidated'
    const now = this.#clock.now()
    const known = standing?.slot instanceof Index ? standing.slot.variants : []
    const variant: Variant = {
      // Always a new one: what is replaced may be read at this moment, or belong to an index that is gone.
      key: `${key}${VARIANT_MARK}${this.#mark}.${++this.#lastVariant}`,
      selection,
      dateAt: entry.dateAt,
      receivedAt,
      bytes: entry.bytes,
      keepUntil: now + keep,
      language: languageOf(entry.fields, selection),
    }
    const others = known.filter((each) => each.keepUntil > now && !sameSelection(each.selection, selection))
    const variants = [variant, ...others.slice(0, MAX_VARIANTS - 1)].sort(
      (a, b) => b.dateAt - a.dateAt || b.receivedAt - a.receivedAt,
    )
    const stored = await this.store.set(variant.key, entry, keep)
    if (stored.kept !== 'stored') return stored.kept
    const keepIndex = Math.max(TOMBSTONE_MS, ...variants.map(({ keepUntil }) => keepUntil - now))
    let indexed: Awaited<ReturnType<Store['set']>> | undefined
    try {
      // Only over what was looked at: variants of which the store was told meanwhile that they are dropped stay so.
      indexed = await this.store.set(key, new Index(variants), keepIndex, standing?.guard ?? 0)
    } finally {
      // An index that may not stand must not leave its variant behind.
      if (indexed?.kept !== 'stored') this.#forget([variant])
    }
    if (indexed.kept === 'invalidated' && !again) return this.#putVariant(key, entry, keep, true)
    if (indexed.kept !== 'stored') return indexed.kept
    const kept = new Set(variants.map((each) => each.key))
    this.#forget([...known, ...(indexed.replaced?.variants ?? [])].filter((each) => !kept.has(each.key)))
    return 'stored'
  }

  /** Drops entries that no index names any more; nobody waits for that. */
  #forget(variants: readonly Variant[] | undefined): void {
    for (const { key } of variants ?? []) {
      this.store.delete(key).catch(() => {
        // It stays until it expires, and nobody asks for it.
      })
    }
  }

  /** Drops all that is stored for a URI, and keeps out what was asked for until now. Never rejects. */
  async drop(key: string, reason: Reason): Promise<Dropped> {
    const tombstone = new Tombstone(reason, this.#clock.now())
    this.#owed.add(key, tombstone)
    this.#onDrop(key)
    try {
      const had = await within(
        this.store.timeoutMs,
        this.#write(key, () => this.#bury(key, tombstone)),
      )
      return had ? 'dropped' : 'nothing'
    } catch {
      this.#owed.payLater()
      return 'owed'
    }
  }

  async #bury(key: string, tombstone: Tombstone): Promise<boolean> {
    // A newer answer may have been stored while this was owed.
    if (this.#owed.get(key) !== tombstone) return false
    const standing = await this.store.peek(key)
    const had = standing !== undefined && !(standing.slot instanceof Tombstone)
    // Why there is nothing is what made it so: dropping nothing is no reason.
    const reason = had
      ? tombstone.reason
      : standing?.slot instanceof Tombstone
        ? standing.slot.reason
        : 'uri-miss'
    const { replaced } = await this.store.set(key, new Tombstone(reason, tombstone.at), TOMBSTONE_MS)
    this.#owed.settle(key, tombstone.at)
    this.#forget(replaced?.variants)
    return had
  }

  /** What is owed to the store stays owed. */
  close(): void {
    this.#owed.close()
  }

  /** Keys of URIs that begin so, perhaps some twice, and some under which nothing is stored any more. */
  keys(prefix: string): AsyncIterable<string> {
    return keysOf(this.store, prefix)
  }

  /** What is stored under keys that begin so, one line a URI. Rejects with a StoreError. */
  list(prefix: string): AsyncIterable<Listed> {
    return list(this.store, prefix)
  }

  /** What stands under a key, its variants with it; bodies left out. Rejects with a StoreError. */
  slotOf(key: string): Promise<Looked | undefined> {
    return lookAt(this.store, key)
  }

  /** The stored key that is most like this one, among about 2,000. Rejects with a StoreError. */
  nearest(key: string): Promise<string | undefined> {
    return nearest(this.store, key)
  }

  /** Runs writes to one key one after another. */
  async #write<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#writes.get(key)
    const running = before === undefined ? work() : before.then(work)
    const settled = running.then(
      () => {},
      () => {},
    )
    this.#writes.set(key, settled)
    try {
      return await running
    } finally {
      if (this.#writes.get(key) === settled) this.#writes.delete(key)
    }
  }
}

const invalidated: Found = { entry: undefined, reason: 'invalidated-by-unsafe' }

/** A large body takes its time on the way to a store elsewhere. */
const savingMs = (entry: Entry): number => entry.body.length / 10_000

const sameSelection = (a: Selection, b: Selection): boolean =>
  a.length === b.length && a.every((value, i) => value === b[i])

/**
 * What a response's Vary selects by in the request that it answers, but for `ignored` names; a `*` must have been
 * refused before.
 */
export const selectionFor = (
  responseFields: Fields,
  requestHeaders: Fields,
  ignored?: ReadonlySet<string>,
): Selection => {
  const names = varyNames(responseFields)
  if (names === '*') return []
  return selectionOf(
    requestHeaders,
    ignored === undefined ? names : names.filter((name) => !ignored.has(name)),
  )
}
