/**
 * What is counted of exchanges, and its Prometheus text. The observer only adds to numbers of its own; prom-client
 * (40 ms to load, 2.2 µs an exchange for the histograms and the summary: as much as all else on a hit may take) is
 * loaded at the first scrape, and gives the registry, the text format and the metrics of the process.
 */
import type { Gauge, Metric, Registry } from 'prom-client'
import type { CacheStatus, EndFacts, Exchange, UpstreamFacts } from '../core/exchange.ts'
import { reasons, storageReasons } from '../core/reasons.ts'
import type { Observer } from '../core/types.ts'

/** What the metrics need to know; the functions are called at each scrape. */
export interface MetricsOptions {
  /** Names the route of an exchange; gives a bounded number of names (`routes`). */
  readonly route: (exchange: Readonly<Exchange>) => string
  /** Our own version. */
  readonly version: string
  /** The store's numbers; undefined when there is no cache. */
  readonly cacheStats?: (() => { entries: number; bytes: number; evictions: number } | undefined) | undefined
  /** Spans given up since the start. */
  readonly spansDropped?: (() => number) | undefined
  /** Log lines given up since the start. */
  readonly logLinesDropped?: (() => number) | undefined
}

/** What `metrics` gives. */
export interface Metrics {
  readonly observer: Observer
  /**
   * All metrics as text, in OpenMetrics when `accept` names it, else in Prometheus' own format. Rejects when
   * prom-client cannot be loaded.
   */
  scrape(accept?: string): Promise<{ contentType: string; body: string }>
}

/** A word for what is beyond a bound; methods have OpenTelemetry's. */
const OTHER = 'other'
const methods = [
  '_OTHER',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  'QUERY',
] as const
const methodNumbers = new Map<string, number>(methods.map((method, at) => [method, at]))
const cacheStatuses = [
  'hit',
  'stale',
  'revalidated',
  'miss',
  'coalesced',
  'bypass',
] as const satisfies CacheStatus[]
const storageWords = new Set<string>(['stored', ...Object.keys(storageReasons)])

/** Label sets of the server's and of the client's histograms; what comes later shares a few coarse ones. */
const MAX_SERIES = 1000
const MAX_ERRORS = 32
const MAX_ADDRESSES = 16

/** OpenTelemetry's buckets for HTTP durations, seconds. */
const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
const SIZE_BUCKETS = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]

/** The name that dashboards of go-rev-proxy ask for. */
const latencyMs = 'revproxy_requests_latency_ms'

type Labels = Record<string, string | number>
type Row = [Labels, number]
interface Sample {
  readonly metricName: string
  readonly labels: Labels
  readonly value: number
}

/** Counts values in fixed buckets, as a Prometheus histogram shows them. */
class Buckets {
  readonly #bounds: readonly number[]
  /** Values in each bucket alone, the last for those above every bound. */
  readonly #counts: Float64Array
  #sum = 0

  /** `bounds` are upper and inclusive, rising. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    let at = 0
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++
    this.#counts[at]!++
    this.#sum += value
  }

  samples(name: string, labels: Labels): Sample[] {
    let total = 0
    const samples: Sample[] = []
    for (const [at, count] of this.#counts.entries()) {
      total += count
      const le = this.#bounds[at] ?? '+Inf'
      samples.push({ metricName: `${name}_bucket`, labels: { le, ...labels }, value: total })
    }
    samples.push({ metricName: `${name}_sum`, labels, value: this.#sum })
    samples.push({ metricName: `${name}_count`, labels, value: total })
    return samples
  }
}

/** Each step of the sketch reaches 2 % further than the one below: its middle is within 1 % of any value in it. */
const STEP = Math.log(1.02)
/** A microsecond to 28 hours, in milliseconds; what lies outside counts at the ends. */
const SHORTEST = 0.001
const STEPS = Math.ceil(Math.log(1e8 / SHORTEST) / STEP) + 1

/** Quantiles of all durations since the start, within 1 %, in 10 KB however many they are. */
class Latency {
  readonly #counts = new Float64Array(STEPS)
  #count = 0
  #sum = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0

