/** How many clients, and how slow ones, are borne: --max-connections, --head-timeout, --body-timeout. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionsFor } from '../../src/edge/open-files.ts'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually, talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'

test('one connection over --max-connections is answered 503 and closed, is told of, and those before go on', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const sent: string[] = []
  const proxy = await startProxy(
    t,
    { target: upstream.url, 'max-connections': '2' },
    {
      notices: {
        redisAway() {},
        redisBack() {},
        trace() {},
        internal() {},
        full: (client, max) => sent.push(`${client} ${max}`),
      },
    },
  )
  const first = talk(t, proxy.port)
  const second = talk(t, proxy.port)
  first.send(GET)
  second.send(GET)
  await Promise.all([first.until(/hi$/), second.until(/hi$/)])
  const third = talk(t, proxy.port)
  const text = await third.closed()
  assert.match(text, /^HTTP\/1\.1 503 Service Unavailable\r\n/)
  assert.match(
    text,
    /\r\nRetry-After: 1\r\n[\s\S]*2 connections are open, as many as --max-connections lets in/,
  )
  assert.equal(third.ending(), 'end')
  assert.deepEqual(sent, ['127.0.0.1 2'])
  first.send(GET)
  await first.until(/hi[\s\S]*hi$/)
  second.socket.destroy()
  // Its place is free as soon as its end was heard of.
  let answer = ''
  while (!answer.startsWith('HTTP/1.1 200')) {
    const next = talk(t, proxy.port)
    next.send(GET)
    answer = await next.until(/\r\n\r\n/)
    if (answer.startsWith('HTTP/1.1 503')) await next.closed()
  }
  assert.equal(upstream.requests.length, 4)
})

test('a flood beyond --max-connections is let go without being held, and the proxy closes at once', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, 'max-connections': '1' })
  const inside = talk(t, proxy.port)
  inside.send(GET)
  await inside.until(/hi$/)
  const flood = Array.from({ length: 200 }, () => talk(t, proxy.port))
  await Promise.all(flood.map((one) => one.closed()))
  assert.ok(flood.every((one) => one.text() === '' || one.text().startsWith('HTTP/1.1 503')))
  const before = performance.now()
  await proxy.close(0)
  assert.ok(performance.now() - before < 2500, 'waited for those it had refused')
})

test('a WebSocket and a declined upgrade count once', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, 'max-connections': '1' })
  const client = talk(t, proxy.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n')
  await client.until(/200 OK[\s\S]*hi$/)
})

for (const [files, want] of [
  [undefined, undefined],
  [1024, 472],
  [100, 10],
  [10, 8],
] as const)
  test(`${files ?? 'an unknown number of'} open files let ${want ?? 'any number of'} clients in`, () =>
    assert.equal(connectionsFor(files), want))

test('--head-timeout: who does not get through with a head is answered 408', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, 'head-timeout': '100ms' })
  const drip = talk(t, proxy.port)
  drip.send('GET / HTTP/1.1\r\nHost: a\r\n')
  const timer = setInterval(() => drip.send('X: y\r\n'), 20)
  t.after(() => clearInterval(timer))
  drip.socket.on('close', () => clearInterval(timer))
  assert.match(await drip.closed(), /^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*\(--head-timeout\)\.\n$/)
})

for (const framing of ['Content-Length: 10', 'Transfer-Encoding: chunked'])
  test(`--body-timeout: a client that falls silent in its body gets 408, and its upstream request ends (${framing})`, async (t) => {
    const left = gate()
    const upstream = await startUpstream(t, (req) => {
      req.on('close', left.open)
      req.resume()
    })
    const proxy = await startProxy(t, { target: upstream.url, 'body-timeout': '150ms' })
    const client = talk(t, proxy.port)
    client.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n3\r\nabc\r\n`)
    assert.match(
      await client.closed(),
      /^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*nothing came of the body of this request for 150 ms \(--body-timeout\)\.\n$/,
    )
    await left.promise
    await proxy.until((ended) => ended.length === 1)
    const { ended } = proxy.exchanges[0]!
    assert.deepEqual([ended?.status, ended?.error], [408, 'bad-request'])
  })

test('--body-timeout does not run while the upstream is the slow one, nor once the answer has begun', async (t) => {
  const go = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.url === '/talk') {
      res.write('hello ')
      for await (const chunk of req) res.write(chunk)
      res.end()
      return
    }
    await go.promise
    let bytes = 0
    for await (const chunk of req) bytes += (chunk as Buffer).length
    res.end(`got ${bytes}`)
  })
  const proxy = await startProxy(t, { target: upstream.url, 'body-timeout': '100ms' })
  const talking = talk(t, proxy.port)
  talking.send('POST /talk HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc')
  await talking.until(/hello/)
  const size = 20 * 1024 * 1024
  const upload = talk(t, proxy.port)
  upload.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`)
  upload.send(Buffer.alloc(size))
  await eventually(() => upload.socket.bytesWritten > 1024 * 1024)
  await new Promise((resolve) => setTimeout(resolve, 400))
  go.open()
  await upload.until(new RegExp(`got ${size}$`))
  talking.send('def')
  await talking.until(/def/)
})

test('--body-timeout does not run before the body is asked for', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void req.resume().on('end', () => res.end('hi')))
  const free = gate()
  const proxy = await startProxy(
    t,
    { target: upstream.url, 'body-timeout': '80ms' },
    { stages: [(next) => (req) => free.promise.then(() => next(req))] },
  )
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na')
  await new Promise((resolve) => setTimeout(resolve, 250))
  assert.equal(client.text(), '')
  free.open()
  client.send('bc')
  await client.until(/200 OK[\s\S]*hi$/)
  assert.equal((await get(proxy.url)).status, 200)
})

test('--head-timeout 0 waits for ever, for the first byte and for the rest', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, 'head-timeout': '0' })
  const silent = talk(t, proxy.port)
  const half = talk(t, proxy.port)
  half.send('GET / HT')
  await new Promise((resolve) => setTimeout(resolve, 300))
  silent.send(GET)
  half.send(GET.slice('GET / HT'.length))
  await Promise.all([silent.until(/hi$/), half.until(/hi$/)])
})
