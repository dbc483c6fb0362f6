/**
 * What users of such proxies complain about most, each with the defaults and named after where it was said; what has a
 * file of its own (hold, cors, cookies, redirects, abort) is there.
 */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import WebSocket, { WebSocketServer } from 'ws'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { eventually, talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

/** A backend with a WebSocket echo, on one address. */
const startChat = async (t: TestContext, host = '127.0.0.1') => {
  const server = createServer((_, res) => void res.end('hi'))
  const wss = new WebSocketServer({ server })
  const fields: Array<NodeJS.Dict<string | string[]>> = []
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  wss.on('connection', (socket, req) => {
    fields.push(req.headers)
    socket.on('error', () => {})
    socket.on('message', (data, binary) => socket.send(data, { binary }))
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return { port: (server.address() as AddressInfo).port, fields, sockets }
}

/** Says a word and hears it back. */
const chat = (t: TestContext, url: string, word: string): Promise<WebSocket> =>
  new Promise((resolve, reject) => {
    const client = new WebSocket(url.replace('http', 'ws'))
    t.after(() => client.terminate())
    client.on('error', reject)
    client.on('open', () => client.send(word))
    client.on('message', (data: Buffer) => {
      assert.equal(data.toString(), word)
      resolve(client)
    })
  })

for (const host of ['127.0.0.1', '::1'])
  test(`a dev server that listens on ${host} only is reached as localhost, page and WebSocket (portless#320, vite#23312)`, async (t) => {
    const backend = await startChat(t, host)
    const proxy = await startProxy(t, { target: `http://localhost:${backend.port}` })
    assert.equal((await get(proxy.url)).text, 'hi')
    await chat(t, proxy.url, 'hello')
  })

test('the proxy outlives its backend, whose sockets die in every state (http-proxy-middleware#476, local-ssl-proxy#121)', async (t) => {
  let nth = 0
  const upstream = await startRawUpstream(t, (socket) => {
    switch (nth++ % 4) {
      case 0:
        return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
      case 1:
        return socket.resetAndDestroy()
      case 2:
        return void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart', () =>
          socket.resetAndDestroy(),
        )
      default:
        return void socket.end('HTTP/1.1 200')
    }
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  for (let i = 0; i < 20; i++) await get(`${proxy.url}/${i}`).catch(() => {})
  nth = 0
  assert.equal((await get(proxy.url)).text, 'ok')
  assert.deepEqual(proxy.notices, [])
  await eventually(() => proxy.active() === 0)
})

test('200 aborted requests leave nothing behind (node-http-proxy#1559, http-proxy-middleware#782)', async (t) => {
  let ended = 0
  const upstream = await startUpstream(t, (req, res) => {
    res.on('close', () => ended++)
    if (!req.url!.startsWith('/never')) res.write('part')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  for (let round = 0; round < 4; round++) {
    const clients = Array.from({ length: 50 }, () => talk(t, proxy.port))
    for (const [i, client] of clients.entries())
      client.send(`GET /${i % 2 === 0 ? 'never' : 'part'}/${round}/${i} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await eventually(() => upstream.requests.length === (round + 1) * 50)
    for (const { socket } of clients) socket.destroy()
  }
  await eventually(() => ended === 200)
  await proxy.until((exchanges) => exchanges.length === 200)
  assert.equal(proxy.active(), 0)
  // undici dials anew for each that was aborted, and keeps that connection for 4 s: never more than were busy at once.
  assert.ok(upstream.sockets.size <= 50, `${upstream.sockets.size} connections`)
})

test('100 WebSockets that break off leave no descriptor behind (node-http-proxy#1586, #1510)', async (t) => {
  const backend = await startChat(t)
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${backend.port}` })
  for (let round = 0; round < 4; round++) {
    const clients = await Promise.all(Array.from({ length: 25 }, () => chat(t, proxy.url, 'x')))
    for (const [i, client] of clients.entries()) {
      if (i % 2 === 0) client.terminate()
      else client.close()
    }
  }
  await eventually(() => backend.sockets.size === 0 && proxy.active() === 0)
})

test('an event stream outlives every timeout, and each event is there before the next is sent (node-http-proxy#921, http-proxy-middleware#371, nest#5762)', async (t) => {
  const next = [gate(), gate()]
  const upstream = await startUpstream(t, async (_, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    for (const [n, { promise }] of next.entries()) {
      await promise
      res.write(`data: ${n}\n\n`)
    }
  })
  const proxy = await startProxy(t, { target: upstream.url, timeout: '200ms', 'body-timeout': '200ms' })
  const client = talk(t, proxy.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\nAccept-Encoding: gzip, br\r\n\r\n')
  await client.until(/\r\n\r\n/)
  await new Promise((resolve) => setTimeout(resolve, 500))
  next[0]!.open()
  await client.until(/data: 0\n\n/)
  proxy.advance(60_000)
  await new Promise((resolve) => setTimeout(resolve, 500))
  next[1]!.open()
  await client.until(/data: 1\n\n/)
})

for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'GET'])
  test(`the body of a ${method} arrives, with a length and in chunks (node-http-proxy#180, http-proxy-middleware#40, #320)`, async (t) => {
    const upstream = await startUpstream(t, async (req, res) => {
      let body = ''
      for await (const chunk of req) body += chunk
      res.end(body)
    })
    const proxy = await startProxy(t, { target: upstream.url })
    const body = JSON.stringify({ a: 'ü'.repeat(1000) })
    const headers = { 'content-type': 'application/json' }
    const sized = { ...headers, 'content-length': String(Buffer.byteLength(body)) }
    assert.equal((await get(proxy.url, { method, headers: sized, body })).text, body)
    const chunked = { ...headers, 'transfer-encoding': 'chunked' }
    assert.equal((await get(proxy.url, { method, headers: chunked, body })).text, body)
  })

test('a WebSocket is asked for with the fields of --header and the Host of --host-header (node-http-proxy#1455)', async (t) => {
  const backend = await startChat(t)
  const proxy = await startProxy(t, {
    target: `http://127.0.0.1:${backend.port}`,
    header: ['X-User: 7', 'Origin: http://elsewhere', 'X-Gone:'],
    'host-header': 'app.example',
  })
  const client = new WebSocket(proxy.url.replace('http', 'ws'), { headers: { 'X-Gone': '1' } })
  t.after(() => client.terminate())
  await new Promise((resolve, reject) => client.on('open', resolve).on('error', reject))
  const [fields] = backend.fields
  assert.deepEqual(
    [fields!['x-user'], fields!.origin, fields!.host, fields!['x-gone']],
    ['7', 'http://elsewhere', 'app.example', undefined],
  )
})

test('a WebSocket that the backend refuses is refused, body and all; one that cannot be had is a 502', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(403, { 'x-why': 'no' }).end('not you'),
  )
  upstream.server.on('upgrade', (_req, socket) =>
    socket.end(
      'HTTP/1.1 403 Forbidden\r\nX-Why: no\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nnot you\r\n0\r\n\r\n',
    ),
  )
  const proxy = await startProxy(t, { target: upstream.url, hold: '0' })
  const handshake =
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n\r\n'
  const refused = talk(t, proxy.port)
  refused.send(handshake)
  assert.match(await refused.closed(), /^HTTP\/1\.1 403 Forbidden\r\nX-Why: no\r\n[\s\S]*not you/)
  await upstream.stop()
  const down = talk(t, proxy.port)
  down.send(handshake)
  assert.match(await down.closed(), /^HTTP\/1\.1 502 Bad Gateway\r\n[\s\S]*Is it running\?\n$/)
})

test('the backend learns who asked, by which name and how (caddy#3275, mitmproxy#2039)', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url, { headers: { host: 'shop.localhost:8080' } })
  const { headers } = upstream.requests[0]!
  assert.deepEqual(
    [headers['x-forwarded-for'], headers['x-forwarded-proto'], headers['x-forwarded-host'], headers.host],
    ['127.0.0.1', 'http', 'shop.localhost:8080', new URL(upstream.url).host],
  )
})

test('one slow request does not hold up the others', async (t) => {
  const release = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.url === '/slow') await release.promise
    res.end('hi')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const slow = get(`${proxy.url}/slow`)
  await eventually(() => upstream.requests.length === 1)
  for (let i = 0; i < 20; i++) assert.equal((await get(`${proxy.url}/${i}`)).text, 'hi')
  release.open()
  assert.equal((await slow).text, 'hi')
})
