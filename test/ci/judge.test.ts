import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseExpectation } from '../../src/ci/expression.ts'
import { boundOf, judge } from '../../src/ci/judge.ts'
import { ledger } from '../../src/ci/ledger.ts'
import { type CacheFacts, Exchange } from '../../src/core/exchange.ts'
import { routes } from '../../src/observe/routes.ts'

interface Facts {
  method?: string
  status?: number
  ms?: number
  cache?: CacheFacts['status']
  reason?: CacheFacts['reason']
  upstreamMs?: number
  cause?: 'client' | 'refresh'
  error?: 'upstream-refused' | 'client-gone'
  limited?: boolean
}

let ids = 0
const exchange = (url: string, facts: Facts = {}): Exchange => {
  const { method = 'GET', status = 200, ms = 1, cache, upstreamMs, cause = 'client', error } = facts
  const made = new Exchange({
    id: ++ids,
    cause,
    method,
    url,
    host: 'h',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: 1000,
    requestHeaders: [],
  })
  if (cache !== undefined)
    made.cache = { status: cache, reason: facts.reason ?? (cache === 'hit' ? 'hit' : 'uri-miss') }
  if (upstreamMs !== undefined) {
    made.upstream = {
      startedAt: 1000,
      headAt: 1000 + upstreamMs,
      endedAt: 1000 + upstreamMs,
      sentBytes: 0,
      receivedBytes: 0,
      address: 'u',
    }
  }
  if (facts.limited)
    made.limit = { startedAt: 1000, endedAt: 1000, allowed: false, limit: 1, remaining: 0, resetSeconds: 1 }
  made.headAt = 1000 + ms
  made.ended = { at: 1000 + ms, status, bytes: 0, ...(error === undefined ? {} : { error }) }
  return made
}

/** Judges one expectation over some traffic. */
const judged = (text: string, traffic: readonly Exchange[], baseline?: Record<string, number>) => {
  const expectation = parseExpectation(text)
  const bound = boundOf(
    expectation,
    baseline === undefined ? undefined : { revproxyBaseline: 1, savedAt: '', metrics: baseline },
  )
  const broken: string[] = []
  const books = ledger({
    expectations: [{ expectation, bound }],
    route: routes({ templates: [] }),
    onRequest() {},
    onBroken: (each) => broken.push(each.text),
  })
  for (const each of traffic) books.observer.ended!(each)
  const [first] = judge({
    ledger: books,
    url: 'http://localhost:1',
    variables: ['REVPROXY_URL', 'API'],
    proxiedBy: undefined,
  })
  return { ...first!, broken }
}

const traffic = [
  exchange('/a', { ms: 10, cache: 'miss', upstreamMs: 9 }),
  exchange('/a', { ms: 1, cache: 'hit' }),
  exchange('/users/1', { ms: 20, cache: 'miss', reason: 'vary-miss', upstreamMs: 18 }),
  exchange('/users/2', { ms: 30, cache: 'stale', reason: 'stale-served-swr' }),
  exchange('/users/2', { cause: 'refresh', ms: 400, upstreamMs: 400 }),
  exchange('/b', {
    method: 'POST',
    ms: 40,
    status: 502,
    cache: 'bypass',
    reason: 'method',
    upstreamMs: 40,
    error: 'upstream-refused',
  }),
  exchange('/c', { ms: 2, status: 404, cache: 'coalesced', reason: 'collapsed-hit' }),
  exchange('/c', { ms: 0.1, status: 429, limited: true }),
  exchange('/c', { ms: 5, status: 0, error: 'client-gone' }),
]

describe('metrics', () => {
  const rows: Array<[metric: string, value: number]> = [
    ['requests', 8],
    ['requests{route=/users/:id}', 2],
    ['requests{method=POST}', 1],
    ['requests{reason=vary-miss}', 1],
    ['upstream-requests', 4],
    ['misses', 2],
    ['misses{reason=vary-miss}', 1],
    ['misses{route=/users/*}', 1],
    ['4xx', 2],
    ['5xx', 1],
    ['errors', 1],
    ['errors{reason=upstream-refused}', 1],
    ['rate-limited', 1],
    ['stale', 1],
  ]
  for (const [metric, value] of rows) {
    test(`${metric} is ${value}`, () => {
      assert.equal(judged(`${metric}==${value}`, traffic).outcome, 'passed')
      assert.equal(judged(`${metric}==${value + 1}`, traffic).outcome, 'failed')
    })
  }
  const values: Array<[text: string, actual: number]> = [
    ['p50<1s', 10], // of 0.1 1 2 10 20 30 40; without the client that left
    ['p99<1s', 40],
    ['max{route=/users/:id}<1s', 30],
    ['upstream-p99<1s', 400],
    ['upstream-max{method=POST}<1s', 40],
    ['hit-ratio>0', 3 / 5],
    ['overhead-max{route=/a}<1s', 1],
  ]
  for (const [text, actual] of values) {
    test(`${text}: it is ${actual}`, () => assert.ok(Math.abs(judged(text, traffic).actual! - actual) < 1e-9))
  }
})

