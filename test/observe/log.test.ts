import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exchange } from '../../src/core/exchange.ts'
import { parseFilter } from '../../src/observe/filter.ts'
import { type RequestLogOptions, requestLog } from '../../src/observe/log.ts'
import { redactor } from '../../src/observe/redact.ts'

/** 12:00:01.000 of this machine's own time zone. */
const NOON = new Date(2026, 0, 2, 12, 0, 1).getTime()

type Facts = Partial<Omit<Exchange, 'ended'>> & {
  ended?: Partial<NonNullable<Exchange['ended']>>
  ms?: number
}

/** An exchange that ended at 12:00:01.234 after `ms`, with the given facts. */
const exchange = ({ ended, ms = 11.4, ...facts }: Facts = {}): Exchange => {
  const at = NOON + 234
  const made = new Exchange({
    id: 1,
    cause: facts.cause ?? 'client',
    method: facts.method ?? 'GET',
    url: facts.url ?? '/api/echo?echo=test',
    host: facts.host ?? 'localhost:8080',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: at - ms,
    requestHeaders: facts.requestHeaders ?? [],
    ...(facts.parent === undefined ? {} : { parent: facts.parent }),
  })
  const { cause: _, method: _m, url: _u, host: _h, parent: _p, requestHeaders: _r, ...rest } = facts
  return Object.assign(made, rest, { ended: { at, status: 200, bytes: 4, ...ended } })
}
const upstream = (ms: number, from = NOON + 234 - ms): NonNullable<Exchange['upstream']> => ({
  startedAt: from,
  sentAt: from,
  headAt: from + ms,
  endedAt: from + ms,
  status: 200,
  sentBytes: 0,
  receivedBytes: 4,
  address: '127.0.0.1:3000',
})
const limited = { startedAt: NOON, endedAt: NOON, allowed: false, limit: 5, remaining: 0, resetSeconds: 55.2 }

const logged = (exchanges: Exchange[], options: Partial<RequestLogOptions> = {}): string => {
  let text = ''
  const observer = requestLog({
    format: 'plain',
    color: 0,
    slowMs: 500,
    verbose: false,
    redact: redactor({ names: ['authorization'], enabled: true }),
    width: () => undefined,
    write: (lines) => {
      text += lines
    },
    clock: { now: () => NOON },
    ...options,
  })
  for (const each of exchanges) observer.ended?.(each)
  observer.flush()
  return text
}

