import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { Exchanges } from '../../src/core/exchanges.ts'
import { startEdge } from '../../src/server.ts'
import { gate } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const refused = (port: number): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => {
      socket.destroy()
      resolve(undefined)
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code))
  })

test('a proxy that closes lets what runs end, says so, and takes nothing new', async (t) => {
  const more = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    await more.promise
    res.end('hi')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n')
  await proxy.until(() => upstream.requests.length === 1)
  const closed = proxy.close(10_000)
  assert.equal(await refused(proxy.port), 'ECONNREFUSED')
  more.open()
  const text = await client.closed()
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*hi$/)
  assert.match(text, /\r\nconnection: close\r\n/i)
  await closed
  assert.equal(proxy.active(), 0)
  assert.deepEqual([proxy.exchanges[0]!.ended?.status, proxy.exchanges[0]!.ended?.error], [200, undefined])
})

test('a body that streams while the proxy closes arrives whole', async (t) => {
  const more = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    res.write('hel')
    await more.promise
    res.end('lo')
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const client = talk(t, proxy.port)
  client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until(/hel\r\n$/)
  const closed = proxy.close(10_000)
  more.open()
  assert.match(await client.closed(), /\r\nlo\r\n0\r\n\r\n$/)
  await closed
})

test('idle connections end at once, and so does the close', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url })
  const fresh = talk(t, proxy.port)
  const kept = talk(t, proxy.port)
  kept.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await kept.until(/hi$/)
  const begun = performance.now()
  await proxy.close(10_000)
  assert.ok(performance.now() - begun < 2000)
  await Promise.all([fresh.closed(), kept.closed()])
  assert.equal(upstream.sockets.size, 0)
})

test('what has not ended when the time is over is broken off, and says why', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const proxy = await startProxy(t, { target: upstream.url })
  const clients = [talk(t, proxy.port), talk(t, proxy.port)]
  clients[0]!.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
  clients[1]!.send('POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab')
  await proxy.until(() => upstream.requests.length === 2)
  await proxy.close(50)
  await Promise.all(clients.map((client) => client.closed()))
  assert.deepEqual(
    proxy.exchanges.map(({ ended }) => [ended?.status, ended?.error]),
    Array(2).fill([0, 'shutting-down']),
  )
  assert.equal(proxy.active(), 0)
})

test('a second close does not wait any longer', async (t) => {
  const clock = systemClock()
  const asked = gate()
  const edge = await startEdge({
    hosts: ['127.0.0.1', '::1'],
    port: 0,
    clock,
    exchanges: new Exchanges({ observers: [], clock, onObserverError: () => {} }),
    handler: () => {
      asked.open()
      return new Promise(() => {})
    },
    onInternalError: () => {},
  })
  const client = talk(t, edge.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await asked.promise
  const first = edge.close(60_000)
  const begun = performance.now()
  await edge.close(0)
  await first
  assert.ok(performance.now() - begun < 2000)
  await client.closed()
})

test('a tunnel is waited for, and broken off when the time is over', async (t) => {
  const upstream = await startUpstream(t, () => {})
  upstream.server.on('upgrade', (_, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send(
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  await client.until(/101 [\s\S]*\r\n\r\n/)
  await proxy.close(50)
  await client.closed()
  assert.equal(proxy.exchanges.length, 1)
  assert.equal(proxy.active(), 0)
})
