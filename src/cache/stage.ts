/** The cache stage: one lookup, one named verdict, and what follows from it (RFC 9111). */
import { Readable } from 'node:stream'
import { Cancel } from '../core/cancel.ts'
import type { Clock } from '../core/clock.ts'
import { ProxyError } from '../core/errors.ts'
import type { CacheFacts, CacheStatus, Exchange } from '../core/exchange.ts'
import type { Exchanges } from '../core/exchanges.ts'
import type { Reason, StorageReason } from '../core/reasons.ts'
import type { Fields, Handler, ProxyRequest, ProxyResponse, Stage } from '../core/types.ts'
import { type Directives, parseCacheControl } from '../http/cache-control.ts'
import { formatDate } from '../http/date.ts'
import { endToEnd, firstValue, hasField, joinedValue } from '../http/fields.ts'
import { parseContentRange } from '../http/range.ts'
import { differingField } from '../http/vary.ts'
import { type CacheStatusDetail, cacheStatus } from './cache-status.ts'
import { deliver, holds } from './deliver.ts'
import { Entry } from './entry.ts'
import { type Flight, Flights, type Landing } from './flights.ts'
import { currentAge, freshnessLeft } from './freshness.ts'
import { cacheKey, isSafeMethod, keyOf, type RequestMarks, requestMarks } from './key.ts'
import { Recording, type RecordingOptions, recordingRoom } from './recording.ts'
import { type Decision, decide, isFailureStatus, type ReuseRequest, standsInOnError } from './reuse.ts'
import { Shelf, selectionFor } from './shelf.ts'
import { isForced, refusal, type StorableRequest, storedFields } from './storable.ts'
import { type Store, StoreError } from './store/store.ts'
import { freshened, headContradicts, speaksOf, unconditionalFields, validatingFields } from './validation.ts'

/** What the stage is made of. */
export interface CacheOptions {
  readonly store: Store
  readonly clock: Clock
  readonly exchanges: Exchanges
  readonly mode: 'rfc' | 'force'
  readonly ttlMs: number | undefined
  readonly maxEntryBytes: number
  /** Bytes that all bodies on their way into the store may take together. */
  readonly roomBytes: number
  readonly cacheStatus: CacheStatusDetail
  /** Fields whose values are secret. */
  readonly concealed: (name: string) => boolean
  /** Ids for a refresh behind a stale answer. */
  readonly childTrace?: ((parent: Exchange) => Exchange['trace']) | undefined
}

/** The stage, and what ends its background work. */
export interface Cache {
  readonly stage: Stage
  readonly shelf: Shelf
  close(): Promise<void>
}

/** Refreshes behind stale answers at once; more are left for the next request. */
const MAX_REFRESHES = 64
const FORCE_TTL_SECONDS = 60

/** A request with what the cache has read of it. */
interface Asked {
  readonly req: ProxyRequest
  readonly key: string
  readonly marks: RequestMarks
  readonly directives: Directives
  readonly reuse: ReuseRequest
  readonly facts: CacheFacts
}

/** Why a request is forwarded, and the stored response it may be validated against. */
interface Miss {
  readonly status: CacheStatus
  readonly reason: Reason
  readonly detail: string | undefined
  readonly stale: Entry | undefined
  /** Filed under, when shared: the key and what selects among variants. */
  readonly flightKey: string
}

const set = (facts: CacheFacts, status: CacheStatus, reason: Reason, detail?: string): void => {
  facts.status = status
  facts.reason = reason
  if (detail === undefined) delete facts.detail
  else facts.detail = detail
}

