/**
 * The counts as metrics of prom-client (40 ms to load, so only at the first scrape), which gives the registry, the
 * text formats and the metrics of the process.
 */
import { setImmediate } from 'node:timers/promises'
import type { Gauge, Metric, Registry } from 'prom-client'
import type { MetricsOptions, Processes } from '../metrics.ts'
import type { Counts } from './counts.ts'
import type { Buckets, Labels, Sample } from './distributions.ts'
import { methods, sane } from './labels.ts'
import { addProcess } from './process.ts'
import type { Series } from './series.ts'

/** The name that dashboards of go-rev-proxy ask for. */
const latencyMs = 'revproxy_requests_latency_ms'

type Row = [Labels, number]
type Prom = typeof import('prom-client')

/** Gives all metrics as text, in one of the two formats. */
export type Scrape = (openMetrics: boolean) => Promise<string>

/** Loads prom-client. Rejects when that cannot be. */
export const scraper = async (counts: Counts, options: MetricsOptions): Promise<Scrape> => {
  const prom = await import('prom-client')
  const registry = new prom.Registry()
  addHttp(prom, registry, counts)
  addOurs(prom, registry, counts)
  addFromElsewhere(prom, registry, options)
  const { processes } = options
  const others = new Map<string, object[]>()
  if (processes === undefined) addProcess(prom, registry)
  else addProcesses(prom, registry, processes, others)
  return async (openMetrics) => {
    if (processes !== undefined) {
      const all = (await processes.others()).flat()
      others.clear()
      for (const { name, values } of all) others.set(name, [...(others.get(name) ?? []), ...values])
    }
    if (!openMetrics) return `${(await familyTexts(registry)).join('\n\n')}\n`
    const texts = await familyTexts(inOpenMetrics(prom, registry))
    return `${texts.map((text) => text.replace(/ Nan$/gm, ' NaN')).join('\n')}\n# EOF\n`
  }
}

/** One after the other, and others have their turn in between: a thousand label sets take 60 ms in each histogram. */
const familyTexts = async (registry: Registry): Promise<string[]> => {
  const texts: string[] = []
  for (const { name } of registry.getMetricsAsArray() as unknown as Family[]) {
    texts.push(await registry.getSingleMetricAsString(name))
    await setImmediate()
  }
  return texts
}

/**
 * The same metrics for OpenMetrics 1.0, where a family of counters is named without `_total`. prom-client renames the
 * metrics themselves for that, for good: so it is given others.
 */
const inOpenMetrics = (prom: Prom, from: Registry): Registry => {
  const registry = new prom.Registry()
  registry.setContentType(prom.Registry.OPENMETRICS_CONTENT_TYPE as never)
  for (const metric of from.getMetricsAsArray() as unknown as Family[]) {
    const { help, type } = metric
    const name = type === 'counter' ? metric.name.replace(/_total$/, '') : metric.name
    const get = async () => ({ ...(await metric.get()), name })
    registry.registerMetric({ name, help, type, get } as unknown as Metric)
  }
  return registry
}

/** What a registry of prom-client reads of a metric. */
interface Family {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly get: () => Promise<object>
}

/** A metric whose samples are made when asked for. */
const family = (
  type: 'histogram' | 'summary',
  name: string,
  help: string,
  samples: () => Sample[],
): Metric => {
  const get = async () => ({ name, help, type, aggregator: 'sum', values: samples() })
  return { name, help, type, get } as unknown as Metric
}

const histograms =
  (registry: Registry) =>
  (name: string, help: string, all: () => ReadonlyArray<readonly [Buckets | undefined, Labels]>): void =>
    registry.registerMetric(
      family('histogram', name, help, () =>
        all().flatMap(([buckets, labels]) => buckets?.samples(name, labels) ?? []),
      ),
    )

const counters =
  (prom: Prom, registry: Registry) =>
  (name: string, help: string, labelNames: string[], read: () => Row[]): void =>
    void new prom.Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.inc(labels, sane(value))
      },
    })

const gauges =
  (prom: Prom, registry: Registry) =>
  (name: string, help: string, labelNames: string[], collect: (gauge: Gauge) => void): void =>
    void new prom.Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        collect(this)
      },
    })

