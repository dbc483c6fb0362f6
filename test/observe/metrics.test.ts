import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import {
  type CacheFacts,
  type EndFacts,
  Exchange,
  type TraceFacts,
  type UpstreamFacts,
} from '../../src/core/exchange.ts'
import { type Metrics, type MetricsOptions, metrics } from '../../src/observe/metrics.ts'
import { routes } from '../../src/observe/routes.ts'

const START = 1_700_000_000_000

const setUp = (options: Partial<MetricsOptions> = {}): Metrics =>
  metrics({ route: routes({ templates: [] }), version: '1.2.3', ...options })

interface Shape {
  method?: string
  url?: string
  scheme?: 'http' | 'https'
  cause?: 'client' | 'refresh'
  requestBytes?: number
  cache?: CacheFacts
  upstream?: Partial<UpstreamFacts>
  limited?: boolean
  queuedMs?: number
  heldMs?: number
  trace?: TraceFacts
  /** Milliseconds the exchange takes. */
  ms?: number
  end?: Partial<EndFacts>
}

const exchangeOf = (shape: Shape): Exchange => {
  const exchange = new Exchange({
    id: 1,
    cause: shape.cause ?? 'client',
    method: shape.method ?? 'GET',
    url: shape.url ?? '/',
    host: 'localhost',
    scheme: shape.scheme ?? 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: START,
    requestHeaders: [],
  })
  exchange.requestBytes = shape.requestBytes ?? 0
  exchange.cache = shape.cache
  exchange.queuedMs = shape.queuedMs
  exchange.heldMs = shape.heldMs
  exchange.trace = shape.trace
  if (shape.upstream !== undefined) {
    exchange.upstream = {
      startedAt: START,
      sentBytes: 0,
      receivedBytes: 0,
      address: '127.0.0.1:3000',
      ...shape.upstream,
    }
  }
  if (shape.limited) {
    exchange.limit = {
      startedAt: START,
      endedAt: START,
      allowed: false,
      limit: 5,
      remaining: 0,
      resetSeconds: 9,
    }
  }
  return exchange
}

const feed = ({ observer }: Metrics, shape: Shape): void => {
  const exchange = exchangeOf(shape)
  observer.opened?.(exchange)
  exchange.ended = { at: START + (shape.ms ?? 5), status: 200, bytes: 100, ...shape.end }
  observer.ended?.(exchange)
}

const linesOf = async (of: Metrics, name: string): Promise<string[]> =>
  (await of.scrape()).body.split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'))

test('the summary has quantiles, sum and count by route', async () => {
  const of = setUp()
  for (let ms = 1; ms <= 100; ms++) feed(of, { url: `/users/${ms}?x`, ms })
  const lines = await linesOf(of, 'revproxy_requests_latency_ms')
  assert.deepEqual(
    lines.map((line) => line.replace(/ .*/, '')),
    [
      'revproxy_requests_latency_ms{quantile="0.5",path="/users/:id"}',
      'revproxy_requests_latency_ms{quantile="0.9",path="/users/:id"}',
      'revproxy_requests_latency_ms{quantile="0.99",path="/users/:id"}',
      'revproxy_requests_latency_ms_sum{path="/users/:id"}',
      'revproxy_requests_latency_ms_count{path="/users/:id"}',
    ],
  )
  const values = lines.map((line) => Number(line.replace(/.* /, '')))
  for (const [at, want] of [50, 90, 99].entries()) {
    assert.ok(Math.abs(values[at]! / want - 1) <= 0.0101, `${values[at]} for ${want}`)
  }
  assert.deepEqual(values.slice(3), [5050, 100])
})

for (const ms of [0, 0.0004, 0.25, 7, 61_234.5, 1e12]) {
  test(`a single latency of ${ms} ms is all its quantiles`, async () => {
    const of = setUp()
    feed(of, { ms })
    const at = START + ms - START
    const quantiles = (await linesOf(of, 'revproxy_requests_latency_ms{')).map((line) =>
      Number(line.replace(/.* /, '')),
    )
    assert.deepEqual(quantiles, [at, at, at])
  })
}