/** The cache over a store. */
export const cache = (options: CacheOptions): Cache => {
  const { clock, store } = options
  const shelf = new Shelf(store, clock, options.concealed)
  const flights = new Flights()
  const room = recordingRoom(options.roomBytes)
  const background = new Set<Cancel>()
  const rules = { shared: true, force: options.mode === 'force', maxEntryBytes: options.maxEntryBytes }
  const ruled =
    options.mode === 'force'
      ? { seconds: (options.ttlMs ?? FORCE_TTL_SECONDS * 1000) / 1000, by: 'force' as const }
      : options.ttlMs === undefined
        ? undefined
        : { seconds: options.ttlMs / 1000, by: 'ttl' as const }
  let closed = false

  /** Puts Cache-Status on an answer that comes from the upstream. */
  const labelled = (response: ProxyResponse, facts: CacheFacts): ProxyResponse => {
    const said = cacheStatus(facts, options.cacheStatus)
    return said === undefined
      ? response
      : { ...response, headers: [...response.headers, 'Cache-Status', said] }
  }

  const stage: Stage = (next) => {
    const pass = async (req: ProxyRequest, facts: CacheFacts): Promise<ProxyResponse> => {
      const response = await next(req)
      facts.forwardStatus = response.status
      return labelled(response, facts)
    }

    const handle: Handler = (req) => {
      const marks = requestMarks(req.headers)
      const key = keyOf(req)
      const facts: CacheFacts = { status: 'bypass', reason: 'method', key }
      req.exchange.cache = facts
      if (req.method !== 'GET' && req.method !== 'HEAD') return passMethod(req, key, marks, facts)
      const why = req.body !== undefined ? 'request-body' : marks.bypass
      if (why !== undefined) {
        facts.reason = why
        return pass(req, facts)
      }
      const directives = parseCacheControl(marks.cacheControl)
      const pragmaNoCache =
        marks.cacheControl === undefined && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(marks.pragma ?? '') // RFC 9111 §5.4
      return lookUp({ req, key, marks, directives, reuse: { directives, pragmaNoCache }, facts })
    }

    /** Other methods go through; the unsafe ones invalidate (RFC 9111 §4.4), a POST may be stored. */
    const passMethod = async (
      req: ProxyRequest,
      key: string,
      marks: RequestMarks,
      facts: CacheFacts,
    ): Promise<ProxyResponse> => {
      const requestedAt = clock.now()
      const response = await next(req)
      facts.forwardStatus = response.status
      if (isSafeMethod(req.method) || response.status < 200 || response.status > 399)
        return labelled(response, facts)
      const dropped = [key, ...sameOriginTargets(req, response.headers)].map((uri) =>
        shelf.drop(uri, 'invalidated-by-unsafe'),
      )
      await Promise.all(dropped)
      if (req.method === 'POST' && contentLocationIsSelf(req, response.headers)) {
        const asked: Asked = {
          req,
          key,
          marks,
          directives: parseCacheControl(marks.cacheControl),
          reuse: { directives: new Map(), pragmaNoCache: false },
          facts,
        }
        return keepPost(asked, response, requestedAt)
      }
      return labelled(response, facts)
    }

    const keepPost = (asked: Asked, response: ProxyResponse, requestedAt: number): ProxyResponse => {
      // Asked for before the invalidation that it caused itself.
      const entry = entryOf(asked.req, response, requestedAt, clock.now(), true)
      const why = refusal(storableRequest(asked), entry, rules)
      if (why !== undefined) {
        asked.facts.storage = why
        return labelled(response, asked.facts)
      }
      asked.facts.storage = 'stored'
      const landing = record(asked, response, entry, () => {})
      return labelled({ ...response, body: landing.recording?.reader() ?? response.body }, asked.facts)
    }

    const lookUp = async (asked: Asked): Promise<ProxyResponse> => {
      const { req, key, facts } = asked
      facts.lookupAt = clock.now()
      let found: Awaited<ReturnType<Shelf['find']>>
      try {
        found = await shelf.find(key, req.headers)
      } catch (error) {
        if (!(error instanceof StoreError)) throw error
        facts.lookedUpAt = clock.now()
        set(facts, 'bypass', error.reason)
        facts.storage = 'store-down'
        if (asked.directives.has('only-if-cached')) return onlyIfCached(facts)
        return pass(req, facts)
      }
      const now = clock.now()
      facts.lookedUpAt = now
      const flightKey = found.varyOn === undefined ? key : `${key}\n${varyPart(req.headers, found.varyOn)}`
      const { entry } = found
      if (entry === undefined) {
        const wish = requestWishWord(asked)
        const detail =
          wish === undefined ? found.detail : [found.detail, `request ${wish}`].filter(Boolean).join(', ')
        return miss(asked, { status: 'miss', reason: found.reason, detail, stale: undefined, flightKey })
      }
      if (!holds(asked.marks, entry)) {
        return miss(asked, {
          status: 'miss',
          reason: 'range-incomplete',
          detail: undefined,
          stale: undefined,
          flightKey,
        })
      }
      return reuse(asked, entry, decide(entry, asked.reuse, now), now, flightKey)
    }

    const reuse = (
      asked: Asked,
      entry: Entry,
      decision: Decision,
      now: number,
      flightKey: string,
    ): ProxyResponse | Promise<ProxyResponse> => {
      const { facts } = asked
      switch (decision.use) {
        case 'fresh':
          set(facts, 'hit', 'hit')
          return serve(asked, entry, now)
        case 'stale':
          set(facts, 'stale', decision.reason, decision.detail)
          return serve(asked, entry, now)
        case 'stale-and-refresh':
          set(facts, 'stale', decision.reason, decision.detail)
          refresh(asked, entry, flightKey)
          return serve(asked, entry, now)
        case 'validate':
          return miss(asked, {
            status: 'miss',
            reason: decision.reason,
            detail: decision.detail,
            stale: entry,
            flightKey,
          })
      }
    }

    /** An answer out of what is stored. */
    const serve = (asked: Asked, entry: Entry, now: number): ProxyResponse => {
      const { facts, req } = asked
      entry.hits++
      const age = Math.floor(currentAge(entry, now))
      facts.ageSeconds = age
      facts.ttlSeconds = Math.floor(freshnessLeft(entry, now))
      const said = cacheStatus(facts, options.cacheStatus)
      return deliver(entry, req.method, asked.marks, age, said === undefined ? [] : ['Cache-Status', said])
    }

    const onlyIfCached = (facts: CacheFacts): ProxyResponse => {
      const was = facts.detail === undefined ? facts.reason : `${facts.reason} ${facts.detail}`
      set(facts, 'miss', 'only-if-cached', was)
      delete facts.storage
      return labelled(
        {
          status: 504, // RFC 9111 §5.2.1.7
          headers: ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'],
          body: Buffer.from(
            `revproxy: the client wants only what is cached (only-if-cached), and that is not: ${was}.\n`,
          ),
        },
        facts,
      )
    }

    const miss = (asked: Asked, why: Miss): Promise<ProxyResponse> | ProxyResponse => {
      const { req, facts, marks } = asked
      set(facts, why.status, why.reason, why.detail)
      if (asked.directives.has('only-if-cached')) return onlyIfCached(facts)
      if (req.method === 'HEAD') return passHead(asked, why)
      const plain = !marks.authorization && marks.range === undefined && !asked.directives.has('no-store')
      // Our own question takes the place of the client's conditionals only where a stored response answers them.
      const conditional = marks.ifNoneMatch !== undefined || marks.ifModifiedSince !== undefined
      const wish = asked.directives.has('no-cache') || asked.reuse.pragmaNoCache
      if (plain && !wish) {
        const flight = flights.joinable(why.flightKey)
        if (flight !== undefined) return join(asked, why, flight)
        if (flights.mayShare(why.flightKey) && (!conditional || why.stale !== undefined))
          return lead(asked, why)
      }
      return goAlone(asked, why)
    }

    /** Starts a flight that others may join, and takes part in it. */
    const lead = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
      const flight = flights.start(why.flightKey, asked.req.exchange.id)
      const req = { ...asked.req, headers: upstreamFields(asked, why), cancel: flight.cancel }
      fly({ ...asked, req }, why, flight)
      const landing = await flight.wait(asked.req.cancel)
      return answer(asked, why, landing, true)
    }

    /** Runs a flight to its landing and, when its body is shared, to the end of that. */
    const fly = async (asked: Asked, why: Miss, flight: Flight): Promise<void> => {
      let landing: Landing
      try {
        landing = await fetch(asked, why, () => flights.settle(why.flightKey, flight))
      } catch (error) {
        flights.settle(why.flightKey, flight)
        flight.fail(error)
        return
      }
      if (landing.kind === 'alone') flights.rememberUnshared(why.flightKey)
      if (landing.kind !== 'shared' || landing.recording === undefined) {
        // A body that is being stored is found there by whoever comes now.
        flights.settle(why.flightKey, flight)
      }
      flight.land(landing)
      if (landing.kind === 'shared') {
        // Those who wait make their readers in the turn that follows the landing.
        setImmediate(() => landing.recording?.abandonIfUnread())
      }
    }

    /** Waits for a flight of another client. */
    const join = async (asked: Asked, why: Miss, flight: Flight): Promise<ProxyResponse> => {
      const { facts, req } = asked
      facts.leader = flight.leader
      // Said already while it waits, for whoever watches.
      set(facts, 'coalesced', 'collapsed-hit', `request ${flight.leader}`)
      let landing: Landing
      try {
        landing = await flight.wait(req.cancel)
      } catch (error) {
        if (req.cancel.fired || !flight.cancel.fired) throw error
        delete facts.leader
        set(facts, why.status, why.reason, why.detail)
        return goAlone(asked, why)
      }
      if (req.cancel.fired) throw new ProxyError(499, 'client-gone', 'the client left')
      const usable =
        landing.kind !== 'alone' &&
        differingField(landing.entry.parts.selection, req.headers) === undefined &&
        (landing.kind !== 'shared' || landing.recording === undefined || landing.recording.joinable)
      if (!usable) {
        delete facts.leader
        set(facts, 'miss', 'collapsed-failed', landing.kind === 'alone' ? 'not for sharing' : 'varies')
        return goAlone(asked, { ...why, status: 'miss', reason: 'collapsed-failed', detail: facts.detail })
      }
      return answer(asked, why, landing, false)
    }

    /** What one client gets of a landing. */
    const answer = (asked: Asked, why: Miss, landing: Landing, leads: boolean): ProxyResponse => {
      const { facts, req } = asked
      if (landing.kind === 'alone') return labelled(landing.response, facts)
      const now = clock.now()
      if (landing.kind === 'stood-in') {
        set(facts, 'stale', 'stale-served-sie', facts.detail ?? why.detail)
        return serve(asked, landing.entry, now)
      }
      if (landing.kind === 'validated') {
        if (leads) set(facts, 'revalidated', why.reason, why.detail)
        else facts.forwardStatus = 304
        return serve(asked, landing.entry, now)
      }
      if (!leads) facts.forwardStatus = landing.entry.status
      if (landing.recording === undefined) {
        return leads && !hasConditions(asked.marks)
          ? labelled(wholeResponse(landing), facts)
          : deliverShared(asked, landing.entry)
      }
      if (req.cancel.fired) throw new ProxyError(499, 'client-gone', 'the client left')
      if (hasConditions(asked.marks)) return deliverHead(asked, landing.entry, landing.recording)
      const headers = leads ? landing.head : landing.entry.fields
      return labelled({ status: landing.entry.status, headers, body: landing.recording.reader() }, facts)
    }

    const deliverShared = (asked: Asked, entry: Entry): ProxyResponse => {
      const said = cacheStatus(asked.facts, options.cacheStatus)
      const age = Math.floor(currentAge(entry, clock.now()))
      return deliver(
        entry,
        asked.req.method,
        asked.marks,
        age,
        said === undefined ? [] : ['Cache-Status', said],
      )
    }

    /** A conditional client of a body that still arrives: 304 if it has it already, else the whole. */
    const deliverHead = (asked: Asked, entry: Entry, recording: Recording): ProxyResponse => {
      const given = deliverShared({ ...asked, marks: { ...asked.marks, range: undefined } }, entry)
      return given.status === 304 ? given : { ...given, headers: given.headers, body: recording.reader() }
    }

    /** Forwards for this one client only; what comes is stored all the same when it may be. */
    const goAlone = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
      const { facts } = asked
      const landing = await fetch(
        { ...asked, req: { ...asked.req, headers: upstreamFields(asked, why) } },
        why,
        () => {},
      )
      if (landing.kind === 'shared') {
        flights.forgetUnshared(why.flightKey)
        if (landing.recording === undefined) {
          return hasConditions(asked.marks) && why.stale !== undefined
            ? deliverShared(asked, landing.entry)
            : labelled(wholeResponse(landing), facts)
        }
        return labelled(
          { status: landing.entry.status, headers: landing.head, body: landing.recording.reader() },
          facts,
        )
      }
      return answer(asked, why, landing, true)
    }

    /** One request to the upstream on a miss, and what its answer means for the store. */
    const fetch = async (asked: Asked, why: Miss, onStored: () => void): Promise<Landing> => {
      const { req, facts } = asked
      const requestedAt = clock.now()
      let response: ProxyResponse
      try {
        response = await next(req)
      } catch (error) {
        const cause = error instanceof ProxyError && error.code !== 'client-gone' ? error : undefined
        if (
          cause !== undefined &&
          cause.status >= 500 &&
          why.stale !== undefined &&
          standsInOnError(why.stale, asked.reuse, clock.now(), 'unreachable')
        ) {
          facts.detail = cause.code
          return { kind: 'stood-in', entry: why.stale }
        }
        throw error
      }
      const receivedAt = clock.now()
      facts.forwardStatus = response.status
      if (why.stale !== undefined) {
        if (response.status === 304) {
          const validated = await onNotModified(asked, why.stale, response, { requestedAt, receivedAt })
          if (validated !== undefined) return validated
          return fetch(
            { ...asked, req: { ...req, headers: unconditionalFields(req.headers) } },
            { ...why, stale: undefined },
            onStored,
          )
        }
        if (
          isFailureStatus(response.status) &&
          standsInOnError(why.stale, asked.reuse, receivedAt, 'status')
        ) {
          dispose(response)
          facts.detail = `upstream answered ${response.status}`
          return { kind: 'stood-in', entry: why.stale }
        }
      }
      const entry = entryOf(req, response, requestedAt, receivedAt, false)
      const not = refusal(storableRequest(asked), entry, rules)
      if (not !== undefined) {
        facts.storage = not
        return { kind: 'alone', response }
      }
      facts.storage = 'stored'
      facts.storeAt = receivedAt
      return {
        kind: 'shared',
        head: response.headers,
        ...record(asked, response, entry, onStored),
        entry: Buffer.isBuffer(response.body) ? withBody(entry, response.body) : entry,
      }
    }

    /** A 304 to our question: the stored response, brought up to date (RFC 9111 §4.3.4). */
    const onNotModified = async (
      asked: Asked,
      stale: Entry,
      response: ProxyResponse,
      times: { requestedAt: number; receivedAt: number },
    ): Promise<Landing | undefined> => {
      dispose(response)
      if (!speaksOf(response.headers, stale)) return undefined
      const entry = freshened(stale, endToEnd(response.headers), times)
      asked.facts.storeAt = times.receivedAt
      asked.facts.storage = await shelf.save(asked.key, entry)
      asked.facts.storedAt = clock.now()
      return { kind: 'validated', entry }
    }

    /** Keeps a body while it goes by; one that is whole already is filed at once. */
    const record = (
      asked: Asked,
      response: ProxyResponse,
      entry: Entry,
      onStored: () => void,
    ): { recording: Recording | undefined; settled: Promise<void> } => {
      const { facts, key } = asked
      const file = async (body: Buffer): Promise<void> => {
        const wrong = incomplete(response, entry, body)
        if (wrong !== undefined) facts.storage = wrong
        else facts.storage = await shelf.save(key, withBody(entry, body))
        facts.storedAt = clock.now()
        onStored()
      }
      if (Buffer.isBuffer(response.body)) {
        const { body } = response
        if (body.length > options.maxEntryBytes) {
          facts.storage = 'too-large'
          onStored()
          return { recording: undefined, settled: Promise.resolve() }
        }
        return { recording: undefined, settled: file(body) }
      }
      let done: () => void = () => {}
      const settled = new Promise<void>((resolve) => {
        done = resolve
      })
      const length = firstValue(response.headers, 'content-length')
      const recordingOptions: RecordingOptions = {
        maxBytes: options.maxEntryBytes,
        expectedBytes: length === undefined ? undefined : Number(length),
        ...room,
        onSettled: (outcome) => {
          if ('refusal' in outcome) {
            facts.storage = outcome.refusal
            onStored()
            done()
          } else file(outcome.body).then(done, done)
        },
      }
      return { recording: new Recording(response.body, recordingOptions), settled }
    }

    /** HEAD is forwarded as it is; its answer may freshen the stored GET or show that it is another (RFC 9111 §4.3.5). */
    const passHead = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
      const { req, facts, key } = asked
      const requestedAt = clock.now()
      const response = await next(req)
      facts.forwardStatus = response.status
      const stored = why.stale
      if (stored !== undefined && response.status === stored.status) {
        if (headContradicts(response.headers, stored)) await shelf.drop(key, 'expired')
        else
          await shelf.save(
            key,
            freshened(stored, endToEnd(response.headers), { requestedAt, receivedAt: clock.now() }),
          )
      }
      facts.storage = 'method'
      return labelled(response, facts)
    }

    /** Asks the upstream behind an answer that was given stale (RFC 5861 §3). */
    const refresh = (asked: Asked, entry: Entry, flightKey: string): void => {
      if (closed || flights.has(flightKey) || background.size >= MAX_REFRESHES) return
      const parent = asked.req.exchange
      const exchange = options.exchanges.open({
        cause: 'refresh',
        method: 'GET',
        url: asked.req.url,
        host: parent.host,
        scheme: parent.scheme,
        clientAddress: parent.clientAddress,
        httpVersion: parent.httpVersion,
        parent: parent.id,
        requestHeaders: asked.req.headers,
      })
      if (options.childTrace !== undefined) exchange.trace = options.childTrace(parent)
      const facts: CacheFacts = { status: 'miss', reason: 'expired', key: asked.key }
      exchange.cache = facts
      const flight = flights.start(flightKey, exchange.id)
      const why: Miss = { status: 'miss', reason: 'expired', detail: undefined, stale: entry, flightKey }
      const plain: Asked = {
        ...asked,
        facts,
        reuse: { directives: new Map(), pragmaNoCache: false },
        req: {
          method: 'GET',
          url: asked.req.url,
          headers: validatingFields(asked.req.headers, entry),
          body: undefined,
          cancel: flight.cancel,
          exchange,
        },
      }
      background.add(flight.cancel)
      const end = (status: number, error?: ProxyError): void => {
        background.delete(flight.cancel)
        options.exchanges.end(exchange, status, exchange.upstream?.receivedBytes ?? 0, error)
      }
      fly(plain, why, flight)
      flight.wait(new Cancel()).then(
        async (landing) => {
          if (landing.kind === 'validated') facts.status = 'revalidated'
          if (landing.kind === 'alone') {
            // What may not be stored any more takes the place of nothing: the next request finds out for itself.
            if (!isFailureStatus(landing.response.status)) await shelf.drop(asked.key, 'expired')
            dispose(landing.response)
          } else if (landing.kind === 'shared') {
            landing.recording
              ?.reader()
              .on('error', () => {})
              .resume()
            await landing.settled
          }
          end(facts.forwardStatus ?? 0)
        },
        (error: unknown) =>
          end(0, error instanceof ProxyError ? error : new ProxyError(500, 'internal', String(error))),
      )
    }

    return handle
  }

  /** A response as it would be stored. */
  const entryOf = (
    req: ProxyRequest,
    response: ProxyResponse,
    requestedAt: number,
    receivedAt: number,
    now: boolean,
  ): Entry => {
    const directives = parseCacheControl(joinedValue(response.headers, 'cache-control'))
    const kept = storedFields(response.headers, directives)
    // RFC 9110 §6.6.1: a response without Date gets the time of its receipt.
    const fields = hasField(kept, 'date') ? kept : [...kept, 'Date', formatDate(receivedAt)]
    const range =
      response.status === 206 ? parseContentRange(firstValue(fields, 'content-range') ?? '') : undefined
    const parts = {
      status: response.status,
      fields,
      body: EMPTY,
      requestedAt: now ? receivedAt : requestedAt,
      receivedAt,
      selection: selectionFor(fields, req.exchange.requestHeaders),
      url: req.url,
      part: range,
      ruled,
    }
    const entry = new Entry(parts)
    // What force may not touch follows the rules.
    if (
      ruled?.by !== 'force' ||
      isForced(
        {
          method: req.method,
          authorization: hasField(req.exchange.requestHeaders, 'authorization'),
          directives: NO_DIRECTIVES,
        },
        entry,
      )
    )
      return entry
    return new Entry({ ...parts, ruled: undefined })
  }

  return {
    stage,
    shelf,
    async close() {
      closed = true
      for (const cancel of [...background]) cancel.fire()
      await store.close()
    },
  }
}

