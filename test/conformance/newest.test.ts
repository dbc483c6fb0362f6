/**
 * The newest state of http-tests/cache-tests cannot be installed. What it asks otherwise than its npm package does, or
 * for the first time, stands here by its id, as tests of our own; the rest is what the package asks too, and
 * cache-tests.test.ts runs that. Together they give the score on the newest state.
 */
import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { test } from 'node:test'
import { formatDate } from '../../src/http/date.ts'
import { get, raw } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'
import { optimal, refused, required } from './newest.ts'
import { notPassed } from './not-passed.ts'
import { judgedTests } from './suite.ts'

/** Field lines; numbers are dates, in seconds from now. */
type Lines = ReadonlyArray<readonly [name: string, value: string | number]>

/** One answer of the upstream, or that it hangs up, and what the client must get. */
interface Step {
  readonly give?: Lines
  readonly status?: number
  readonly hangUp?: true
  readonly want?: 'cached' | 'not cached' | 'an error'
  /** Seconds that pass afterwards. */
  readonly pause?: number
  /** Fields that the answer must have. */
  readonly has?: Readonly<Record<string, string>>
  readonly ask?: Readonly<Record<string, string>>
  readonly wantStatus?: number
}

/** A field that must have the value it had in the first answer. */
const AS_AT_FIRST = 'as at first'

/** Stored, 3 seconds later asked for again. */
const twice = (give: Lines, want: 'cached' | 'not cached', status = 200): Step[] => [
  { give, status, pause: 3 },
  { want, status },
]
const aged = (...ages: string[]): Lines => [
  ['Date', 0],
  ['Cache-Control', 'max-age=3600'],
  ...ages.map((age) => ['Age', age] as const),
]
const expiring = (...dates: string[]): Lines => [
  ['Date', 0],
  ...dates.map((date) => ['Expires', date] as const),
]
/** Stale by now, and the upstream hangs up. */
const closed = (directive: string): Step[] => [
  { give: [['Cache-Control', `max-age=2, ${directive}`]], pause: 3 },
  { hangUp: true, want: 'an error' },
]
/** Fresh, while a newer answer that may not be stored would be there. */
const olderFresh = (cacheControl: string): Step[] => [
  {
    give: [
      ['Cache-Control', 'max-age=10000'],
      ['Expires', 10_000],
      ['Date', 0],
      ['A', '1'],
    ],
    pause: 3,
  },
  {
    give: [
      ['Cache-Control', cacheControl],
      ['Date', 0],
      ['A', '2'],
    ],
    pause: 3,
  },
  { want: 'cached', has: { a: '1' } },
]