const plain: Array<{ name: string; facts: Facts; want: string }> = [
  {
    name: 'a miss, and where its time went',
    facts: { cache: { status: 'miss', reason: 'uri-miss', storage: 'stored' }, upstream: upstream(10.9) },
    want: '200  MISS  uri-miss      11.4ms (upstream 10.9)     4 B',
  },
  {
    name: 'a hit, and how long it stays fresh',
    facts: { ms: 0.3, cache: { status: 'hit', reason: 'hit', ttlSeconds: 59 } },
    want: '200  HIT   ttl 59s        0.3ms                     4 B',
  },
  {
    name: 'a hit of unknown freshness',
    facts: { ms: 0.3, cache: { status: 'hit', reason: 'hit', ageSeconds: 90 } },
    want: '200  HIT   age 1m30s      0.3ms                     4 B',
  },
  {
    name: 'a miss by another field',
    facts: { ms: 8.1, cache: { status: 'miss', reason: 'vary-miss', detail: 'accept-language' } },
    want: '200  MISS  vary-miss accept-language   8.1ms                     4 B',
  },
  {
    name: 'a miss that was not stored',
    facts: { cache: { status: 'miss', reason: 'uri-miss', storage: 'no-store' } },
    want: '200  MISS  uri-miss · not stored: no-store  11.4ms                     4 B',
  },
  {
    name: 'a reason is said once',
    facts: { cache: { status: 'miss', reason: 'req-no-store', storage: 'req-no-store' } },
    want: '200  MISS  req-no-store  11.4ms                     4 B',
  },
  {
    name: 'served stale',
    facts: { ms: 0.4, cache: { status: 'stale', reason: 'stale-served-swr', ttlSeconds: -3 } },
    want: '200  STALE stale-served-swr   0.4ms                     4 B',
  },
  {
    name: 'revalidated',
    facts: { cache: { status: 'revalidated', reason: 'expired', detail: '3s ago' }, upstream: upstream(9) },
    want: '200  REVAL expired 3s ago  11.4ms (upstream 9.0)      4 B',
  },
  {
    name: 'waited for another',
    facts: { cache: { status: 'coalesced', reason: 'collapsed-hit', leader: 7 } },
    want: '200  COAL  collapsed-hit  11.4ms                     4 B',
  },
  {
    name: 'kept out of the cache',
    facts: { method: 'POST', cache: { status: 'bypass', reason: 'method', storage: 'method' } },
    want: '200  BYPASS method       11.4ms                     4 B',
  },
  { name: 'without a cache', facts: {}, want: '200  PASS                11.4ms                     4 B' },
  {
    name: 'over the limit',
    facts: { ms: 0.1, limit: limited, ended: { status: 429, bytes: 23 } },
    want: '429  LIMIT retry in 56s   0.1ms',
  },
  {
    name: 'a 429 of the upstream is not ours',
    facts: { limit: { ...limited, allowed: true }, ended: { status: 429, bytes: 0 } },
    want: '429  PASS                11.4ms',
  },
  {
    name: 'the upstream is away',
    facts: {
      cache: { status: 'miss', reason: 'uri-miss' },
      ended: {
        status: 502,
        bytes: 60,
        error: 'upstream-refused',
        errorMessage: 'target refused. Is it running?',
      },
    },
    want: '502  ERROR upstream-refused  11.4ms                    60 B · target refused. Is it running?',
  },
  {
    name: 'the client left',
    facts: { ended: { status: 0, bytes: 0, error: 'client-gone', errorMessage: 'client gone' } },
    want: '  -  GONE  client gone   11.4ms',
  },
  {
    name: 'an upgrade that ended, however long it was',
    facts: {
      ms: 12_300,
      upgraded: 'websocket',
      cache: { status: 'bypass', reason: 'upgrade' },
      ended: { status: 101, bytes: 35_400 },
    },
    want: '101  websocket            12.3s                   35 kB',
  },
  {
    name: 'waited for its turn',
    facts: { queuedMs: 120, ms: 131, upstream: upstream(10.9) },
    want: '200  PASS                 131ms (queue 120, upstream 10.9) 4 B',
  },
  {
    name: 'slow, and where the time went',
    facts: {
      ms: 1204,
      queuedMs: 600,
      cache: { status: 'miss', reason: 'uri-miss', lookupAt: NOON - 800, lookedUpAt: NOON - 796 },
      upstream: { ...upstream(590), sentAt: NOON + 234 - 588, headAt: NOON + 234 - 20 },
    },
    want:
      '200  MISS  uri-miss       1.20s (queue 600, upstream 590) 4 B  SLOW' +
      ' · queue 600ms, cache 4.0ms, connect 2.0ms, upstream wait 568ms, download 20.0ms',
  },
  {
    name: 'an event stream is not slow',
    facts: {
      ms: 90_000,
      responseHeaders: ['Content-Type', 'text/event-stream; charset=utf-8'],
      upstream: upstream(90_000),
    },
    want: '200  PASS                 1m30s (upstream 1m30s)    4 B',
  },
]
for (const { name, facts, want } of plain) {
  test(`plain line: ${name}`, () => {
    const method = (facts.method ?? 'GET').padEnd(4)
    assert.equal(logged([exchange(facts)]), `12:00:01.234 ${method} /api/echo?echo=test  ${want}\n`)
  })
}

