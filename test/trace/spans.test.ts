import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exchange } from '../../src/core/exchange.ts'
import { type SpanRecord, spansOf } from '../../src/observe/spans.ts'

const T = '4bf92f3577b34da6a3ce929d0e0e4736'
const SERVER = '00f067aa0ba902b7'
const CLIENT = '05e3ac9a4f6e3b90'
const REMOTE = 'b7ad6b7169203331'
const AT = 1_700_000_000_000

type Init = ConstructorParameters<typeof Exchange>[0]

/** A plain GET that ended with 200; `facts` changes what stands on it. */
const exchange = (facts: Partial<Exchange> = {}, init: Partial<Init> = {}): Exchange => {
  const made = new Exchange({
    id: 7,
    cause: 'client',
    method: 'GET',
    url: '/api/echo?echo=test&token=secret',
    host: 'localhost:8080',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: AT,
    requestHeaders: ['Host', 'localhost:8080', 'User-Agent', 'curl/8 (secret)'],
    ...init,
  })
  made.trace = { traceId: T, spanId: SERVER, upstreamSpanId: CLIENT, sampled: true }
  made.ended = { at: AT + 20.25, status: 200, bytes: 4 }
  return Object.assign(made, facts)
}

const project = (from: Exchange, upstreamUrl?: string): SpanRecord[] => {
  let next = 1
  return spansOf(from, {
    route: () => '/api/echo',
    redactUrl: (url) => url.replace('secret', '…'),
    spanId: () => (next++).toString(16).padStart(16, '0'),
    upstreamUrl,
  })
}

const upstream = {
  startedAt: AT + 2,
  sentAt: AT + 3,
  headAt: AT + 9.5,
  endedAt: AT + 10,
  status: 200,
  sentBytes: 0,
  receivedBytes: 4,
  address: 'localhost:3000',
}

test('a miss is a server span with its parts below it, in order', () => {
  const spans = project(
    exchange({
      trace: {
        traceId: T,
        spanId: SERVER,
        upstreamSpanId: CLIENT,
        parentSpanId: REMOTE,
        sampled: true,
        traceState: 'a=1',
      },
      limit: {
        startedAt: AT + 0.25,
        endedAt: AT + 0.5,
        allowed: true,
        limit: 5,
        remaining: 4,
        resetSeconds: 60,
      },
      cache: {
        status: 'miss',
        reason: 'uri-miss',
        lookupAt: AT + 1,
        lookedUpAt: AT + 1.5,
        storage: 'stored',
        storeAt: AT + 11,
        storedAt: AT + 12,
      },
      upstream,
    }),
    'http://localhost:3000',
  )
  assert.deepEqual(
    spans.map(({ name, kind, spanId, parentSpanId, remoteParent, startMs, endMs, status }) => [
      name,
      kind,
      spanId,
      parentSpanId,
      remoteParent,
      startMs - AT,
      endMs - AT,
      status,
    ]),
    [
      ['GET /api/echo', 'server', SERVER, REMOTE, true, 0, 20.25, 'unset'],
      ['rate limit', 'internal', '0000000000000001', SERVER, false, 0.25, 0.5, 'unset'],
      ['cache get', 'internal', '0000000000000002', SERVER, false, 1, 1.5, 'unset'],
      ['GET', 'client', CLIENT, SERVER, false, 2, 10, 'unset'],
      ['cache set', 'internal', '0000000000000003', SERVER, false, 11, 12, 'unset'],
    ],
  )
  assert.ok(
    spans.every(({ traceId, sampled, traceState }) => traceId === T && sampled && traceState === 'a=1'),
  )
  assert.deepEqual(spans[0]!.attributes, {
    'http.request.method': 'GET',
    'http.route': '/api/echo',
    'url.path': '/api/echo',
    'url.query': 'echo=test&token=…',
    'url.scheme': 'http',
    'server.address': 'localhost',
    'server.port': 8080,
    'client.address': '127.0.0.1',
    'network.protocol.version': '1.1',
    'user_agent.original': 'curl/8 (…)',
    'http.response.status_code': 200,
    'http.response.body.size': 4,
    'revproxy.exchange': 7,
    'revproxy.rate_limited': false,
    'revproxy.cache.status': 'miss',
    'revproxy.cache.reason': 'uri-miss',
    'revproxy.cache.storage': 'stored',
  })
  assert.deepEqual(spans[3]!.attributes, {
    'http.request.method': 'GET',
    'url.full': 'http://localhost:3000/api/echo?echo=test&token=…',
    'server.address': 'localhost',
    'server.port': 3000,
    'http.response.status_code': 200,
    'http.response.body.size': 4,
  })
  assert.deepEqual(
    spans[3]!.events.map(({ name, atMs }) => [name, atMs - AT]),
    [
      ['request sent', 3],
      ['response head', 9.5],
    ],
  )
  assert.deepEqual(spans[4]!.attributes, { 'revproxy.cache.storage': 'stored' })
})

