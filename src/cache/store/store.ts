/**
 * What a store keeps under a URI's key, and what a store can do. A slot is one of
 * - an Entry: the only response of a URI whose Vary names nothing,
 * - an Index: several variants, each filed as an Entry under a key of its own,
 * - a Tombstone: nothing any more, and why; it also keeps answers out that were asked for before it.
 */
import type { Reason } from '../../core/reasons.ts'
import type { Selection } from '../../http/vary.ts'
import type { Entry } from '../entry.ts'

/** One variant of an index. */
export interface Variant {
  /** Where its Entry is filed. */
  readonly key: string
  readonly selection: Selection
  /** Date of the response and its receipt, ms since the epoch. */
  readonly dateAt: number
  readonly receivedAt: number
  readonly bytes: number
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

/** The store did not do what was asked: it is away, or it was too slow. */
export class StoreError extends Error {
  readonly reason: 'store-down' | 'too-slow-store'

  constructor(reason: 'store-down' | 'too-slow-store', options?: { cause?: unknown }) {
    super(reason, options)
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
  get(key: string): Promise<Slot | undefined>
  /** What stands there, without its body where that spares something. */
  peek(key: string): Promise<{ kind: 'entry' | 'index' | 'tombstone'; at: number } | undefined>
  set(key: string, slot: Slot, keepMs: number): Promise<void>
  delete(key: string): Promise<void>
  /** Why a key that was here is not any more, where the store knows. */
  whyGone(key: string): Reason | undefined
  /** All keys that begin so, one by one. */
  keys(prefix: string): AsyncIterable<string>
  stats(): StoreStats | undefined
  close(): Promise<void>
}
