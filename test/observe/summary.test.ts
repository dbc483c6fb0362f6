import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EndFacts } from '../../src/core/exchange.ts'
import { Exchange } from '../../src/core/exchange.ts'
import { summary } from '../../src/observe/summary.ts'

const run = () => {
  let now = 1000
  const made = summary({ clock: { now: () => now } })
  let id = 0
  const end = (facts: Partial<Exchange> & { ms?: number; end?: Partial<EndFacts> }, times = 1) => {
    for (let i = 0; i < times; i++) {
      const { ms = 1, end: ended, cause = 'client', requestHeaders: _, ...rest } = facts
      const exchange = new Exchange({
        id: ++id,
        cause,
        method: 'GET',
        url: '/',
        host: 'h',
        scheme: 'http',
        clientAddress: '::1',
        httpVersion: '1.1',
        startedAt: now,
        requestHeaders: [],
      })
      made.observer.ended?.(
        Object.assign(exchange, rest, {
          ended: { at: now + ms, status: 200, bytes: 10, ...ended },
        }) as Exchange,
      )
    }
  }
  const text = (width?: number) => made.text({ color: 0, width })
  return { ...made, text, end, advance: (ms: number) => (now += ms) }
}
const upstream = { startedAt: 0, sentBytes: 0, receivedBytes: 0, address: 'a' }

test('a run in one line', () => {
  const { end, text, advance } = run()
  end({ ms: 0.4, cache: { status: 'hit', reason: 'hit' } }, 26)
  end({ ms: 211, cache: { status: 'miss', reason: 'uri-miss', storage: 'stored' }, upstream }, 16)
  advance(12_000)
  assert.equal(
    text(),
    '42 requests in 12s · 62% hits · p50 0.4ms p99 211ms · 26 upstream calls saved · 0 errors · 420 B\n' +
      '  misses      uri-miss ×16\n',
  )
})
test('no traffic says so', () => assert.equal(run().text(), 'no requests in 0s\n'))
test('the hit ratio is of what the cache could have answered', () => {
  const { end, facts } = run()
  end({ cache: { status: 'hit', reason: 'hit' } })
  end({ cache: { status: 'stale', reason: 'stale-served-swr' } })
  end({ cache: { status: 'revalidated', reason: 'expired' }, upstream })
  end({ cache: { status: 'coalesced', reason: 'collapsed-hit' } })
  end({ cache: { status: 'miss', reason: 'uri-miss' }, upstream })
  end({ cache: { status: 'bypass', reason: 'method' }, upstream }, 5)
  end({ upstream })
  assert.equal(facts().hitRatio, 0.8)
  assert.deepEqual(facts().cache, { hit: 1, stale: 1, revalidated: 1, miss: 1, coalesced: 1, bypass: 5 })
  assert.equal(facts().upstreamSaved, 3)
})
test('a refresh is no request, and takes back what its stale answer saved', () => {
  const { end, facts } = run()
  end({ cache: { status: 'stale', reason: 'stale-served-swr' } })
  end({ cause: 'refresh', upstream, ms: 9000, end: { bytes: 5, error: 'upstream-reset' } })
  const { requests, refreshes, upstreamRequests, upstreamSaved, maxMs, errors, bytes } = facts()
  assert.deepEqual(
    { requests, refreshes, upstreamRequests, upstreamSaved, maxMs, errors, bytes },
    { requests: 1, refreshes: 1, upstreamRequests: 1, upstreamSaved: 0, maxMs: 1, errors: 0, bytes: 10 },
  )
})
test('a stale answer for an upstream that failed saved no call', () => {
  const { end, facts } = run()
  end({ cache: { status: 'stale', reason: 'stale-served-sie' }, upstream })
  assert.equal(facts().upstreamSaved, 0)
})
test('errors, limits, clients that left and upgrades are told apart', () => {
  const { end, facts, text } = run()
  const limit = { startedAt: 0, endedAt: 0, allowed: false, limit: 1, remaining: 0, resetSeconds: 1 }
  end({ end: { status: 502, error: 'upstream-refused' } }, 2)
  end({ limit, end: { status: 429 } }, 3)
  end({ ms: 5000, end: { status: 0, error: 'client-gone', bytes: 0 } })
  end({ ms: 60_000, upgraded: 'websocket', end: { status: 101 } })
  const { errors, rateLimited, clientsGone, upgrades, hitRatio, maxMs, statuses, errorCodes } = facts()
  assert.deepEqual(
    { errors, rateLimited, clientsGone, upgrades, hitRatio, maxMs, statuses, errorCodes },
    {
      errors: 2,
      rateLimited: 3,
      clientsGone: 1,
      upgrades: 1,
      hitRatio: null,
      maxMs: 1,
      statuses: { 101: 1, 429: 3, 502: 2 },
      errorCodes: { 'upstream-refused': 2 },
    },
  )
  assert.equal(
    text(),
    '7 requests in 0s · p50 1.0ms p99 1.0ms · 2 errors · 3 rate-limited · 1 client gone · 1 upgrade · 60 B\n' +
      '  status      429 ×3 · 502 ×2 · 101 ×1\n  errors      upstream-refused ×2\n',
  )
})
test('nothing but clients that left has no quantiles', () => {
  const { end, facts } = run()
  end({ end: { status: 0, error: 'client-gone' } })
  assert.equal(facts().p99Ms, null)
})
test('facts are plain JSON', () => {
  const { end, facts } = run()
  end({ cache: { status: 'miss', reason: 'uri-miss', storage: 'no-store' } })
  assert.deepEqual(JSON.parse(JSON.stringify(facts())), facts())
})
test('nearly all is not all', () => {
  const { end, text } = run()
  end({ cache: { status: 'hit', reason: 'hit' } }, 999)
  end({ cache: { status: 'miss', reason: 'uri-miss' } })
  assert.match(text(), />99% hits/)
})
test('a terminal that does not know its width gets no other text than none', () => {
  const { end, text } = run()
  end({ cache: { status: 'hit', reason: 'hit' } })
  end({ cache: { status: 'miss', reason: 'uri-miss', storage: 'stored' }, upstream })
  assert.equal(text(0), text())
})

for (const width of [40, 60, 80]) {
  test(`the text fits ${width} columns`, () => {
    const { end, text } = run()
    for (const reason of [
      'uri-miss',
      'vary-miss',
      'expired',
      'purged',
      'evicted-age',
      'no-cache-stored',
      'req-pragma',
    ] as const) {
      end({ cache: { status: 'miss', reason, storage: 'no-store' }, end: { status: 404 } })
    }
    for (const line of text(width).split('\n')) assert.ok(line.length <= width, line)
    assert.match(text(width), /others ×1/)
  })
}
