/**
 * What later states of http-tests/cache-tests ask of a shared cache and the npm package does not, and what lies next to
 * it: own tests, through the real proxy, with a clock that is moved instead of waited for.
 */
import assert from 'node:assert/strict'
import { request } from 'node:http'
import { type TestContext, test } from 'node:test'
import { formatDate } from '../../src/http/date.ts'
import { type Ask, type Got, gate, get, raw } from '../support/client.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream, type Upstream } from '../support/upstream.ts'

type Lines = Record<string, string | string[]>

/** One response, asked for a second time. */
interface Twice {
  readonly name: string
  readonly rule: string
  /** Fields of the response; numbers are dates, in seconds from now. */
  readonly fields: Record<string, string | string[] | number>
  readonly status?: number
  /** Seconds between the two requests. */
  readonly after?: number
  /** Fields of the requests: both, or the first and the second. */
  readonly ask?: Lines | readonly [Lines, Lines]
  readonly want: 'cached' | 'not cached' | 'validated'
}

/** Asks twice for each and compares all outcomes at once. */
const outcomes = async (t: TestContext, rows: readonly Twice[]): Promise<void> => {
  const upstream = await startUpstream(t, (req, res) => {
    const row = rows[Number(req.url!.slice(1))]!
    if (req.headers['if-none-match'] !== undefined || req.headers['if-modified-since'] !== undefined) {
      res.writeHead(304).end()
      return
    }
    const fields = Object.entries(row.fields).map(([name, value]): [string, string | string[]] => [
      name,
      typeof value === 'number' ? formatDate(proxy.clock.now() + value * 1000) : value,
    ])
    res.writeHead(row.status ?? 200, Object.fromEntries(fields)).end(row.status === 204 ? undefined : 'body')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const asks = (row: Twice): readonly [Lines, Lines] =>
    row.ask === undefined
      ? [{}, {}]
      : Array.isArray(row.ask)
        ? (row.ask as [Lines, Lines])
        : [row.ask as Lines, row.ask as Lines]
  const seen: string[] = []
  for (const [i, row] of rows.entries()) {
    const [first, second] = asks(row)
    await get(`${proxy.url}/${i}`, { headers: first })
    proxy.advance((row.after ?? 3) * 1000)
    await get(`${proxy.url}/${i}`, { headers: second })
    const status = proxy.exchanges.at(-1)?.cache?.status
    const reached = upstream.requests.filter(({ url }) => url === `/${i}`).length
    const outcome = reached === 1 ? 'cached' : status === 'revalidated' ? 'validated' : 'not cached'
    seen.push(`${outcome}: ${row.name} (${row.rule})`)
  }
  assert.deepEqual(
    seen,
    rows.map(({ want, name, rule }) => `${want}: ${name} (${rule})`),
  )
}

/** Answers by turns: the first request gets the first of them, and the last stays. */
const inTurn = async (
  t: TestContext,
  ...answers: ReadonlyArray<{ status?: number; fields?: Lines; body?: string } | 'hang up'>
): Promise<{ upstream: Upstream; proxy: TestProxy; ask: (ask?: Ask) => Promise<Got> }> => {
  let turn = 0
  const upstream = await startUpstream(t, (req, res) => {
    const answer = answers[Math.min(turn++, answers.length - 1)]!
    if (answer === 'hang up') {
      res.destroy()
      return
    }
    const { status = 200, fields = {}, body = `answer ${turn}` } = answer
    res
      .writeHead(status, fields)
      .end(req.method === 'HEAD' || status === 304 || status === 204 ? undefined : body)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  return { upstream, proxy, ask: (ask) => get(`${proxy.url}/x`, ask) }
}

const statuses = (proxy: TestProxy) => proxy.exchanges.map(({ cache }) => cache?.status)
const methods = (upstream: Upstream) => upstream.requests.map(({ method }) => method)
const fresh = { 'cache-control': 'max-age=60' }

// --- CDN-Cache-Control (RFC 9213) ---

test('CDN-Cache-Control takes the place of Cache-Control and Expires', (t) =>
  outcomes(t, [
    { name: 'max-age', rule: 'RFC 9213 §2', fields: { 'cdn-cache-control': 'max-age=3600' }, want: 'cached' },
    {
      name: 'max-age of 2^31',
      rule: 'RFC 9111 §1.2.2',
      fields: { 'cdn-cache-control': 'max-age=2147483648' },
      want: 'cached',
    },
    {
      name: 'max-age beyond 2^31',
      rule: 'RFC 9111 §1.2.2',
      fields: { 'cdn-cache-control': 'max-age=99999999999' },
      want: 'cached',
    },
    {
      name: 'Age beyond max-age',
      rule: 'RFC 9111 §4.2',
      fields: { 'cdn-cache-control': 'max-age=3600', age: '7200' },
      want: 'not cached',
    },
    {
      name: 'max-age=0',
      rule: 'RFC 9213 §2',
      fields: { 'cdn-cache-control': 'max-age=0' },
      want: 'not cached',
    },
    {
      name: 'an unknown directive beside max-age',
      rule: 'RFC 9111 §5.2.3',
      fields: { 'cdn-cache-control': 'foobar, max-age=3600' },
      want: 'cached',
    },
    {
      name: 'over a past Expires',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=3600', expires: -10000, date: 0 },
      want: 'cached',
    },
    {
      name: 'over an invalid Expires',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=3600', expires: '0', date: 0 },
      want: 'cached',
    },
    {
      name: 'max-age=0 over a future Expires',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=0', expires: 10000, date: 0 },
      want: 'not cached',
    },
    {
      name: 'long over short',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=3600', 'cache-control': 'max-age=1' },
      want: 'cached',
    },
    {
      name: 'short over long',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=1', 'cache-control': 'max-age=3600' },
      want: 'not cached',
    },
    {
      name: 'without freshness, Expires does not come back',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'foobar', expires: 10000, date: 0 },
      want: 'not cached',
    },
    {
      name: 'private',
      rule: 'RFC 9213 §2',
      fields: { 'cdn-cache-control': 'private', 'cache-control': 'max-age=10000' },
      want: 'not cached',
    },
    {
      name: 'no-cache',
      rule: 'RFC 9213 §2',
      fields: { 'cdn-cache-control': 'no-cache', 'cache-control': 'max-age=10000' },
      want: 'not cached',
    },
    {
      name: 'no-cache with a validator',
      rule: 'RFC 9213 §2',
      fields: { 'cdn-cache-control': 'no-cache', 'cache-control': 'max-age=10000', etag: '"a"' },
      want: 'validated',
    },
    {
      name: 'no-store',
      rule: 'RFC 9213 §2',
      fields: { 'cdn-cache-control': 'no-store', 'cache-control': 'max-age=10000', expires: 10000 },
      want: 'not cached',
    },
    {
      name: 'no-store=?0 says nothing',
      rule: 'RFC 9651 §3.2',
      fields: { 'cdn-cache-control': 'no-store=?0, max-age=60' },
      want: 'cached',
    },
    {
      name: 'over no-store',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=10000', 'cache-control': 'no-store' },
      want: 'cached',
    },
    {
      name: 'over private',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=10000', 'cache-control': 'private' },
      want: 'cached',
    },
    {
      name: 'over s-maxage',
      rule: 'RFC 9213 §2.2',
      fields: { 'cdn-cache-control': 'max-age=1', 'cache-control': 's-maxage=3600' },
      want: 'not cached',
    },
    {
      name: 'parameters of a directive are ignored',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age=3600;a=b', 'cache-control': 'no-store' },
      want: 'cached',
    },
    {
      name: 'two lines are one dictionary',
      rule: 'RFC 9651 §4.2',
      fields: { 'cdn-cache-control': ['foo', 'max-age=3600'], 'cache-control': 'no-store' },
      want: 'cached',
    },
    {
      name: 'the last of one name counts',
      rule: 'RFC 9651 §4.2.2',
      fields: { 'cdn-cache-control': 'max-age=3600, max-age=1' },
      want: 'not cached',
    },
  ]))

test('a CDN-Cache-Control that cannot be read is as good as none', (t) =>
  outcomes(t, [
    {
      name: 'not a dictionary',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age=10000, &&&&&', 'cache-control': 'no-store' },
      want: 'not cached',
    },
    {
      name: 'not a dictionary, with another freshness',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'no-store, &&&&&', 'cache-control': 'max-age=60' },
      want: 'cached',
    },
    {
      name: 'empty',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': '', 'cache-control': 'max-age=60' },
      want: 'cached',
    },
    {
      name: 'a space before =',
      rule: 'RFC 9651 §4.2.2',
      fields: { 'cdn-cache-control': 'max-age =100', 'cache-control': 'max-age=1' },
      want: 'not cached',
    },
    {
      name: 'a space after =',
      rule: 'RFC 9651 §4.2.2',
      fields: { 'cdn-cache-control': 'max-age= 100', 'cache-control': 'max-age=1' },
      want: 'not cached',
    },
    {
      name: 'upper case in a name',
      rule: 'RFC 9651 §3.2',
      fields: { 'cdn-cache-control': 'MaX-aGe=3600', 'cache-control': 'max-age=1' },
      want: 'not cached',
    },
    {
      name: 'max-age as a String',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age="10000"', 'cache-control': 'no-store' },
      want: 'not cached',
    },
    {
      name: 'max-age as a Decimal',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age=10000.0', 'cache-control': 'no-store' },
      want: 'not cached',
    },
    {
      name: 'max-age as a Token',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age=a10000', 'cache-control': 'no-store' },
      want: 'not cached',
    },
    {
      name: 'max-age without a value',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age', 'cache-control': 'no-store' },
      want: 'not cached',
    },
    {
      name: 'max-age below 0',
      rule: 'RFC 9213 §2.1',
      fields: { 'cdn-cache-control': 'max-age=-1', 'cache-control': 'no-store' },
      want: 'not cached',
    },
  ]))

test('CDN-Cache-Control reaches the client with Age, Date and Expires as they are', async (t) => {
  const { proxy, ask } = await inTurn(t, {
    fields: {
      'cdn-cache-control': 'max-age=10000',
      'cache-control': 'max-age=1',
      expires: 'Thu, 01 Jan 2026 00:00:01 GMT',
      date: formatDate(Date.now()),
    },
  })
  const first = await ask()
  proxy.advance(5000)
  const second = await ask()
  assert.equal(second.text, first.text)
  for (const name of ['cdn-cache-control', 'cache-control', 'expires', 'date']) {
    assert.equal(second.headers[name], first.headers[name], name)
  }
  assert.match(String(second.headers.age), /^[56]$/)
})

test('fields that CDN-Cache-Control withholds by name are not served from the cache', async (t) => {
  const { proxy, ask } = await inTurn(t, {
    fields: {
      'cdn-cache-control': 'max-age=60, no-cache="x-once", private="x-mine"',
      'x-once': '1',
      'x-mine': '1',
      'x-all': '1',
    },
  })
  assert.equal((await ask()).headers['x-once'], '1')
  const { headers } = await ask()
  assert.deepEqual(statuses(proxy), ['miss', 'hit'])
  assert.deepEqual([headers['x-once'], headers['x-mine'], headers['x-all']], [undefined, undefined, '1'])
})

test('stale-while-revalidate of CDN-Cache-Control counts, that of Cache-Control beside it does not', (t) =>
  outcomes(t, [
    {
      name: 'window gone',
      rule: 'RFC 5861 §3',
      fields: { 'cdn-cache-control': 'max-age=1, stale-while-revalidate=10', etag: '"a"' },
      after: 20,
      want: 'validated',
    },
    {
      name: 'only in Cache-Control',
      rule: 'RFC 9213 §2.2',
      fields: {
        'cdn-cache-control': 'max-age=1',
        'cache-control': 'stale-while-revalidate=100',
        etag: '"a"',
      },
      want: 'validated',
    },
  ]))

// --- 1xx (RFC 9110 §15.2) ---

const early = { link: '</styles.css>; rel=preload; as=style', 'x-early': 'test' }

test('103 and 102 pass, are not stored, and leave nothing in the final response', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeProcessing()
    res.writeEarlyHints(early, () => res.writeHead(200, fresh).end('x'))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const first = await get(proxy.url)
  const second = await get(proxy.url)
  assert.deepEqual(
    first.information.map(({ status }) => status),
    [102, 103],
  )
  const hints = first.information[1]!.headers
  assert.deepEqual([hints.link, hints['x-early']], [early.link, early['x-early']])
  assert.deepEqual(second.information, [])
  for (const { headers } of [first, second])
    assert.deepEqual([headers.link, headers['x-early']], [undefined, undefined])
  assert.deepEqual(statuses(proxy), ['miss', 'hit'])
})

test('a 103 comes before the final response is there, also where the answer is not cached', async (t) => {
  const opened = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    res.writeEarlyHints(early)
    await opened.promise
    res.writeHead(200, { 'cache-control': 'no-store' }).end('x')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  for (const method of ['GET', 'POST']) {
    const got = await new Promise<string>((resolve, reject) => {
      const req = request(`${proxy.url}/`, { method, agent: false }, (res) => res.resume())
      req.on('error', reject)
      req.on('information', ({ statusCode }) => {
        resolve(`${method} ${statusCode}`)
        req.destroy()
      })
      req.end()
    })
    assert.equal(got, `${method} 103`)
  }
  opened.open()
})

test('a client of HTTP/1.0 gets no 1xx', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeEarlyHints(early, () => res.writeHead(200, fresh).end('x'))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const text = await raw(proxy.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n')
  assert.match(text, /^HTTP\/1\.[01] 200 /)
  assert.doesNotMatch(text, /103|x-early/i)
})

test('a 103 before a 304 to our own question does not reach into the stored response', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    const status = req.headers['if-none-match'] === undefined ? 200 : 304
    res.writeEarlyHints(early, () =>
      res.writeHead(status, { ...fresh, etag: '"a"' }).end(status === 200 ? 'x' : undefined),
    )
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(61_000)
  const second = await get(proxy.url)
  assert.deepEqual([second.status, second.text, second.headers.link], [200, 'x', undefined])
  assert.deepEqual(statuses(proxy), ['miss', 'revalidated'])
})