const dialogues: Readonly<Record<string, readonly Step[]>> = {
  // RFC 9111 §5.1: what is no non-negative integer is ignored, of several the first counts.
  'age-parse-nonnumeric': twice(aged('abc'), 'cached'),
  'age-parse-negative': twice(aged('-7200'), 'cached'),
  'age-parse-float': twice(aged('7200.0'), 'cached'),
  'age-parse-large-minus-one': twice(aged('2147483647'), 'not cached'),
  'age-parse-large': twice(aged('2147483648'), 'not cached'),
  'age-parse-larger': twice(aged('2147483649'), 'not cached'),
  'age-parse-suffix': twice(aged('7200, 0'), 'not cached'),
  'age-parse-prefix': twice(aged('0, 7200'), 'cached'),
  'age-parse-suffix-twoline': twice(aged('7200', '0'), 'not cached'),
  'age-parse-prefix-twoline': twice(aged('0', '7200'), 'cached'),
  'age-parse-dup-0': twice(aged('0, 0'), 'cached'),
  'age-parse-dup-0-twoline': twice(aged('0', '0'), 'cached'),
  'age-parse-dup-old': twice(
    [
      ['Date', 0],
      ['Cache-Control', 'max-age=10000'],
      ['Age', '3600'],
      ['Age', '3600'],
    ],
    'cached',
  ),
  'freshness-max-age-stale': twice([['Cache-Control', 'max-age=2']], 'not cached'),
  'cc-resp-no-store-old-new': olderFresh('no-store'),
  'cc-resp-no-store-old-max-age': olderFresh('no-store, max-age=0'),
  // RFC 9110 §5.6.7: three formats, and no others.
  'freshness-expires-invalid-utc': twice(expiring('Thu, 18 Aug 2050 02:01:18 UTC'), 'not cached'),
  'freshness-expires-invalid-aest': twice(expiring('Thu, 18 Aug 2050 02:01:18 AEST'), 'not cached'),
  'freshness-expires-invalid-2-digit-year': twice(expiring('Thu, 18 Aug 50 02:01:18 GMT'), 'not cached'),
  'freshness-expires-invalid-no-comma': twice(expiring('Thu 18 Aug 2050 02:01:18 GMT'), 'not cached'),
  'freshness-expires-invalid-multiple-spaces': twice(
    expiring('Thu, 18  Aug  2050 02:01:18 GMT'),
    'not cached',
  ),
  'freshness-expires-invalid-date-dashes': twice(expiring('Thu, 18-Aug-2050 02:01:18 GMT'), 'not cached'),
  'freshness-expires-invalid-time-periods': twice(expiring('Thu, 18 Aug 2050 02.01.18 GMT'), 'not cached'),
  'freshness-expires-invalid-1-digit-hour': twice(expiring('Thu, 18 Aug 2050 2:01:18 GMT'), 'not cached'),
  'freshness-expires-invalid-multiple-lines': twice(
    expiring('Thu, 18 Aug 2050 2:01:18 GMT', 'Thu, 18 Aug 2050 2:01:19 GMT'),
    'not cached',
  ),
  'freshness-expires-32bit': twice(expiring('Tue, 19 Jan 2038 14:14:08 GMT'), 'cached'),
  'freshness-expires-far-future': twice(expiring('Sun, 21 Nov 2286 04:46:39 GMT'), 'cached'),
  'freshness-expires-rfc850': twice(expiring('Thursday, 18-Aug-50 02:01:18 GMT'), 'cached'),
  'freshness-expires-ansi-c': twice(expiring('Thu Aug  8 02:01:18 2050'), 'cached'),
  'freshness-expires-wrong-case-weekday': twice(expiring('THU, 18 Aug 2050 02:01:18 GMT'), 'cached'),
  'freshness-expires-wrong-case-month': twice(expiring('Thu, 18 AUG 2050 02:01:18 GMT'), 'cached'),
  'freshness-expires-wrong-case-tz': twice(expiring('Thu, 18 Aug 2050 02:01:18 gMT'), 'cached'),
  // Here the wish for the stored Date came in with the lifetime by Expires.
  'other-date-update-expires': [
    {
      give: [
        ['Expires', 2_592_000],
        ['Date', 0],
      ],
      pause: 3,
    },
    { want: 'cached', has: { date: AS_AT_FIRST } },
  ],
  'partial-use-stored-headers': [
    {
      give: [
        ['Cache-Control', 'max-age=3600'],
        ['A', '1'],
      ],
    },
    { ask: { range: 'bytes=0-1' }, want: 'cached', wantStatus: 206, has: { a: '1' } },
  ],
  'stale-close-must-revalidate': closed('must-revalidate'),
  'stale-close-proxy-revalidate': closed('proxy-revalidate'),
  'stale-close-no-cache': closed('no-cache'),
  'stale-close-s-maxage=2': closed('s-maxage=2'),
  'stale-while-revalidate': twice(
    [
      ['Cache-Control', 'max-age=1, stale-while-revalidate=3600'],
      ['ETag', '"abc"'],
    ],
    'cached',
  ),
  'stale-while-revalidate-window': [
    {
      give: [
        ['Cache-Control', 'max-age=1, stale-while-revalidate=4'],
        ['ETag', '"abc"'],
      ],
      pause: 3,
    },
    {
      give: [
        ['Cache-Control', 'no-cache'],
        ['ETag', '"def"'],
      ],
      want: 'cached',
      pause: 3,
    },
    { want: 'not cached' },
  ],
  'status-200-must-understand': twice(
    [['Cache-Control', 'max-age=3600, no-store, must-understand']],
    'cached',
  ),
}

/** Passed here, by store. */
const passed = { memory: new Set<string>(), Redis: new Set<string>() }