test('a hit is a server span and the look into the cache', () => {
  const spans = project(
    exchange({
      cache: { status: 'hit', reason: 'hit', lookupAt: AT + 1, lookedUpAt: AT + 1.5, ageSeconds: 3 },
    }),
  )
  assert.deepEqual(
    spans.map(({ name }) => name),
    ['GET /api/echo', 'cache get'],
  )
  assert.equal(spans[0]!.attributes['revproxy.cache.status'], 'hit')
  assert.equal(spans[0]!.attributes['revproxy.cache.age_seconds'], 3)
})

test('a 429 is a server span without error and the decision', () => {
  const spans = project(
    exchange({
      limit: { startedAt: AT, endedAt: AT + 0.25, allowed: false, limit: 5, remaining: 0, resetSeconds: 60 },
      ended: { at: AT + 1, status: 429, bytes: 30 },
    }),
  )
  assert.deepEqual(
    spans.map(({ name, status }) => [name, status]),
    [
      ['GET /api/echo', 'unset'],
      ['rate limit', 'unset'],
    ],
  )
  assert.equal(spans[0]!.attributes['revproxy.rate_limited'], true)
  assert.equal(spans[0]!.attributes['error.type'], undefined)
})

const ends: ReadonlyArray<{
  name: string
  ended: Partial<NonNullable<Exchange['ended']>>
  upstream?: { status?: number | undefined; endedAt?: number | undefined }
  /** Status, error.type and names of the events of the server span. */
  server: readonly [SpanRecord['status'], string | undefined, string[]]
  client?: readonly [SpanRecord['status'], string | undefined, string[]]
}> = [
  {
    name: '200',
    ended: {},
    upstream: {},
    server: ['unset', undefined, []],
    client: ['unset', undefined, []],
  },
  {
    name: '404',
    ended: { status: 404 },
    upstream: { status: 404 },
    server: ['unset', undefined, []],
    client: ['error', '404', []],
  },
  {
    name: '500',
    ended: { status: 500 },
    upstream: { status: 500 },
    server: ['error', '500', []],
    client: ['error', '500', []],
  },
  {
    name: 'a refused connection',
    ended: { status: 502, error: 'upstream-refused', errorMessage: 'no' },
    upstream: { status: undefined, endedAt: undefined },
    server: ['error', 'upstream-refused', ['exception']],
    client: ['error', 'upstream-refused', ['exception']],
  },
  {
    name: 'a reset in the body',
    ended: { error: 'upstream-reset' },
    upstream: {},
    server: ['unset', 'upstream-reset', ['exception']],
    client: ['error', 'upstream-reset', ['exception']],
  },
  {
    name: 'a connection that takes too long',
    ended: { status: 504, error: 'connect-timeout' },
    upstream: { status: undefined },
    server: ['error', 'connect-timeout', ['exception']],
    client: ['error', 'connect-timeout', ['exception']],
  },
  {
    name: 'a client that leaves before the head',
    ended: { status: 0, error: 'client-gone' },
    upstream: { status: undefined },
    server: ['unset', 'client-gone', ['exception']],
    client: ['error', 'client-gone', ['exception']],
  },
  {
    name: 'a client that leaves in the body',
    ended: { error: 'client-gone' },
    upstream: {},
    server: ['unset', 'client-gone', ['exception']],
    client: ['unset', undefined, []],
  },
  {
    name: 'a failed upstream behind a stale answer',
    ended: {},
    upstream: { status: undefined },
    server: ['unset', undefined, []],
    client: ['error', '_OTHER', []],
  },
  {
    name: 'a full queue',
    ended: { status: 503, error: 'queue-full', errorMessage: 'busy' },
    server: ['error', 'queue-full', ['exception']],
  },
]

