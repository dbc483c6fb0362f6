import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:https'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { WebSocket, WebSocketServer } from 'ws'
import { certificate } from '../support/certificate.ts'
import { get, raw } from '../support/client.ts'
import { http2Client } from '../support/http2-client.ts'
import { startProxy, type TextOptions } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const start = async (t: TestContext, texts: TextOptions) => {
  const { certFile, keyFile, ca } = await certificate()
  const proxy = await startProxy(t, { cert: certFile, key: keyFile, ...texts })
  return { proxy, ca, url: `https://localhost:${proxy.port}` }
}

/** One request over HTTP/1.1 and TLS. */
const getTls = async (url: string, ca: string, headers: Record<string, string> = {}) => {
  const req = request(url, { ca, headers, agent: false })
  req.end()
  const [res] = await once(req, 'response')
  let text = ''
  for await (const chunk of res.setEncoding('utf8')) text += chunk
  return { status: res.statusCode as number, headers: res.headers, text }
}

test('HTTP/1.1 over TLS: the upstream is told of https, cookies stay Secure, redirects come back to https', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(302, {
      location: `http://${req.headers.host}/next`,
      'set-cookie': 'a=1; Domain=127.0.0.1; Secure; SameSite=None',
    })
    res.end('moved')
  })
  const { url, ca, proxy } = await start(t, { target: upstream.url })
  const got = await getTls(`${url}/x`, ca)
  assert.equal(got.status, 302)
  assert.equal(got.headers.location, `${url}/next`)
  assert.deepEqual(got.headers['set-cookie'], ['a=1; Secure; SameSite=None'])
  const [seen] = upstream.requests
  assert.equal(seen!.headers['x-forwarded-proto'], 'https')
  assert.match(`${seen!.headers.forwarded}`, /proto=https/)
  assert.equal(seen!.headers.via, '1.1 revproxy')
  assert.equal(proxy.exchanges[0]!.scheme, 'https')
})

test('ALPN decides: h2 where it is offered, HTTP/1.1 where it is alone or nothing is said', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const { ca, proxy } = await start(t, { target: upstream.url })
  for (const [offered, chosen] of [
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [undefined, false],
  ] as const) {
    const socket = connectTls({
      port: proxy.port,
      host: 'localhost',
      ca,
      ...(offered === undefined ? {} : { ALPNProtocols: [...offered] }),
    })
    await once(socket, 'secureConnect')
    assert.equal(socket.alpnProtocol, chosen)
    socket.destroy()
  }
})

test('WebSockets go through TLS (wss://) on the port that speaks HTTP/2 (portless#360)', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const sockets = new WebSocketServer({ server: upstream.server })
  t.after(() => sockets.close())
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`${text} back`)))
  const { ca, proxy } = await start(t, { target: upstream.url })
  const client = new WebSocket(`wss://localhost:${proxy.port}/chat`, { ca })
  t.after(() => client.terminate())
  await once(client, 'open')
  client.send('there and')
  const [text] = await once(client, 'message')
  assert.equal(String(text), 'there and back')
  client.close()
  await once(client, 'close')
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.status, 101)
})

test('plain HTTP on the port of https gets a sentence with the address that was meant', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const { proxy } = await start(t, { target: upstream.url })
  const got = await get(`http://localhost:${proxy.port}/a/b?c=d`)
  assert.equal(got.status, 400)
  assert.equal(got.text, `revproxy: this port speaks HTTPS: https://localhost:${proxy.port}/a/b?c=d\n`)
  const odd = await raw(proxy.port, 'GET / HTTP/1.1\r\nHost: a<script>\r\n\r\n')
  assert.match(odd, /https:\/\/localhost:\d+\/\n$/)
  assert.equal(upstream.requests.length, 0)
  assert.equal(proxy.exchanges.length, 0)
})

test('TLS on the port of plain HTTP ends without a request, a notice or an exchange', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('fine'))
  const proxy = await startProxy(t, { target: upstream.url })
  const socket = connectTls({ port: proxy.port, host: 'localhost', rejectUnauthorized: false })
  const [error] = await once(socket, 'error')
  assert.match(error.code, /SSL|EPROTO|ECONNRESET/)
  assert.equal((await get(proxy.url)).text, 'fine')
  assert.deepEqual(proxy.notices, [])
  assert.equal(proxy.exchanges.length, 1)
})

test('a handshake that fails, bytes that are none and silence harm nobody, and end with the proxy', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('fine'))
  const { url, ca, proxy } = await start(t, { target: upstream.url })
  const untrusting = connectTls({ port: proxy.port, host: 'localhost' })
  await once(untrusting, 'error')
  const garbage = connect(proxy.port, 'localhost')
  garbage.on('error', () => {})
  garbage.write(Buffer.from([22, 3, 1, 0, 4, 255, 255, 255, 255]))
  garbage.resume()
  await once(garbage, 'close')
  const silent = connect(proxy.port, 'localhost')
  silent.on('error', () => {})
  await once(silent, 'connect')
  assert.equal((await getTls(url, ca)).text, 'fine')
  const closed = once(silent, 'close')
  await proxy.close(0)
  await closed
  assert.deepEqual(proxy.notices, [])
})

test('without --cert a CA of our own signs for localhost, and both protocols are served', async (t) => {
  const { caFile, ca } = await certificate()
  const upstream = await startUpstream(t, (_, res) => void res.end('fine'))
  const proxy = await startProxy(
    t,
    { target: upstream.url, https: 'true' },
    { configFolder: caFile.replace(/\/[^/]*$/, '') },
  )
  assert.equal(proxy.caFile, caFile)
  for (const host of ['localhost', '127.0.0.1'])
    assert.equal((await getTls(`https://${host}:${proxy.port}`, ca)).text, 'fine')
  assert.equal((await http2Client(t, `https://localhost:${proxy.port}`, { ca }).ask({})).text, 'fine')
})

test('--max-connections counts TLS connections once each; one more is closed before its handshake', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('fine'))
  const { ca, proxy, url } = await start(t, { target: upstream.url, 'max-connections': '2' })
  const held = await Promise.all(
    [1, 2].map(async () => {
      const socket = connectTls({ port: proxy.port, host: 'localhost', ca })
      await once(socket, 'secureConnect')
      return socket
    }),
  )
  const third = connectTls({ port: proxy.port, host: 'localhost', ca })
  const [error] = await once(third, 'error')
  assert.equal(error.code, 'ECONNRESET')
  held[0]!.destroy()
  // That it is closed is known when the next one is let in.
  for (let i = 0; ; i++) {
    try {
      assert.equal((await getTls(url, ca)).text, 'fine')
      break
    } catch (thrown) {
      if (i === 100) throw thrown
    }
  }
  held[1]!.destroy()
})