for (const kind of ['memory', 'Redis'] as const) {
  test(`what the newest state asks otherwise than the package: ${kind}`, async (t) => {
    const redis = kind === 'Redis' ? await startRedis(t) : undefined
    let step: Step = {}
    let turn = 0
    const upstream = await startUpstream(t, (_, res) => {
      if (step.hangUp === true) return void res.destroy()
      const head: string[] = []
      for (const [name, value] of step.give ?? [])
        head.push(name, typeof value === 'number' ? formatDate(proxy.clock.now() + value * 1000) : value)
      // As the suite's own server: what the client gets tells which answer it is.
      res.writeHead(step.status ?? 200, [...head, 'Turn', String(++turn)]).end('0123456789')
    })
    const proxy = await startProxy(t, {
      target: upstream.url,
      ...(redis === undefined ? {} : { cache: redis.url, 'cache-timeout': '5s' }),
    })
    if (redis !== undefined) {
      step = { give: [['Cache-Control', 'max-age=60']] }
      for (;;) if (/; hit/.test(String((await get(`${proxy.url}/warm`)).headers['cache-status']))) break
    }
    for (const [id, steps] of Object.entries(dialogues)) {
      let first: IncomingHttpHeaders | undefined
      for (step of steps) {
        const before = turn
        const got = await get(`${proxy.url}/${id}`, { headers: step.ask ?? {} })
        const came = String(got.headers.turn)
        const what =
          got.status === 502 ? 'an error' : Number(came) > before && turn > before ? 'not cached' : 'cached'
        if (step.want !== undefined) assert.equal(what, step.want, `${id}: ${got.status}`)
        if (step.wantStatus !== undefined) assert.equal(got.status, step.wantStatus, id)
        first ??= got.headers
        for (const [name, value] of Object.entries(step.has ?? {}))
          assert.equal(got.headers[name], value === AS_AT_FIRST ? first[name] : value, `${id}: ${name}`)
        // A refresh behind a stale answer is over before the next request.
        await proxy.until((ended, opened) => ended.length === opened.length)
        proxy.advance((step.pause ?? 0) * 1000)
      }
      passed[kind].add(id)
    }
  })
}

const hint =
  'HTTP/1.1 103 Early Hints\r\nLink: </styles.css>; rel=preload; as=style\r\nX-My-Header: test\r\n\r\n'

for (const kind of ['memory', 'Redis'] as const) {
  test(`interim responses pass, and only the final one is stored: ${kind}`, async (t) => {
    const redis = kind === 'Redis' ? await startRedis(t) : undefined
    const upstream = await startUpstream(t, (req, res) => {
      if (req.url === '/102') res.writeProcessing()
      if (req.url === '/103') res.socket!.write(hint)
      res.writeHead(200, { 'cache-control': 'max-age=100000' }).end('body')
    })
    const proxy = await startProxy(t, {
      target: upstream.url,
      ...(redis === undefined ? {} : { cache: redis.url, 'cache-timeout': '5s' }),
    })
    if (redis !== undefined)
      for (;;) if (/; hit/.test(String((await get(`${proxy.url}/warm`)).headers['cache-status']))) break
    const ask = (path: string) =>
      raw(proxy.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    for (const [path, interim] of [
      ['/102', /^HTTP\/1\.1 102 Processing\r\n\r\nHTTP\/1\.1 200 /],
      ['/103', /^HTTP\/1\.1 103 Early Hints\r\n[\s\S]*?x-my-header: test\r\n\r\nHTTP\/1\.1 200 /i],
    ] as const) {
      const [miss, hit] = [await ask(path), await ask(path)]
      assert.match(miss, interim)
      assert.doesNotMatch(miss.slice(miss.indexOf('HTTP/1.1 200')), /x-my-header/i)
      assert.match(hit, /^HTTP\/1\.1 200 [\s\S]*Cache-Status: revproxy; hit/)
      assert.doesNotMatch(hit, /x-my-header/i)
    }
    for (const id of ['interim-102', 'interim-103', 'interim-no-header-reuse', 'interim-not-cached'])
      passed[kind].add(id)
  })
}

test('the score on the newest state is 150 of 150 required, and 93 of 98 optimal', async () => {
  const asked = new Map((await judgedTests()).map(({ id, kind }) => [id, kind]))
  const missed = (ids: readonly string[], kind: 'required' | 'optimal'): string[] =>
    ids.filter((id) => {
      if (passed.memory.has(id) && passed.Redis.has(id)) return false
      // The package asks the same, and cache-tests.test.ts holds what is said of us.
      assert.equal(asked.get(id), kind, `${id} is neither asked by the package nor passed here`)
      return id in notPassed
    })
  assert.deepEqual([new Set(required).size, new Set(optimal).size], [150, 98])
  assert.deepEqual(missed(required, 'required'), [])
  assert.deepEqual(missed(optimal, 'optimal').sort(), [...refused].sort())
})
