/** The last exchanges that ended, for whoever asks about one of them. Keeping one is a store to an array. */
import type { Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'

const KEPT = 500

/** What is remembered. */
export interface Recent {
  readonly observer: Observer
  /** Newest first. */
  all(): Array<Readonly<Exchange>>
  /** By the number of the log, by trace id (or its first eight digits or more), or `last`: of a client's request. */
  find(what: string): Readonly<Exchange> | undefined
}

/** Remembers the last 500. */
export const recent = ({ kept = KEPT }: { kept?: number } = {}): Recent => {
  const ring = new Array<Readonly<Exchange> | undefined>(kept).fill(undefined)
  let next = 0
  const all = (): Array<Readonly<Exchange>> => {
    const found: Array<Readonly<Exchange>> = []
    for (let i = 1; i <= kept; i++) {
      const exchange = ring[(next - i + kept) % kept]
      if (exchange !== undefined) found.push(exchange)
    }
    return found
  }
  return {
    observer: {
      ended(exchange) {
        ring[next] = exchange
        next = next + 1 === kept ? 0 : next + 1
      },
    },
    all,
    find(what) {
      const given = what.toLowerCase()
      if (given === 'last') return all().find(({ cause }) => cause === 'client')
      if (/^\d{1,15}$/.test(given)) {
        const byId = all().find(({ id }) => id === Number(given))
        if (byId !== undefined) return byId
      }
      // The oldest of a trace is what began it here.
      if (/^[\da-f]{8,32}$/.test(given))
        return all().findLast(({ trace }) => trace?.traceId.startsWith(given))
      return undefined
    },
  }
}
