/**
 * The cache stage: one lookup, one named verdict, and what follows from it (RFC 9111 §4). A hit is answered here; what
 * is forwarded goes on in collapsing.ts, other methods than GET and HEAD in methods.ts, refreshes behind a stale
 * answer in refreshing.ts.
 */
import type { Fields, Handler, ProxyResponse, Stage } from '../core/types.ts'
import { joinedValue } from '../http/fields.ts'
import { type Asked, asking, type CacheOptions, setVerdict } from './asked.ts'
import { collapsing } from './collapsing.ts'
import { missingRange } from './combine.ts'
import { holds } from './deliver.ts'
import type { Entry } from './entry.ts'
import { fetching as fetchingOf } from './fetching.ts'
import { Flights } from './flights.ts'
import { cacheKey } from './key.ts'
import { otherMethods } from './methods.ts'
import { refreshing } from './refreshing.ts'
import { type Decision, decide } from './reuse.ts'
import type { Found } from './selecting.ts'
import { serving as servingOf } from './serving.ts'
import { Shelf } from './shelf.ts'
import { StoreError } from './store/store.ts'

/** The stage, what it stores in, and what ends its background work. */
export interface Cache {
  readonly stage: Stage
  readonly shelf: Shelf
  /** The key that a GET of this URL with these fields is looked up by. */
  keyFor(scheme: string, host: string, url: string, headers: Fields): string
  /** Another process has dropped what is stored under this key: nobody joins what is under way for it. */
  invalidated(key: string): void
  close(): Promise<void>
}

/** The cache over a store. */
export const cache = (options: CacheOptions): Cache => {
  const { clock, store, shared, keyRules } = options
  const flights = new Flights()
  const shelf = new Shelf(store, clock, options.concealed, (key) => flights.invalidate(key))
  const fetching = fetchingOf(options, shelf)
  const serving = servingOf(options)
  const { serve, onlyIfCached, label } = serving
  const refreshes = refreshing(options, shelf, flights)
  const keyFor = (scheme: string, host: string, url: string, headers: Fields): string =>
    cacheKey(scheme, host, keyRules === undefined ? url : keyRules.part(url, headers))
  const ask = asking(keyRules, keyFor)

  const stage: Stage = (next) => {
    const { miss, fly } = collapsing(options, { next, shelf, flights, fetching, serving })
    const passMethod = otherMethods(options, { next, shelf, keyFor, fetching, serving })

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

    const lookUp = async (asked: Asked): Promise<ProxyResponse> => {
      const { facts } = asked
      facts.lookupAt = clock.now()
      const mark = flights.mark()
      // To wait for what is there already costs a hit 0.5 µs of 15.
      const atHand = shelf.atHand(asked.key)
      let found: Found
      try {
        found =
          atHand === undefined
            ? await shelf.find(asked.key, asked.selecting)
            : { entry: atHand, reason: 'hit' }
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
      if (use === 'stale-and-refresh') refreshes.refresh(asked, entry, flightKey, fly)
      return serve(asked, entry)
    }

    return handle
  }

  return {
    stage,
    shelf,
    keyFor,
    invalidated: (key) => flights.invalidate(key),
    async close() {
      refreshes.close()
      shelf.close()
      await store.close()
    },
  }
}

/** What selects among the variants, as part of a flight's key. */
const varyPart = (headers: Fields, names: readonly string[]): string =>
  names.map((name) => `${name}:${joinedValue(headers, name) ?? ''}`).join('\n')