  observe(ms: number): void {
    const at = ms <= SHORTEST ? 0 : Math.min(Math.ceil(Math.log(ms / SHORTEST) / STEP), STEPS - 1)
    this.#counts[at]!++
    this.#count++
    this.#sum += ms
    if (ms < this.#min) this.#min = ms
    if (ms > this.#max) this.#max = ms
  }

  #quantile(share: number): number {
    const rank = Math.ceil(share * this.#count)
    let at = 0
    for (let seen = this.#counts[0]!; seen < rank && at < STEPS - 1; ) seen += this.#counts[++at]!
    return Math.min(Math.max(SHORTEST * Math.exp((at - 0.5) * STEP), this.#min), this.#max)
  }

  samples(name: string, labels: Labels): Sample[] {
    return [
      ...[0.5, 0.9, 0.99].map((quantile) => ({
        metricName: name,
        labels: { quantile, ...labels },
        value: this.#quantile(quantile),
      })),
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ]
  }
}

/** What is measured for one set of labels of the server's side. */
class ServerSeries {
  readonly labels: Labels
  readonly duration = new Buckets(DURATION_BUCKETS)
  readonly responseSize = new Buckets(SIZE_BUCKETS)
  requestSize: Buckets | undefined = undefined

  constructor(labels: Labels) {
    this.labels = labels
  }
}

/** What is measured for one set of labels of the client's side. */
class ClientSeries {
  readonly labels: Labels
  readonly duration = new Buckets(DURATION_BUCKETS)

  constructor(labels: Labels) {
    this.labels = labels
  }
}

/** Numbers words as they come, from 1 on; all words beyond the bound share the number `max`. */
class Words {
  readonly #numbers = new Map<string, number>()
  readonly #max: number
  readonly list: string[] = ['']

  constructor(max: number) {
    this.#max = max
  }

  number(word: string): number {
    const known = this.#numbers.get(word)
    if (known !== undefined) return known
    if (this.list.length >= this.#max) {
      this.list[this.#max] = OTHER
      return this.#max
    }
    this.#numbers.set(word, this.list.length)
    return this.list.push(word) - 1
  }
}

/** Counts by word. */
class Tally {
  readonly counts = new Map<string, number>()

  add(word: string): void {
    this.counts.set(word, (this.counts.get(word) ?? 0) + 1)
  }
}

/** A clock set back or a test's odd numbers must not become a sample that poisons a sum. */
const sane = (value: number): number => (value > 0 && value < Number.POSITIVE_INFINITY ? value : 0)
const statusNumber = (status: number | undefined): number =>
  status !== undefined && status >= 100 && status < 600 ? Math.trunc(status) : 0
const statusLabel = (status: number): string => (status === 0 ? OTHER : String(status))
const methodNumber = (method: string): number => methodNumbers.get(method) ?? 0
const isOfUpstream = (error: string): boolean => error.startsWith('upstream-') || error === 'connect-timeout'

/** The address as OpenTelemetry's two attributes; a socket's path has no port. */
const addressLabels = (address: string): Labels => {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? []
  return host === undefined || port === undefined
    ? { server_address: address }
    : { server_address: host.replace(/^\[|\]$/g, ''), server_port: port }
}

/** The numbers behind the metrics; each method that takes an exchange costs well below a microsecond. */
class Counts {
  readonly latencies = new Map<string, Latency>()
  readonly server: ServerSeries[] = []
  readonly client: ClientSeries[] = []
  /** Exchanges under way, by method number × 2 + scheme. */
  readonly active = new Float64Array(methods.length * 2)
  /** Slots that were ever above zero: their row stays, or a graph would keep the last value. */
  readonly everActive = new Set<number>()
  readonly cache = new Map<string, Tally>([...cacheStatuses, OTHER].map((status) => [status, new Tally()]))
  readonly storage = new Tally()
  readonly upstreamErrors = new Tally()
  rateLimited = 0
  upstreamRequests = 0
  readonly #serverByRoute = new Map<string, Map<number, ServerSeries>>()
  readonly #clientByAddress = new Map<number, Map<number, ClientSeries>>()
  /** By class of status; see MAX_SERIES. */
  readonly #lateServer = new Map<number, ServerSeries>()
  readonly #lateClient = new Map<number, ClientSeries>()
  readonly #errors = new Words(MAX_ERRORS)
  readonly #addresses = new Words(MAX_ADDRESSES)

  opened(exchange: Readonly<Exchange>): void {
    if (exchange.cause !== 'client') return
    const slot = activeSlot(exchange)
    this.active[slot]!++
    this.everActive.add(slot)
  }

  ended(exchange: Readonly<Exchange>, end: EndFacts, route: (exchange: Readonly<Exchange>) => string): void {
    const storage = exchange.cache?.storage
    if (storage !== undefined) this.storage.add(storageWords.has(storage) ? storage : OTHER)
    if (exchange.upstream !== undefined) this.#clientEnded(exchange, exchange.upstream, end)
    if (exchange.cause === 'client') this.#serverEnded(exchange, end, route(exchange))
  }

  #serverEnded(exchange: Readonly<Exchange>, end: EndFacts, route: string): void {
    const slot = activeSlot(exchange)
    if (this.active[slot]! > 0) this.active[slot]!--

    const ms = sane(end.at - exchange.startedAt)
    let latency = this.latencies.get(route)
    if (latency === undefined) {
      latency = new Latency()
      this.latencies.set(route, latency)
    }
    latency.observe(ms)

    const series = this.#serverSeries(exchange, end, route)
    series.duration.observe(ms / 1000)
    series.responseSize.observe(sane(end.bytes))
    if (exchange.requestBytes > 0) {
      series.requestSize ??= new Buckets(SIZE_BUCKETS)
      series.requestSize.observe(sane(exchange.requestBytes))
    }

    if (exchange.limit?.allowed === false) this.rateLimited++
    const { cache } = exchange
    if (cache !== undefined) {
      const tally = this.cache.get(cache.status) ?? this.cache.get(OTHER)!
      tally.add(Object.hasOwn(reasons, cache.reason) ? cache.reason : OTHER)
    }
  }

  #serverSeries(exchange: Readonly<Exchange>, end: EndFacts, route: string): ServerSeries {
    const status = statusNumber(end.status)
    const method = methodNumber(exchange.method)
    const error = end.error === undefined ? 0 : this.#errors.number(end.error)
    const key = seriesKey(error, status, method, exchange.scheme)
    let ofRoute = this.#serverByRoute.get(route)
    const known = ofRoute?.get(key)
    if (known !== undefined) return known

    const series = (labels: Labels) => {
      const made = new ServerSeries({ ...labels, url_scheme: exchange.scheme === 'https' ? 'https' : 'http' })
      this.server.push(made)
      return made
    }
    if (this.server.length >= MAX_SERIES) {
      return late(this.#lateServer, status, (coarse) =>
        series({ http_request_method: methods[0], http_route: OTHER, ...coarse }),
      )
    }
    if (ofRoute === undefined) {
      ofRoute = new Map()
      this.#serverByRoute.set(route, ofRoute)
    }
    const made = series({
      http_request_method: methods[method]!,
      http_route: route,
      http_response_status_code: statusLabel(status),
      // The semantic conventions: the status where nothing tells more, on the server's side from 500 on.
      ...(error !== 0
        ? { error_type: this.#errors.list[error]! }
        : status >= 500
          ? { error_type: String(status) }
          : undefined),
    })
    ofRoute.set(key, made)
    return made
  }

  #clientEnded(exchange: Readonly<Exchange>, upstream: UpstreamFacts, end: EndFacts): void {
    this.upstreamRequests++
    const failure = upstreamFailure(upstream, end)
    const error = failure === undefined ? 0 : this.#errors.number(failure)
    if (error !== 0) this.upstreamErrors.add(this.#errors.list[error]!)
    this.#clientSeries(exchange, upstream, error).duration.observe(
      sane((upstream.endedAt ?? end.at) - upstream.startedAt) / 1000,
    )
  }

  #clientSeries(exchange: Readonly<Exchange>, upstream: UpstreamFacts, error: number): ClientSeries {
    const status = statusNumber(upstream.status)
    const method = methodNumber(exchange.method)
    const address = this.#addresses.number(upstream.address)
    const key = seriesKey(error, status, method, 'http')
    let ofAddress = this.#clientByAddress.get(address)
    const known = ofAddress?.get(key)
    if (known !== undefined) return known

    const series = (labels: Labels) => {
      const made = new ClientSeries(labels)
      this.client.push(made)
      return made
    }
    if (this.client.length >= MAX_SERIES) {
      return late(this.#lateClient, status, (coarse) =>
        series({ http_request_method: methods[0], server_address: OTHER, ...coarse }),
      )
    }
    if (ofAddress === undefined) {
      ofAddress = new Map()
      this.#clientByAddress.set(address, ofAddress)
    }
    const made = series({
      http_request_method: methods[method]!,
      http_response_status_code: statusLabel(status),
      ...addressLabels(this.#addresses.list[address]!),
      // On the client's side a 4xx is an error too.
      ...(error !== 0
        ? { error_type: this.#errors.list[error]! }
        : status >= 400
          ? { error_type: String(status) }
          : undefined),
    })
    ofAddress.set(key, made)
    return made
  }
}

const activeSlot = ({ method, scheme }: Readonly<Exchange>): number =>
  methodNumber(method) * 2 + (scheme === 'https' ? 1 : 0)

/** One small integer for a combination of labels, so that finding its series makes no string. */
const seriesKey = (error: number, status: number, method: number, scheme: string): number =>
  ((error * 600 + status) * methods.length + method) * 2 + (scheme === 'https' ? 1 : 0)

/** The series of a label set that came when there was no room: told apart by the class of its status alone. */
const late = <S>(all: Map<number, S>, status: number, make: (labels: Labels) => S): S => {
  const statusClass = Math.trunc(status / 100)
  let series = all.get(statusClass)
  if (series === undefined) {
    series = make({ http_response_status_code: statusClass === 0 ? OTHER : `${statusClass}xx` })
    all.set(statusClass, series)
  }
  return series
}

/** Why the upstream's part failed, where it did: also behind a stale answer, which itself is no error. */
const upstreamFailure = (upstream: UpstreamFacts, end: EndFacts): string | undefined => {
  if (end.error !== undefined) return isOfUpstream(end.error) ? end.error : undefined
  return upstream.status === undefined ? OTHER : undefined
}

/** A metric whose samples are made when asked for: what a registry of prom-client reads of one. */
const family = (
  type: 'histogram' | 'summary',
  name: string,
  help: string,
  samples: () => Sample[],
): Metric => {
  const get = async () => ({ name, help, type, aggregator: 'sum', values: samples() })
  return { name, help, type, get } as unknown as Metric
}

const registryOf = async (counts: Counts, options: MetricsOptions): Promise<Registry> => {
  const prom = await import('prom-client')
  const registry = new prom.Registry()
  const registers = [registry]

  const counter = (name: string, help: string, labelNames: string[], read: () => Row[]) =>
    new prom.Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.inc(labels, sane(value))
      },
    })
  const gauge = (name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => void) =>
    new prom.Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        collect(this)
      },
    })
  const histogram = <S extends { labels: Labels }>(
    name: string,
    help: string,
    series: readonly S[],
    pick: (of: S) => Buckets | undefined,
  ) =>
    registry.registerMetric(
      family('histogram', name, help, () => series.flatMap((of) => pick(of)?.samples(name, of.labels) ?? [])),
    )