// --- stale responses (RFC 9111 §4.2.4, RFC 5861) ---

test('nothing stale is served where it is forbidden, when the upstream hangs up', async (t) => {
  for (const directive of ['must-revalidate', 'proxy-revalidate', 'no-cache', 's-maxage=2']) {
    const { ask, proxy } = await inTurn(
      t,
      { fields: { 'cache-control': `max-age=2, ${directive}`, etag: '"a"' } },
      'hang up',
    )
    await ask()
    proxy.advance(3000)
    const second = await ask()
    assert.equal(second.status, 502, directive)
    assert.equal(second.headers.etag, undefined, directive)
    assert.equal(proxy.exchanges.at(-1)?.cache?.status, 'miss', directive)
  }
})

test('a stale response stands in for an upstream that hangs up, and after a 5xx within stale-if-error', async (t) => {
  const stale = async (
    cacheControl: string,
    then: { status: number } | 'hang up',
    ask?: Ask,
  ): Promise<number> => {
    const flow = await inTurn(t, { fields: { 'cache-control': cacheControl } }, then)
    await flow.ask()
    flow.proxy.advance(10_000)
    return (await flow.ask(ask)).status
  }
  assert.equal(await stale('max-age=2', 'hang up'), 200)
  assert.equal(await stale('max-age=2', { status: 503 }), 503)
  for (const status of [500, 502, 503, 504])
    assert.equal(await stale('max-age=2, stale-if-error=60', { status }), 200)
  assert.equal(await stale('max-age=2, stale-if-error=60', { status: 404 }), 404)
  assert.equal(await stale('max-age=2, stale-if-error=5', { status: 503 }), 503)
  assert.equal(await stale('max-age=2, stale-if-error=5', 'hang up'), 502)
  const wish = { headers: { 'cache-control': 'stale-if-error=60' } }
  assert.equal(await stale('max-age=2', { status: 503 }, wish), 200)
})

