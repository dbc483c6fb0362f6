import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

test('a redirect to the target comes back through the proxy, by the name the client used', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) =>
      void res
        .writeHead(302, { location: `${upstream.url}/next?a=1`, refresh: `0; url=${upstream.url}/` })
        .end(),
  )
  const proxy = await startProxy(t, { target: upstream.url })
  const { headers } = await get(proxy.url)
  assert.equal(headers.location, `${proxy.url}/next?a=1`)
  assert.equal(headers.refresh, `0; url=${proxy.url}/`)
  const named = await get(proxy.url, { headers: { host: 'app.test:1234' } })
  assert.equal(named.headers.location, 'http://app.test:1234/next?a=1')
})

test('a cached redirect goes back to the name each client used', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) =>
      void res.writeHead(301, { location: `${upstream.url}/next`, 'cache-control': 'max-age=60' }).end(),
  )
  const proxy = await startProxy(t, { target: upstream.url })
  for (const host of ['a.test', 'b.test', 'a.test', 'b.test']) {
    const { headers } = await get(proxy.url, { headers: { host } })
    assert.equal(headers.location, `http://${host}/next`)
  }
  assert.equal(upstream.requests.length, 2)
})

test('a POST that names its result by the URL of the target has the cached one forgotten (RFC 9111 §4.4)', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    if (req.method === 'POST') res.writeHead(303, { location: `${upstream.url}/list` }).end()
    else res.writeHead(200, { 'cache-control': 'max-age=60' }).end('x')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(`${proxy.url}/list`)
  await get(`${proxy.url}/add`, { method: 'POST' })
  await get(`${proxy.url}/list`)
  assert.deepEqual(
    upstream.requests.map(({ method, url }) => `${method} ${url}`),
    ['GET /list', 'POST /add', 'GET /list'],
  )
  assert.equal(proxy.exchanges.at(-1)!.cache!.reason, 'invalidated-by-unsafe')
})

test('the path of a target is no part of what clients are sent to', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    const location = req.url === '/v1/relative' ? '/v1/next' : `${upstream.url}/v1/next`
    res.writeHead(302, { location }).end()
  })
  const proxy = await startProxy(t, { target: `${upstream.url}/v1` })
  assert.equal((await get(`${proxy.url}/relative`)).headers.location, '/next')
  assert.equal((await get(`${proxy.url}/absolute`)).headers.location, `${proxy.url}/next`)
})

test('--redirects keep passes them as they come', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(302, { location: `${upstream.url}/next` }).end(),
  )
  const proxy = await startProxy(t, { target: upstream.url, redirects: 'keep' })
  assert.equal((await get(proxy.url)).headers.location, `${upstream.url}/next`)
})