const EMPTY = Buffer.alloc(0)
const NO_DIRECTIVES: Directives = new Map()

const withBody = (entry: Entry, body: Buffer): Entry => new Entry({ ...entry.parts, body })

const wholeResponse = ({ entry, head }: { entry: Entry; head: Fields }): ProxyResponse => ({
  status: entry.status,
  headers: head,
  body: entry.body,
})

const hasConditions = (marks: RequestMarks): boolean =>
  marks.ifNoneMatch !== undefined || marks.ifModifiedSince !== undefined || marks.range !== undefined

const storableRequest = ({ req, marks, directives }: Asked): StorableRequest => ({
  method: req.method,
  authorization: marks.authorization,
  directives,
})

/** Fields of the request to the upstream on a miss: our validators when there is something to validate. */
const upstreamFields = (asked: Asked, why: Miss): Fields =>
  why.stale === undefined ? asked.req.headers : validatingFields(asked.req.headers, why.stale)

const requestWishWord = ({ directives, reuse }: Asked): string | undefined =>
  reuse.pragmaNoCache ? 'Pragma: no-cache' : directives.has('no-cache') ? 'no-cache' : undefined

const dispose = (response: ProxyResponse): void => {
  if (response.body instanceof Readable) response.body.on('error', () => {}).destroy()
}