test('a refresh is indented under the line that caused it', () => {
  const cache = { status: 'revalidated', reason: 'expired' } as const
  assert.equal(
    logged([exchange({ cause: 'refresh', parent: 1, url: '/a', cache, upstream: upstream(10.9) })]),
    '12:00:01.234   ↻ refresh /a            200  REVAL expired       11.4ms (upstream 10.9)     4 B\n',
  )
})
test('columns widen for longer URLs and stay so', () => {
  const lines = logged([
    exchange({ url: '/a' }),
    exchange({ url: `/${'b'.repeat(30)}` }),
    exchange({ url: '/a' }),
  ]).split('\n')
  assert.ok(lines[1]!.indexOf('200') > lines[0]!.indexOf('200'))
  assert.equal(lines[2]!.indexOf('200'), lines[1]!.indexOf('200'))
})
test('a plain line is never cut', () => {
  const url = `/${'x'.repeat(5000)}`
  assert.ok(logged([exchange({ url })], { width: () => 80 }).includes(url))
})

const windows = [60, 70, 80, 90, 100, 120, 200]
for (const width of windows) {
  test(`a pretty line fits ${width} columns`, () => {
    const cache = { status: 'miss', reason: 'uri-miss', storage: 'no-store' } as const
    for (const each of [
      exchange({ url: '/a', cache }),
      exchange({
        url: `/start/${'x'.repeat(500)}/end`,
        cache,
        upstream: upstream(10.9),
        ended: { bytes: 1234 },
      }),
      exchange({ url: `/${'x'.repeat(50)}`, method: 'OPTIONS', cache, upstream: upstream(10.9) }),
      exchange({ url: `/${'x'.repeat(50)}`, cause: 'refresh', cache, upstream: upstream(10.9) }),
      exchange({
        cache: { ...cache, reason: 'vary-miss', detail: 'accept-language' },
        upstream: upstream(1.2),
      }),
      // Slow, with the longest reason.
      exchange({
        url: `/${'x'.repeat(50)}`,
        method: 'OPTIONS',
        cache,
        ms: 12_300,
        upstream: upstream(12_000),
      }),
      exchange({
        url: '/a',
        cause: 'refresh',
        cache: { status: 'stale', reason: 'stale-served-max-stale' },
        ms: 12_300,
      }),
    ]) {
      const [line] = logged([each], { format: 'pretty', width: () => width }).split('\n')
      assert.ok(line!.length <= width, `${line!.length}: ${line}`)
    }
  })
}
for (const width of [40, 60, 80, 200]) {
  test(`all that -v shows below a pretty line, and its notes, fit ${width} columns`, () => {
    const errorMessage = 'target refused on 127.0.0.1:3000 and [::1]:3000 for 5 s. Is it running?'
    const text = logged(
      [
        exchange({
          url: `/${'x'.repeat(300)}`,
          requestHeaders: ['Content-Type', 'text/plain; charset=utf-8'],
          ms: 900,
          upstream: upstream(800),
          ended: { status: 502, error: 'upstream-refused', errorMessage },
        }),
      ],
      { format: 'pretty', verbose: true, width: () => width, slowMs: 500 },
    )
    const [, ...below] = text.trimEnd().split('\n')
    assert.match(text.replace(/\s+/g, ' '), /Is it running\? > /)
    assert.match(text, /^ {13}GET /m)
    for (const line of below) assert.ok(line.length <= width, `${line.length}: ${line}`)
  })
}
test('in a narrow window the URL stays readable, and of the reason its word', () => {
  const url = '/api/users?page=2&sort=name'
  const cache = { status: 'miss', reason: 'uri-miss', storage: 'no-freshness' } as const
  const line = (width: number) => logged([exchange({ url, cache })], { format: 'pretty', width: () => width })
  assert.match(line(80), / \/api\/users\?page=2&sort=name {2}200 {2}MISS {2}uri-miss · not st… {2}11\.4ms/)
  assert.match(line(70), / \/api\/users\?page=2&sort=name {2}200 {2}MISS {2}uri-miss {2}11\.4ms/)
  assert.match(line(60), / \/api\/use….*=name {2}200 {2}MISS {2}uri-miss {2}11\.4ms/)
})
test('a pretty line keeps both ends of a URL', () => {
  const url = `/start/${'x'.repeat(500)}/end`
  assert.match(logged([exchange({ url })], { format: 'pretty', width: () => 100 }), / \/start\/x+…x+\/end /)
})
test('pretty notes stand below their line', () => {
  const error = { status: 502, bytes: 0, error: 'upstream-refused', errorMessage: 'target refused.' } as const
  assert.match(
    logged([exchange({ ended: error })], { format: 'pretty' }),
    /upstream-refused .*\n {13}target refused\.\n$/,
  )
})
test('colours are only in pretty lines that are allowed them', () => {
  const hit = exchange({ cache: { status: 'hit', reason: 'hit', ttlSeconds: 1 } })
  assert.ok(logged([hit], { format: 'pretty', color: 1 }).includes('\x1b[32mHIT   \x1b[39m'))
  assert.ok(!logged([hit], { format: 'pretty', color: 0 }).includes('\x1b'))
  assert.ok(!logged([hit], { format: 'plain', color: 3 }).includes('\x1b'))
  assert.ok(!logged([hit], { format: 'json', color: 3 }).includes('\x1b'))
})
test('coloured or not, the text is the same', () => {
  for (const { facts } of plain) {
    const bare = logged([exchange(facts)], { format: 'pretty', width: () => 120 })
    const coloured = logged([exchange(facts)], { format: 'pretty', width: () => 120, color: 3 })
    assert.equal(coloured.replace(/\x1b\[[\d;]*m/g, ''), bare)
  }
})
test('nothing a client or an upstream sends reaches the terminal raw', () => {
  const evil = '\x1b[2J\x9b\u202e\n'
  const hostile = exchange({
    url: `/${evil}?token=abc`,
    method: `X${evil}`,
    host: evil,
    requestHeaders: [`a${evil}`, evil],
    responseHeaders: ['b', evil],
    cache: { status: 'miss', reason: 'vary-miss', detail: evil },
    ended: { status: 502, error: 'upstream-protocol', errorMessage: evil },
  })
  for (const format of ['pretty', 'plain', 'json'] as const) {
    const text = logged([hostile], { format, verbose: true })
    assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/)
    assert.ok(!text.includes('abc'))
  }
})
test('verbose shows the fields of both sides below the line, redacted', () => {
  const text = logged(
    [
      exchange({
        requestHeaders: ['Accept', '*/*', 'Authorization', 'Bearer x'],
        responseHeaders: ['Age', '3'],
      }),
    ],
    { verbose: true },
  )
  const pad = ' '.repeat(13)
  assert.ok(text.endsWith(`4 B\n${pad}> Accept: */*\n${pad}> Authorization: ***\n${pad}< Age: 3\n`))
})
test('quiet shows only what failed', () => {
  const text = logged(
    [
      exchange(),
      exchange({ ended: { status: 404 } }),
      exchange({ ended: { status: 0, error: 'client-gone' } }),
      exchange({ ended: { status: 500 } }),
      exchange({ ended: { status: 413, error: 'body-too-large' } }),
    ],
    { quiet: true },
  )
  assert.deepEqual(text.match(/(?<=test {2})\d+/g), ['500', '413'])
})

