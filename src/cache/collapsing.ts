/**
 * A miss on its way: one request to the upstream for all who ask the same at once, or one for this client alone, and
 * what each of them gets of what came (RFC 9111 §4: a cache may use one response for several requests).
 */
import { ProxyError } from '../core/errors.ts'
import type { Fields, Handler, ProxyResponse } from '../core/types.ts'
import { differingField } from '../http/vary.ts'
import { type Asked, type CacheOptions, hasConditions, type Miss, setVerdict } from './asked.ts'
import { completingFields } from './combine.ts'
import type { Entry } from './entry.ts'
import type { Fetching } from './fetching.ts'
import { type Flight, type Flights, isShareable, type Landing } from './flights.ts'
import { type Fly, leased } from './leased.ts'
import type { Recording } from './recording.ts'
import type { Serving } from './serving.ts'
import type { Shelf } from './shelf.ts'
import { validatingFields } from './validation.ts'

/** Other processes wait so long for the rest of a body whose head has come. */
const SHARED_WITHIN_MS = 1000

/** What collapsing needs. */
export interface CollapsingTools {
  readonly next: Handler
  readonly shelf: Shelf
  readonly flights: Flights
  readonly fetching: Fetching
  readonly serving: Serving
}

/** What collapsing gives. */
export interface Collapsing {
  /** Answers a request that what is stored cannot answer. */
  miss(asked: Asked, why: Miss): Promise<ProxyResponse> | ProxyResponse
  readonly fly: Fly
}

/** Collapses on behalf of the stage. */
export const collapsing = (options: CacheOptions, tools: CollapsingTools): Collapsing => {
  const { next, flights } = tools
  const { fetch, fetchHead } = tools.fetching
  const { serve, deliverAs, onlyIfCached, label } = tools.serving

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
    void flyAsLeader({ ...asked, req }, why, flight)
    return answer(asked, why, await flight.wait(asked.req.cancel), true)
  }

  const fly: Fly = async (asked, why, flight, release) => {
    const settle = (): void => flights.settle(why.flightKey, flight)
    const stored = (): void => {
      settle()
      release?.(asked.facts.storage === 'stored' ? 'stored' : 'failed')
    }
    let landing: Landing
    try {
      landing = await fetch(next, asked, why, stored)
    } catch (error) {
      settle()
      release?.('failed')
      flight.fail(error)
      return
    }
    if (!isShareable(landing)) {
      flights.rememberUnshared(why.flightKey)
      release?.('alone')
    } else if (landing.kind !== 'shared') release?.(landing.kind === 'validated' ? 'stored' : 'failed')
    // A body that is long in coming keeps nobody waiting elsewhere.
    else if (release !== undefined) setTimeout(release, SHARED_WITHIN_MS, 'failed').unref()
    const { recording } = landing.kind === 'shared' ? landing : { recording: undefined }
    // Landed before it is settled: what it brought counts among the bytes that are kept at hand.
    flight.land(landing)
    // A body that is whole is found in the store by whoever comes now.
    if (recording === undefined) settle()
    // Those who wait make their readers in the turn that follows the landing.
    if (recording !== undefined) setImmediate(() => recording.abandonIfUnread())
  }
  const { leases } = options
  const flyAsLeader =
    leases === undefined ? fly : leased({ ...options, leases }, { shelf: tools.shelf, flights, fly })

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
    if (landing.kind === 'alone' || !isShareable(landing)) return onMyOwn('not for sharing')
    if (differingField(landing.entry.parts.selection, asked.selecting) !== undefined) return onMyOwn('varies')
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
      case 'elsewhere':
        facts.leader = landing.leader
        setVerdict(facts, 'coalesced', 'collapsed-hit', `request ${landing.leader}`)
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
    const headers = upstreamFields(asked, why)
    const alone = headers === asked.req.headers ? asked : { ...asked, req: { ...asked.req, headers } }
    const landing = await fetch(next, alone, why, () => {})
    if (landing.kind === 'shared' && landing.shareable) flights.forgetUnshared(why.flightKey)
    return answer(asked, why, landing, true)
  }

  /** HEAD is forwarded as it is; a stale response may stand in for an upstream that fails. */
  const passHead = async (asked: Asked, why: Miss): Promise<ProxyResponse> => {
    const got = await fetchHead(next, asked, why.stale)
    if (!('standsIn' in got)) return label(got, asked.facts)
    setVerdict(asked.facts, 'stale', 'stale-served-sie', asked.facts.detail)
    return serve(asked, got.standsIn)
  }

  return { miss, fly }
}

const clientGone = (): ProxyError => new ProxyError(499, 'client-gone', 'the client left before the answer')

/** Fields of the request to the upstream on a miss: our own question where something is stored, else the client's. */
const upstreamFields = (asked: Asked, why: Miss): Fields => {
  if (why.part !== undefined) return completingFields(asked.req.headers, why.part.missing)
  return why.stale === undefined ? asked.req.headers : validatingFields(asked.req.headers, why.stale)
}
