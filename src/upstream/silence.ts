/**
 * Ends bodies whose upstream has been silent for too long. One coarse timer for all of them, running only while there
 * is something to watch, instead of one per request.
 */
import type { Clock } from '../core/clock.ts'

/** What is watched. */
export interface Watched {
  /** ms since the epoch. */
  readonly lastByteAt: number
  /** The reader, not the upstream, holds things up. */
  readonly readerIsSlow: boolean
  silent(): void
}

export class SilenceWatch {
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #watched = new Set<Watched>()
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number, clock: Clock) {
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /** Watches until `forget` or until it was silent for too long. A timeout of 0 watches nothing. */
  watch(body: Watched): void {
    if (this.#timeoutMs === 0) return
    this.#watched.add(body)
    this.#timer ??= setInterval(() => this.#look(), Math.max(10, Math.min(1000, this.#timeoutMs / 4))).unref()
  }

  forget(body: Watched): void {
    if (this.#watched.delete(body) && this.#watched.size === 0) this.stop()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #look(): void {
    const now = this.#clock.now()
    for (const body of this.#watched) {
      if (body.readerIsSlow || now - body.lastByteAt < this.#timeoutMs) continue
      this.#watched.delete(body)
      body.silent()
    }
  }
}