  registry.registerMetric(
    family('summary', latencyMs, 'Time to answer a request, in milliseconds, by route.', () =>
      [...counts.latencies].flatMap(([path, latency]) => latency.samples(latencyMs, { path })),
    ),
  )
  histogram(
    'http_server_request_duration_seconds',
    'Time to answer a request.',
    counts.server,
    (series) => series.duration,
  )
  histogram(
    'http_server_request_body_size_bytes',
    'Size of the bodies of requests that have one.',
    counts.server,
    (series) => series.requestSize,
  )
  histogram(
    'http_server_response_body_size_bytes',
    'Size of the bodies of responses.',
    counts.server,
    (series) => series.responseSize,
  )
  histogram(
    'http_client_request_duration_seconds',
    'Time of a request to the upstream, to the end of its response.',
    counts.client,
    (series) => series.duration,
  )
  gauge(
    'http_server_active_requests',
    'Requests being answered.',
    ['http_request_method', 'url_scheme'],
    (active) => {
      for (const slot of counts.everActive) {
        const labels = {
          http_request_method: methods[slot >> 1]!,
          url_scheme: slot % 2 === 1 ? 'https' : 'http',
        }
        active.set(labels, counts.active[slot]!)
      }
    },
  )

  counter(
    'revproxy_cache_results_total',
    'Requests by what the cache did, and why.',
    ['result', 'reason'],
    () =>
      [...counts.cache].flatMap(([result, { counts: byReason }]) =>
        [...byReason].map(([reason, count]): Row => [{ result, reason }, count]),
      ),
  )
  counter(
    'revproxy_cache_storage_total',
    'Responses by whether they were stored, or why not.',
    ['storage'],
    () => [...counts.storage.counts].map(([storage, count]) => [{ storage }, count]),
  )
  counter('revproxy_rate_limited_total', 'Requests over the rate limit.', [], () => [
    [{}, counts.rateLimited],
  ])
  counter('revproxy_upstream_errors_total', 'Requests to the upstream that failed.', ['code'], () =>
    [...counts.upstreamErrors.counts].map(([code, count]) => [{ code }, count]),
  )
  counter('revproxy_upstream_requests_total', 'Requests to the upstream, refreshes included.', [], () => [
    [{}, counts.upstreamRequests],
  ])