/** A body that does not fit what its head says of it (RFC 9111 §3.3). */
const incomplete = (response: ProxyResponse, entry: Entry, body: Buffer): StorageReason | undefined => {
  const length = firstValue(response.headers, 'content-length')
  if (length !== undefined && Number(length) !== body.length) return 'incomplete'
  const { part } = entry.parts
  return part !== undefined && part.last - part.first + 1 !== body.length ? 'range' : undefined
}

/** What selects among the variants, as part of a flight's key. */
const varyPart = (headers: Fields, names: readonly string[]): string =>
  names.map((name) => `${name}:${joinedValue(headers, name) ?? ''}`).join('\n')

/** URIs of the same origin that Location and Content-Location name (RFC 9111 §4.4). */
const sameOriginTargets = (req: ProxyRequest, fields: Fields): string[] => {
  const base = cacheKey(req.exchange.scheme, req.exchange.host, req.url)
  const keys: string[] = []
  for (const name of ['location', 'content-location']) {
    const value = firstValue(fields, name)
    const url = value === undefined ? undefined : resolve(value, base)
    if (url !== undefined && `${url.protocol}//${url.host}` === `${req.exchange.scheme}://${hostOf(base)}`) {
      keys.push(cacheKey(req.exchange.scheme, req.exchange.host, url.pathname + url.search))
    }
  }
  return keys
}

const hostOf = (key: string): string => resolve(key, key)?.host ?? ''

const contentLocationIsSelf = (req: ProxyRequest, fields: Fields): boolean => {
  const value = firstValue(fields, 'content-location')
  if (value === undefined) return false
  const base = cacheKey(req.exchange.scheme, req.exchange.host, req.url)
  const [named, own] = [resolve(value, base), resolve(base, base)]
  return named !== undefined && own !== undefined && named.href === own.href
}

const resolve = (value: string, base: string): URL | undefined =>
  URL.canParse(value, base) ? new URL(value, base) : undefined