test('the server histograms carry method, route, status and scheme', async () => {
  const of = setUp()
  feed(of, {
    method: 'POST',
    url: '/a',
    scheme: 'https',
    requestBytes: 100,
    ms: 5,
    end: { status: 201, bytes: 101 },
  })
  const labels =
    'http_request_method="POST",http_route="/a",http_response_status_code="201",url_scheme="https"'
  const { body } = await of.scrape()
  const lines = body.split('\n')
  for (const line of [
    `http_server_request_duration_seconds_bucket{le="0.005",${labels}} 1`,
    `http_server_request_duration_seconds_bucket{le="+Inf",${labels}} 1`,
    `http_server_request_duration_seconds_sum{${labels}} 0.005`,
    `http_server_request_duration_seconds_count{${labels}} 1`,
    `http_server_request_body_size_bytes_bucket{le="100",${labels}} 1`,
    `http_server_response_body_size_bytes_bucket{le="100",${labels}} 0`,
    `http_server_response_body_size_bytes_bucket{le="1000",${labels}} 1`,
    `http_server_response_body_size_bytes_sum{${labels}} 101`,
  ]) {
    assert.ok(
      lines.includes(line),
      `${line}\nis not in\n${lines.filter((l) => l.startsWith('http_server')).join('\n')}`,
    )
  }
  const bounds = lines.flatMap(
    (line) => /^http_server_request_duration_seconds_bucket\{le="([^"]+)"/.exec(line)?.[1] ?? [],
  )
  assert.deepEqual(
    bounds.map(Number).slice(0, -1),
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
  )
})

test('where no status was sent or received there is no label for one', async () => {
  const of = setUp()
  feed(of, { end: { status: 0, error: 'client-gone' }, upstream: {} })
  const lines = (await of.scrape()).body.split('\n')
  for (const side of ['server', 'client']) {
    const counts = lines.filter((line) => line.startsWith(`http_${side}_request_duration_seconds_count`))
    assert.equal(counts.length, 1)
    assert.doesNotMatch(counts[0]!, /status_code/)
  }
})

const errors: Array<{ name: string; shape: Shape; server: string | undefined; client?: string | undefined }> =
  [
    {
      name: 'a 404 of the upstream',
      shape: { upstream: { status: 404 }, end: { status: 404 } },
      server: undefined,
      client: '404',
    },
    {
      name: 'a 503 of the upstream',
      shape: { upstream: { status: 503 }, end: { status: 503 } },
      server: '503',
      client: '503',
    },
    {
      name: 'a refused connection',
      shape: { upstream: {}, end: { status: 502, error: 'upstream-refused' } },
      server: 'upstream-refused',
      client: 'upstream-refused',
    },
    {
      name: 'a client that leaves',
      shape: { upstream: { status: 200 }, end: { status: 200, error: 'client-gone' } },
      server: 'client-gone',
      client: undefined,
    },
    { name: 'a full queue', shape: { end: { status: 503, error: 'queue-full' } }, server: 'queue-full' },
  ]
for (const { name, shape, server, client } of errors) {
  test(`${name} is error_type ${server} for the server, ${client} for the client`, async () => {
    const of = setUp()
    feed(of, shape)
    const typeIn = (lines: string[]) => /error_type="([^"]*)"/.exec(lines[0] ?? '')?.[1]
    assert.equal(typeIn(await linesOf(of, 'http_server_request_duration_seconds_count')), server)
    assert.equal(typeIn(await linesOf(of, 'http_client_request_duration_seconds_count')), client)
  })
}

test('requests under way are counted until they end', async () => {
  const of = setUp()
  const first = exchangeOf({})
  of.observer.opened?.(first)
  of.observer.opened?.(exchangeOf({}))
  const name = 'http_server_active_requests{http_request_method="GET",url_scheme="http"}'
  assert.deepEqual(await linesOf(of, 'http_server_active'), [`${name} 2`])
  first.ended = { at: START, status: 200, bytes: 0 }
  of.observer.ended?.(first)
  assert.deepEqual(await linesOf(of, 'http_server_active'), [`${name} 1`])
})

test('cache results, storage and limits are counted by their words', async () => {
  const of = setUp()
  feed(of, { cache: { status: 'hit', reason: 'hit' } })
  feed(of, { cache: { status: 'hit', reason: 'hit' } })
  feed(of, { cache: { status: 'miss', reason: 'uri-miss', storage: 'stored' }, upstream: { status: 200 } })
  feed(of, { limited: true, end: { status: 429 } })
  assert.deepEqual(await linesOf(of, 'revproxy_cache_results'), [
    'revproxy_cache_results_total{result="hit",reason="hit"} 2',
    'revproxy_cache_results_total{result="miss",reason="uri-miss"} 1',
  ])
  assert.deepEqual(await linesOf(of, 'revproxy_cache_storage'), [
    'revproxy_cache_storage_total{storage="stored"} 1',
  ])
  assert.deepEqual(await linesOf(of, 'revproxy_rate_limited'), ['revproxy_rate_limited_total 1'])
  assert.deepEqual(await linesOf(of, 'revproxy_upstream_requests'), ['revproxy_upstream_requests_total 1'])
})