test('a HEAD is answered from a stale response too when the upstream fails', async (t) => {
  const { ask, proxy } = await inTurn(
    t,
    { fields: { 'cache-control': 'max-age=2, stale-if-error=60' } },
    'hang up',
  )
  await ask()
  proxy.advance(3000)
  const head = await ask({ method: 'HEAD' })
  assert.deepEqual([head.status, proxy.exchanges.at(-1)?.cache?.status], [200, 'stale'])
})

test('stale-while-revalidate ends with its window, which counts from expiry', async (t) => {
  const { ask, proxy, upstream } = await inTurn(
    t,
    { fields: { 'cache-control': 'max-age=1, stale-while-revalidate=4', etag: '"abc"' } },
    { status: 503 },
    { fields: { 'cache-control': 'no-cache', etag: '"def"' } },
  )
  await ask()
  proxy.advance(4000)
  assert.equal((await ask()).text, 'answer 1')
  await proxy.until((ended) => ended.some(({ cause }) => cause === 'refresh'))
  proxy.advance(2000)
  assert.equal((await ask()).text, 'answer 3')
  assert.equal(upstream.requests.length, 3)
})

test('a stored stale answer goes before a second try on another connection', async (t) => {
  const { ask, proxy, upstream } = await inTurn(t, { fields: { 'cache-control': 'max-age=2' } }, 'hang up', {
    fields: fresh,
  })
  await ask()
  proxy.advance(3000)
  assert.equal((await ask()).text, 'answer 1')
  assert.equal(proxy.exchanges.at(-1)?.cache?.status, 'stale')
  assert.equal(upstream.requests.length, 2)
})

