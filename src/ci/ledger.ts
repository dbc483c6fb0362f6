/** Reads the traffic for the report: totals, routes, what each expectation is about, and what misses cost. */
import type { Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import { canonical, type Expectation } from './expression.ts'
import { brokenForGood, type JudgedBound, rankOf } from './judge.ts'
import { type CostlyMisses, missCosts } from './misses.ts'
import { type Selects, selects, selectsReason } from './selection.ts'
import { measure, Tally } from './tally.ts'
import { type Worst, worst } from './worst.ts'

/** What was counted for one expectation. */
export interface Account {
  readonly expectation: Expectation
  readonly bound: JudgedBound | undefined
  /** All that its route and method select. */
  readonly base: Tally
  /** Of these, what its reason selects too. */
  readonly chosen: Tally
  offenders(): Array<Readonly<Exchange>>
}

/** The traffic, counted. */
export interface Ledger {
  readonly observer: Observer
  readonly total: Tally
  /** Most requests first. */
  routes(): Array<readonly [route: string, tally: Tally]>
  readonly accounts: readonly Account[]
  costliestMisses(most: number): CostlyMisses[]
}

const OFFENDERS = 3
/** Percentiles of a route are exact for so many of its requests: a hundred routes must fit in memory. */
const ROUTE_EXACT_UP_TO = 10_000

/** Counts all exchanges that end from now on. */
export const ledger = ({
  expectations,
  route,
  onRequest,
  onBroken,
}: {
  expectations: ReadonlyArray<{ expectation: Expectation; bound: JudgedBound | undefined }>
  route: (exchange: Readonly<Exchange>) => string
  /** Told of each answer to a client, with their number so far. */
  onRequest: (answered: number) => void
  /** Told once of each expectation that can no longer be met. */
  onBroken: (expectation: Expectation) => void
}): Ledger => {
  const total = new Tally()
  const byRoute = new Map<string, Tally>()
  const misses = missCosts()
  const tallies = new Map<string, { tally: Tally; wants: Selects }>()
  const tallyFor = ({ metric, selector }: Expectation, withReason: boolean): Tally => {
    const { reason, ...base } = selector
    if (Object.keys(base).length === 0 && (!withReason || reason === undefined)) return total
    const counted = withReason && reason !== undefined ? selector : base
    // Reasons of errors and of the cache may share a word.
    const key = canonical(metric === 'errors' ? 'errors' : 'requests', counted)
    let known = tallies.get(key)
    if (known === undefined) {
      const [placed, reasoned] = [selects(counted), selectsReason(metric, counted)]
      known = { tally: new Tally(), wants: (exchange) => placed(exchange) && reasoned(exchange) }
      tallies.set(key, known)
    }
    return known.tally
  }
  const accounts = expectations.map(({ expectation, bound }) => {
    const offenders: Worst<Readonly<Exchange>> = worst(OFFENDERS)
    const [placed, reasoned] = [
      selects(expectation.selector),
      selectsReason(expectation.metric, expectation.selector),
    ]
    return {
      expectation,
      bound,
      base: tallyFor(expectation, false),
      chosen: tallyFor(expectation, true),
      offenders: () => offenders.items(),
      worst: offenders,
      wants: (exchange: Readonly<Exchange>) => placed(exchange) && reasoned(exchange),
      broken: false,
    }
  })

  return {
    observer: {
      ended(exchange) {
        const measured = measure(exchange)
        const name = route(exchange)
        total.add(measured)
        let ofRoute = byRoute.get(name)
        if (ofRoute === undefined) {
          ofRoute = new Tally({ exactUpTo: ROUTE_EXACT_UP_TO })
          byRoute.set(name, ofRoute)
        }
        ofRoute.add(measured)
        for (const { tally, wants } of tallies.values()) if (wants(exchange)) tally.add(measured)
        if (measured.ofClient) misses.add(name, exchange, measured.upstreamMs ?? 0)
        for (const account of accounts) {
          const { expectation, bound } = account
          if (bound === undefined) continue
          const rank = rankOf(measured, expectation, bound)
          if (rank !== undefined && account.wants(exchange)) {
            account.worst.add(`${exchange.method} ${exchange.url}`, rank, exchange)
          }
          if (!account.broken && brokenForGood(account)) {
            account.broken = true
            onBroken(expectation)
          }
        }
        if (measured.ofClient) onRequest(total.value('requests')!)
      },
    },
    total,
    routes: () =>
      [...byRoute].sort(([, a], [, b]) => (b.value('requests') ?? 0) - (a.value('requests') ?? 0)),
    accounts,
    costliestMisses: misses.costliest,
  }
}
