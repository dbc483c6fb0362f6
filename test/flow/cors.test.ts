import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const page = 'http://localhost:5173'
const list = (value: unknown): string[] => String(value ?? '').split(/,\s*/)

test('a preflight is answered by the proxy, and the upstream never sees it (local-cors-proxy#2, http-proxy-cli#6)', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(405).end())
  const proxy = await startProxy(t, { target: upstream.url, cors: 'true', rate: '1/m' })
  for (let n = 0; n < 3; n++) {
    const got = await get(`${proxy.url}/api`, {
      method: 'OPTIONS',
      headers: {
        origin: page,
        'access-control-request-method': 'PATCH',
        'access-control-request-headers': 'content-type, x-token',
        'access-control-request-private-network': 'true',
      },
    })
    assert.equal(got.status, 204)
    assert.equal(got.text, '')
    const { headers } = got
    assert.equal(headers['access-control-allow-origin'], page)
    assert.equal(headers['access-control-allow-credentials'], 'true')
    assert.equal(headers['access-control-allow-methods'], 'PATCH')
    assert.equal(headers['access-control-allow-headers'], 'content-type, x-token')
    assert.equal(headers['access-control-allow-private-network'], 'true')
    assert.equal(headers['access-control-max-age'], '600')
    assert.ok(list(headers.vary).includes('Origin'))
  }
  assert.equal(upstream.requests.length, 0)
})

test('an OPTIONS that is no preflight goes to the upstream', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, { allow: 'GET' }).end())
  const proxy = await startProxy(t, { target: upstream.url, cors: 'true' })
  assert.equal((await get(proxy.url, { method: 'OPTIONS' })).headers.allow, 'GET')
  await get(proxy.url, { method: 'OPTIONS', headers: { origin: page } })
  assert.equal(upstream.requests.length, 2)
})

test('a cached answer lets in the page that asks now, not the one that asked first', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'cache-control': 'max-age=60' }).end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url, cors: 'true' })
  for (const origin of [page, 'https://other.example']) {
    const got = await get(proxy.url, { headers: { origin } })
    assert.equal(got.headers['access-control-allow-origin'], origin)
    assert.ok(list(got.headers.vary).includes('Origin'))
  }
  const sameOrigin = await get(proxy.url)
  assert.equal(sameOrigin.headers['access-control-allow-origin'], undefined)
  assert.ok(list(sameOrigin.headers.vary).includes('Origin'))
  assert.equal(upstream.requests.length, 1)
})

test('scripts may read every field of the answer but its cookies', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'x-total': '7', etag: '"a"', 'set-cookie': 'a=b' }).end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url, cors: 'true' })
  const { headers } = await get(proxy.url, { headers: { origin: page } })
  const exposed = list(headers['access-control-expose-headers'])
  for (const name of ['x-total', 'etag', 'cache-status']) assert.ok(exposed.includes(name), name)
  for (const name of ['set-cookie', 'content-type']) assert.ok(!exposed.includes(name), name)
})

test('what the upstream says of other origins is replaced, not doubled', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) =>
      void res
        .writeHead(200, {
          'Access-Control-Allow-Origin': 'https://prod.example',
          'Access-Control-Allow-Credentials': 'false',
          'Access-Control-Expose-Headers': 'x-a',
          Vary: 'Accept, origin',
        })
        .end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url, cors: 'true' })
  const { rawHeaders } = await get(proxy.url, { headers: { origin: page } })
  const values = (name: string): string[] =>
    rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]!.toLowerCase() === name)
  assert.deepEqual(values('access-control-allow-origin'), [page])
  assert.deepEqual(values('access-control-allow-credentials'), ['true'])
  assert.equal(values('access-control-expose-headers').length, 1)
  assert.deepEqual(values('vary'), ['Accept, origin'])
})

test('--cors with an origin lets in that one, whoever asks; * lets in all, without cookies', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('x'))
  const one = await startProxy(t, { target: upstream.url, cors: page })
  const got = await get(one.url, { headers: { origin: 'https://evil.example' } })
  assert.equal(got.headers['access-control-allow-origin'], page)
  assert.equal(got.headers.vary, undefined)
  const all = await startProxy(t, { target: upstream.url, cors: '*' })
  const { headers } = await get(all.url, { headers: { origin: page } })
  assert.equal(headers['access-control-allow-origin'], '*')
  assert.equal(headers['access-control-allow-credentials'], undefined)
})

test('without --cors the proxy says nothing of the matter', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('x'))
  const proxy = await startProxy(t, { target: upstream.url })
  const { headers } = await get(proxy.url, { headers: { origin: page } })
  assert.ok(!Object.keys(headers).some((name) => name.startsWith('access-control-')))
  await get(proxy.url, {
    method: 'OPTIONS',
    headers: { origin: page, 'access-control-request-method': 'GET' },
  })
  assert.equal(upstream.requests.length, 2)
})

test('a page learns that the backend is down or the rate limit reached, not that "CORS" is wrong', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('x'))
  const limited = await startProxy(t, { target: upstream.url, cors: 'true', rate: '1/m' })
  const ask = (url: string) => get(url, { headers: { origin: page } })
  await ask(limited.url)
  const tooMany = await ask(limited.url)
  assert.equal(tooMany.status, 429)
  assert.equal(tooMany.headers['access-control-allow-origin'], page)
  assert.ok(list(tooMany.headers['access-control-expose-headers']).includes('retry-after'))

  await upstream.stop()
  const down = await startProxy(t, { target: upstream.url, cors: 'true', hold: '0' })
  const refused = await ask(down.url)
  assert.equal(refused.status, 502)
  assert.equal(refused.headers['access-control-allow-origin'], page)
  assert.equal(refused.headers['access-control-allow-credentials'], 'true')
})