test('no stale response while revalidating where the response forbids it or the client wants a fresh one', (t) =>
  outcomes(
    t,
    [
      ['must-revalidate', {}],
      ['proxy-revalidate', {}],
      ['s-maxage=1', {}],
      ['no-cache', {}],
      ['public', { 'cache-control': 'no-cache' }],
      ['public', { 'cache-control': 'max-age=1' }],
      ['public', { 'cache-control': 'min-fresh=1' }],
      ['public', { pragma: 'no-cache' }],
    ].map(
      ([directive, ask]): Twice => ({
        name: `${directive}, asked with ${JSON.stringify(ask)}`,
        rule: 'RFC 5861 §3',
        fields: { 'cache-control': `max-age=1, stale-while-revalidate=60, ${directive}`, etag: '"a"' },
        ask: [{}, ask as Lines],
        want: 'validated',
      }),
    ),
  ))

// --- what may be stored and for how long ---

test('statuses with explicit freshness, and must-understand', (t) =>
  outcomes(t, [
    {
      name: 'must-understand over no-store',
      rule: 'RFC 9111 §5.2.2.3',
      fields: { 'cache-control': 'max-age=3600, no-store, must-understand' },
      want: 'cached',
    },
    {
      name: 'must-understand with an unknown status',
      rule: 'RFC 9111 §5.2.2.3',
      status: 599,
      fields: { 'cache-control': 'max-age=3600, no-store, must-understand' },
      want: 'not cached',
    },
    {
      name: 'must-understand alone with an unknown status',
      rule: 'RFC 9111 §5.2.2.3',
      status: 599,
      fields: { 'cache-control': 'max-age=3600, must-understand' },
      want: 'not cached',
    },
    ...[201, 204, 302, 307, 404, 499, 503, 599].map(
      (status): Twice => ({
        name: `${status}, fresh`,
        rule: 'RFC 9111 §3',
        status,
        fields: fresh,
        want: 'cached',
      }),
    ),
    ...[200, 204, 302, 404, 503].map(
      (status): Twice => ({
        name: `${status}, stale`,
        rule: 'RFC 9111 §4.2',
        status,
        fields: fresh,
        after: 60,
        want: 'not cached',
      }),
    ),
  ]))

test('Age as it is written by good and bad senders', (t) =>
  outcomes(
    t,
    (
      [
        ['abc', 'cached'],
        ['-7200', 'cached'],
        ['7200.0', 'cached'],
        ['7200;a=b', 'cached'],
        ['0, 7200', 'cached'],
        ['7200, 0', 'not cached'],
        [['0', '7200'], 'cached'],
        [['7200', '0'], 'not cached'],
        ['0, 0', 'cached'],
        ['2147483647', 'not cached'],
        ['2147483648', 'not cached'],
        ['99999999999999999999', 'not cached'],
      ] as const
    ).map(
      ([age, want]): Twice => ({
        name: `Age: ${age}`,
        rule: 'RFC 9111 §5.1',
        fields: { 'cache-control': 'max-age=3600', date: 0, age: age as string | string[] },
        want,
      }),
    ),
  ))

test('Expires in every format there is, and in none', (t) =>
  outcomes(
    t,
    (
      [
        ['Tue, 19 Jan 2038 14:14:08 GMT', 'cached'],
        ['Sun, 21 Nov 2286 04:46:39 GMT', 'cached'],
        ['Thursday, 18-Aug-50 02:01:18 GMT', 'cached'],
        ['Thu Aug  8 02:01:18 2050', 'cached'],
        ['THU, 18 Aug 2050 02:01:18 GMT', 'cached'],
        ['Thu, 18 AUG 2050 02:01:18 GMT', 'cached'],
        ['Thu, 18 Aug 2050 02:01:18 gMT', 'cached'],
        ['Thu, 18 Aug 2050 02:01:18 UTC', 'not cached'],
        ['Thu, 18 Aug 2050 02:01:18 AEST', 'not cached'],
        ['Thu, 18 Aug 50 02:01:18 GMT', 'not cached'],
        ['Thu 18 Aug 2050 02:01:18 GMT', 'not cached'],
        ['Thu, 18  Aug  2050 02:01:18 GMT', 'not cached'],
        ['Thu, 18-Aug-2050 02:01:18 GMT', 'not cached'],
        ['Thu, 18 Aug 2050 02.01.18 GMT', 'not cached'],
        ['Thu, 18 Aug 2050 2:01:18 GMT', 'not cached'],
        [['Thu, 18 Aug 2050 02:01:18 GMT', 'Thu, 18 Aug 2050 02:01:19 GMT'], 'not cached'],
      ] as const
    ).map(
      ([expires, want]): Twice => ({
        name: `Expires: ${expires}`,
        rule: 'RFC 9110 §5.6.7',
        fields: { expires: expires as string | string[], date: 0 },
        want,
      }),
    ),
  ))

test('Cache-Control as it is written by good and bad senders', (t) =>
  outcomes(
    t,
    (
      [
        ['max-age="3600"', 'cached'],
        ['max-age=003600', 'cached'],
        ['MaX-aGe=3600', 'cached'],
        ["max-age='3600'", 'not cached'],
        ['max-age=3600.0', 'not cached'],
        ['max-age=a3600', 'not cached'],
        ['max-age=3600a', 'not cached'],
        ['max-age=-3600', 'not cached'],
        ['extension="max-age=3600", max-age=1', 'not cached'],
        ['max-age=1, extension="max-age=3600"', 'not cached'],
        ['extension="no-store, \\" private", max-age=3600', 'cached'],
        ['No-StOrE, max-age=60', 'not cached'],
        ['PRIVATE, max-age=60', 'not cached'],
        ['max-age=60, s-maxage=1', 'not cached'],
        ['max-age=1, s-maxage=60', 'cached'],
      ] as const
    ).map(
      ([value, want]): Twice => ({
        name: value,
        rule: 'RFC 9111 §5.2',
        fields: { 'cache-control': value },
        want,
      }),
    ),
  ))

// --- Vary (RFC 9111 §4.1) ---