/** After OpenTelemetry's conventions for HTTP metrics. */
const addHttp = (prom: Prom, registry: Registry, counts: Counts): void => {
  const histogram = histograms(registry)
  const by = (side: { all: readonly Series[] }, pick: (of: Series) => Buckets | undefined) => () =>
    side.all.map((of) => [pick(of), of.labels] as const)
  const duration = (of: Series) => of.duration
  const requestSize = (of: Series) => of.requestSize
  const responseSize = (of: Series) => of.responseSize
  const { server, client } = counts
  histogram('http_server_request_duration_seconds', 'Time to answer a request.', by(server, duration))
  histogram(
    'http_server_request_body_size_bytes',
    'Size of the bodies of requests that have one.',
    by(server, requestSize),
  )
  histogram(
    'http_server_response_body_size_bytes',
    'Size of the bodies of responses.',
    by(server, responseSize),
  )
  histogram(
    'http_client_request_duration_seconds',
    'Time of a request to the upstream, to the end of its response.',
    by(client, duration),
  )
  histogram(
    'http_client_request_body_size_bytes',
    'Size of the bodies sent to the upstream, where there is one.',
    by(client, requestSize),
  )
  histogram(
    'http_client_response_body_size_bytes',
    'Size of the bodies that came from the upstream.',
    by(client, responseSize),
  )
  gauges(prom, registry)(
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
}

/** What only this proxy has: cache, limits, queue. */
const addOurs = (prom: Prom, registry: Registry, counts: Counts): void => {
  const counter = counters(prom, registry)
  const histogram = histograms(registry)
  registry.registerMetric(
    family('summary', latencyMs, 'Time to answer a request, in milliseconds, by route.', () =>
      [...counts.routes].flatMap(([path, { latency }]) => latency.samples(latencyMs, { path })),
    ),
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
  counter(
    'revproxy_collapsed_requests_total',
    'Requests that waited for the same one on its way, by whether they could share its answer.',
    ['outcome'],
    () => [
      [{ outcome: 'shared' }, counts.collapsed],
      [{ outcome: 'failed' }, counts.collapsedInVain],
    ],
  )
  histogram('revproxy_cache_store_duration_seconds', 'Time that the store of the cache took.', () => [
    [counts.storeTimes.get, { operation: 'get' }],
    [counts.storeTimes.set, { operation: 'set' }],
  ])
  histogram(
    'revproxy_queue_duration_seconds',
    'Time that requests waited for a turn (--concurrency, --rate-mode delay).',
    () => [[counts.queue, {}]],
  )
  histogram(
    'revproxy_hold_duration_seconds',
    'Time that requests waited for a target that refused connections (--hold).',
    () => [[counts.held, {}]],
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
}

/** What others know, asked at each scrape. */
const addFromElsewhere = (prom: Prom, registry: Registry, options: MetricsOptions): void => {
  const counter = counters(prom, registry)
  const gauge = gauges(prom, registry)
  const { cacheStats, storeState, waiting, spansDropped, spansReceived, logLinesDropped } = options
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
  if (storeState !== undefined) {
    gauge('revproxy_cache_store_up', 'Whether the store of the cache answers.', ['store'], (up) => {
      const state = storeState()
      if (state !== undefined) up.set({ store: state.kind }, state.up ? 1 : 0)
    })
  }
  if (waiting !== undefined) {
    gauge(
      'revproxy_waiting_requests',
      'Requests that wait: for the rate (--rate-mode delay), a turn (--concurrency), the target (--hold).',
      ['queue'],
      (gauge) => {
        for (const [queue, requests] of Object.entries(waiting())) gauge.set({ queue }, sane(requests))
      },
    )
  }
  if (spansDropped !== undefined) {
    counter('revproxy_trace_spans_dropped_total', 'Spans that could not be sent.', [], () => [
      [{}, spansDropped()],
    ])
  }
  if (spansReceived !== undefined) {
    counter('revproxy_trace_spans_received_total', 'Spans of the upstream received over OTLP.', [], () => [
      [{}, spansReceived()],
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
}

/** The metrics of each process, labelled with its worker: none of them can be added up without loss. */
const addProcesses = (
  prom: Prom,
  registry: Registry,
  processes: Processes,
  others: ReadonlyMap<string, readonly object[]>,
): void => {
  const own = new prom.Registry()
  addProcess(prom, own, processes.own)
  for (const metric of own.getMetricsAsArray() as unknown as Family[]) {
    const { name, help, type } = metric
    const get = async () => {
      const mine = (await metric.get()) as { values: object[] }
      return { ...mine, name, help, type, values: [...mine.values, ...(others.get(name) ?? [])] }
    }
    registry.registerMetric({ name, help, type, get } as unknown as Metric)
  }
  gauges(prom, registry)('revproxy_workers', 'Worker processes that serve.', [], (gauge) =>
    gauge.set(processes.serving()),
  )
  counters(prom, registry)(
    'revproxy_worker_restarts_total',
    'Worker processes that ended by accident and were replaced.',
    [],
    () => [[{}, processes.restarts()]],
  )
  counters(prom, registry)(
    'revproxy_worker_requests_lost_total',
    'Requests that no line and no other number tells of: the primary process did not keep up with its workers.',
    [],
    () => [[{}, processes.lost()]],
  )
}
