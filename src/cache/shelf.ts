/**
 * Responses by URI and variant, over any store.
 *
 * - What is under way in this process is seen at once: a lookup waits for a write to its key that began before it.
 * - An answer that was asked for before its URI was invalidated is not stored (RFC 9111 §4.4), whoever invalidated it.
 * - Processes that write the index of one URI at the same moment may lose a variant: a miss, never a wrong answer.
 */
import type { Clock } from '../core/clock.ts'
import type { Reason, StorageReason } from '../core/reasons.ts'
import type { Fields } from '../core/types.ts'
import { differingField, type Selection, selectionOf, varyNames } from '../http/vary.ts'
import { Entry } from './entry.ts'
import { keepMs } from './storable.ts'
import { Index, type Slot, type Store, StoreError, Tombstone, type Variant } from './store/store.ts'

/** What a lookup found: a selected entry, or why there is none. */
export interface Found {
  readonly entry: Entry | undefined
  readonly reason: Reason
  readonly detail?: string
  /** Names that the stored variants vary on, where there are any. */
  readonly varyOn?: readonly string[]
}

const MAX_VARIANTS = 100
/** How long it is remembered why a URI has nothing; longer than any fetch that it must keep out. */
const TOMBSTONE_MS = 600_000
/** Shown of a selecting value that did not match. */
const SHOWN = 60

const nothing: Found = { entry: undefined, reason: 'uri-miss' }

export class Shelf {
  readonly store: Store
  readonly #clock: Clock
  readonly #concealed: (name: string) => boolean
  readonly #writes = new Map<string, Promise<unknown>>()
  #lastVariant = 0

  /** `concealed` says which field's values must not show in details. */
  constructor(store: Store, clock: Clock, concealed: (name: string) => boolean) {
    this.store = store
    this.#clock = clock
    this.#concealed = concealed
  }

  /** The newest stored response that matches (RFC 9111 §4.1). Rejects with a StoreError. */
  async find(key: string, headers: Fields): Promise<Found> {
    if (this.#writes.size !== 0) await this.#writes.get(key)
    const slot = await this.store.get(key)
    if (slot === undefined) {
      const gone = this.store.whyGone(key)
      return gone === undefined ? nothing : { entry: undefined, reason: gone }
    }
    if (slot instanceof Entry) return { entry: slot, reason: 'hit' }
    if (slot instanceof Tombstone) return { entry: undefined, reason: slot.reason }
    return this.#select(slot, headers)
  }

  async #select(index: Index, headers: Fields): Promise<Found> {
    let nearest: { name: string; stored: string | undefined; given: string | undefined } | undefined
    let dropped: Reason | undefined
    // Newest first, so the first match is the one to use.
    for (const variant of index.variants) {
      const difference = differingField(variant.selection, headers)
      if (difference !== undefined) {
        nearest ??= difference
        continue
      }
      const slot = await this.store.get(variant.key)
      if (slot instanceof Entry) return { entry: slot, reason: 'hit', varyOn: namesOf(variant.selection) }
      dropped ??= this.store.whyGone(variant.key) ?? 'uri-miss'
    }
    const varyOn = index.variants[0] === undefined ? [] : namesOf(index.variants[0].selection)
    if (dropped !== undefined) return { entry: undefined, reason: dropped, varyOn }
    if (nearest === undefined) return nothing
    return { entry: undefined, reason: 'vary-miss', detail: this.#describe(nearest), varyOn }
  }

  #describe({
    name,
    stored,
    given,
  }: {
    name: string
    stored: string | undefined
    given: string | undefined
  }): string {
    if (this.#concealed(name)) return name
    const show = (value: string | undefined) =>
      value === undefined ? 'none' : value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value
    return `${name} (stored ${show(stored)}, given ${show(given)})`
  }

  /** Stores a response as answer to a request with these fields. Never rejects; says what became of it. */
  save(key: string, entry: Entry): Promise<'stored' | StorageReason> {
    return this.#write(key, async () => {
      const there = await this.store.peek(key)
      if (there?.kind === 'tombstone' && there.at > entry.parts.requestedAt) return 'invalidated'
      const keep = keepMs(entry, this.#clock.now())
      if (entry.parts.selection.length === 0) {
        await this.store.set(key, entry, keep)
        return 'stored'
      }
      const slot = there?.kind === 'index' ? await this.store.get(key) : undefined
      await this.#saveVariant(key, entry, slot, keep)
      return 'stored'
    })
  }

  async #saveVariant(key: string, entry: Entry, slot: Slot | undefined, keep: number): Promise<void> {
    const known = slot instanceof Index ? slot.variants : []
    const same = known.find(({ selection }) => sameSelection(selection, entry.parts.selection))
    const variant: Variant = {
      key:
        same?.key ??
        `${key}\n${this.#clock.now().toString(36)}.${process.pid.toString(36)}.${++this.#lastVariant}`,
      selection: entry.parts.selection,
      dateAt: entry.dateAt,
      receivedAt: entry.parts.receivedAt,
      bytes: entry.bytes,
    }
    const others = known.filter((each) => each !== same)
    const variants = [variant, ...others].sort((a, b) => b.dateAt - a.dateAt || b.receivedAt - a.receivedAt)
    await this.store.set(variant.key, entry, keep)
    for (const { key: old } of variants.splice(MAX_VARIANTS)) await this.store.delete(old)
    await this.store.set(key, new Index(variants), Math.max(keep, TOMBSTONE_MS))
  }

  /** Drops all that is stored for a URI, and keeps out what was asked for until now. Never rejects. */
  drop(key: string, reason: Reason): Promise<boolean> {
    const at = this.#clock.now()
    let had = false
    return this.#write(key, async () => {
      const there = await this.store.peek(key)
      had = there !== undefined && there.kind !== 'tombstone'
      if (there?.kind === 'index') {
        const slot = await this.store.get(key)
        if (slot instanceof Index) for (const variant of slot.variants) await this.store.delete(variant.key)
      }
      await this.store.set(key, new Tombstone(had ? reason : 'uri-miss', at), TOMBSTONE_MS)
      return 'stored'
    }).then(() => had)
  }

  async #write(
    key: string,
    work: () => Promise<'stored' | StorageReason>,
  ): Promise<'stored' | StorageReason> {
    const before = this.#writes.get(key)
    const running = (async () => {
      await before
      try {
        return await work()
      } catch (error) {
        // The store's own watch tells the user that it is away.
        if (error instanceof StoreError) return 'store-down'
        throw error
      }
    })()
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

const namesOf = (selection: Selection): string[] => selection.filter((_, i) => i % 2 === 0) as string[]

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