test('selecting fields count by what they mean', (t) =>
  outcomes(
    t,
    (
      [
        ['foo', '1, 2', ['1', '2'], 'cached'],
        ['foo', '1,2', ' 1, 2 ', 'cached'],
        ['foo', '1, 2', '2, 1', 'not cached'],
        ['foo', 'a', 'A', 'not cached'],
        ['foo', '"a, b"', '"a,b"', 'not cached'],
        ['accept-language', 'en, de', 'de, en', 'cached'],
        ['accept-language', 'en, de', 'eN, De', 'cached'],
        ['accept-language', 'en, de', ' en ,   de', 'cached'],
        ['accept-language', 'en;q=0.5, de', 'de, en;q=0.5', 'cached'],
        ['accept-language', 'en, de;q=1.0', 'en;q=1, de', 'cached'],
        ['accept-language', 'en, de;q=0.5', 'en;q=0.5, de', 'not cached'],
        ['accept-encoding', 'gzip, br', 'br,gzip', 'cached'],
        ['accept-encoding', 'gzip, br', 'gzip', 'not cached'],
        ['accept-encoding', 'gzip', 'identity', 'not cached'],
      ] as const
    ).map(
      ([name, first, second, want]): Twice => ({
        name: `${name}: ${first} / ${second}`,
        rule: 'RFC 9111 §4.1',
        fields: { ...fresh, vary: name },
        ask: [{ [name]: first }, { [name]: second as string | string[] }],
        want,
      }),
    ),
  ))

test('Vary over several lines, with empty members, and with a star anywhere', (t) =>
  outcomes(
    t,
    (
      [
        ['*', 'not cached'],
        ['*, *', 'not cached'],
        [', *', 'not cached'],
        [['', '*'], 'not cached'],
        ['*, foo', 'not cached'],
        ['foo, *', 'not cached'],
        [['foo', 'bar'], 'not cached'],
        [', foo ,', 'cached'],
        ['FOO', 'cached'],
        ['', 'cached'],
      ] as const
    ).map(
      ([vary, want]): Twice => ({
        name: `Vary: ${vary}`,
        rule: 'RFC 9111 §4.1',
        fields: { ...fresh, vary: vary as string | string[] },
        ask: [
          { foo: '1', bar: '1' },
          { foo: '1', bar: '2' },
        ],
        want,
      }),
    ),
  ))

test('a fresh variant stays when another one is stored, and all go when the URI is invalidated', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, { ...fresh, vary: 'foo' }).end(String(req.headers.foo))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const ask = async (foo: string) => (await get(proxy.url, { headers: { foo } })).text
  assert.deepEqual([await ask('1'), await ask('2'), await ask('1'), await ask('2')], ['1', '2', '1', '2'])
  assert.equal(upstream.requests.length, 2)
  await get(proxy.url, { method: 'POST' })
  assert.deepEqual([await ask('1'), await ask('2')], ['1', '2'])
  assert.equal(upstream.requests.length, 5)
})

// --- HEAD (RFC 9111 §4.3.5) ---

test('HEAD is answered from a fresh GET, with its length and without its body', async (t) => {
  const { ask, upstream } = await inTurn(t, {
    fields: { ...fresh, etag: '"a"', 'content-type': 'text/a' },
    body: 'hello',
  })
  await ask()
  const head = await ask({ method: 'HEAD' })
  assert.deepEqual(
    [head.status, head.text, head.headers['content-length'], head.headers['content-type']],
    [200, '', '5', 'text/a'],
  )
  assert.equal((await ask({ method: 'HEAD', headers: { 'if-none-match': '"a"' } })).status, 304)
  assert.deepEqual(methods(upstream), ['GET'])
})

test('HEAD with nothing stored goes through as HEAD, and no GET is answered from it', async (t) => {
  const { ask, upstream } = await inTurn(t, { fields: { ...fresh, 'content-length': '8' }, body: 'answer x' })
  const head = await ask({ method: 'HEAD' })
  assert.equal(head.headers['content-length'], '8')
  assert.equal((await ask()).text, 'answer x')
  assert.deepEqual(methods(upstream), ['HEAD', 'GET'])
})

test('HEAD of a stale response goes through, keeps what it does not name, and freshens what it names', async (t) => {
  const { ask, proxy, upstream } = await inTurn(
    t,
    { fields: { 'cache-control': 'max-age=2', etag: '"a"', 'x-kept': '1', 'x-changed': '1' } },
    { fields: { 'cache-control': 'max-age=1000', etag: '"a"', 'x-changed': '2' } },
  )
  await ask()
  proxy.advance(3000)
  await ask({ method: 'HEAD' })
  proxy.advance(3000)
  const third = await ask()
  assert.deepEqual(methods(upstream), ['GET', 'HEAD'])
  assert.deepEqual([third.text, third.headers['x-kept'], third.headers['x-changed']], ['answer 1', '1', '2'])
})

