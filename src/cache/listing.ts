/** What is stored, for people: listed, looked at, and found again under a similar name. Bodies are left where they are. */
import type { Reason } from '../core/reasons.ts'
import type { Selection } from '../http/vary.ts'
import { Entry } from './entry.ts'
import { type Standing, type Store, Tombstone } from './store/store.ts'

/** Stands in the keys of variants, after that of their URI; no key of a request has it. */
export const VARIANT_MARK = '\0'

/** One URI of a listing. Times in ms since the epoch. */
export interface Listed {
  readonly key: string
  /** Path and query. */
  readonly url: string
  /** Of the newest response. */
  readonly status: number
  /** Of all bodies. */
  readonly bytes: number
  /** When the newest was received. */
  readonly storedAt: number
  /** How many responses there are; 0 where Vary names nothing. */
  readonly variants: number
  /** The newest, without its body, for whatever else is to be told of it. */
  readonly entry: Entry
}

/** A stored response without its body. */
export interface LookedEntry {
  readonly entry: Entry
  readonly bodyBytes: number
}

/** What stands under a key. */
export type Looked =
  | ({ readonly kind: 'entry' } & LookedEntry)
  /** Newest first. A variant whose `stored` is undefined has been dropped or has expired by itself. */
  | {
      readonly kind: 'variants'
      readonly variants: ReadonlyArray<{
        readonly selection: Selection
        readonly dateAt: number
        readonly stored: LookedEntry | undefined
      }>
    }
  | { readonly kind: 'tombstone'; readonly reason: Reason; readonly at: number }

/** Keys that a search for a similar one looks at. */
const SEARCHED = 2000
/** Of the most similar ones, so many are looked at to find one that holds something. */
const CANDIDATES = 8

const entryIn = (standing: Standing | undefined): LookedEntry | undefined =>
  standing?.slot instanceof Entry ? { entry: standing.slot, bodyBytes: standing.bodyBytes } : undefined

/** What stands under a key; undefined when that is nothing. */
export const lookAt = async (store: Store, key: string): Promise<Looked | undefined> => {
  const standing = await store.peek(key)
  if (standing === undefined) return undefined
  const { slot } = standing
  if (slot instanceof Entry) return { kind: 'entry', entry: slot, bodyBytes: standing.bodyBytes }
  if (slot instanceof Tombstone) return { kind: 'tombstone', reason: slot.reason, at: slot.at }
  const variants = await Promise.all(
    slot.variants.map(async ({ key: filed, selection, dateAt }) => ({
      selection,
      dateAt,
      stored: entryIn(await store.peek(filed)),
    })),
  )
  return { kind: 'variants', variants }
}

/** Keys of URIs; those of their variants are left out. */
export async function* keysOf(store: Store, prefix: string): AsyncIterable<string> {
  for await (const key of store.keys(prefix)) if (!key.includes(VARIANT_MARK)) yield key
}

/** One line for every URI under which something is stored. */
export async function* list(store: Store, prefix: string): AsyncIterable<Listed> {
  for await (const key of keysOf(store, prefix)) {
    const looked = await lookAt(store, key)
    if (looked === undefined || looked.kind === 'tombstone') continue
    const all = looked.kind === 'entry' ? [looked] : looked.variants.flatMap(({ stored }) => stored ?? [])
    const newest = all[0]?.entry
    if (newest === undefined) continue
    yield {
      key,
      url: newest.parts.url,
      status: newest.status,
      bytes: all.reduce((sum, { bodyBytes }) => sum + bodyBytes, 0),
      storedAt: newest.parts.receivedAt,
      variants: looked.kind === 'entry' ? 0 : all.length,
      entry: newest,
    }
  }
}

/** Characters that two texts have in common at their beginnings and, beyond that, at their ends. */
const likeness = (a: string, b: string): number => {
  const shorter = Math.min(a.length, b.length)
  let front = 0
  while (front < shorter && a[front] === b[front]) front++
  let back = 0
  while (back < shorter - front && a[a.length - 1 - back] === b[b.length - 1 - back]) back++
  return front + back
}

/** Up to the path: what two keys of any two URIs have in common. */
const afterScheme = (key: string): number => key.indexOf('://') + 3

/** The key most like this one under which something is stored, of the first 2,000 or so that the store names. */
export const nearest = async (store: Store, key: string): Promise<string | undefined> => {
  const found: Array<{ key: string; like: number }> = []
  for await (const other of store.keys('', SEARCHED)) {
    if (other === key || other.includes(VARIANT_MARK)) continue
    const like = likeness(key, other)
    if (like > afterScheme(key) + 1) found.push({ key: other, like })
  }
  found.sort((a, b) => b.like - a.like || a.key.length - b.key.length)
  for (const { key: other } of found.slice(0, CANDIDATES)) {
    const standing = await store.peek(other)
    if (standing !== undefined && !(standing.slot instanceof Tombstone)) return other
  }
  return undefined
}
