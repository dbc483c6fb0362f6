/**
 * Collapsing where other processes serve the same URLs: of all that miss a key, one has its lease and asks the
 * upstream; the others wait for what it stores.
 */
import type { Asked, CacheOptions, Leases, Miss } from './asked.ts'
import type { Entry } from './entry.ts'
import type { Flight, Flights } from './flights.ts'
import { decide } from './reuse.ts'
import type { Shelf } from './shelf.ts'

/** What became of a fetch, for those who wait elsewhere. */
export type Outcome = Parameters<Leases['release']>[1]

/** Runs a flight to its landing; never rejects. `release` tells other processes, once, what became of it. */
export type Fly = (
  asked: Asked,
  why: Miss,
  flight: Flight,
  release?: (outcome: Outcome) => void,
) => Promise<void>

/** Gives a lease back at the first call; what is taken later under the same key is another one. */
export const releaseOnce = (leases: Leases, key: string): ((outcome: Outcome) => void) => {
  let released = false
  return (outcome) => {
    if (!released) leases.release(key, outcome)
    released = true
  }
}

/** `fly`, once the key is this process's to fetch; what another one stored meanwhile goes before. */
export const leased = (
  { leases, clock, shared }: CacheOptions & { readonly leases: Leases },
  { shelf, flights, fly }: { shelf: Shelf; flights: Flights; fly: Fly },
): Fly => {
  /** What is stored by now, where it answers the request without the upstream. */
  const freshNow = async ({ key, selecting, reuse }: Asked): Promise<Entry | undefined> => {
    try {
      const { entry } = await shelf.find(key, selecting)
      if (entry === undefined || entry.parts.part !== undefined) return undefined
      return decide(entry, reuse, clock.now(), undefined, shared).use === 'fresh' ? entry : undefined
    } catch {
      // The store is away: then everybody asks for themselves.
      return undefined
    }
  }
  return async (asked, why, flight) => {
    const lease = await leases.take(why.flightKey, flight.leader, flight.cancel)
    const release = lease.mine ? releaseOnce(leases, why.flightKey) : undefined
    const leader = lease.mine ? lease.stored : lease.outcome === 'stored' ? lease.leader : undefined
    const entry = leader === undefined || flight.cancel.fired ? undefined : await freshNow(asked)
    if (leader !== undefined && entry !== undefined) {
      release?.('stored')
      flight.land({ kind: 'elsewhere', entry, leader })
      flights.settle(why.flightKey, flight)
      return
    }
    if (!lease.mine && lease.outcome === 'alone') flights.rememberUnshared(why.flightKey)
    await fly(asked, why, flight, release)
  }
}
