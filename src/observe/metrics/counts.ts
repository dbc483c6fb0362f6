/** The numbers behind the metrics; each method that takes an exchange costs well below a microsecond. */
import { isOfUpstream } from '../../core/errors.ts'
import type { CacheFacts, CacheStatus, EndFacts, Exchange, UpstreamFacts } from '../../core/exchange.ts'
import { reasons, storageReasons } from '../../core/reasons.ts'
import { Buckets, DURATION_BUCKETS, FINE_BUCKETS, Latency } from './distributions.ts'
import { methodNumber, methods, OTHER, sane, Tally, Words } from './labels.ts'
import { ClientSeries, ServerSeries } from './series.ts'

const MAX_ERRORS = 32
const MAX_ADDRESSES = 16

const cacheStatuses = [
  'hit',
  'stale',
  'revalidated',
  'miss',
  'coalesced',
  'bypass',
] as const satisfies CacheStatus[]
const storageWords = new Set<string>(['stored', ...Object.keys(storageReasons)])

/** What is counted of one route. */
export class RouteCounts {
  readonly latency = new Latency()
  /** Answers that the cache gave, of those it could have given (these and the misses). */
  fromCache = 0
  failures = 0
  misses: Tally | undefined = undefined
}

export class Counts {
  readonly routes = new Map<string, RouteCounts>()
  readonly #errors = new Words(MAX_ERRORS)
  readonly server = new ServerSeries(this.#errors)
  readonly client = new ClientSeries(this.#errors, new Words(MAX_ADDRESSES))
  /** Exchanges under way, by method number × 2 + scheme. */
  readonly active = new Float64Array(methods.length * 2)
  /** Slots that were ever above zero: their row stays, or a graph would keep the last value. */
  readonly everActive = new Set<number>()
  readonly cache = new Map<string, Tally>([...cacheStatuses, OTHER].map((status) => [status, new Tally()]))
  readonly storage = new Tally()
  readonly upstreamErrors = new Tally()
  /** Seconds that requests waited for a turn; those that did not have to wait are not in it. */
  readonly queue = new Buckets(DURATION_BUCKETS)
  /** Seconds that requests waited for a target that was away. */
  readonly held = new Buckets(DURATION_BUCKETS)
  /** Seconds that the store took, by what it was asked. */
  readonly storeTimes = { get: new Buckets(FINE_BUCKETS), set: new Buckets(FINE_BUCKETS) }
  rateLimited = 0
  upstreamRequests = 0
  /** Requests that waited for the same one on its way, and got its answer (or had to ask for themselves). */
  collapsed = 0
  collapsedInVain = 0

  opened(exchange: Readonly<Exchange>): void {
    if (exchange.cause !== 'client') return
    const slot = activeSlot(exchange)
    this.active[slot]!++
    this.everActive.add(slot)
  }

  ended(exchange: Readonly<Exchange>, end: EndFacts, route: (exchange: Readonly<Exchange>) => string): void {
    const { cache } = exchange
    if (cache !== undefined) this.#stored(cache)
    if (exchange.upstream !== undefined) this.#clientEnded(exchange, exchange.upstream, end)
    if (exchange.cause === 'client') this.#serverEnded(exchange, end, route(exchange))
  }

  #stored(cache: CacheFacts): void {
    const { storage } = cache
    if (storage !== undefined) this.storage.add(storageWords.has(storage) ? storage : OTHER)
    if (cache.lookupAt !== undefined && cache.lookedUpAt !== undefined)
      this.storeTimes.get.observe(sane(cache.lookedUpAt - cache.lookupAt) / 1000)
    if (cache.storeAt !== undefined && cache.storedAt !== undefined)
      this.storeTimes.set.observe(sane(cache.storedAt - cache.storeAt) / 1000)
  }

  #serverEnded(exchange: Readonly<Exchange>, end: EndFacts, route: string): void {
    const slot = activeSlot(exchange)
    if (this.active[slot]! > 0) this.active[slot]!--

    const ms = sane(end.at - exchange.startedAt)
    let ofRoute = this.routes.get(route)
    if (ofRoute === undefined) {
      ofRoute = new RouteCounts()
      this.routes.set(route, ofRoute)
    }
    ofRoute.latency.observe(ms)
    if (end.status >= 500 || end.error !== undefined) ofRoute.failures++

    const series = this.server.of(exchange, end, route)
    series.duration.observe(ms / 1000)
    if (exchange.trace?.sampled === true)
      series.duration.exemplify(ms / 1000, exchange.trace.traceId, exchange.trace.spanId, end.at)
    series.responseSize.observe(sane(end.bytes))
    if (exchange.requestBytes > 0) series.requestBytes(sane(exchange.requestBytes))

    if (exchange.limit?.allowed === false) this.rateLimited++
    if (exchange.queuedMs !== undefined) this.queue.observe(sane(exchange.queuedMs) / 1000)
    if (exchange.heldMs !== undefined) this.held.observe(sane(exchange.heldMs) / 1000)
    if (exchange.cache !== undefined) this.#decided(exchange.cache, ofRoute)
  }

  #decided({ status, reason }: CacheFacts, ofRoute: RouteCounts): void {
    const word = Object.hasOwn(reasons, reason) ? reason : OTHER
    const tally = this.cache.get(status) ?? this.cache.get(OTHER)!
    tally.add(word)
    if (status === 'miss') {
      ofRoute.misses ??= new Tally()
      ofRoute.misses.add(word)
      if (reason === 'collapsed-failed') this.collapsedInVain++
    } else if (status !== 'bypass') {
      ofRoute.fromCache++
      if (status === 'coalesced') this.collapsed++
    }
  }

  #clientEnded(exchange: Readonly<Exchange>, upstream: UpstreamFacts, end: EndFacts): void {
    this.upstreamRequests++
    const failure = upstreamFailure(upstream, end)
    const error = failure === undefined ? 0 : this.#errors.number(failure)
    if (error !== 0) this.upstreamErrors.add(this.#errors.list[error]!)
    const series = this.client.of(exchange, upstream, error)
    series.duration.observe(sane((upstream.endedAt ?? end.at) - upstream.startedAt) / 1000)
    series.responseSize.observe(sane(upstream.receivedBytes))
    if (upstream.sentBytes > 0) series.requestBytes(sane(upstream.sentBytes))
  }
}

const activeSlot = ({ method, scheme }: Readonly<Exchange>): number =>
  methodNumber(method) * 2 + (scheme === 'https' ? 1 : 0)

/** Why the upstream's part failed, where it did: also behind a stale answer, which itself is no error. */
const upstreamFailure = (upstream: UpstreamFacts, end: EndFacts): string | undefined => {
  if (upstream.error !== undefined) return upstream.error
  if (end.error !== undefined) return isOfUpstream(end.error) ? end.error : undefined
  return upstream.status === undefined ? OTHER : undefined
}
