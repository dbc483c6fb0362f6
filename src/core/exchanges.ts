/** Opens and ends exchanges, and tells the observers: each hears of every exchange exactly twice. */
import type { Clock } from './clock.ts'
import type { ErrorCode } from './errors.ts'
import { Exchange, type ExchangeInit } from './exchange.ts'
import type { Observer } from './types.ts'

export class Exchanges {
  readonly #observers: readonly Observer[]
  readonly #clock: Clock
  readonly #onObserverError: (error: unknown) => void
  readonly #step: number
  #lastId: number

  constructor(options: {
    observers: readonly Observer[]
    clock: Clock
    /** An observer threw: its fault, never the request's. */
    onObserverError: (error: unknown) => void
    /** Numbers are `from`, `from + step` … : those of several processes must differ. */
    numbers?: { readonly from: number; readonly step: number } | undefined
  }) {
    this.#observers = options.observers
    this.#clock = options.clock
    this.#onObserverError = options.onObserverError
    const { from, step } = options.numbers ?? { from: 1, step: 1 }
    this.#step = step
    this.#lastId = from - step
  }

  open(init: ExchangeInit): Exchange {
    this.#lastId += this.#step
    const exchange = new Exchange(init, this.#lastId, this.#clock.now())
    for (const observer of this.#observers) {
      try {
        observer.opened?.(exchange)
      } catch (error) {
        this.#onObserverError(error)
      }
    }
    return exchange
  }

  /** Ends an exchange; a second call for the same one does nothing. */
  end(
    exchange: Exchange,
    status: number,
    bytes: number,
    error?: { readonly code: ErrorCode; readonly message: string },
  ): void {
    if (exchange.ended !== undefined) return
    exchange.ended =
      error === undefined
        ? { at: this.#clock.now(), status, bytes }
        : { at: this.#clock.now(), status, bytes, error: error.code, errorMessage: error.message }
    for (const observer of this.#observers) {
      try {
        observer.ended?.(exchange)
      } catch (thrown) {
        this.#onObserverError(thrown)
      }
    }
  }
}