test('the request to the upstream carries its address; failures count by their code', async () => {
  const of = setUp()
  feed(of, { upstream: { address: '[::1]:3000', status: 200, endedAt: START + 2000 } })
  feed(of, { upstream: { address: '/run/app.sock' }, end: { status: 502, error: 'upstream-refused' } })
  feed(of, { upstream: {}, end: { status: 504, error: 'connect-timeout' } })
  feed(of, { upstream: {}, end: { status: 0, error: 'client-gone' } })
  feed(of, { upstream: {}, cache: { status: 'stale', reason: 'stale-served-sie' } })
  const sums = await linesOf(of, 'http_client_request_duration_seconds_sum')
  assert.equal(
    sums[0],
    'http_client_request_duration_seconds_sum{http_request_method="GET",http_response_status_code="200",server_address="::1",server_port="3000"} 2',
  )
  assert.match(sums[1]!, /server_address="\/run\/app.sock",error_type="upstream-refused"\}/)
  assert.deepEqual(await linesOf(of, 'revproxy_upstream_errors'), [
    'revproxy_upstream_errors_total{code="upstream-refused"} 1',
    'revproxy_upstream_errors_total{code="connect-timeout"} 1',
    'revproxy_upstream_errors_total{code="other"} 1',
  ])
})

test('a refresh counts for the upstream and for storage, not as a request of a client', async () => {
  const of = setUp()
  feed(of, {
    cause: 'refresh',
    cache: { status: 'miss', reason: 'expired', storage: 'stored' },
    upstream: { status: 200 },
  })
  for (const name of ['http_server_', 'revproxy_requests_', 'revproxy_cache_results']) {
    assert.deepEqual(await linesOf(of, name), [])
  }
  assert.equal((await linesOf(of, 'http_client_request_duration_seconds_count')).length, 1)
  assert.deepEqual(await linesOf(of, 'revproxy_upstream_requests'), ['revproxy_upstream_requests_total 1'])
  assert.deepEqual(await linesOf(of, 'revproxy_cache_storage'), [
    'revproxy_cache_storage_total{storage="stored"} 1',
  ])
})

test('the numbers of the cache, the traces and the log are read at each scrape', async () => {
  let evictions = 1
  const of = setUp({
    cacheStats: () => ({ entries: 2, bytes: 300, evictions }),
    storeState: () => ({ kind: 'redis', up: evictions === 1 }),
    waiting: () => ({ hold: evictions, concurrency: 0 }),
    spansDropped: () => 4,
    spansReceived: () => 6,
    logLinesDropped: () => 5,
  })
  const numbers = async () => [
    ...(await linesOf(of, 'revproxy_cache_entries')),
    ...(await linesOf(of, 'revproxy_cache_bytes')),
    ...(await linesOf(of, 'revproxy_cache_evictions')),
    ...(await linesOf(of, 'revproxy_cache_store_up')),
    ...(await linesOf(of, 'revproxy_waiting_requests')),
    ...(await linesOf(of, 'revproxy_trace_')),
    ...(await linesOf(of, 'revproxy_log_')),
    ...(await linesOf(of, 'revproxy_build_')),
  ]
  await numbers()
  evictions = 7
  assert.deepEqual(await numbers(), [
    'revproxy_cache_entries 2',
    'revproxy_cache_bytes 300',
    'revproxy_cache_evictions_total 7',
    'revproxy_cache_store_up{store="redis"} 0',
    'revproxy_waiting_requests{queue="hold"} 7',
    'revproxy_waiting_requests{queue="concurrency"} 0',
    'revproxy_trace_spans_dropped_total 4',
    'revproxy_trace_spans_received_total 6',
    'revproxy_log_lines_dropped_total 5',
    `revproxy_build_info{version="1.2.3",node="${process.versions.node}"} 1`,
  ])
})

