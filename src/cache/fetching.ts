/** The upstream's side of the cache: one request on a miss, and what its answer means for what is stored. */
import { Readable } from 'node:stream'
import { ProxyError } from '../core/errors.ts'
import type { CacheFacts } from '../core/exchange.ts'
import type { StorageReason } from '../core/reasons.ts'
import type { Handler, ProxyRequest, ProxyResponse } from '../core/types.ts'
import { FORCE_TTL_MS } from '../core/values.ts'
import { formatDate } from '../http/date.ts'
import { endToEnd, firstValue, hasField, joinedValue } from '../http/fields.ts'
import { parseContentRange } from '../http/range.ts'
import type { Asked, CacheOptions, Miss } from './asked.ts'
import { asWhole, combined } from './combine.ts'
import { holds } from './deliver.ts'
import { Entry, type StoredParts } from './entry.ts'
import type { Landing } from './flights.ts'
import { Recording, recordingRoom } from './recording.ts'
import { isFailureStatus, servesWaiting, standsInOnError } from './reuse.ts'
import { type Shelf, selectionFor } from './shelf.ts'
import {
  isForced,
  refusal,
  refusedOutright,
  type StorableRequest,
  type StorageRules,
  storedFields,
  unforced,
} from './storable.ts'
import { freshened, headContradicts, speaksOf, unconditionalFields } from './validation.ts'

const empty = Buffer.alloc(0)

/** What fetching gives. */
export interface Fetching {
  /** Asks the upstream. `onStored` is called once the body can be found in the store, or never will be. */
  fetch(next: Handler, asked: Asked, why: Miss, onStored: () => void): Promise<Landing>
  /**
   * Forwards a HEAD. Its answer may freshen the stored GET or show that it is another by now (RFC 9111 §4.3.5); a stale
   * one may stand in for an upstream that fails.
   */
  fetchHead(
    next: Handler,
    asked: Asked,
    stored: Entry | undefined,
  ): Promise<ProxyResponse | { standsIn: Entry }>
  /** Stores the answer to a POST that may serve later GETs; gives what the client gets. */
  keepPost(asked: Asked, response: ProxyResponse): ProxyResponse
}

