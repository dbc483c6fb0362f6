/** Refreshes behind answers that were given stale (RFC 5861 §3): bounded, once per entry, ended with the proxy. */
import { Cancel } from '../core/cancel.ts'
import { ProxyError } from '../core/errors.ts'
import type { CacheFacts } from '../core/exchange.ts'
import type { ProxyRequest } from '../core/types.ts'
import { type Asked, type CacheOptions, noDirectives } from './asked.ts'
import type { Collapsing } from './collapsing.ts'
import type { Entry } from './entry.ts'
import { dispose } from './fetching.ts'
import type { Flights, Landing } from './flights.ts'
import { releaseOnce } from './leased.ts'
import { isFailureStatus } from './reuse.ts'
import type { Shelf } from './shelf.ts'
import { validatingFields } from './validation.ts'

/** Refreshes at once; more are left for the next request. */
const MAX_REFRESHES = 64

/** What refreshing gives. */
export interface Refreshing {
  /** Asks the upstream behind the answer, in an exchange of its own; nothing where that is under way already. */
  refresh(asked: Asked, entry: Entry, flightKey: string, fly: Collapsing['fly']): void
  /** Ends what is under way and starts no more. */
  close(): void
}

/** Refreshes on behalf of the stage. */
export const refreshing = (options: CacheOptions, shelf: Shelf, flights: Flights): Refreshing => {
  const background = new Set<Cancel>()
  let closed = false

  const refresh = (asked: Asked, entry: Entry, flightKey: string, fly: Collapsing['fly']): void => {
    if (closed || flights.has(flightKey) || background.size >= MAX_REFRESHES) return
    const { leases } = options
    if (leases === undefined) {
      refreshNow(asked, entry, flightKey, fly)
      return
    }
    void leases.tryTake(flightKey, asked.req.exchange.id).then((ours) => {
      if (!ours) return
      const release = releaseOnce(leases, flightKey)
      if (closed || flights.has(flightKey)) release('failed')
      else refreshNow(asked, entry, flightKey, (one, why, flight) => fly(one, why, flight, release))
    })
  }

  const refreshNow = (asked: Asked, entry: Entry, flightKey: string, fly: Collapsing['fly']): void => {
    const parent = asked.req.exchange
    const { url } = asked.req
    const { host, scheme, clientAddress, forwardedBy, httpVersion, requestHeaders } = parent
    const exchange = options.exchanges.open({
      cause: 'refresh',
      method: 'GET',
      url,
      host,
      scheme,
      clientAddress,
      forwardedBy,
      httpVersion,
      parent: parent.id,
      requestHeaders,
    })
    exchange.trace = options.childTrace?.(parent)
    const facts: CacheFacts = { status: 'miss', reason: 'expired', key: asked.key }
    exchange.cache = facts
    const flight = flights.start(flightKey, exchange.id)
    background.add(flight.cancel)
    const req: ProxyRequest = {
      method: 'GET',
      url,
      headers: validatingFields(asked.req.headers, entry),
      body: undefined,
      cancel: flight.cancel,
      exchange,
    }
    const end = (status: number, error?: ProxyError): void => {
      background.delete(flight.cancel)
      options.exchanges.end(exchange, status, exchange.upstream?.receivedBytes ?? 0, error)
    }
    void fly(
      {
        ...asked,
        facts,
        req,
        directives: noDirectives,
        reuse: { directives: noDirectives, pragmaNoCache: false },
      },
      { reason: 'expired', detail: undefined, stale: entry, flightKey },
      flight,
    )
    flight
      .wait(new Cancel())
      .then((landing) => endRefresh(asked.key, landing, facts))
      .then(
        () => end(facts.forwardStatus ?? 0),
        (error: unknown) =>
          end(0, error instanceof ProxyError ? error : new ProxyError(500, 'internal', String(error))),
      )
  }

  const endRefresh = async (key: string, landing: Landing, facts: CacheFacts): Promise<void> => {
    switch (landing.kind) {
      case 'validated':
      case 'completed':
      case 'elsewhere':
        facts.status = 'revalidated'
        return
      case 'alone':
        // What may no longer be stored must not be served from the store either.
        if (!isFailureStatus(landing.response.status)) await shelf.drop(key, 'expired')
        dispose(landing.response)
        return
      case 'shared':
        landing.recording
          ?.reader()
          .on('error', () => {})
          .resume()
        await landing.settled
    }
  }

  return {
    refresh,
    close() {
      closed = true
      for (const cancel of [...background]) cancel.fire()
    },
  }
}
