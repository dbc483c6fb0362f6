/**
 * Whose it is to fetch a key: the misses of all workers for one key make one request to the upstream.
 *
 * - A worker takes the lease of a key before it asks the upstream and gives it back when the answer can be found in
 *   the store, or never will be. Whoever wants it meanwhile waits for that, and then looks into the store.
 * - An answer that is long in coming in full does not keep others waiting: they are told to fetch for themselves.
 * - The leases of a worker that is gone are given back, and so are those of one that does not answer while somebody
 *   waits for it.
 */
import { setTimeout as sleep } from 'node:timers/promises'

/** What became of a fetch: it is in the store; it is not for sharing; it failed, or takes too long. */
export type Outcome = 'stored' | 'alone' | 'failed'

/** What whoever wants a lease is told. */
export type Lease =
  /** It is yours. An answer that somebody stored a moment ago, in exchange `stored`, may be what you need. */
  | { readonly mine: true; readonly stored?: number | undefined }
  /** Somebody else had it; `leader` is the exchange. */
  | { readonly mine: false; readonly leader: number; readonly outcome: Outcome }

/** How long it is known that an answer was stored. */
const RECENT_MS = 1000
/** How often who is waited for is asked whether it is there. */
const LOOK_MS = 500

interface Held {
  readonly worker: number
  readonly leader: number
  readonly waiting: Array<{ worker: number; tell: (lease: Lease) => void }>
}

export class LeaseBook {
  readonly #held = new Map<string, Held>()
  /** Keys with the exchanges whose answers were stored, of this moment and of the one before. */
  #recent = new Map<string, number>()
  #before = new Map<string, number>()
  #forgetting: NodeJS.Timeout | undefined
  /** Of each worker, what rejects when it does not answer. */
  readonly #here = new Map<number, () => Promise<unknown>>()
  readonly #watched = new Set<number>()

  /** A worker that may take leases; `here` rejects when it does not answer. */
  join(worker: number, here: () => Promise<unknown>): void {
    this.#here.set(worker, here)
  }

  /** Resolves once the key is the worker's, or nobody's wait for it makes sense any more. */
  take(key: string, worker: number, leader: number): Promise<Lease> {
    const held = this.#held.get(key)
    if (held !== undefined) {
      const told = new Promise<Lease>((tell) => held.waiting.push({ worker, tell }))
      if (held.worker !== worker) void this.#watch(held.worker)
      return told
    }
    this.#held.set(key, { worker, leader, waiting: [] })
    return Promise.resolve({ mine: true, stored: this.#recent.get(key) ?? this.#before.get(key) })
  }

  /** Whether the key was free, and is the worker's now. */
  tryTake(key: string, worker: number, leader: number): boolean {
    if (this.#held.has(key)) return false
    this.#held.set(key, { worker, leader, waiting: [] })
    return true
  }

  /** Tells who waits; `stored` and what comes later is remembered for a moment. */
  release(key: string, worker: number, outcome: Outcome): void {
    const held = this.#held.get(key)
    if (held?.worker !== worker) return
    this.#held.delete(key)
    if (outcome === 'stored') this.#remember(key, held.leader)
    for (const { tell } of held.waiting) tell({ mine: false, leader: held.leader, outcome })
  }

  /** The worker is gone. */
  releaseAll(worker: number): void {
    for (const [key, held] of this.#held) if (held.worker === worker) this.release(key, worker, 'failed')
  }

  async #watch(worker: number): Promise<void> {
    if (this.#watched.has(worker)) return
    this.#watched.add(worker)
    try {
      while (this.#isWaitedFor(worker)) {
        await this.#here.get(worker)?.()
        await sleep(LOOK_MS)
      }
    } catch {
      this.releaseAll(worker)
    } finally {
      this.#watched.delete(worker)
    }
  }

  #isWaitedFor(worker: number): boolean {
    for (const held of this.#held.values()) if (held.worker === worker && held.waiting.length > 0) return true
    return false
  }

  #remember(key: string, leader: number): void {
    this.#recent.set(key, leader)
    this.#forgetting ??= setInterval(() => {
      this.#before = this.#recent
      this.#recent = new Map()
      if (this.#before.size > 0) return
      clearInterval(this.#forgetting)
      this.#forgetting = undefined
    }, RECENT_MS).unref()
  }
}