for (const { name, ended, upstream: change, server, client } of ends) {
  test(`the status of the spans tells of ${name}`, () => {
    const made = exchange({ ended: { at: AT + 20, status: 200, bytes: 0, ...ended } })
    if (change !== undefined)
      made.upstream = {
        ...upstream,
        sentAt: undefined,
        headAt: undefined,
        ...change,
      } as unknown as typeof upstream
    const spans = project(made)
    const told = (span: SpanRecord | undefined) =>
      span && [span.status, span.attributes['error.type'], span.events.map((event) => event.name)]
    assert.deepEqual(told(spans[0]), server)
    assert.deepEqual(told(spans.find(({ kind }) => kind === 'client')), client)
    const exception = spans[0]!.events[0]
    if (exception !== undefined) {
      assert.equal(exception.attributes['exception.type'], ended.error)
      assert.equal(exception.attributes['exception.message'], ended.errorMessage)
    }
    assert.equal(spans[0]!.attributes['http.response.status_code'], made.ended!.status || undefined)
  })
}

test('a method that is not known does not become part of a name', () => {
  const [server, client] = project(exchange({ upstream }, { method: 'BREW' }))
  assert.equal(server!.name, 'HTTP /api/echo')
  assert.equal(client!.name, 'HTTP')
  assert.equal(server!.attributes['http.request.method'], '_OTHER')
  assert.equal(server!.attributes['http.request.method_original'], 'BREW')
})

test('a refresh has a span of its own kind below the exchange that caused it', () => {
  const made = exchange({ upstream }, { cause: 'refresh', parent: 6 })
  made.trace!.parentSpanId = REMOTE
  const [own] = project(made)
  assert.deepEqual(
    [own!.name, own!.kind, own!.parentSpanId, own!.remoteParent],
    ['refresh GET /api/echo', 'internal', REMOTE, false],
  )
  assert.equal(own!.attributes['client.address'], undefined)
})

const addresses: ReadonlyArray<{ host: string; scheme?: 'https'; want: [unknown, unknown] }> = [
  { host: 'a.example', want: ['a.example', 80] },
  { host: 'a.example', scheme: 'https', want: ['a.example', 443] },
  { host: 'a.example:81', want: ['a.example', 81] },
  { host: '[::1]:81', want: ['::1', 81] },
  { host: '[::1]', want: ['::1', 80] },
  { host: '', want: [undefined, undefined] },
]
for (const { host, scheme, want } of addresses) {
  test(`the server is ${want.join(' ')} for host "${host}"`, () => {
    const { attributes } = project(exchange({}, { host, scheme: scheme ?? 'http' }))[0]!
    assert.deepEqual([attributes['server.address'], attributes['server.port']], want)
  })
}

test('a unix socket is an address without port', () => {
  const { attributes } = project(exchange({ upstream: { ...upstream, address: '/run/app.sock' } }))[1]!
  assert.equal(attributes['server.address'], '/run/app.sock')
  assert.equal(attributes['server.port'], undefined)
})

test('no span ends before it begins, also where an end was never written', () => {
  const spans = project(
    exchange({
      cache: { status: 'miss', reason: 'uri-miss', lookupAt: AT + 1, storeAt: AT + 30 },
      upstream: { ...upstream, endedAt: AT + 1 },
    }),
  )
  assert.deepEqual(
    spans.map(({ name, startMs, endMs }) => [name, endMs - startMs]),
    [
      ['GET /api/echo', 20.25],
      ['cache get', 19.25],
      ['GET', 0],
      ['cache set', 0],
    ],
  )
})

test('an exchange without trace has no spans', () => {
  assert.deepEqual(project(exchange({ trace: undefined })), [])
})
