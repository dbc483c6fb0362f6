/** What goes on behind a stale answer (RFC 5861 §3). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { until } from '../support/redis-store.ts'
import { startUpstream } from '../support/upstream.ts'

const swr = { 'cache-control': 'max-age=10, stale-while-revalidate=60', etag: '"1"' }

const refreshes = (proxy: TestProxy) => proxy.exchanges.filter(({ cause }) => cause === 'refresh')
const refreshed = (proxy: TestProxy, count = 1): Promise<void> =>
  proxy.until((ended) => ended.filter(({ cause }) => cause === 'refresh').length === count)

test('many who get it stale at once are one refresh', async (t) => {
  const opened = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    if (upstream.requests.length > 1) await opened.promise
    res.writeHead(200, swr).end(`v${upstream.requests.length}`)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(15_000)
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(proxy.url)))
  assert.ok(answers.every(({ text }) => text === 'v1'))
  opened.open()
  await refreshed(proxy)
  assert.equal((await get(proxy.url)).text, 'v2')
  assert.equal(upstream.requests.length, 2)
})

test('a refresh asks for the whole, by the stored validators, whatever its client asked for', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    if (req.headers['if-none-match'] === '"1"') res.writeHead(304, { ...swr, 'x-new': '1' }).end()
    else res.writeHead(200, { ...swr, vary: 'x' }).end('0123456789')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const headers = { x: 'a', 'if-none-match': '"other"', 'cache-control': 'max-stale=5' }
  await get(proxy.url, { headers: { x: 'a' } })
  proxy.advance(15_000)
  const part = await get(proxy.url, { headers: { ...headers, range: 'bytes=2-3' } })
  assert.deepEqual([part.status, part.text], [206, '23'])
  await refreshed(proxy)
  const asked = upstream.requests[1]!
  assert.deepEqual(
    [asked.method, asked.headers.range, asked.headers['if-none-match'], asked.headers.x],
    ['GET', undefined, '"1"', 'a'],
  )
  assert.equal(refreshes(proxy)[0]!.cache!.status, 'revalidated')
  const hit = await get(proxy.url, { headers: { x: 'a' } })
  assert.deepEqual([hit.text, hit.headers['x-new']], ['0123456789', '1'])
  assert.equal(upstream.requests.length, 2)
})

test('a refresh that fails leaves what is stored, and the next stale answer tries again', async (t) => {
  let broken: 'no' | 'hangs up' | '503' = 'no'
  const upstream = await startUpstream(t, (_, res) => {
    if (broken === 'hangs up') res.destroy()
    else if (broken === '503') res.writeHead(503).end('down')
    else res.writeHead(200, swr).end(`v${upstream.requests.length}`)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(15_000)
  for (const [i, how] of (['hangs up', '503'] as const).entries()) {
    broken = how
    assert.equal((await get(proxy.url)).text, 'v1')
    await refreshed(proxy, i + 1)
  }
  broken = 'no'
  assert.equal((await get(proxy.url)).text, 'v1')
  await refreshed(proxy, 3)
  assert.equal((await get(proxy.url)).text, 'v4')
  // What an exchange that nobody waits for came to is told all the same.
  assert.equal(refreshes(proxy)[1]!.cache!.forwardStatus, 503)
})

test('a refresh that takes back the leave to store ends the stale answers', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    const first = upstream.requests.length === 1
    res.writeHead(200, first ? swr : { 'cache-control': 'no-store' }).end(`v${upstream.requests.length}`)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(15_000)
  assert.equal((await get(proxy.url)).text, 'v1')
  await refreshed(proxy)
  assert.equal((await get(proxy.url)).text, 'v3')
})

test('a client that leaves does not end the refresh behind its answer', async (t) => {
  const opened = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    if (upstream.requests.length > 1) await opened.promise
    res.writeHead(200, swr).end(`v${upstream.requests.length}`)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(15_000)
  // Its connection closes with the answer.
  await get(proxy.url, { headers: { connection: 'close' } })
  await until('the refresh has reached the upstream', () => upstream.requests.length === 2)
  opened.open()
  await refreshed(proxy)
  assert.equal((await get(proxy.url)).text, 'v2')
})

test('64 refreshes go on at once; who finds no place is served stale all the same', async (t) => {
  const opened = gate()
  let most = 0
  let now = 0
  let behind = false
  const upstream = await startUpstream(t, async (_, res) => {
    most = Math.max(most, ++now)
    if (behind) await opened.promise
    now--
    res.writeHead(200, swr).end('x')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const all = () => Promise.all(Array.from({ length: 80 }, (_, i) => get(`${proxy.url}/${i}`)))
  await all()
  proxy.advance(15_000)
  most = 0
  behind = true
  for (const { headers } of await all()) assert.match(String(headers['cache-status']), /; hit; ttl=-\d+; /)
  await until('they are under way', () => now === 64)
  opened.open()
  await refreshed(proxy, 64)
  assert.equal(most, 64)
  // The others have their turn with the next request.
  await all()
  await refreshed(proxy, 80)
})

test('refreshes end with the proxy', async (t) => {
  let gone = 0
  const upstream = await startUpstream(t, (_, res) => {
    if (upstream.requests.length === 1) res.writeHead(200, swr).end('x')
    else res.on('close', () => gone++)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(15_000)
  await get(proxy.url)
  await until('the refresh is under way', () => upstream.requests.length === 2)
  await proxy.close(0)
  await until('the upstream sees it end', () => gone === 1)
})