test('a JSON line has stable names, and leaves out what is absent', () => {
  assert.equal(
    logged([exchange()], { format: 'json' }),
    `{"time":"${new Date(NOON + 234).toISOString()}","level":"info","event":"request","id":1,"method":"GET",` +
      '"url":"/api/echo?echo=test","host":"localhost:8080","status":200,"durationMs":11.4,"bytes":4,' +
      '"requestBytes":0,"client":"127.0.0.1","cause":"client"}\n',
  )
})
test('a JSON line tells every fact', () => {
  const full = exchange({
    ms: 1000,
    url: '/a?token=abc',
    cause: 'refresh',
    parent: 7,
    queuedMs: 1.239,
    limit: { ...limited, allowed: false, endedAt: NOON + 0.5 },
    cache: {
      status: 'miss',
      reason: 'vary-miss',
      detail: 'accept "x"',
      storage: 'no-store',
      ageSeconds: 3,
      ttlSeconds: -1,
      leader: 5,
      lookupAt: NOON,
      lookedUpAt: NOON + 0.25,
    },
    upstream: { ...upstream(10, NOON), status: 503, headAt: NOON + 4 },
    trace: { traceId: '0af7', spanId: 'a', upstreamSpanId: 'b', sampled: true },
    upgraded: 'websocket',
    requestBytes: 12,
    requestHeaders: ['authorization', 'x', 'A', '1', 'A', '2'],
    responseHeaders: ['b', 'ü'],
    ended: { status: 502, bytes: 9, error: 'upstream-reset', errorMessage: 'gone' },
  })
  assert.deepEqual(JSON.parse(logged([full], { format: 'json', verbose: true })), {
    time: new Date(NOON + 234).toISOString(),
    level: 'error',
    event: 'request',
    id: 1,
    method: 'GET',
    url: '/a?token=***',
    host: 'localhost:8080',
    status: 502,
    cache: 'miss',
    reason: 'vary-miss',
    detail: 'accept "x"',
    stored: 'no-store',
    ageSeconds: 3,
    ttlSeconds: -1,
    leader: 5,
    durationMs: 1000,
    upstreamMs: 10,
    upstreamHeadMs: 4,
    queueMs: 1.24,
    limitMs: 0.5,
    limited: true,
    retrySeconds: 56,
    cacheMs: 0.25,
    bytes: 9,
    requestBytes: 12,
    client: '127.0.0.1',
    upstream: '127.0.0.1:3000',
    upstreamStatus: 503,
    traceId: '0af7',
    upgraded: 'websocket',
    error: 'upstream-reset',
    errorMessage: 'gone',
    cause: 'refresh',
    parent: 7,
    requestHeaders: [
      ['authorization', '***'],
      ['A', '1'],
      ['A', '2'],
    ],
    responseHeaders: [['b', 'ü']],
  })
})

