/** One exchange, told by every projection: they must all say the same. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { harEntry } from '../../src/ci/har.ts'
import type { Metric } from '../../src/ci/metrics.ts'
import { measure, Tally } from '../../src/ci/tally.ts'
import { Exchange } from '../../src/core/exchange.ts'
import { requestLog } from '../../src/observe/log.ts'
import { metrics } from '../../src/observe/metrics.ts'
import { redactor } from '../../src/observe/redact.ts'
import { localSpans } from '../../src/observe/spans.ts'
import { stats } from '../../src/observe/stats.ts'
import { summary } from '../../src/observe/summary.ts'
import { traceLine } from '../../src/observe/trace-view.ts'
import { formatDuration, formatSize } from '../../src/observe/units.ts'

const AT = 1_700_000_000_000

interface Case {
  readonly name: string
  readonly facts: Partial<Exchange>
  readonly want: {
    readonly status: number
    readonly ms: number
    readonly upstreamMs?: number
    readonly upstreamStatus?: number
    readonly upstreamError?: string
    readonly bytes: number
    readonly requestBytes?: number
    readonly word: string
    readonly cache?: string
    readonly reason?: string
    readonly storage?: string
    readonly error?: string
    readonly limited?: boolean
    readonly queueMs?: number
    readonly heldMs?: number
    readonly lookupMs?: number
  }
}

const lookup = { key: 'http://localhost/api/echo', lookupAt: AT + 1, lookedUpAt: AT + 1.5 }
const upstream = {
  startedAt: AT + 12,
  sentAt: AT + 13,
  headAt: AT + 80,
  endedAt: AT + 90,
  status: 200,
  sentBytes: 300,
  receivedBytes: 5000,
  address: '127.0.0.1:3000',
}
const limit = {
  startedAt: AT + 0.25,
  endedAt: AT + 0.5,
  allowed: true,
  limit: 5,
  remaining: 4,
  resetSeconds: 9,
}

const cases: Case[] = [
  {
    name: 'a miss that waited for its turn',
    facts: {
      limit,
      requestBytes: 300,
      queuedMs: 10.25,
      cache: {
        ...lookup,
        status: 'miss',
        reason: 'vary-miss',
        storage: 'stored',
        storeAt: AT + 91,
        storedAt: AT + 92,
      },
      upstream,
      ended: { at: AT + 100, status: 200, bytes: 5000 },
    },
    want: {
      status: 200,
      ms: 100,
      upstreamMs: 78,
      upstreamStatus: 200,
      bytes: 5000,
      requestBytes: 300,
      word: 'MISS',
      cache: 'miss',
      reason: 'vary-miss',
      storage: 'stored',
      queueMs: 10.25,
      lookupMs: 0.5,
    },
  },
  {
    name: 'a hit',
    facts: {
      cache: { ...lookup, status: 'hit', reason: 'hit', ageSeconds: 3, ttlSeconds: 57 },
      ended: { at: AT + 2, status: 200, bytes: 4 },
    },
    want: { status: 200, ms: 2, bytes: 4, word: 'HIT', cache: 'hit', reason: 'hit', lookupMs: 0.5 },
  },
  {
    name: 'a request over the limit',
    facts: {
      limit: { ...limit, allowed: false, remaining: 0 },
      ended: { at: AT + 1, status: 429, bytes: 23 },
    },
    want: { status: 429, ms: 1, bytes: 23, word: 'LIMIT', limited: true },
  },
  {
    name: 'a target that was held for and did not come back',
    facts: {
      heldMs: 40,
      cache: { ...lookup, status: 'miss', reason: 'uri-miss' },
      upstream: {
        startedAt: AT + 45,
        endedAt: AT + 46,
        sentBytes: 0,
        receivedBytes: 0,
        address: '127.0.0.1:3000',
        error: 'upstream-refused',
      },
      ended: { at: AT + 50, status: 502, bytes: 90, error: 'upstream-refused', errorMessage: 'refused' },
    },
    want: {
      status: 502,
      ms: 50,
      upstreamMs: 1,
      bytes: 90,
      word: 'ERROR',
      cache: 'miss',
      reason: 'uri-miss',
      error: 'upstream-refused',
      upstreamError: 'upstream-refused',
      heldMs: 40,
      lookupMs: 0.5,
    },
  },
  {
    name: 'a stale answer in place of an upstream that broke off',
    facts: {
      cache: { ...lookup, status: 'stale', reason: 'stale-served-sie', ageSeconds: 70, ttlSeconds: -10 },
      upstream: {
        startedAt: AT + 2,
        sentAt: AT + 3,
        endedAt: AT + 8,
        sentBytes: 0,
        receivedBytes: 0,
        address: '127.0.0.1:3000',
        error: 'upstream-reset',
      },
      ended: { at: AT + 9, status: 200, bytes: 4 },
    },
    want: {
      status: 200,
      ms: 9,
      upstreamMs: 6,
      bytes: 4,
      word: 'STALE',
      cache: 'stale',
      reason: 'stale-served-sie',
      upstreamError: 'upstream-reset',
      lookupMs: 0.5,
    },
  },
]

const exchangeOf = (facts: Partial<Exchange>): Exchange =>
  Object.assign(
    new Exchange({
      id: 1,
      cause: 'client',
      method: 'GET',
      url: '/api/echo?token=secret',
      host: 'localhost',
      scheme: 'http',
      clientAddress: '127.0.0.1',
      httpVersion: '1.1',
      startedAt: AT,
      requestHeaders: [],
    }),
    facts,
  )

interface Har {
  readonly time: number
  readonly request: { readonly url: string; readonly bodySize: number }
  readonly response: { readonly status: number; readonly bodySize: number }
  readonly timings: Record<string, number>
  readonly _cache?: string
  readonly _reason?: string
  readonly _error?: string
  readonly _upstream?: string
}

const route = () => '/api/echo'
const redact = redactor({ names: [], enabled: true })
const clock = { now: () => AT + 1000 }

const logged = (exchange: Exchange, format: 'plain' | 'json' | 'logfmt'): string => {
  let text = ''
  const log = requestLog({
    format,
    color: 0,
    slowMs: 10_000,
    verbose: false,
    redact,
    width: () => undefined,
    write: (lines) => {
      text += lines
    },
    clock,
  })
  log.ended!(exchange)
  return text
}

const pairsOf = (line: string): Record<string, string> =>
  Object.fromEntries(
    [...line.matchAll(/([a-zA-Z]+)=("(?:[^"\\]|\\.)*"|\S*)/g)].map(([, name, value]) => [
      name,
      value!.startsWith('"') ? JSON.parse(value!) : value,
    ]),
  )

/** Sum and count of each metric, labels that are the same for all left out. */
const samplesOf = async (exchange: Exchange): Promise<Map<string, number>> => {
  const of = metrics({ route, version: '1' })
  of.observer.opened!(exchange)
  of.observer.ended!(exchange)
  const { body } = await of.scrape()
  const samples = new Map<string, number>()
  for (const line of body.split('\n')) {
    const [, name, value] = /^((?:http|revproxy)_\S+?(?:\{.*\})?) (\S+)$/.exec(line) ?? []
    if (name !== undefined && !name.includes('_bucket')) samples.set(name, Number(value))
  }
  return samples
}