test('the queue, the store and what was collapsed are measured from the facts', async () => {
  const of = setUp()
  const cache = { reason: 'uri-miss', lookupAt: START, lookedUpAt: START + 0.2 } as const
  feed(of, {
    queuedMs: 40,
    heldMs: 1500,
    cache: { ...cache, status: 'miss', storeAt: START + 5, storedAt: START + 7 },
  })
  feed(of, { cache: { ...cache, status: 'coalesced', reason: 'collapsed-hit' } })
  feed(of, { cache: { ...cache, status: 'miss', reason: 'collapsed-failed' } })
  const sums = async (name: string) =>
    (await linesOf(of, name)).filter((line) => /_(?:sum|count)\b/.test(line.replace(/\{.*/, '')))
  assert.deepEqual(await sums('revproxy_queue_duration_seconds'), [
    'revproxy_queue_duration_seconds_sum 0.04',
    'revproxy_queue_duration_seconds_count 1',
  ])
  assert.deepEqual(await sums('revproxy_hold_duration_seconds'), [
    'revproxy_hold_duration_seconds_sum 1.5',
    'revproxy_hold_duration_seconds_count 1',
  ])
  const [got, , set, writes] = await sums('revproxy_cache_store_duration_seconds')
  assert.match(got!, /operation="get"\} 0\.000[56]\d*$/)
  assert.match(set!, /operation="set"\} 0\.002$/)
  assert.match(writes!, /operation="set"\} 1$/)
  assert.deepEqual(await linesOf(of, 'revproxy_collapsed'), [
    'revproxy_collapsed_requests_total{outcome="shared"} 1',
    'revproxy_collapsed_requests_total{outcome="failed"} 1',
  ])
})

test('in OpenMetrics a bucket names the trace of its latest request, if that was sampled', async () => {
  const of = setUp()
  const trace = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), upstreamSpanId: '1', sampled: true }
  feed(of, { ms: 7, trace })
  feed(of, { ms: 400, trace: { ...trace, sampled: false } })
  const lines = (await of.scrape('application/openmetrics-text')).body.split('\n')
  assert.deepEqual(
    lines
      .filter((line) => line.includes(' # '))
      .map((line) => line.replace(/^.*?le="([^"]+)".*? (?=\d+ #)/, '$1 ')),
    [`0.01 1 # {trace_id="${trace.traceId}",span_id="${trace.spanId}"} 0.007 ${(START + 7) / 1000}`],
  )
  assert.doesNotMatch((await of.scrape()).body, / # /, "and Prometheus' own format has no such thing")
})

test('the totals by route are those of the metrics', () => {
  const of = setUp()
  feed(of, { url: '/a', ms: 10, cache: { status: 'hit', reason: 'hit' } })
  feed(of, { url: '/a', ms: 30, cache: { status: 'miss', reason: 'expired' } })
  feed(of, { url: '/b', end: { status: 502, error: 'upstream-refused' } })
  const { routes: byRoute, ...totals } = of.totals()
  assert.deepEqual(totals, {
    requests: 3,
    active: 0,
    waiting: 0,
    failures: 1,
    rateLimited: 0,
    upstreamRequests: 0,
    cache: { hit: 1, stale: 0, revalidated: 0, miss: 1, coalesced: 0, bypass: 0, other: 0 },
  })
  assert.deepEqual(
    byRoute.map(({ route, requests, fromCache, failures, missReasons }) => [
      route,
      requests,
      fromCache,
      failures,
      missReasons,
    ]),
    [
      ['/a', 2, 1, 0, { expired: 1 }],
      ['/b', 1, 0, 1, {}],
    ],
  )
  assert.ok(Math.abs(byRoute[0]!.p99Ms - 30) < 0.4)
})

test('two metrics side by side share nothing', async () => {
  const [one, other] = [setUp(), setUp()]
  feed(one, { limited: true })
  assert.deepEqual(await linesOf(one, 'revproxy_rate_limited'), ['revproxy_rate_limited_total 1'])
  assert.deepEqual(await linesOf(other, 'revproxy_rate_limited'), ['revproxy_rate_limited_total 0'])
})

test('facts that make no sense break nothing', async () => {
  const of = setUp()
  for (const at of [Number.NaN, START - 1000, Number.POSITIVE_INFINITY]) {
    feed(of, { end: { at, bytes: Number.NaN, status: Number.NaN }, upstream: { startedAt: Number.NaN } })
  }
  of.observer.ended?.(exchangeOf({}))
  assert.deepEqual(await linesOf(of, 'revproxy_requests_latency_ms_sum'), [
    'revproxy_requests_latency_ms_sum{path="/"} 0',
  ])
  assert.deepEqual(await linesOf(of, 'http_server_request_duration_seconds_count'), [
    'http_server_request_duration_seconds_count{http_request_method="GET",http_route="/",url_scheme="http"} 3',
  ])
  assert.deepEqual(await linesOf(of, 'http_server_active'), [
    'http_server_active_requests{http_request_method="GET",url_scheme="http"} 0',
  ])
})