/** Fetches on behalf of the stage. */
export const fetching = (options: CacheOptions, shelf: Shelf): Fetching => {
  const { clock, shared } = options
  const room = recordingRoom(options.roomBytes)
  const rules: StorageRules = {
    shared,
    force: options.mode === 'force',
    forcePrivate: options.forcePrivate,
    storeCookies: options.storeCookies,
    maxEntryBytes: options.maxEntryBytes,
  }
  const { ttlMs } = options

  /** A response as it would be stored, still without its body. */
  const entryOf = (
    asked: Asked,
    response: ProxyResponse,
    times: { requestedAt: number; receivedAt: number },
  ): Entry => {
    const kept = storedFields(response.headers, shared)
    // RFC 9110 §6.6.1: a response without Date gets the time of its receipt.
    const fields = hasField(kept, 'date') ? kept : [...kept, 'Date', formatDate(times.receivedAt)]
    const range =
      response.status === 206 ? parseContentRange(joinedValue(fields, 'content-range') ?? '') : undefined
    const parts: StoredParts = {
      status: response.status,
      fields,
      body: empty,
      requestedAt: times.requestedAt,
      receivedAt: times.receivedAt,
      selection: selectionFor(fields, asked.selecting, options.keyRules?.ignored),
      url: asked.req.url,
      part: range,
      ...(shared ? {} : { single: true }),
    }
    const byTtl = ttlMs === undefined ? undefined : { seconds: ttlMs / 1000, by: 'ttl' as const }
    if (!rules.force) return new Entry({ ...parts, ruled: byTtl })
    const forced = new Entry({
      ...parts,
      ruled: { seconds: byTtl?.seconds ?? FORCE_TTL_MS / 1000, by: 'force' },
    })
    // What force may not touch follows the rules.
    return isForced(storableRequest(asked), forced, rules) ? forced : new Entry(parts)
  }

  /** What force overrides, for the log and every answer made of it. */
  const overridden = (asked: Asked, entry: Entry): StorageReason | undefined => {
    if (entry.parts.ruled?.by !== 'force') return undefined
    const { ruled: _, ...plain } = entry.parts
    return refusal(storableRequest(asked), new Entry(plain), { ...rules, force: false })
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
      const wrong = misfit(response, entry, body)
      facts.storage = wrong ?? (await shelf.save(key, asWhole(withBody(entry, body))))
      facts.storedAt = clock.now()
      onStored()
    }
    const { body } = response
    if (Buffer.isBuffer(body)) {
      if (body.length <= options.maxEntryBytes) return { recording: undefined, settled: file(body) }
      facts.storage = 'too-large'
      onStored()
      return { recording: undefined, settled: Promise.resolve() }
    }
    let done: () => void = () => {}
    const settled = new Promise<void>((resolve) => {
      done = resolve
    })
    const length = firstValue(response.headers, 'content-length')
    const recording = new Recording(body, {
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
    })
    return { recording, settled }
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
    const entry = freshened(stale, endToEnd(response.headers), times, (fields) =>
      selectionFor(fields, asked.selecting, options.keyRules?.ignored),
    )
    asked.facts.storeAt = times.receivedAt
    const stored = await refile(asked, entry)
    asked.facts.storage = stored
    asked.facts.storedAt = clock.now()
    // Its validators may be others now, and with them what If-Range lets stand.
    if (!holds(asked.marks, entry, asked.req.method)) return undefined
    return { kind: 'validated', entry, shareable: isForOthers(stored) && servesWaiting(entry, shared) }
  }

  /** Stores what was brought up to date; drops it where the upstream took back its leave to store it. */
  const refile = async (asked: Asked, entry: Entry): Promise<'stored' | StorageReason> => {
    const not = refusal({ ...storableRequest(asked), method: 'GET' }, entry, rules)
    if (withdrawn(not)) await shelf.drop(asked.key, 'expired')
    // What is for this client alone leaves what is there as it was (RFC 9111 §5.2.1.5, §3.5, §7.3).
    if (withdrawn(not) || not === 'req-no-store' || not === 'authorization' || not === 'set-cookie-policy')
      return not!
    return shelf.save(asked.key, entry)
  }

  /**
   * The answer to the question for what a stored part lacks (RFC 9111 §3.4): the completed response; `again` when the
   * client's own request must be sent since the pieces do not belong together; undefined when it stands by itself.
   */
  const onFurtherPart = async (
    asked: Asked,
    { entry: stored, missing }: NonNullable<Miss['part']>,
    response: ProxyResponse,
    times: { requestedAt: number; receivedAt: number },
  ): Promise<Landing | 'again' | undefined> => {
    if (response.status !== 206)
      return response.status === 416 || response.status === 304 ? 'again' : undefined
    // Without the same strong validator on both it must not be combined (RFC 9111 §3.4), so it is not even read.
    if (missing.ifRange === undefined) return 'again'
    const bytes = await readUpTo(options.maxEntryBytes, response, room)
    const whole =
      bytes === undefined ? undefined : combined(stored, withBody(entryOf(asked, response, times), bytes))
    if (whole === undefined) return 'again'
    const { facts } = asked
    facts.storeAt = times.receivedAt
    facts.storage = await refile(asked, whole)
    facts.storedAt = clock.now()
    // The upstream may have sent less than it was asked for.
    if (!holds(asked.marks, whole, asked.req.method)) return 'again'
    return {
      kind: 'completed',
      entry: whole,
      shareable: isForOthers(facts.storage) && servesWaiting(whole, shared),
    }
  }

  const fetch = async (next: Handler, asked: Asked, why: Miss, onStored: () => void): Promise<Landing> => {
    const { req, facts } = asked
    const { stale } = why
    const requestedAt = clock.now()
    let response: ProxyResponse
    try {
      const standsBy =
        stale !== undefined && standsInOnError(stale, asked.reuse, requestedAt, 'unreachable', shared)
      // RFC 5861 §4: where it says so itself, it goes before waiting for the target too.
      const hasStandIn = standsBy && standsInOnError(stale, asked.reuse, requestedAt, 'status', shared)
      response = await next(standsBy ? { ...req, retry: false, hasStandIn } : req)
    } catch (error) {
      // RFC 9111 §4.2.4: a stale answer goes before an error where nothing forbids it.
      if (
        stale !== undefined &&
        isUnreachable(error) &&
        standsInOnError(stale, asked.reuse, clock.now(), 'unreachable', shared)
      ) {
        facts.detail = error.code
        return { kind: 'stood-in', entry: stale }
      }
      throw error
    }
    const times = { requestedAt, receivedAt: clock.now() }
    facts.forwardStatus = response.status
    if (why.part !== undefined) {
      const landing = await onFurtherPart(asked, why.part, response, times)
      if (landing === 'again') {
        dispose(response)
        // The upstream has seen two requests, which whoever reads its log should find in ours.
        facts.detail = `${why.part.missing.range}, then as the client asked`
        const own: ProxyRequest = { ...req, headers: why.part.headers }
        return fetch(next, { ...asked, req: own }, { ...why, part: undefined }, onStored)
      }
      if (landing !== undefined) return landing
    }
    if (stale !== undefined) {
      if (response.status === 304) {
        const validated = await onNotModified(asked, stale, response, times)
        if (validated !== undefined) return validated
        // It speaks of another response than the one that is stored: ask for the whole.
        const whole: ProxyRequest = { ...req, headers: unconditionalFields(req.headers) }
        return fetch(next, { ...asked, req: whole }, { ...why, stale: undefined }, onStored)
      }
      if (
        isFailureStatus(response.status) &&
        standsInOnError(stale, asked.reuse, times.receivedAt, 'status', shared)
      ) {
        dispose(response)
        facts.detail = `upstream answered ${response.status}`
        return { kind: 'stood-in', entry: stale }
      }
    }
    const word = req.method === 'GET' ? refusedOutright(response.status, response.headers, rules) : undefined
    if (word !== undefined) {
      facts.storage = word
      return { kind: 'alone', response }
    }
    const entry = entryOf(asked, response, times)
    const not = refusal(storableRequest(asked), entry, rules)
    if (not !== undefined) {
      facts.storage = not
      const shy = unforced(storableRequest(asked), entry, rules)
      if (shy !== undefined) addDetail(facts, `not forced with ${shy} (--force-private)`)
      return { kind: 'alone', response }
    }
    const over = overridden(asked, entry)
    const kept =
      over === undefined ? entry : new Entry({ ...entry.parts, ruled: { ...entry.parts.ruled!, over } })
    // RFC 9111 §7.3: all who get it get its cookie, which whoever reads the log should know.
    const cookie = hasField(kept.fields, 'set-cookie') ? 'stores Set-Cookie' : undefined
    if (over !== undefined) addDetail(facts, `forced over ${over}`)
    if (cookie !== undefined) addDetail(facts, cookie)
    facts.storage = 'stored'
    facts.storeAt = times.receivedAt
    return {
      kind: 'shared',
      shareable: servesWaiting(kept, shared),
      head: response.headers,
      ...record(asked, response, kept, onStored),
      entry: Buffer.isBuffer(response.body) ? withBody(kept, response.body) : kept,
    }
  }

  const fetchHead = async (
    next: Handler,
    asked: Asked,
    stored: Entry | undefined,
  ): Promise<ProxyResponse | { standsIn: Entry }> => {
    const { facts, key } = asked
    const requestedAt = clock.now()
    let response: ProxyResponse
    try {
      response = await next(asked.req)
    } catch (error) {
      if (stored === undefined || !isUnreachable(error)) throw error
      if (!standsInOnError(stored, asked.reuse, clock.now(), 'unreachable', shared)) throw error
      facts.detail = error.code
      return { standsIn: stored }
    }
    facts.forwardStatus = response.status
    if (stored === undefined) return response
    const receivedAt = clock.now()
    if (
      isFailureStatus(response.status) &&
      standsInOnError(stored, asked.reuse, receivedAt, 'status', shared)
    ) {
      dispose(response)
      facts.detail = `upstream answered ${response.status}`
      return { standsIn: stored }
    }
    facts.storage = 'method'
    if (response.status !== 200 || (stored.status !== 200 && stored.status !== 206)) return response
    const entry = freshened(stored, endToEnd(response.headers), { requestedAt, receivedAt }, (fields) =>
      selectionFor(fields, asked.selecting, options.keyRules?.ignored),
    )
    if (headContradicts(response.headers, stored)) await shelf.drop(key, 'expired')
    else await refile(asked, entry)
    return response
  }

  return {
    fetch,
    fetchHead,
    keepPost(asked, response) {
      const now = clock.now()
      // Not the time of the request: that lies before the invalidation which it caused itself.
      const entry = entryOf(asked, response, { requestedAt: now, receivedAt: now })
      asked.facts.storage = refusal(storableRequest(asked), entry, rules) ?? 'stored'
      if (asked.facts.storage !== 'stored') return response
      const { recording } = record(asked, response, entry, () => {})
      return recording === undefined ? response : { ...response, body: recording.reader() }
    },
  }
}