test('a HEAD that shows another representation, or another status, takes the stored GET out of use', async (t) => {
  for (const [stored, head] of [
    [{ etag: '"a"' }, { etag: '"b"' }],
    [
      { 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' },
      { 'last-modified': 'Fri, 02 Jan 2026 00:00:00 GMT' },
    ],
    [{ 'content-length': '8' }, { 'content-length': '9' }],
  ] as const) {
    const flow = await inTurn(
      t,
      { fields: { 'cache-control': 'max-age=2', ...stored }, body: 'answer 1' },
      { fields: { 'cache-control': 'max-age=1000', ...head } },
      { fields: fresh },
    )
    await flow.ask()
    flow.proxy.advance(3000)
    await flow.ask({ method: 'HEAD' })
    assert.equal((await flow.ask()).text, 'answer 3', JSON.stringify(head))
  }
  const gone = await inTurn(
    t,
    { fields: { 'cache-control': 'max-age=2' } },
    { status: 410, fields: { 'cache-control': 'max-age=1000' } },
    { fields: fresh },
  )
  await gone.ask()
  gone.proxy.advance(3000)
  assert.equal((await gone.ask({ method: 'HEAD' })).status, 410)
  assert.equal((await gone.ask()).text, 'answer 3')
})

test('a HEAD answered with no-store or private does not make a shared response of the stored GET', async (t) => {
  for (const directive of ['no-store', 'private']) {
    const flow = await inTurn(
      t,
      { fields: { 'cache-control': 'max-age=2', etag: '"a"' } },
      { fields: { 'cache-control': `max-age=1000, ${directive}`, etag: '"a"' } },
      { fields: fresh },
    )
    await flow.ask()
    flow.proxy.advance(3000)
    await flow.ask({ method: 'HEAD' })
    assert.equal((await flow.ask()).text, 'answer 3', directive)
  }
})

// --- validation (RFC 9111 §4.3, §3.2) ---

test('a 304 updates all fields but those about the stored bytes, and is an answer of its own for nobody', async (t) => {
  const { ask, proxy } = await inTurn(
    t,
    {
      fields: {
        'cache-control': 'max-age=2',
        etag: '"a"',
        'content-length': '5',
        'x-kept': '1',
        'content-type': 'text/a',
        'set-cookie': ['a=1', 'b=1'],
      },
      body: 'hello',
    },
    {
      status: 304,
      fields: {
        'cache-control': 'max-age=100',
        etag: '"a"',
        'content-type': 'text/b',
        'set-cookie': 'c=1',
        connection: 'x-hop',
        'x-hop': '1',
      },
    },
  )
  await ask()
  proxy.advance(3000)
  for (const status of ['revalidated', 'hit']) {
    const { headers, text } = await ask()
    assert.equal(proxy.exchanges.at(-1)?.cache?.status, status)
    assert.deepEqual(
      [
        text,
        headers['content-length'],
        headers['x-kept'],
        headers['content-type'],
        headers['set-cookie'],
        headers['x-hop'],
      ],
      ['hello', '5', '1', 'text/b', ['c=1'], undefined],
    )
  }
})

test('a 304 with no-store or private ends the sharing of the stored response', async (t) => {
  for (const directive of ['no-store', 'private']) {
    const { ask, proxy } = await inTurn(
      t,
      { fields: { 'cache-control': 'max-age=2', etag: '"a"' } },
      { status: 304, fields: { 'cache-control': `max-age=1000, ${directive}`, etag: '"a"' } },
      { fields: fresh },
    )
    await ask()
    proxy.advance(3000)
    assert.equal((await ask()).text, 'answer 1', directive)
    assert.equal((await ask()).text, 'answer 3', directive)
  }
})

test('a 304 with another strong ETag updates nothing: the whole is asked for', async (t) => {
  const { ask, proxy, upstream } = await inTurn(
    t,
    { fields: { 'cache-control': 'max-age=2', etag: '"a"' } },
    { status: 304, fields: { 'cache-control': 'max-age=60', etag: '"b"' } },
    { fields: { ...fresh, etag: '"b"' } },
  )
  await ask()
  proxy.advance(3000)
  const second = await ask()
  assert.deepEqual([second.text, second.headers.etag], ['answer 3', '"b"'])
  assert.equal((await ask()).text, 'answer 3')
  assert.deepEqual(
    upstream.requests.map(({ headers }) => headers['if-none-match']),
    [undefined, '"a"', undefined],
  )
})

test('the stored validators take the place of the client’s, who gets what its own question deserves', async (t) => {
  const { ask, proxy, upstream } = await inTurn(
    t,
    { fields: { 'cache-control': 'max-age=2', etag: '"a"' } },
    { status: 304, fields: { 'cache-control': 'max-age=2', etag: '"a"' } },
  )
  await ask()
  for (const [etag, status] of [
    ['"other"', 200],
    ['"a"', 304],
    ['W/"a"', 304],
    ['"x", "a"', 304],
    ['*', 304],
  ] as const) {
    proxy.advance(3000)
    assert.equal((await ask({ headers: { 'if-none-match': etag } })).status, status, etag)
    assert.equal(upstream.requests.at(-1)?.headers['if-none-match'], '"a"', etag)
  }
})

test('If-None-Match goes before If-Modified-Since, and both are answered from what is fresh', async (t) => {
  const date = (seconds: number) => formatDate(Date.parse('2026-01-01') + seconds * 1000)
  const { ask, upstream } = await inTurn(t, { fields: { ...fresh, etag: '"a"', 'last-modified': date(0) } })
  await ask()
  for (const [fields, status] of [
    [{ 'if-none-match': '"a"', 'if-modified-since': date(-60) }, 304],
    [{ 'if-none-match': '"b"', 'if-modified-since': date(60) }, 200],
    [{ 'if-modified-since': date(0) }, 304],
    [{ 'if-modified-since': date(60) }, 304],
    [{ 'if-modified-since': date(-1) }, 200],
    [{ 'if-modified-since': 'yesterday' }, 200],
  ] as const) {
    const { status: given, headers } = await ask({ headers: fields })
    assert.equal(given, status, JSON.stringify(fields))
    assert.deepEqual([headers.etag, headers['cache-control']], ['"a"', 'max-age=60'])
  }
  assert.equal(upstream.requests.length, 1)
})

// --- parts (RFC 9111 §3.3, §3.4) ---

test('a part that fits what it says is served again, and smaller ones out of it; another is asked for', async (t) => {
  const whole = '0123456789'
  const upstream = await startUpstream(t, (req, res) => {
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(req.headers.range ?? '') ?? []
    if (first === undefined) res.writeHead(200, fresh).end(whole)
    else {
      const part = whole.slice(Number(first), Number(last) + 1)
      res.writeHead(206, { ...fresh, 'content-range': `bytes ${first}-${last}/10` }).end(part)
    }
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const ask = async (range?: string) => {
    const { status, text, headers } = await get(proxy.url, { headers: range === undefined ? {} : { range } })
    return `${status} ${headers['content-range'] ?? '-'} ${text}`
  }
  assert.equal(await ask('bytes=4-9'), '206 bytes 4-9/10 456789')
  assert.equal(await ask('bytes=4-9'), '206 bytes 4-9/10 456789')
  assert.equal(await ask('bytes=6-7'), '206 bytes 6-7/10 67')
  assert.equal(await ask('bytes=6-'), '206 bytes 6-9/10 6789')
  assert.equal(await ask('bytes=-1'), '206 bytes 9-9/10 9')
  assert.equal(upstream.requests.length, 1)
  assert.equal(await ask('bytes=0-1'), '206 bytes 0-1/10 01')
  assert.equal(await ask(), `200 - ${whole}`)
  assert.equal(upstream.requests.length, 3)
  assert.equal(await ask('bytes=2-3'), '206 bytes 2-3/10 23')
  assert.equal(await ask('bytes=20-'), '416 bytes */10 ')
  assert.equal(upstream.requests.length, 3)
})

test('a part whose bytes do not fit its Content-Range passes, and is not stored', async (t) => {
  const { ask, upstream } = await inTurn(t, {
    status: 206,
    fields: { ...fresh, 'content-range': 'bytes 4-9/10' },
    body: '01234',
  })
  for (let i = 0; i < 2; i++) assert.equal((await ask({ headers: { range: 'bytes=-5' } })).text, '01234')
  assert.equal(upstream.requests.length, 2)
})

test('a range out of a stored whole carries the stored fields, and If-Range must match strongly', async (t) => {
  const { ask, upstream } = await inTurn(t, {
    fields: { ...fresh, etag: '"a"', 'x-a': '1' },
    body: '0123456789',
  })
  await ask()
  const part = await ask({ headers: { range: 'bytes=0-1' } })
  assert.deepEqual(
    [part.status, part.text, part.headers['x-a'], part.headers['content-length']],
    [206, '01', '1', '2'],
  )
  assert.equal((await ask({ headers: { range: 'bytes=0-1', 'if-range': '"a"' } })).status, 206)
  assert.equal((await ask({ headers: { range: 'bytes=0-1', 'if-range': 'W/"a"' } })).status, 200)
  assert.equal((await ask({ headers: { range: 'bytes=0-1', 'if-range': '"b"' } })).status, 200)
  assert.equal(upstream.requests.length, 1)
})

// --- invalidation (RFC 9111 §4.4) ---

test('every method that may change something invalidates when it succeeds, and not when it fails', async (t) => {
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'M-SEARCH']) {
    for (const [status, want] of [
      [200, 'answer 3'],
      [204, 'answer 3'],
      [303, 'answer 3'],
      [404, 'answer 1'],
      [500, 'answer 1'],
    ] as const) {
      const { ask } = await inTurn(t, { fields: fresh }, { status }, { fields: fresh })
      await ask()
      await ask({ method, body: 'abc', headers: { 'content-length': '3' } })
      assert.equal((await ask()).text, want, `${method} ${status}`)
    }
  }
  for (const method of ['OPTIONS', 'TRACE']) {
    const { ask } = await inTurn(t, { fields: fresh })
    await ask()
    await ask({ method })
    assert.equal((await ask()).text, 'answer 1', method)
  }
})

test('Location and Content-Location of the same origin are invalidated, those of another are not', async (t) => {
  for (const name of ['location', 'content-location']) {
    let fields: Lines = {}
    const upstream = await startUpstream(t, (req, res) => {
      res.writeHead(200, req.method === 'GET' ? fresh : fields).end('x')
    })
    const proxy = await startProxy(t, { target: upstream.url })
    for (const [value, invalidated] of [
      ['/target?a=1', true],
      ['target?a=1', true],
      [`${proxy.url}/target?a=1`, true],
      ['http://elsewhere.example/target?a=1', false],
    ] as const) {
      await get(`${proxy.url}/target?a=1`)
      const before = upstream.requests.length
      fields = { [name]: value }
      await get(`${proxy.url}/form`, { method: 'POST' })
      await get(`${proxy.url}/target?a=1`)
      assert.equal(upstream.requests.length - before, invalidated ? 2 : 1, `${name}: ${value}`)
    }
  }
})

test('a GET that comes after a successful POST is not given an answer that was asked for before it', async (t) => {
  const opened = gate()
  let written = 'before'
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.method === 'POST') {
      written = 'after'
      res.writeHead(200).end()
      return
    }
    const body = written
    if (body === 'before') await opened.promise
    res.writeHead(200, fresh).end(body)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const first = get(proxy.url)
  await proxy.until(() => upstream.requests.length === 1)
  await get(proxy.url, { method: 'POST' })
  const second = get(proxy.url)
  await proxy.until((_, open) => open[2]?.cache?.lookedUpAt !== undefined)
  setTimeout(() => opened.open(), 50)
  assert.deepEqual([(await first).text, (await second).text], ['before', 'after'])
  assert.equal((await get(proxy.url)).text, 'after')
})

