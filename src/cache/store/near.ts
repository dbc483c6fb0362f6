/**
 * Copies near at hand of what stands in a store elsewhere, which tells of every change to what was read from it.
 *
 * - A copy is good until the store tells of a change, or this process makes one.
 * - A copy is used only while there is a proof that is younger than 100 ms: an answer of the store over the connection
 *   that tells of changes. What it was told before that answer came before it, so nobody gets what was changed more
 *   than 100 ms ago, also while the store is frozen, cut off or gone, and when this process itself was busy.
 * - What is on its way here when a change is told, or when the connection breaks, is used once and not kept.
 */
import { copies } from './memory.ts'
import type { Slot } from './store.ts'

/** What a read brought. */
export interface Brought {
  readonly slot: Slot | undefined
  /** How long it may be kept, ms; 0: changes of it are not told, or it is gone by now. */
  readonly keepMs: number
}

/** Reads of one key that are under way. */
interface Coming {
  outdated: boolean
  readers: number
}

export class Near {
  readonly #copies: ReturnType<typeof copies>
  readonly #coming = new Map<string, Coming>()

  /** Holds copies of at most so many bytes. */
  constructor(maxBytes: number) {
    this.#copies = copies(maxBytes)
  }

  get bytes(): number {
    return this.#copies.bytes
  }

  /** The copy of what stands under the key. */
  get(key: string): Slot | undefined {
    return this.#copies.get(key)
  }

  /** Reads what stands under the key, and keeps a copy unless it was outdated before it came. */
  async bring(key: string, read: () => Promise<Brought>): Promise<Slot | undefined> {
    const coming = this.#coming.get(key) ?? { outdated: false, readers: 0 }
    coming.readers++
    this.#coming.set(key, coming)
    try {
      const { slot, keepMs } = await read()
      if (slot !== undefined && keepMs > 0 && !coming.outdated) this.#copies.keep(key, slot, keepMs)
      return slot
    } finally {
      if (--coming.readers === 0 && this.#coming.get(key) === coming) this.#coming.delete(key)
    }
  }

  /** What stands under the key has changed, or is about to. */
  outdate(key: string): void {
    this.#copies.drop(key)
    const coming = this.#coming.get(key)
    if (coming === undefined) return
    coming.outdated = true
    this.#coming.delete(key)
  }

  /** Anything may have changed. */
  outdateAll(): void {
    this.#copies.clear()
    for (const coming of this.#coming.values()) coming.outdated = true
    this.#coming.clear()
  }
}