describe('what failed says why', () => {
  const rows: Array<[text: string, because: string | RegExp]> = [
    ['p99<25ms', 'p99 is 40.0ms, not <25ms.'],
    ['hit-ratio>=80%', 'hit-ratio is 60%, not >=80%.'],
    ['5xx{method=POST}==0', '5xx{method=POST} is 1, not ==0.'],
    ['errors<1%', 'errors is 1, not <1% of 8 requests.'],
    ['p99{route=/nothing}<1s', 'no request was /nothing. There were /c ×3, /a ×2, /users/:id ×2, /b ×1.'],
    ['5xx{route=/nothing}==0', /no request was \/nothing/],
    ['hit-ratio{method=POST}>0.1', 'no request was one that the cache could answer.'],
    ['upstream-p99{route=/c}<1s', 'nothing was to measure on /c.'],
  ]
  for (const [text, because] of rows) {
    test(text, () => {
      const found = judged(text, traffic)
      assert.equal(found.outcome, 'failed')
      if (typeof because === 'string') assert.equal(found.because, because)
      else assert.match(found.because, because)
    })
  }
  test('values too near to be told apart are written in full', () => {
    const found = judged('p99<250ms', [exchange('/', { ms: 250.04 })])
    assert.equal(found.because, 'p99 is 250.04ms, not <250ms.')
  })
  test('the worst requests come first, each only once', () => {
    const many = [3, 50, 70, 60, 70, 80].map((ms, i) => exchange(`/${i % 4}`, { ms }))
    assert.deepEqual(
      judged('p50<10ms', many).offenders.map(({ url, ended }) => [url, ended!.at - 1000]),
      [
        ['/1', 80],
        ['/2', 70],
        ['/0', 70],
      ],
    )
  })
})

describe('no traffic', () => {
  test('fails, and names the variables', () => {
    for (const text of ['p99<1s', '5xx==0', 'hit-ratio>=0', 'requests<5', 'misses==0']) {
      const found = judged(text, [])
      assert.equal(found.outcome, 'failed', text)
      assert.match(found.because, /no request came through the proxy\..*does it read REVPROXY_URL or API\?/)
    }
  })
  test('passes only what means it', () => {
    for (const text of ['requests==0', 'requests<=0', 'requests<1'])
      assert.equal(judged(text, []).outcome, 'passed')
    assert.equal(judged('requests{route=/x}==0', traffic).outcome, 'passed')
  })
})

describe('a baseline', () => {
  test('is a bound like any other', () => {
    const p95 = (ms: number) => judged('p95<=baseline*1.2+1ms', [exchange('/', { ms })], { p95: 10 })
    assert.equal(p95(13).outcome, 'passed')
    assert.equal(p95(14).because, 'p95 is 14.0ms, not <=13.0ms (baseline*1.2+1ms).')
    const share = judged('hit-ratio{route=/a}>=baseline-10%', traffic, { 'hit-ratio{route=/a}': 0.6 })
    assert.equal(share.outcome, 'passed')
  })
  test('that has no such value skips', () => {
    assert.equal(judged('p95<=baseline', traffic).outcome, 'skipped')
  })
  test('without one yet, what measures nothing fails all the same', () => {
    assert.match(judged('requests<=baseline', []).because, /no request came through the proxy/)
    assert.equal(judged('p95{route=/nowhere}<=baseline', traffic).outcome, 'failed')
  })
})

test('what can no longer be met is told once, as soon as it is so', () => {
  assert.deepEqual(judged('5xx==0', [...traffic, ...traffic]).broken, ['5xx==0'])
  assert.deepEqual(judged('max<40ms', traffic).broken, ['max<40ms'])
  assert.deepEqual(judged('requests<=8', traffic).broken, [])
  assert.deepEqual(judged('requests<8', traffic).broken, ['requests<8'])
  // A percentile may come down again, a lower bound may still be reached.
  assert.deepEqual(judged('p50<1ms', traffic).broken, [])
  assert.deepEqual(judged('requests>=100', traffic).broken, [])
})

test('percentiles are exact up to 100,000 requests and within 1 % above', () => {
  const values = Array.from({ length: 100_000 }, (_, i) => ((i * 7919) % 100_000) + 1)
  const all = values.map((ms) => exchange('/', { ms }))
  assert.equal(judged('p99<1d', all).actual, 99_000)
  assert.equal(judged('p50<1d', all).actual, 50_000)
  const more = [...all, exchange('/', { ms: 1 })]
  assert.ok(Math.abs(judged('p99<1d', more).actual! - 99_000) <= 990)
})