test('an invalidation holds that comes while an older answer is on its way into Redis', async (t) => {
  const redis = await startRedis(t)
  let written = 'before'
  const upstream = await startUpstream(t, (req, res) => {
    if (req.method === 'POST') {
      written = 'after'
      // By then the POST has been answered, and the store is to be told.
      setTimeout(() => redis.thaw(), 100)
      res.writeHead(200).end()
      return
    }
    // The lookup is over; what is to be stored will wait.
    if (req.url === '/x' && written === 'before') redis.freeze()
    res.writeHead(200, fresh).end(written)
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: redis.url, 'cache-timeout': '5s' })
  do await get(`${proxy.url}/connected`)
  while (proxy.exchanges.at(-1)?.cache?.status !== 'hit')
  assert.equal((await get(`${proxy.url}/x`)).text, 'before')
  await get(`${proxy.url}/x`, { method: 'POST' })
  assert.equal((await get(`${proxy.url}/x`)).text, 'after')
})

// --- collapsing (RFC 9111 §4) ---

/** An upstream that holds back every answer until told, and a proxy before it. */
const held = async (t: TestContext, fields: Lines, body = 'x') => {
  const opened = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    await opened.promise
    res.writeHead(200, fields).end(body)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  /** Sends one after another, each looked up before the next; opens the gate; gives the answers. */
  const together = async (...asks: readonly Ask[]): Promise<Got[]> => {
    const answers: Array<Promise<Got>> = []
    for (const [i, ask] of asks.entries()) {
      answers.push(get(proxy.url, ask))
      await proxy.until(
        (_, open) => open[i]?.cache?.lookedUpAt !== undefined || open[i]?.cache?.status === 'bypass',
      )
    }
    setTimeout(() => opened.open(), 30)
    return Promise.all(answers)
  }
  return { upstream, proxy, together }
}