/** Says one thing more of an exchange. */
const addDetail = (facts: CacheFacts, said: string): void => {
  facts.detail = facts.detail === undefined ? said : `${facts.detail}, ${said}`
}

/** Refusals by which the upstream takes back its leave to store a response. */
const withdrawn = (outcome: 'stored' | StorageReason | undefined): boolean =>
  outcome === 'no-store' || outcome === 'private' || outcome === 'must-understand' || outcome === 'vary-star'

/** Whether what became of storing a response does not tell that it is for one client alone. */
const isForOthers = (outcome: 'stored' | StorageReason | undefined): boolean =>
  !withdrawn(outcome) && outcome !== 'set-cookie-policy'

/**
 * A body as a whole; undefined when it is larger or there is no room for it among the others that are on their way, and
 * then it is ended. Rejects when it breaks off.
 */
const readUpTo = async (
  maxBytes: number,
  { body }: ProxyResponse,
  room: ReturnType<typeof recordingRoom>,
): Promise<Buffer | undefined> => {
  if (Buffer.isBuffer(body)) return body.length > maxBytes ? undefined : body
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      if (bytes + chunk.length > maxBytes || !room.claim(chunk.length)) return undefined
      bytes += chunk.length
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  } finally {
    room.release(bytes)
  }
}

/** Ends a body that nobody reads. */
export const dispose = (response: ProxyResponse): void => {
  if (response.body instanceof Readable) response.body.on('error', () => {}).destroy()
}

const isUnreachable = (error: unknown): error is ProxyError =>
  error instanceof ProxyError &&
  error.status >= 500 &&
  error.code !== 'internal' &&
  !error.code.startsWith('queue')

const withBody = (entry: Entry, body: Buffer): Entry => new Entry({ ...entry.parts, body })

const storableRequest = ({ req, marks, directives }: Asked): StorableRequest => ({
  method: req.method,
  authorization: marks.authorization,
  // Of what was forwarded: a question of ours has the client's Range left out, or one of its own.
  range: hasField(req.headers, 'range'),
  directives,
})

/** Why a body does not fit what its head says of it (RFC 9111 §3.3). */
const misfit = (response: ProxyResponse, entry: Entry, body: Buffer): StorageReason | undefined => {
  const length = firstValue(response.headers, 'content-length')
  if (length !== undefined && Number(length) !== body.length) return 'incomplete'
  const { part } = entry.parts
  return part !== undefined && part.last - part.first + 1 !== body.length ? 'range' : undefined
}
