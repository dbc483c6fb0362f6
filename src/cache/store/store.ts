/**
 * What a store keeps under a URI's key, and what a store can do. A slot is one of
 * - an Entry: the only response of a URI whose Vary names nothing,
 * - an Index: several variants, each filed as an Entry under a key of its own,
 * - a Tombstone: nothing any more, and why.
 *
 * Beside the slot a store keeps a guard: the time of the last Tombstone that stood under the key. It outlives the
 * Tombstone itself, so that an answer that was asked for before it stays out even when a newer one came in between.
 */
import type { Reason } from '../../core/reasons.ts'
import type { Selection } from '../../http/vary.ts'
import type { Entry } from '../entry.ts'

/** One variant of an index. Times in ms since the epoch. */
export interface Variant {
  /** Where its Entry is filed. */
  readonly key: string
  readonly selection: Selection
  /** Date of the response and its receipt. */
  readonly dateAt: number
  readonly receivedAt: number
  readonly bytes: number
  /** Until when its Entry is kept. */
  readonly keepUntil: number
  /** The language that it is in, where it varies by that. */
  readonly language?: string | undefined
}

/** The variants of one URI, newest first. */
export class Index {
  readonly variants: readonly Variant[]

  constructor(variants: readonly Variant[]) {
    this.variants = variants
  }
}

/** Why there is nothing any more, and since when (ms since the epoch). */
export class Tombstone {
  readonly reason: Reason
  readonly at: number

  constructor(reason: Reason, at: number) {
    this.reason = reason
    this.at = at
  }
}

/** What stands under a key. */
export type Slot = Entry | Index | Tombstone

/** What stands under a key, for looking at: an Entry comes without its body. */
export interface Standing {
  readonly slot: Slot
  /** Of an Entry. */
  readonly bodyBytes: number
  /** Answers that were asked for before are kept out; 0 when there was no Tombstone. */
  readonly guard: number
}

/** What became of a set. */
export interface Put {
  readonly kept: 'stored' | 'too-large' | 'invalidated'
  /** An Index that stood there; its variants can no longer be reached. */
  readonly replaced?: Index | undefined
}

/** The store did not do what was asked: it is away, or it was too slow. */
export class StoreError extends Error {
  readonly reason: 'store-down' | 'too-slow-store'

  constructor(reason: 'store-down' | 'too-slow-store', options?: { cause?: unknown }) {
    super(reason, options)
    this.name = 'StoreError'
    this.reason = reason
  }
}

/** How full a store is; undefined where it cannot tell (a shared one). */
export interface StoreStats {
  readonly entries: number
  readonly bytes: number
  readonly evictions: number
}

/** Keeps slots. Every method rejects with a StoreError, within the deadline, when the store is of no use. */
export interface Store {
  readonly kind: 'memory' | 'redis'
  /** The deadline of a call, ms; Infinity where nothing is waited for. */
  readonly timeoutMs: number
  /** What stands under the key, where that can be told without waiting; undefined where `get` has to be asked. */
  atHand?(key: string): Slot | undefined
  /** `withinMs` shortens the deadline for this call. */
  get(key: string, withinMs?: number): Promise<Slot | undefined>
  peek(key: string, withinMs?: number): Promise<Standing | undefined>
  /** Refused as `invalidated`, in one step, where the guard is later than `askedAt`; without that never. */
  set(key: string, slot: Slot, keepMs: number, askedAt?: number): Promise<Put>
  delete(key: string): Promise<void>
  /** Why a key that was here is not any more, where the store knows. */
  whyGone(key: string): Reason | undefined
  /** Keys that begin so, in no order, perhaps some twice; looks at about `most` keys at the most. */
  keys(prefix: string, most?: number): AsyncIterable<string>
  stats(): StoreStats | undefined
  close(): Promise<void>
}