test('two requests at once are one to the upstream, and the second says so', async (t) => {
  const { upstream, proxy, together } = await held(t, fresh)
  const [first, second] = await together({}, {})
  assert.deepEqual([first?.text, second?.text], ['x', 'x'])
  assert.equal(upstream.requests.length, 1)
  assert.match(String(second?.headers['cache-status']), /; collapsed/)
  assert.deepEqual(statuses(proxy).sort(), ['coalesced', 'miss'])
})

test('only plain GETs collapse', async (t) => {
  for (const [name, second, requests] of [
    ['Authorization', { headers: { authorization: 'Basic eA==' } }, 2],
    ['Range', { headers: { range: 'bytes=0-0' } }, 2],
    ['no-cache', { headers: { 'cache-control': 'no-cache' } }, 2],
    ['no-store', { headers: { 'cache-control': 'no-store' } }, 2],
    ['Pragma', { headers: { pragma: 'no-cache' } }, 2],
    ['HEAD', { method: 'HEAD' }, 2],
    ['POST', { method: 'POST' }, 2],
    ['a body', { body: 'x', headers: { 'content-length': '1' } }, 2],
    ['Cookie', { headers: { cookie: 'a=b' } }, 1],
    ['max-age', { headers: { 'cache-control': 'max-age=10' } }, 1],
  ] as ReadonlyArray<[string, Ask, number]>) {
    const { upstream, together } = await held(t, { 'cache-control': 'max-age=60' })
    await together({}, second)
    assert.equal(upstream.requests.length, requests, name)
  }
})

test('nobody gets what was not for sharing: private, no-store, other variants', async (t) => {
  for (const cacheControl of ['private, max-age=60', 'no-store']) {
    const { upstream, together } = await held(t, { 'cache-control': cacheControl })
    await together({}, {}, {})
    assert.equal(upstream.requests.length, 3, cacheControl)
  }
  const opened = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    await opened.promise
    res.writeHead(200, { ...fresh, vary: 'foo' }).end(String(req.headers.foo))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const answers = ['1', '2', '1'].map((foo) => get(proxy.url, { headers: { foo } }))
  await proxy.until(
    (_, open) => open.length === 3 && open.every(({ cache }) => cache?.lookedUpAt !== undefined),
  )
  setTimeout(() => opened.open(), 30)
  assert.deepEqual(
    (await Promise.all(answers)).map(({ text }) => text),
    ['1', '2', '1'],
  )
})

test('a field that no-cache withholds goes to the client that asked, and not to those who waited', async (t) => {
  const { together } = await held(t, {
    'cache-control': 'max-age=60, no-cache="set-cookie"',
    'set-cookie': 'id=1',
  })
  const [first, second] = await together({}, {})
  assert.deepEqual([first?.headers['set-cookie'], second?.headers['set-cookie']], [['id=1'], undefined])
})

test('those who wait for a validation share its outcome', async (t) => {
  const opened = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.headers['if-none-match'] === undefined) {
      res.writeHead(200, { 'cache-control': 'max-age=2', etag: '"a"' }).end('x')
      return
    }
    await opened.promise
    res.writeHead(304, { 'cache-control': 'max-age=2', etag: '"a"' }).end()
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(3000)
  const answers = Array.from({ length: 4 }, () => get(proxy.url))
  await proxy.until((_, open) => open.filter(({ cache }) => cache?.status === 'coalesced').length === 3)
  opened.open()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ status, text }) => `${status} ${text}`),
    Array(4).fill('200 x'),
  )
  assert.equal(upstream.requests.length, 2)
})

// --- requests (RFC 9111 §5.2.1) ---

test('the client’s directives are honoured', (t) =>
  outcomes(
    t,
    (
      [
        ['max-age=0', 'validated'],
        ['max-age=2', 'validated'],
        ['max-age=10', 'cached'],
        ['min-fresh=3600', 'validated'],
        ['min-fresh=10', 'cached'],
        ['no-cache', 'validated'],
        ['no-store', 'cached'],
        ['only-if-cached', 'cached'],
        ['nothing-to-see-here', 'cached'],
      ] as const
    ).map(
      ([directive, want]): Twice => ({
        name: directive,
        rule: 'RFC 9111 §5.2.1',
        fields: { 'cache-control': 'max-age=3600', etag: '"a"' },
        ask: [{}, { 'cache-control': directive }],
        want,
      }),
    ),
  ))

test('max-stale admits what is stale by so much, unless the response forbids it', (t) =>
  outcomes(
    t,
    (
      [
        ['max-age=1', 'max-stale', 'cached'],
        ['max-age=1', 'max-stale=100', 'cached'],
        ['max-age=1', 'max-stale=5', 'validated'],
        ['max-age=1, must-revalidate', 'max-stale=100', 'validated'],
        ['s-maxage=1', 'max-stale=100', 'validated'],
      ] as const
    ).map(
      ([given, asked, want]): Twice => ({
        name: `${given}, asked with ${asked}`,
        rule: 'RFC 9111 §5.2.1.2',
        fields: { 'cache-control': given, etag: '"a"' },
        ask: [{}, { 'cache-control': asked }],
        after: 10,
        want,
      }),
    ),
  ))

test('only-if-cached with nothing stored is a 504 that never reaches the upstream', async (t) => {
  const { ask, upstream } = await inTurn(t, { fields: fresh })
  assert.equal((await ask({ headers: { 'cache-control': 'only-if-cached' } })).status, 504)
  assert.equal(upstream.requests.length, 0)
})
