/** The cache stage: one lookup, one named verdict, and what follows from it (RFC 9111). */
import { Cancel } from '../core/cancel.ts'
import { ProxyError } from '../core/errors.ts'
import type { CacheFacts } from '../core/exchange.ts'
import type { Fields, Handler, ProxyRequest, ProxyResponse, Stage } from '../core/types.ts'
import { type Directives, parseCacheControl } from '../http/cache-control.ts'
import { joinedValue } from '../http/fields.ts'
import { differingField } from '../http/vary.ts'
import { type Asked, type CacheOptions, hasConditions, labelled, type Miss, setVerdict } from './asked.ts'
import { cacheStatus } from './cache-status.ts'
import { completingFields, missingRange } from './combine.ts'
import { deliver, holds } from './deliver.ts'
import type { Entry } from './entry.ts'
import { dispose, fetching } from './fetching.ts'
import { type Flight, Flights, type Landing } from './flights.ts'
import { currentAge, freshnessLeft } from './freshness.ts'
import { cacheKey, isSafeMethod, requestMarks } from './key.ts'
import type { Recording } from './recording.ts'
import { type Decision, decide, isFailureStatus } from './reuse.ts'
import { type Found, Shelf } from './shelf.ts'
import { StoreError } from './store/store.ts'
import { isOwnRepresentation, namedTargets } from './unsafe.ts'
import { validatingFields } from './validation.ts'

/** The stage, what it stores in, and what ends its background work. */
export interface Cache {
  readonly stage: Stage
  readonly shelf: Shelf
  /** The key that a GET of this URL with these fields is looked up by. */
  keyFor(scheme: string, host: string, url: string, headers: Fields): string
  close(): Promise<void>
}

/** Refreshes behind stale answers at once; more are left for the next request. */
const MAX_REFRESHES = 64
const noDirectives: Directives = new Map()

