import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const cacheable = { 'cache-control': 'max-age=60' }

test('a fresh response is served again without asking the upstream', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, cacheable).end('hello'))
  const proxy = await startProxy(t, { target: upstream.url })
  const first = await get(`${proxy.url}/a`)
  proxy.advance(10_000)
  const second = await get(`${proxy.url}/a`)
  assert.deepEqual([first.text, second.text], ['hello', 'hello'])
  assert.equal(upstream.requests.length, 1)
  assert.equal(second.headers.age, '10')
  assert.match(String(first.headers['cache-status']), /^revproxy; fwd=uri-miss; fwd-status=200; stored; key=/)
  assert.match(String(second.headers['cache-status']), /^revproxy; hit; ttl=(?:49|50); /)
  assert.deepEqual(
    proxy.exchanges.map(({ cache }) => [cache?.status, cache?.reason, cache?.storage]),
    [
      ['miss', 'uri-miss', 'stored'],
      ['hit', 'hit', undefined],
    ],
  )
})

test('each hit has the same head, also where a stage changes what is stored, and with other methods in between', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    const odd = {
      'access-control-allow-origin': 'http://other.example',
      'x-odd': 'a\t ~',
      'set-cookie': ['a=1', 'b=2'],
      age: '3',
      date: 'Mon, 30 Nov 2026 21:00:00 GMT',
    }
    res.writeHead(200, { ...cacheable, ...odd, vary: 'accept', 'content-length': 5 }).end('hello')
  })
  for (const options of [{}, { cors: 'true' }, { rate: '1000/s' }, { 'cache-status': 'off' }]) {
    const proxy = await startProxy(t, { target: upstream.url, ...options })
    proxy.advance(Date.parse('2026-11-30T21:00:00Z') - proxy.clock.now())
    const heads: string[][] = []
    for (let i = 0; i < 8; i++) {
      const headers = i % 2 === 0 ? { origin: 'http://a.example' } : {}
      const { rawHeaders, text } = await get(`${proxy.url}/a`, { headers })
      assert.equal(text, 'hello')
      const told = rawHeaders.filter((_, at) => !/^(?:ratelimit|server-timing)/i.test(rawHeaders[at & ~1]!))
      if (i > 1) heads.push(told)
      const none = await get(`${proxy.url}/a`, { method: 'HEAD', headers })
      assert.deepEqual([none.headers['content-length'], none.headers['x-odd']], ['5', 'a\t ~'])
    }
    for (const [i, head] of heads.entries()) assert.deepEqual(head, heads[i % 2], JSON.stringify(options))
    assert.equal(heads[0]!.filter((name) => name.toLowerCase() === 'content-length').length, 1)
    assert.equal(heads[0]!.filter((name) => name.toLowerCase() === 'age').length, 1)
    assert.equal(heads[0]!.filter((name) => name.toLowerCase() === 'set-cookie').length, 2)
    assert.equal(heads[0]!.includes('http://other.example'), !('cors' in options))
    if ('cors' in options) assert.notDeepEqual(heads[0], heads[1])
    else assert.deepEqual(heads[0], heads[1])
  }
})

test('many misses for one key reach the upstream once', async (t) => {
  const opened = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    res.writeHead(200, cacheable)
    await opened.promise
    res.end('hello')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const answers = Array.from({ length: 5 }, () => get(proxy.url))
  await proxy.until((_, open) => open.filter((x) => x.cache?.status === 'coalesced').length === 4)
  opened.open()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ text }) => text),
    Array(5).fill('hello'),
  )
  assert.equal(upstream.requests.length, 1)
})

test('a stale response is validated, and the client gets the stored body', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    if (req.headers['if-none-match'] === '"v1"') res.writeHead(304, { ...cacheable, etag: '"v1"' }).end()
    else res.writeHead(200, { ...cacheable, etag: '"v1"' }).end('hello')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(61_000)
  const second = await get(proxy.url)
  const third = await get(proxy.url)
  assert.deepEqual([second.status, second.text, third.text], [200, 'hello', 'hello'])
  assert.equal(upstream.requests.length, 2)
  assert.deepEqual(
    proxy.exchanges.map(({ cache }) => cache?.status),
    ['miss', 'revalidated', 'hit'],
  )
})

test('stale-while-revalidate serves at once and refreshes behind, in an exchange of its own', async (t) => {
  let version = 0
  const upstream = await startUpstream(t, (_, res) => {
    version++
    res.writeHead(200, { 'cache-control': 'max-age=10, stale-while-revalidate=30' }).end(`v${version}`)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(15_000)
  const stale = await get(proxy.url)
  assert.equal(stale.text, 'v1')
  await proxy.until((ended) => ended.some(({ cause }) => cause === 'refresh'))
  const fresh = await get(proxy.url)
  assert.equal(fresh.text, 'v2')
  const refresh = proxy.exchanges.find(({ cause }) => cause === 'refresh')!
  assert.equal(refresh.parent, proxy.exchanges.find(({ cache }) => cache?.status === 'stale')!.id)
  assert.equal(upstream.requests.length, 2)
})

test('an unsafe request that succeeds makes the next GET a miss, and says why', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, cacheable).end('x'))
  const proxy = await startProxy(t, { target: upstream.url })
  await get(`${proxy.url}/a`)
  await get(`${proxy.url}/a`, { method: 'POST', body: 'y' })
  await get(`${proxy.url}/a`)
  assert.deepEqual(
    proxy.exchanges.map(({ cache }) => cache?.reason),
    ['uri-miss', 'method', 'invalidated-by-unsafe'],
  )
})

test('variants are kept apart, and a miss names the field that differed with both values', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, { ...cacheable, vary: 'Accept-Language' }).end(String(req.headers['accept-language']))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const ask = (language: string) => get(proxy.url, { headers: { 'accept-language': language } })
  assert.equal((await ask('en')).text, 'en')
  assert.equal((await ask('pl')).text, 'pl')
  assert.equal((await ask('en')).text, 'en')
  assert.equal((await ask('pl')).text, 'pl')
  assert.equal(upstream.requests.length, 2)
  const miss = proxy.exchanges[1]!.cache!
  assert.deepEqual([miss.reason, miss.detail], ['vary-miss', 'accept-language (stored en, given pl)'])
})

test('a body cut short by the upstream is not stored, and the client sees it cut', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { ...cacheable, 'content-length': '10' })
    res.write('hello', () => res.destroy())
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await assert.rejects(async () => {
    const { status, text } = await get(proxy.url)
    // When head and end come in one turn there is still time to say so.
    if (status === 502) throw new Error(text)
  })
  upstream.answer((_, res) => void res.writeHead(200, cacheable).end('0123456789'))
  assert.equal((await get(proxy.url)).text, '0123456789')
  assert.equal(upstream.requests.length, 2)
})