for (const { name, facts, want } of cases) {
  test(`log, JSON, logfmt, metrics, spans, summary, live view, expectations and HAR say the same of ${name}`, async () => {
    const exchange = exchangeOf(facts)

    const line = logged(exchange, 'plain')
    assert.match(line, new RegExp(` ${want.status}  ${want.word}\\b`))
    assert.ok(line.includes(` ${formatDuration(want.ms)}`), line)
    if (want.upstreamMs !== undefined)
      assert.ok(line.includes(`upstream ${formatDuration(want.upstreamMs).replace('ms', '')})`), line)
    if (want.queueMs !== undefined) assert.ok(line.includes(`queue ${want.queueMs.toFixed(1)}`), line)
    if (want.heldMs !== undefined) assert.ok(line.includes(`held ${want.heldMs.toFixed(1)}`), line)
    if (want.word !== 'LIMIT') assert.ok(line.includes(formatSize(want.bytes)), line)
    if (want.error !== undefined) assert.ok(line.includes(want.error), line)

    const told = {
      status: want.status,
      durationMs: want.ms,
      upstreamMs: want.upstreamMs,
      upstreamStatus: want.upstreamStatus,
      upstreamError: want.upstreamError,
      bytes: want.bytes,
      requestBytes: want.requestBytes ?? 0,
      cache: want.cache,
      reason: want.reason,
      stored: want.storage,
      error: want.error,
      limited: want.limited,
      queueMs: want.queueMs,
      heldMs: want.heldMs,
      cacheMs: want.lookupMs,
      url: '/api/echo?token=***',
    }
    const json = JSON.parse(logged(exchange, 'json'))
    const fromLogfmt = pairsOf(logged(exchange, 'logfmt'))
    for (const [key, value] of Object.entries(told)) {
      assert.deepEqual(json[key], value, `json ${key}`)
      assert.equal(fromLogfmt[key], value === undefined ? undefined : String(value), `logfmt ${key}`)
    }
    assert.deepEqual(Object.keys(fromLogfmt), Object.keys(json), 'both have the same names in the same order')

    const samples = await samplesOf(exchange)
    const one = (start: string): number | undefined =>
      [...samples].find(([key]) => key.startsWith(start))?.[1]
    const near = (actual: number | undefined, ms: number | undefined, what: string): void =>
      ms === undefined
        ? assert.ok(actual === undefined || actual === 0, what)
        : assert.ok(Math.abs(actual! * 1000 - ms) < 0.01, `${what}: ${actual}`)
    const serverLabels = [...samples.keys()].find((key) =>
      key.startsWith('http_server_request_duration_seconds_sum'),
    )!
    assert.ok(serverLabels.includes(`http_response_status_code="${want.status}"`))
    const errorType = want.error ?? (want.status >= 500 ? String(want.status) : undefined)
    assert.equal(/error_type="([^"]*)"/.exec(serverLabels)?.[1], errorType)
    near(one('http_server_request_duration_seconds_sum'), want.ms, 'server duration')
    near(one('http_client_request_duration_seconds_sum'), want.upstreamMs, 'client duration')
    near(one('revproxy_queue_duration_seconds_sum'), want.queueMs, 'queue')
    near(one('revproxy_hold_duration_seconds_sum'), want.heldMs, 'hold')
    near(one('revproxy_cache_store_duration_seconds_sum{operation="get"'), want.lookupMs, 'lookup')
    const clientLabels = [...samples.keys()].find((key) =>
      key.startsWith('http_client_request_duration_seconds_sum'),
    )
    assert.equal(/error_type="([^"]*)"/.exec(clientLabels ?? '')?.[1], want.upstreamError)
    assert.equal(
      samples.get(`revproxy_upstream_errors_total{code="${want.upstreamError}"}`),
      want.upstreamError === undefined ? undefined : 1,
    )
    assert.equal(one('http_server_response_body_size_bytes_sum'), want.bytes)
    assert.equal(one('http_server_request_body_size_bytes_sum'), want.requestBytes)
    assert.equal(one('revproxy_rate_limited_total'), want.limited === true ? 1 : 0)
    if (want.cache !== undefined)
      assert.equal(
        samples.get(`revproxy_cache_results_total{result="${want.cache}",reason="${want.reason}"}`),
        1,
      )
    if (want.storage !== undefined)
      assert.equal(samples.get(`revproxy_cache_storage_total{storage="${want.storage}"}`), 1)

    const spans = localSpans(exchange, { route, redactUrl: redact.url })
    const [own] = spans
    const durationOf = (wanted: string): number | undefined => {
      const span = spans.find((candidate) => candidate.name === wanted && candidate !== own)
      return span === undefined ? undefined : span.endMs - span.startMs
    }
    assert.equal(own!.endMs - own!.startMs, want.ms)
    assert.equal(own!.attributes['http.response.status_code'], want.status)
    assert.equal(own!.attributes['http.response.body.size'], want.bytes)
    assert.equal(own!.attributes['revproxy.cache.status'], want.cache)
    assert.equal(own!.attributes['revproxy.cache.reason'], want.reason)
    assert.equal(own!.attributes['revproxy.cache.storage'], want.storage)
    assert.equal(own!.attributes['error.type'], errorType)
    assert.equal(own!.attributes['url.query'], 'token=***')
    assert.equal(durationOf('GET'), want.upstreamMs)
    assert.equal(spans.find(({ kind }) => kind === 'client')?.attributes['error.type'], want.upstreamError)
    assert.equal(durationOf('cache get'), want.lookupMs)
    assert.equal(durationOf('hold'), want.heldMs)
    const queued = durationOf('queue')
    // Less what the limit itself took, whose span is beside it.
    assert.equal(queued, want.queueMs === undefined ? undefined : want.queueMs - 0.25)

    const totals = summary({ clock })
    totals.observer.ended!(exchange)
    const sums = totals.facts()
    assert.equal(sums.requests, 1)
    assert.equal(sums.maxMs, want.ms)
    assert.equal(sums.bytes, want.bytes)
    assert.equal(sums.requestBytes, want.requestBytes ?? 0)
    assert.deepEqual(sums.statuses, { [want.status]: 1 })
    assert.equal(sums.rateLimited, want.limited === true ? 1 : 0)
    assert.deepEqual(sums.errorCodes, want.error === undefined ? {} : { [want.error]: 1 })
    if (want.cache !== undefined) assert.equal(sums.cache[want.cache as 'hit'], 1)
    assert.deepEqual(sums.missReasons, want.cache === 'miss' ? { [want.reason!]: 1 } : {})

    const listed = traceLine(exchange, redact)
    assert.deepEqual(
      [listed.status, listed.durationMs, listed.cache, listed.reason, listed.error, listed.url],
      [want.status, want.ms, want.cache, want.reason, want.error, '/api/echo?token=***'],
    )
    const of = metrics({ route, version: '1' })
    of.observer.opened!(exchange)
    of.observer.ended!(exchange)
    const seen = stats({
      metrics: of,
      recent: { all: () => [exchange] },
      now: AT + 1000,
      startedAt: AT,
      target: '',
      version: '1',
    })
    assert.deepEqual(seen.routes[0]!.missReasons, sums.missReasons)
    assert.equal(seen.lately.p99Ms, want.ms)
    assert.equal(seen.failures, want.error === undefined ? 0 : 1)

    const judged = new Tally()
    judged.add(measure(exchange))
    const fromCache = want.cache !== undefined && want.cache !== 'miss' && want.cache !== 'bypass'
    const expected: Array<[Metric, number | null]> = [
      ['requests', 1],
      ['upstream-requests', want.upstreamMs === undefined ? 0 : 1],
      ['max', want.ms],
      ['upstream-max', want.upstreamMs ?? null],
      ['misses', want.cache === 'miss' ? 1 : 0],
      ['stale', want.cache === 'stale' ? 1 : 0],
      ['hit-ratio', want.cache === undefined ? null : fromCache ? 1 : 0],
      ['4xx', want.status >= 400 && want.status < 500 ? 1 : 0],
      ['5xx', want.status >= 500 ? 1 : 0],
      ['errors', want.error === undefined ? 0 : 1],
      ['rate-limited', want.limited === true ? 1 : 0],
    ]
    for (const [metric, value] of expected) assert.equal(judged.value(metric), value, `--expect ${metric}`)

    const har = harEntry(exchange, 'http://localhost', {
      redact,
      maxBodyBytes: 0,
    }) as Har
    assert.equal(har.time, want.ms)
    assert.equal(har.request.url, 'http://localhost/api/echo?token=***')
    assert.equal(har.request.bodySize, want.requestBytes ?? 0)
    assert.equal(har.response.status, want.status)
    assert.equal(har.response.bodySize, want.bytes)
    assert.deepEqual([har._cache, har._reason, har._error], [want.cache, want.reason, want.error])
    assert.equal(har._upstream, want.upstreamMs === undefined ? undefined : upstream.address)
    const { connect, ...parts } = har.timings
    assert.equal(
      Object.values(parts).reduce((sum, part) => sum + Math.max(0, part), Math.max(0, connect!)),
      want.ms,
      'the parts of the time add up to the whole',
    )
  })
}