const levels: Array<[name: string, facts: Facts, want: string]> = [
  ['an answer', {}, 'info'],
  ['a 404', { ended: { status: 404 } }, 'info'],
  ['a limited request', { limit: limited, ended: { status: 429 } }, 'warn'],
  ['a slow request', { ms: 500 }, 'warn'],
  ['a client that left', { ended: { status: 0, error: 'client-gone' } }, 'warn'],
  ['a 503', { ended: { status: 503 } }, 'error'],
  ['an error after the head', { ended: { status: 200, error: 'upstream-aborted' } }, 'error'],
]
for (const [name, facts, want] of levels) {
  test(`JSON level of ${name} is ${want}`, () => {
    assert.equal(JSON.parse(logged([exchange(facts)], { format: 'json' })).level, want)
  })
}
test('both clocks go on to the next second and back', () => {
  for (const format of ['plain', 'json'] as const) {
    const text = logged(
      [1999.9, 2000, 1000.5].map((ms) => exchange({ ended: { at: NOON - 1000 + ms } })),
      { format },
    )
    assert.deepEqual(text.match(/:0\d\.\d{3}(?=[ Z])/g), [':01.999', ':02.000', ':01.000'])
  }
})

test('logfmt has the facts of the JSON line, quoted where a value needs it', () => {
  const line = logged(
    [
      exchange({
        url: '/a b="c"\x1b?token=x',
        cache: { status: 'miss', reason: 'vary-miss', detail: 'accept-language' },
        ended: { status: 502, bytes: 0, error: 'upstream-refused', errorMessage: 'it is "down"\n' },
      }),
    ],
    { format: 'logfmt' },
  )
  assert.equal(
    line,
    `time=${new Date(NOON + 234).toISOString()} level=error event=request id=1 method=GET ` +
      'url="/a b=\\"c\\"\\u001b?token=***" host=localhost:8080 status=502 cache=miss reason=vary-miss ' +
      'detail=accept-language durationMs=11.4 bytes=0 requestBytes=0 client=127.0.0.1 ' +
      'error=upstream-refused errorMessage="it is \\"down\\"\\n" cause=client\n',
  )
  const verbose = logged([exchange({ requestHeaders: ['Authorization', 'x', 'A', 'b c'] })], {
    format: 'logfmt',
    verbose: true,
  })
  assert.match(verbose, / requestHeaders="\[\[\\"Authorization\\",\\"\*\*\*\\"\],\[\\"A\\",\\"b c\\"\]\]"\n$/)
})