  const { cacheStats, spansDropped, logLinesDropped } = options
  if (cacheStats !== undefined) {
    gauge('revproxy_cache_entries', 'Responses in the cache.', [], (entries) =>
      entries.set(sane(cacheStats()?.entries ?? 0)),
    )
    gauge('revproxy_cache_bytes', 'Size of what is in the cache.', [], (bytes) =>
      bytes.set(sane(cacheStats()?.bytes ?? 0)),
    )
    counter('revproxy_cache_evictions_total', 'Responses dropped to make room.', [], () => [
      [{}, cacheStats()?.evictions ?? 0],
    ])
  }
  if (spansDropped !== undefined) {
    counter('revproxy_trace_spans_dropped_total', 'Spans that could not be sent.', [], () => [
      [{}, spansDropped()],
    ])
  }
  if (logLinesDropped !== undefined) {
    counter('revproxy_log_lines_dropped_total', 'Log lines that could not be written.', [], () => [
      [{}, logLinesDropped()],
    ])
  }
  gauge('revproxy_build_info', 'Always 1; what runs here.', ['version', 'node'], (info) =>
    info.set({ version: options.version, node: process.versions.node }, 1),
  )

  prom.collectDefaultMetrics({ register: registry })
  for (const name of misleading) registry.removeSingleMetric(name)
  return registry
}

