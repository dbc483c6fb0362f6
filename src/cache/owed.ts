/**
 * Invalidations that the store has not taken yet, since it is away. They count in this process all the same, and are
 * told to the store, one after another, as soon as it answers again.
 */
import type { Entry } from './entry.ts'
import type { Tombstone } from './store/store.ts'

/** So many are known by their keys, and so many characters of keys; of more it is only known when the last one was. */
const MAX_KEYS = 10_000
const MAX_CHARACTERS = 4 * 1024 * 1024
/** How long to wait after the store refused once more. */
const AGAIN_MS = 100

export class Owed {
  readonly #pay: (key: string, tombstone: Tombstone) => Promise<unknown>
  readonly #tombstones = new Map<string, Tombstone>()
  #characters = 0
  /** What was asked for before is not to be trusted, whatever its key. */
  #allBefore = Number.NEGATIVE_INFINITY
  #paying = false
  #notBefore = 0
  #again: NodeJS.Timeout | undefined
  #closed = false

  /** `pay` tells the store; whatever came of it, `settle` says when it is done. */
  constructor(pay: (key: string, tombstone: Tombstone) => Promise<unknown>) {
    this.#pay = pay
  }

  get some(): boolean {
    return this.#tombstones.size > 0
  }

  get(key: string): Tombstone | undefined {
    return this.#tombstones.get(key)
  }

  add(key: string, tombstone: Tombstone): void {
    this.settle(key)
    this.#tombstones.set(key, tombstone)
    this.#characters += key.length
    while (this.#tombstones.size > MAX_KEYS || this.#characters > MAX_CHARACTERS) {
      const [oldest, { at }] = this.#tombstones.entries().next().value!
      this.settle(oldest)
      this.#allBefore = Math.max(this.#allBefore, at)
    }
  }

  /** The store knows; `until` spares what came later. */
  settle(key: string, until = Number.POSITIVE_INFINITY): void {
    const owed = this.#tombstones.get(key)
    if (owed === undefined || owed.at > until) return
    if (this.#tombstones.delete(key)) this.#characters -= key.length
  }

  /** Whether an entry is from before an invalidation that was too much to remember. */
  outdates(entry: Entry): boolean {
    return entry.parts.requestedAt < this.#allBefore
  }

  /** Tries to tell the store, behind. */
  pay(): void {
    if (this.#paying || performance.now() < this.#notBefore) return
    this.#paying = true
    void this.#payAll()
  }

  /** Sees to it that the store is told, also when nobody asks here any more: others may serve what is owed. */
  payLater(): void {
    if (this.#closed) return
    this.#again ??= setTimeout(() => {
      this.#again = undefined
      this.#notBefore = 0
      this.pay()
    }, AGAIN_MS).unref()
  }

  /** Nothing is told any more. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#again)
  }

  async #payAll(): Promise<void> {
    try {
      for (const [key, tombstone] of [...this.#tombstones]) await this.#pay(key, tombstone)
    } catch {
      // Away again: the rest stays owed.
      this.#notBefore = performance.now() + AGAIN_MS
      this.payLater()
    } finally {
      this.#paying = false
    }
  }
}