test('a million random paths, methods, codes and hosts leave the number of series bounded', async () => {
  const of = setUp()
  const exchange = exchangeOf({})
  for (let i = 0; i < 1_000_000; i++) {
    // One object lent a million shapes: making the objects would take longer than what is tested.
    const word = ((i * 2_654_435_761) % 4_294_967_296).toString(36)
    Object.assign(exchange, {
      method: i % 3 === 0 ? 'GET' : word,
      url: `/z${word}`,
      host: `${word}.example:${i % 65_536}`,
      scheme: i % 2 === 0 ? 'https' : word,
      clientAddress: word,
      cache: { status: i % 2 === 0 ? 'miss' : word, reason: word, storage: word },
      upstream: {
        startedAt: START,
        sentBytes: 0,
        receivedBytes: 0,
        address: `${word}:${i}`,
        status: i % 1000,
      },
      ended: { at: START + (i % 20_000), status: i % 700, bytes: i, error: i % 5 === 0 ? word : undefined },
    })
    of.observer.opened?.(exchange)
    of.observer.ended?.(exchange)
  }
  const { body } = await of.scrape()
  const lines = body.split('\n').filter((line) => !line.startsWith('#') && line !== '')
  const count = (name: string) => lines.filter((line) => line.startsWith(name)).length
  assert.equal(count('revproxy_requests_latency_ms_count'), 101)
  assert.ok(count('http_server_request_duration_seconds_count') <= 1007)
  assert.ok(count('http_client_request_duration_seconds_count') <= 1007)
  assert.ok(count('revproxy_cache_results') + count('revproxy_cache_storage') <= 12)
  assert.ok(lines.length < 60_000, `${lines.length} lines`)
  const total = (name: string) =>
    lines
      .filter((line) => line.startsWith(name))
      .reduce((sum, line) => sum + Number(line.replace(/.* /, '')), 0)
  assert.equal(total('http_server_request_duration_seconds_count'), 1_000_000, 'and nothing is lost')
  assert.match(body, /http_request_method="_OTHER"/)
})

const full = (): Metrics => {
  const of = setUp({
    cacheStats: () => ({ entries: 1, bytes: 2, evictions: 3 }),
    spansDropped: () => 0,
    logLinesDropped: () => 0,
  })
  feed(of, {
    requestBytes: 10,
    cache: { status: 'miss', reason: 'uri-miss', storage: 'stored' },
    upstream: { status: 200 },
  })
  feed(of, { limited: true, url: '/a"b', end: { status: 429 } })
  feed(of, { upstream: {}, end: { status: 502, error: 'upstream-refused' } })
  return of
}

test('whoever scrapes holds others up by one family of metrics at most', async () => {
  const of = setUp()
  feed(of, {})
  await of.scrape()
  for (const accept of ['', 'application/openmetrics-text']) {
    let turns = 0
    let going = true
    const turn = (): void => {
      turns++
      if (going) setImmediate(turn)
    }
    turn()
    const { body } = await of.scrape(accept)
    going = false
    assert.ok(turns >= body.match(/^# TYPE /gm)!.length, `${turns} turns`)
  }
})

test('promtool finds nothing to complain about but the name kept from go-rev-proxy', async () => {
  const { body, contentType } = await full().scrape()
  assert.equal(contentType, 'text/plain; version=0.0.4; charset=utf-8')
  const promtool = spawnSync('promtool', ['check', 'metrics'], { input: body, encoding: 'utf8' })
  assert.equal(
    promtool.error,
    undefined,
    'promtool is not on PATH. Install it: apt-get install prometheus, brew install prometheus, or prometheus.io/download.',
  )
  const complaints = `${promtool.stdout}${promtool.stderr}`.split('\n').filter((line) => line !== '')
  const kept = complaints.filter((line) => /^revproxy_requests_latency_ms .*\bunits?\b/.test(line))
  assert.deepEqual(
    complaints.filter((line) => !kept.includes(line)),
    [],
  )
})

test('OpenMetrics is given to those who name it', async () => {
  const { body, contentType } = await full().scrape(
    'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3',
  )
  assert.equal(contentType, 'application/openmetrics-text; version=1.0.0; charset=utf-8')
  assert.match(body, /^# TYPE revproxy_cache_results counter$/m)
  assert.match(body, /^revproxy_cache_results_total\{result="miss",reason="uri-miss"\} 1$/m)
  assert.match(body, /[^\n]\n# EOF\n$/)
  assert.doesNotMatch(body, /\n\n|Nan/)
  assert.match((await full().scrape('*/*')).contentType, /^text\/plain/)
})