test('a filter decides what is logged, and may ask for the route', () => {
  const all = [exchange({ url: '/a/1' }), exchange({ url: '/b', ended: { status: 404 } })]
  const shown = (filter: string) =>
    logged(all, { filter: parseFilter(filter), route: ({ url }) => url.replace(/\d+/, ':id') })
      .split('\n')
      .flatMap((line) => / (\/\S+)/.exec(line)?.[1] ?? [])
  assert.deepEqual(shown('status>=400'), ['/b'])
  assert.deepEqual(shown('route=/a/:id'), ['/a/1'])
  assert.deepEqual(shown('duration>1s'), [])
})

const refused = (at = 234, more: Facts = {}): Exchange =>
  exchange({
    ...more,
    ended: { at: NOON + at, status: 502, bytes: 0, error: 'upstream-refused', ...more.ended },
  })
const folds = (text: string): string[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) =>
      (/… .*/.exec(line) ?? / (?:\/\S+) {2,}\d+ {2}\w+/.exec(line))![0].trim().replace(/ {2,}/g, ' '),
    )

const folding: Array<{ name: string; exchanges: Exchange[]; want: string[] }> = [
  {
    name: 'the same failure again and again is one line and a count',
    exchanges: [refused(), refused(300), refused(400), exchange({ url: '/ok' })],
    want: ['/api/echo?echo=test 502 ERROR', '… 2 more like it', '/ok 200 PASS'],
  },
  {
    name: 'the count is told at the end too',
    exchanges: [refused(), refused(300)],
    want: ['/api/echo?echo=test 502 ERROR', '… 1 more like it'],
  },
  {
    name: 'another failure is a line of its own',
    exchanges: [refused(), refused(300, { url: '/other' }), refused(400)],
    want: ['/api/echo?echo=test 502 ERROR', '/other 502 ERROR', '/api/echo?echo=test 502 ERROR'],
  },
  {
    name: 'the same failure after a while is told anew',
    exchanges: [refused(), refused(20_000)],
    want: ['/api/echo?echo=test 502 ERROR', '/api/echo?echo=test 502 ERROR'],
  },
  {
    name: 'what did not fail is never folded',
    exchanges: [
      exchange({ url: '/x', ended: { status: 404 } }),
      exchange({ url: '/x', ended: { status: 404 } }),
    ],
    want: ['/x 404 PASS', '/x 404 PASS'],
  },
]
for (const { name, exchanges, want } of folding) {
  test(name, () => assert.deepEqual(folds(logged(exchanges)), want))
}

test('the count of a failure that goes on is told once nothing more comes', async () => {
  let text = ''
  const log = requestLog({
    format: 'plain',
    color: 0,
    slowMs: 500,
    verbose: false,
    redact: redactor({ names: [], enabled: true }),
    width: () => undefined,
    write: (lines) => {
      text += lines
    },
    clock: { now: () => NOON },
  })
  for (let i = 0; i < 13; i++) log.ended?.(refused(234 + i))
  assert.doesNotMatch(text, /more like it/)
  // The timer keeps no process up; here the test does.
  for (let tries = 0; tries < 60 && !text.includes('…'); tries++)
    await new Promise((resolve) => setTimeout(resolve, 50))
  assert.match(text, /\n {13}… 12 more like it\n$/)
})

test('machine-readable formats and -v fold nothing', () => {
  for (const options of [{ format: 'json' }, { format: 'logfmt' }, { verbose: true }] as const)
    assert.equal(logged([refused(), refused(300)], options).match(/upstream-refused/g)?.length, 2)
})

test('-v draws below the line where the time went, as wide as the window', () => {
  const facts = { ms: 20, cache: { status: 'miss', reason: 'uri-miss' }, upstream: upstream(16) } as const
  const text = logged([exchange(facts)], { format: 'pretty', verbose: true, width: () => 80 })
  const drawn = text.split('\n').slice(1, -1)
  assert.deepEqual(drawn, [
    '             GET /api/echo █████████────────────────────────────────────  20.0ms',
    '             └ GET                  ████████████████████████████████████  16.0ms',
  ])
  assert.doesNotMatch(logged([exchange(facts)], { format: 'plain', verbose: true }), /█/)
})