/** Gauges with the name of counters, and one that reads 292 years whenever nothing was measured since the last scrape. */
const misleading = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
  'nodejs_eventloop_lag_min_seconds',
]

/**
 * The text in OpenMetrics 1.0: families of counters without `_total`, no empty lines, an end mark. prom-client has it
 * too, but renames its metrics for good on the way.
 */
const openMetrics = (text: string): string =>
  `${text
    .replace(/^(# (?:HELP|TYPE) \S+)_total (.*)$/gm, '$1 $2')
    .replace(/ Nan$/gm, ' NaN')
    .replace(/\n{2,}/g, '\n')}# EOF\n`

/** The metrics of a run. Until the first scrape nothing is loaded; `observer` costs about 0.2 µs an exchange. */
export const metrics = (options: MetricsOptions): Metrics => {
  const counts = new Counts()
  let registry: Promise<Registry> | undefined

  return {
    observer: {
      opened: (exchange) => counts.opened(exchange),
      ended(exchange) {
        if (exchange.ended !== undefined) counts.ended(exchange, exchange.ended, options.route)
      },
    },
    async scrape(accept = '') {
      registry ??= registryOf(counts, options)
      const text = await (await registry).metrics()
      return /\bapplication\/openmetrics-text\b/i.test(accept)
        ? {
            contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
            body: openMetrics(text),
          }
        : { contentType: 'text/plain; version=0.0.4; charset=utf-8', body: text }
    },
  }
}
