import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const said = {
  'x-forwarded-for': '6.6.6.6, 192.0.2.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-host': 'app.example',
  'x-forwarded-prefix': '/app',
  forwarded: 'for=6.6.6.6',
}

test('without --trust-proxy a client that forges its address is counted and forwarded by its real one', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('x'))
  const proxy = await startProxy(t, { target: upstream.url, rate: '1/m', cache: 'off' })
  await get(proxy.url, { headers: said })
  assert.equal((await get(proxy.url, { headers: { 'x-forwarded-for': '7.7.7.7' } })).status, 429)
  const { headers } = upstream.requests[0]!
  assert.equal(headers['x-forwarded-for'], '127.0.0.1')
  assert.equal(headers['x-forwarded-proto'], 'http')
  assert.equal(headers['x-forwarded-prefix'], undefined)
  assert.match(String(headers.forwarded), /^for=127\.0\.0\.1;/)
  assert.equal(proxy.exchanges[0]!.clientAddress, '127.0.0.1')
})

test('--trust-proxy loopback: the client is whom the proxy in front names, for limits, log and upstream', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('x'))
  const proxy = await startProxy(t, {
    target: upstream.url,
    rate: '1/m',
    cache: 'off',
    'trust-proxy': 'loopback',
  })
  const from = (address: string) => get(proxy.url, { headers: { ...said, 'x-forwarded-for': address } })
  assert.equal((await from('6.6.6.6, 192.0.2.1')).status, 200)
  assert.equal((await from('192.0.2.2')).status, 200)
  // Another forged address in front is the same client.
  assert.equal((await from('9.9.9.9, 192.0.2.1')).status, 429)
  const { headers } = upstream.requests[0]!
  assert.equal(headers['x-forwarded-for'], '6.6.6.6, 192.0.2.1, 127.0.0.1')
  assert.equal(headers['x-forwarded-proto'], 'https')
  assert.equal(headers['x-forwarded-host'], 'app.example')
  assert.equal(headers['x-forwarded-prefix'], '/app')
  assert.equal(headers['x-real-ip'], '192.0.2.1')
  assert.equal(headers.forwarded, 'for=6.6.6.6, for=127.0.0.1;host=app.example;proto=https')
  const [exchange] = proxy.exchanges
  assert.equal(exchange!.clientAddress, '192.0.2.1')
  assert.equal(exchange!.host, 'app.example')
  assert.equal(exchange!.scheme, 'https')
  assert.equal(exchange!.forwardedBy, '127.0.0.1')
})

test('--trust-proxy 1 takes the last word and no more', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('x'))
  const proxy = await startProxy(t, { target: upstream.url, 'trust-proxy': '1' })
  await get(proxy.url, { headers: { 'x-forwarded-for': '6.6.6.6, 10.0.0.1' } })
  assert.equal(proxy.exchanges[0]!.clientAddress, '10.0.0.1')
})

test('redirects and cookies go by the address that the client used at the proxy in front', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(302, { location: `${upstream.url}/a`, 'set-cookie': 'a=b; Secure' }).end(),
  )
  const proxy = await startProxy(t, { target: upstream.url, 'trust-proxy': 'loopback' })
  const { headers } = await get(proxy.url, { headers: said })
  assert.equal(headers.location, 'https://app.example/a')
  assert.deepEqual(headers['set-cookie'], ['a=b; Secure'])
})
