/**
 * Ends requests whose upstream has been silent for too long, before the head or within the body. One coarse timer for
 * all of them, running only while there is something to watch, instead of one per request. They are kept in a list
 * linked through themselves: this is entered and left with every request.
 */
import type { Clock } from '../core/clock.ts'

/** What is watched; a base class, since the links are its own. */
export abstract class Watched {
  /** ms since the epoch. */
  lastByteAt = 0
  before: Watched | undefined = undefined
  after: Watched | undefined = undefined
  /** Whether the client, not the upstream, holds things up. */
  abstract get waitsForClient(): boolean
  /** Called once, when it was silent for too long; it is watched no more. */
  abstract silent(): void
}

class Anchor extends Watched {
  readonly waitsForClient = false
  silent(): void {}
}

export class SilenceWatch {
  readonly #timeoutMs: number
  readonly #clock: Clock
  /** Begin and end of the list. */
  readonly #anchor: Watched = new Anchor()
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number, clock: Clock) {
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#anchor.before = this.#anchor.after = this.#anchor
  }

  /** Watches until `forget` or until it was silent for too long. A timeout of 0 watches nothing. */
  watch(watched: Watched): void {
    if (this.#timeoutMs === 0 || watched.after !== undefined) return
    const anchor = this.#anchor
    const last = anchor.before!
    watched.before = last
    watched.after = anchor
    last.after = watched
    anchor.before = watched
    this.#timer ??= setInterval(() => this.#look(), Math.max(10, Math.min(1000, this.#timeoutMs / 4))).unref()
  }

  /** What is not watched may be forgotten too. */
  forget(watched: Watched): void {
    const { before, after } = watched
    if (before === undefined || after === undefined) return
    before.after = after
    after.before = before
    watched.before = watched.after = undefined
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const anchor = this.#anchor
    // Not stopped between one request and the next: to start it anew for each would cost more than to look at nothing.
    if (anchor.after === anchor) this.stop()
    const now = this.#clock.now()
    const silent: Watched[] = []
    for (let watched = anchor.after!; watched !== anchor; watched = watched.after!)
      if (now - watched.lastByteAt >= this.#timeoutMs && !watched.waitsForClient) silent.push(watched)
    for (const watched of silent) {
      this.forget(watched)
      watched.silent()
    }
  }
}