/** The cache over a store. */
export const cache = (options: CacheOptions): Cache => {
  const { clock, store, shared, keyRules } = options
  const flights = new Flights()
  const shelf = new Shelf(store, clock, options.concealed, (key) => flights.invalidate(key))
  const { fetch, fetchHead, keepPost } = fetching(options, shelf)
  const background = new Set<Cancel>()
  let closed = false
  const label = (response: ProxyResponse, facts: CacheFacts): ProxyResponse =>
    labelled(response, facts, options.cacheStatus)
  const keyFor = (scheme: string, host: string, url: string, headers: Fields): string =>
    cacheKey(scheme, host, keyRules === undefined ? url : keyRules.part(url, headers))

  const ask = (req: ProxyRequest): Asked => {
    const { exchange, headers } = req
    const marks = requestMarks(headers)
    const key = keyFor(exchange.scheme, exchange.host, req.url, headers)
    const directives = marks.cacheControl === undefined ? noDirectives : parseCacheControl(marks.cacheControl)
    // RFC 9111 §5.4: Pragma counts only where there is no Cache-Control.
    const pragmaNoCache =
      marks.pragma !== undefined &&
      marks.cacheControl === undefined &&
      /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(marks.pragma)
    const facts: CacheFacts = { status: 'bypass', reason: 'method', key }
    exchange.cache = facts
    return {
      req,
      key,
      marks,
      directives,
      reuse: { directives, pragmaNoCache },
      facts,
      selecting: keyRules?.selecting(headers) ?? headers,
    }
  }

  /** An answer out of what is stored. */
  const serve = (asked: Asked, entry: Entry): ProxyResponse => {
    const { facts, req } = asked
    const now = clock.now()
    entry.hits++
    facts.ageSeconds = Math.floor(currentAge(entry, now))
    facts.ttlSeconds = Math.floor(freshnessLeft(entry, now, shared))
    return deliverAs(asked, entry, req.method)
  }

  const deliverAs = (asked: Asked, entry: Entry, method: string): ProxyResponse => {
    const said = cacheStatus(asked.facts, options.cacheStatus)
    const age = asked.facts.ageSeconds ?? Math.floor(currentAge(entry, clock.now()))
    return deliver(entry, method, asked.marks, age, said === undefined ? [] : ['Cache-Status', said])
  }

  const stage: Stage = (next) => {
    const handle: Handler = (req) => {
      const asked = ask(req)
      if (req.method !== 'GET' && req.method !== 'HEAD') return passMethod(asked)
      const why = req.body !== undefined ? 'request-body' : asked.marks.bypass
      if (why === undefined) return lookUp(asked)
      asked.facts.reason = why
      return pass(asked)
    }

    const pass = async ({ req, facts }: Asked): Promise<ProxyResponse> => {
      const response = await next(req)
      facts.forwardStatus = response.status
      return label(response, facts)
    }

    /** Other methods go through; the unsafe ones invalidate (RFC 9111 §4.4), a POST may be stored. */
    const passMethod = async (asked: Asked): Promise<ProxyResponse> => {
      const { req, facts } = asked
      if (req.method === 'PURGE' && options.purge) return purge(asked)
      const response = await next(req)
      facts.forwardStatus = response.status
      if (isSafeMethod(req.method) || response.status < 200 || response.status > 399)
        return label(response, facts)
      const others = namedTargets(req, response.headers).map((url) =>
        keyFor(req.exchange.scheme, req.exchange.host, url, req.headers),
      )
      await Promise.all([asked.key, ...others].map((key) => shelf.drop(key, 'invalidated-by-unsafe')))
      const stored =
        req.method === 'POST' && isOwnRepresentation(req, response.headers)
          ? keepPost(asked, response)
          : response
      return label(stored, facts)
    }

    const purge = async ({ key, facts }: Asked): Promise<ProxyResponse> => {
      const had = await shelf.drop(key, 'purged')
      return label(plain(had ? 200 : 404, had ? `purged ${key}` : `nothing is stored under ${key}`), facts)
    }

    const lookUp = async (asked: Asked): Promise<ProxyResponse> => {
      const { facts } = asked
      facts.lookupAt = clock.now()
      const mark = flights.mark()
      let found: Found
      try {
        found = await shelf.find(asked.key, asked.selecting)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        facts.lookedUpAt = clock.now()
        setVerdict(facts, 'bypass', error.reason)
        if (asked.directives.has('only-if-cached')) return onlyIfCached(facts)
        facts.storage = 'store-down'
        return pass(asked)
      }
      const now = clock.now()
      facts.lookedUpAt = now
      const { entry, varyOn } = found
      const flightKey =
        varyOn === undefined ? asked.key : `${asked.key}\n${varyPart(asked.selecting, varyOn)}`
      if (entry === undefined) {
        // An impatient client is not the reason when there is nothing stored anyway; it is said beside it.
        const wish = asked.reuse.pragmaNoCache
          ? 'Pragma: no-cache'
          : asked.directives.has('no-cache')
            ? 'no-cache'
            : undefined
        const detail =
          wish === undefined ? found.detail : [found.detail, `request ${wish}`].filter(Boolean).join(', ')
        return miss(asked, { reason: found.reason, detail, stale: undefined, mark, flightKey })
      }
      if (!holds(asked.marks, entry, asked.req.method)) {
        // Pieces are put together in memory, where the whole has its place.
        const fits = asked.req.method === 'GET' && (entry.total ?? 0) <= options.maxEntryBytes
        const missing = fits ? missingRange(entry, asked.marks) : undefined
        const part = missing === undefined ? undefined : { entry, missing, headers: asked.req.headers }
        return miss(asked, {
          reason: 'range-incomplete',
          detail: missing?.range,
          stale: undefined,
          part,
          mark,
          flightKey,
        })
      }
      const decision = decide(entry, asked.reuse, now, undefined, shared)
      if (decision.use !== 'validate') return reuse(asked, entry, decision, flightKey)
      return miss(asked, { reason: decision.reason, detail: decision.detail, stale: entry, mark, flightKey })
    }

    const reuse = (
      asked: Asked,
      entry: Entry,
      { use, reason, detail }: Decision,
      flightKey: string,
    ): ProxyResponse => {
      const { ruled } = entry.parts
      const forced = ruled?.over === undefined ? undefined : `forced over ${ruled.over}`
      setVerdict(asked.facts, use === 'fresh' ? 'hit' : 'stale', reason, detail ?? forced)
      if (use === 'stale-and-refresh') refresh(asked, entry, flightKey)
      return serve(asked, entry)
    }

    const onlyIfCached = (facts: CacheFacts): ProxyResponse => {
      const was = facts.detail === undefined ? facts.reason : `${facts.reason} ${facts.detail}`
      setVerdict(facts, 'miss', 'only-if-cached', was)
      // RFC 9111 §5.2.1.7
      return label(
        plain(
          504,
          `revproxy: the client wants only what is cached (only-if-cached), and that is not: ${was}.`,
        ),
        facts,
      )
    }

    const miss = (asked: Asked, why: Miss): Promise<ProxyResponse> | ProxyResponse => {
      const { req, facts, marks, directives } = asked
      setVerdict(facts, 'miss', why.reason, why.detail)
      if (directives.has('only-if-cached')) return onlyIfCached(facts)
      if (req.method === 'HEAD') return passHead(asked, why)
      const wish = directives.has('no-cache') || directives.has('no-store') || asked.reuse.pragmaNoCache
      if (options.collapse && !wish && !marks.authorization && marks.range === undefined) {
        const flight = flights.joinable(why.flightKey, why.mark)
        if (flight !== undefined) return join(asked, why, flight)
        // The client's own conditionals go to the upstream where there is nothing to validate; that answer is its own.
        const conditional = marks.ifNoneMatch !== undefined || marks.ifModifiedSince !== undefined
        if (flights.mayShare(why.flightKey) && (!conditional || why.stale !== undefined))
          return lead(asked, why)
      }
      return goAlone(asked, why)
    }

    /** Starts a flight that others may join, and takes part in it. */
    const lead = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
      const flight = flights.start(why.flightKey, asked.req.exchange.id)
      const req = { ...asked.req, headers: upstreamFields(asked, why), cancel: flight.cancel }
      void fly({ ...asked, req }, why, flight)
      return answer(asked, why, await flight.wait(asked.req.cancel), true)
    }

    /** Runs a flight to its landing; never rejects. */
    const fly = async (asked: Asked, why: Miss, flight: Flight): Promise<void> => {
      const settle = (): void => flights.settle(why.flightKey, flight)
      let landing: Landing
      try {
        landing = await fetch(next, asked, why, settle)
      } catch (error) {
        settle()
        flight.fail(error)
        return
      }
      if (landing.kind === 'alone') flights.rememberUnshared(why.flightKey)
      const { recording } = landing.kind === 'shared' ? landing : { recording: undefined }
      // A body that is whole is found in the store by whoever comes now.
      if (recording === undefined) settle()
      flight.land(landing)
      // Those who wait make their readers in the turn that follows the landing.
      if (recording !== undefined) setImmediate(() => recording.abandonIfUnread())
    }

    /** Waits for a flight of another client. */
    const join = async (asked: Asked, why: Miss, flight: Flight): Promise<ProxyResponse> => {
      const { facts, req } = asked
      facts.leader = flight.leader
      // Said already while it waits, for whoever watches.
      setVerdict(facts, 'coalesced', 'collapsed-hit', `request ${flight.leader}`)
      const onMyOwn = (detail: string): Promise<ProxyResponse> => {
        delete facts.leader
        setVerdict(facts, 'miss', 'collapsed-failed', detail)
        return goAlone(asked, why)
      }
      let landing: Landing
      try {
        landing = await flight.wait(req.cancel)
      } catch (error) {
        // Aborted because all others left at that moment: not this client's failure.
        if (!req.cancel.fired && flight.cancel.fired) return onMyOwn('the others left')
        throw error
      }
      if (req.cancel.fired) throw clientGone()
      if (landing.kind === 'alone' || (landing.kind === 'validated' && !landing.shareable))
        return onMyOwn('not for sharing')
      if (differingField(landing.entry.parts.selection, asked.selecting) !== undefined)
        return onMyOwn('varies')
      if (landing.kind === 'shared' && landing.recording?.joinable === false)
        return onMyOwn('too large to share')
      return answer(asked, why, landing, false)
    }

    /** What one client gets of a landing. */
    const answer = (asked: Asked, why: Miss, landing: Landing, leads: boolean): ProxyResponse => {
      const { facts, req, marks } = asked
      switch (landing.kind) {
        case 'alone':
          return label(landing.response, facts)
        case 'stood-in':
          setVerdict(facts, 'stale', 'stale-served-sie', leads ? facts.detail : why.detail)
          return serve(asked, landing.entry)
        case 'completed':
          return serve(asked, landing.entry)
        case 'validated':
          if (leads) setVerdict(facts, 'revalidated', why.reason, why.detail)
          else facts.forwardStatus = 304
          return serve(asked, landing.entry)
        case 'shared': {
          const { entry, recording } = landing
          if (!leads) facts.forwardStatus = entry.status
          const ownQuestion = !leads || why.stale !== undefined
          const headers = leads ? landing.head : entry.fields
          if (recording === undefined) {
            return ownQuestion && hasConditions(marks)
              ? deliverAs(asked, entry, req.method)
              : label({ status: entry.status, headers, body: entry.body }, facts)
          }
          if (req.cancel.fired) throw clientGone()
          if (ownQuestion && hasConditions(marks)) return deliverArriving(asked, entry, recording)
          return label({ status: entry.status, headers, body: recording.reader() }, facts)
        }
      }
    }

    /** A conditional client of a body that still arrives: 304 if it has it already, else the whole. */
    const deliverArriving = (asked: Asked, entry: Entry, recording: Recording): ProxyResponse => {
      const given = deliverAs(
        { ...asked, marks: { ...asked.marks, range: undefined } },
        entry,
        asked.req.method,
      )
      return given.status === 304 ? given : { ...given, body: recording.reader() }
    }

    /** Forwards for this one client only; what comes is stored all the same when it may be. */
    const goAlone = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
      const req = { ...asked.req, headers: upstreamFields(asked, why) }
      const landing = await fetch(next, { ...asked, req }, why, () => {})
      if (landing.kind === 'shared') flights.forgetUnshared(why.flightKey)
      return answer(asked, why, landing, true)
    }

    /** HEAD is forwarded as it is; a stale response may stand in for an upstream that fails. */
    const passHead = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
      const got = await fetchHead(next, asked, why.stale)
      if (!('standsIn' in got)) return label(got, asked.facts)
      setVerdict(asked.facts, 'stale', 'stale-served-sie', asked.facts.detail)
      return serve(asked, got.standsIn)
    }

    /** Asks the upstream behind an answer that was given stale (RFC 5861 §3), in an exchange of its own. */
    const refresh = (asked: Asked, entry: Entry, flightKey: string): void => {
      if (closed || flights.has(flightKey) || background.size >= MAX_REFRESHES) return
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

    return handle
  }

  return {
    stage,
    shelf,
    keyFor,
    async close() {
      closed = true
      for (const cancel of [...background]) cancel.fire()
      await store.close()
    },
  }
}

const clientGone = (): ProxyError => new ProxyError(499, 'client-gone', 'the client left before the answer')

const plain = (status: number, message: string): ProxyResponse => ({
  status,
  headers: ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'],
  body: Buffer.from(`${message}\n`),
})

/** Fields of the request to the upstream on a miss: our own question where something is stored, else the client's. */
const upstreamFields = (asked: Asked, why: Miss): Fields => {
  if (why.part !== undefined) return completingFields(asked.req.headers, why.part.missing)
  return why.stale === undefined ? asked.req.headers : validatingFields(asked.req.headers, why.stale)
}

/** What selects among the variants, as part of a flight's key. */
const varyPart = (headers: Fields, names: readonly string[]): string =>
  names.map((name) => `${name}:${joinedValue(headers, name) ?? ''}`).join('\n')
