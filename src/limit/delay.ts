/**
 * The delaying limiter: N requests of a key in a window, the rest wait for the next windows in the order they came.
 *
 * - A key's first window starts with its first request; the next one follows at once while anybody waits, else with
 *   the next request. A key between windows costs nothing.
 * - Each process queues for itself, with Redis too.
 * - Bounded thrice: how long one waits, how many wait over all keys, how many keys have a queue of their own.
 */
import Bottleneck from 'bottleneck'
import type { Clock } from '../core/clock.ts'
import type { Rate } from '../core/values.ts'
import { type Decision, type Limiter, OVERFLOW_KEY } from './limiter.ts'
import { type Crowd, makeLimiter, Turns } from './turns.ts'

/** About 50 MB: a Bottleneck is 24 kB. */
const MAX_KEYS = 2000
const MAX_QUEUE = 10_000

/** Options of the delaying limiter. */
export interface DelayOptions {
  readonly rate: Rate
  readonly maxWaitMs: number
  readonly clock: Clock
  /** Most requests that wait, all keys together. */
  readonly maxQueue?: number
  readonly maxKeys?: number
}

/** One key's window and queue; `over` is called when the window has ended and nobody waits. */
class Lane {
  readonly #rate: Rate
  readonly #clock: Clock
  readonly #limiter: Bottleneck
  readonly turns: Turns
  #taken = 0
  #endsAt = 0

  constructor({ rate, clock }: DelayOptions, crowd: Crowd, over: () => void) {
    this.#rate = rate
    this.#clock = clock
    this.#limiter = makeLimiter(Bottleneck, { reservoir: rate.requests })
    this.turns = new Turns(this.#limiter, { held: false, crowd })
    this.#open(over)
  }

  #open(over: () => void): void {
    this.#taken = 0
    this.#endsAt = this.#clock.now() + this.#rate.windowMs
    setTimeout(() => {
      if (this.turns.waiting === 0) {
        over()
        return
      }
      this.turns.forgetSpare()
      this.#open(over)
      void this.#limiter.updateSettings({ reservoir: this.#rate.requests })
    }, this.#rate.windowMs).unref()
  }

  get remaining(): number {
    return Math.max(0, this.#rate.requests - this.#taken)
  }

  get resetMs(): number {
    return Math.max(0, this.#endsAt - this.#clock.now())
  }

  took(): void {
    this.#taken++
  }
}

/** Admits N requests of a key in each window and lets the others wait, never without bound. */
export const delayLimiter = (options: DelayOptions): Limiter => {
  const { maxWaitMs, maxQueue = MAX_QUEUE, maxKeys = MAX_KEYS } = options
  const lanes = new Map<string, Lane>()
  const crowd = { waiting: 0 }
  const laneOf = (wanted: string): Lane => {
    const key = lanes.has(wanted) || lanes.size < maxKeys ? wanted : OVERFLOW_KEY
    let lane = lanes.get(key)
    if (lane === undefined) {
      lane = new Lane(options, crowd, () => lanes.delete(key))
      lanes.set(key, lane)
    }
    return lane
  }
  return {
    // Whoever only waits for Bottleneck to say that there is room does not count.
    waiting: () =>
      [...lanes.values()].reduce(
        (sum, { turns, remaining }) => sum + Math.max(0, turns.waiting - remaining),
        0,
      ),
    async take(key, cancel): Promise<Decision> {
      const lane = laneOf(key)
      // Whoever only waits for Bottleneck to say that there is room takes no place in the queue.
      if (crowd.waiting >= maxQueue + lane.remaining)
        return { verdict: 'refused', remaining: 0, resetMs: lane.resetMs }
      const turn = await lane.turns.wait(cancel, maxWaitMs)
      if (turn === 'gone') return { verdict: 'gone', remaining: lane.remaining, resetMs: lane.resetMs }
      if (turn === 'late') return { verdict: 'refused', remaining: 0, resetMs: lane.resetMs }
      lane.took()
      return { verdict: 'admitted', remaining: lane.remaining, resetMs: lane.resetMs }
    },
  }
}
