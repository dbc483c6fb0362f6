import assert from 'node:assert/strict'
import { once } from 'node:events'
import { constants } from 'node:http2'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { Exchanges } from '../../src/core/exchanges.ts'
import { startEdge } from '../../src/server.ts'
import { certificate } from '../support/certificate.ts'
import { gate, get } from '../support/client.ts'
import { http2Client, whole } from '../support/http2-client.ts'
import { data, headers, opening, reset } from '../support/http2-frames.ts'
import { startProxy, type TextOptions } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { startUpstream } from '../support/upstream.ts'

const post = { ':method': 'POST', ':scheme': 'http', ':authority': 'localhost', ':path': '/' }

/** A proxy that speaks TLS, and a client that speaks HTTP/2 with it. */
const start = async (t: TestContext, texts: TextOptions) => {
  const { certFile, keyFile, ca } = await certificate()
  const proxy = await startProxy(t, { cert: certFile, key: keyFile, https: 'true', ...texts })
  const client = http2Client(t, `https://localhost:${proxy.port}`, { ca })
  return { proxy, client, ca }
}

test('an HTTP/2 request reaches an HTTP/1.1 upstream with Host, and its answer comes without connection-level fields (http-proxy-middleware#426)', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, [
      ['Set-Cookie', 'a=1'],
      ['Set-Cookie', 'b=2'],
      ['Connection', 'keep-alive, X-Hop'],
      ['X-Hop', 'gone'],
      ['X-Kept', 'caf\xe9'],
    ] as never)
    res.end('hello')
  })
  const { client, proxy } = await start(t, { target: upstream.url, 'host-header': 'client' })
  const got = await client.ask({
    ':path': '/a//b?x={}',
    cookie: ['a=1', 'b=2'],
    'x-ours': 'z',
    te: 'trailers',
  })
  assert.equal(got.status, 200)
  assert.equal(got.text, 'hello')
  assert.deepEqual(got.headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(got.headers['x-kept'], 'caf\xe9')
  for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'x-hop', 'upgrade'])
    assert.equal(got.headers[name], undefined)
  const [seen] = upstream.requests
  assert.equal(seen!.url, '/a//b?x={}')
  assert.equal(seen!.headers.host, `localhost:${proxy.port}`)
  // RFC 9113 §8.2.3
  assert.equal(seen!.headers.cookie, 'a=1; b=2')
  assert.equal(seen!.headers.te, undefined)
  assert.equal(seen!.headers.via, '2 revproxy')
  assert.equal(seen!.headers['x-forwarded-proto'], 'https')
  assert.match(`${seen!.headers.forwarded}`, /proto=https/)
  assert.ok(seen!.rawHeaders.every((text) => !text.startsWith(':')))
  await proxy.until((ended) => ended.length === 1)
  const [exchange] = proxy.exchanges
  assert.equal(exchange!.httpVersion, '2')
  assert.equal(exchange!.scheme, 'https')
  assert.equal(exchange!.ended!.status, 200)
  assert.equal(exchange!.ended!.bytes, 5)
  assert.equal(exchange!.ended!.error, undefined)
})

test('HTTP/2 and HTTP/1.1 share one cache', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' })
    res.end('once')
  })
  const { client, proxy } = await start(t, { target: upstream.url })
  const first = await client.ask({ ':path': '/x' })
  const second = await client.ask({ ':path': '/x' })
  assert.equal(first.text + second.text, 'onceonce')
  assert.match(`${second.headers['cache-status']}`, /hit/)
  const head = await client.ask({ ':path': '/x', ':method': 'HEAD' })
  assert.equal(head.headers['content-length'], '4')
  assert.equal(head.text, '')
  assert.equal(upstream.requests.length, 1)
  assert.equal(proxy.exchanges.filter(({ cache }) => cache?.status === 'hit').length, 2)
})

test('a hundred requests at once on one connection each get their own answer', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void res.end(`for ${req.url}`))
  const { client } = await start(t, { target: upstream.url })
  const paths = Array.from({ length: 100 }, (_, i) => `/${i}`)
  const texts = await Promise.all(paths.map(async (path) => (await client.ask({ ':path': path })).text))
  assert.deepEqual(
    texts,
    paths.map((path) => `for ${path}`),
  )
})

test('an upload of 5 MB over HTTP/2 arrives whole, and so does an answer of that size', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void req.pipe(res))
  const { client, proxy } = await start(t, { target: upstream.url })
  const body = Buffer.alloc(5_000_000, 'abcdefg')
  const got = await client.ask({ ':method': 'POST' }, body)
  assert.ok(got.body.equals(body))
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.requestBytes, body.length)
  assert.equal(proxy.exchanges[0]!.ended!.bytes, body.length)
})

test('END_STREAM comes with the last bytes of an answer that says its length: nobody who counts has left before', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'content-length': '10' })
    res.write('first')
    setTimeout(() => res.end('later'), 20)
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const socket = connect(proxy.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(Buffer.concat([opening(), headers(1, { ...post, ':method': 'GET' }, true)]))
  let seen = ''
  for await (const chunk of socket.setEncoding('latin1')) {
    seen += chunk
    if (seen.includes('later')) break
  }
  // DATA of 5 bytes on stream 1, with END_STREAM.
  assert.ok(seen.includes('\x00\x00\x05\x00\x01\x00\x00\x00\x01later'), JSON.stringify(seen))
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.error, undefined)
})

test('trailers and interim answers come through to HTTP/2', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeEarlyHints({ link: '</a.css>; rel=preload' })
    res.writeHead(200, { trailer: 'x-sum' })
    res.write('body')
    res.addTrailers({ 'X-Sum': '42' })
    res.end()
  })
  const { client } = await start(t, { target: upstream.url })
  const got = await client.ask({ ':path': '/' })
  assert.equal(got.text, 'body')
  assert.equal(got.trailers?.['x-sum'], '42')
  assert.equal(got.information[0]?.[':status'], 103)
})

for (const [name, answer, status] of [
  // Upgrade has undici read it, which leaves the blanks behind a value.
  ['blanks behind its values', '200 OK\r\nUpgrade: x\r\nX-A: a \t\r\nContent-Length: 5 \r\n\r\nhello', 200],
  [
    'blanks behind the values of its trailers',
    '200 OK\r\nUpgrade: x\r\nX-A: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: b \r\n\r\n',
    200,
  ],
  [
    'a length in its 103',
    '103 Early Hints\r\nLink: </a> \r\nContent-Length: 7\r\n\r\nHTTP/1.1 200 OK\r\nX-A: a\r\nContent-Length: 5\r\n\r\nhello',
    200,
  ],
  ['a length in its 204', '204 No Content\r\nX-A: a\r\nContent-Length: 5\r\n\r\n', 204],
] as const)
  test(`an answer with ${name} is well-formed in HTTP/2`, async (t) => {
    const upstream = await startRawUpstream(t, () => `HTTP/1.1 ${answer}`)
    const { client } = await start(t, { target: upstream.url })
    const got = await client.ask({})
    assert.deepEqual([got.status, got.headers['x-a']], [status, 'a'])
    assert.equal(got.text, status === 204 ? '' : 'hello')
    assert.equal(got.headers['content-length'], status === 204 ? undefined : '5')
    assert.equal(got.trailers?.['x-t'], name.includes('trailers') ? 'b' : undefined)
    assert.deepEqual(
      got.information.map((head) => [head[':status'], head.link, head['content-length']]),
      name.includes('103') ? [[103, '</a>', undefined]] : [],
    )
  })

test('a client that resets its stream ends the upstream request, and the exchange says so', async (t) => {
  const left = gate()
  const upstream = await startUpstream(t, (_, res) => {
    res.on('close', () => left.open())
    res.write('begun')
  })
  const { client, proxy } = await start(t, { target: upstream.url, cache: 'off' })
  const stream = client.open({ ':path': '/endless' })
  await once(stream, 'data')
  stream.close(constants.NGHTTP2_CANCEL)
  await left.promise
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'client-gone')
  assert.equal(proxy.active(), 0)
})

test('an upload that the client resets half-way is never forwarded as a whole one', async (t) => {
  const outcome = gate<string>()
  const upstream = await startUpstream(t, (req) => {
    req.on('end', () => outcome.open('whole'))
    req.on('close', () => outcome.open('cut'))
    req.resume()
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const socket = connect(proxy.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write(Buffer.concat([opening(), headers(1, post, false), data(1, 'half')]))
  await proxy.until((_, opened) => (opened[0]?.upstream?.sentBytes ?? 0) > 0)
  socket.write(reset(1, constants.NGHTTP2_CANCEL))
  assert.equal(await outcome.promise, 'cut')
})

test('an upstream that dies in its answer resets the stream: no part looks like the whole', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'content-length': '100' })
    res.write('some of it')
    setImmediate(() => res.destroy())
  })
  const { client, proxy } = await start(t, { target: upstream.url, cache: 'off' })
  await assert.rejects(client.ask({ ':path': '/' }))
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'upstream-aborted')
  // The connection lives on.
  upstream.answer((_, res) => void res.end('fine'))
  assert.equal((await client.ask({ ':path': '/' })).text, 'fine')
})

test('a body over --max-body gets 413 over HTTP/2, said or not, and the connection lives on', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    req.resume()
    req.on('end', () => res.end('taken'))
  })
  const { client } = await start(t, { target: upstream.url, 'max-body': '64kb' })
  const body = Buffer.alloc(3_000_000)
  const said = await client.ask({ ':method': 'POST', 'content-length': body.length }, body)
  assert.equal(said.status, 413)
  const unsaid = await client.ask({ ':method': 'POST' }, body)
  assert.equal(unsaid.status, 413)
  assert.match(unsaid.text, /larger than 64 kB/)
  assert.equal((await client.ask({ ':method': 'POST' }, 'small')).text, 'taken')
})

for (const { name, ask, status } of [
  { name: 'two hosts', ask: { ':authority': 'a.example', host: 'b.example' }, status: 400 },
  { name: 'OPTIONS *', ask: { ':method': 'OPTIONS', ':path': '*' }, status: 501 },
]) {
  test(`refused over HTTP/2 as over HTTP/1.1: ${name}`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end())
    const { client, proxy } = await start(t, { target: upstream.url })
    const got = await client.ask(ask)
    assert.equal(got.status, status)
    assert.equal(upstream.requests.length, 0)
    assert.equal(proxy.exchanges[0]!.ended!.error, 'bad-request')
  })
}

test('CONNECT, WebSockets by CONNECT too (RFC 8441), is refused; the settings do not offer it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const { client } = await start(t, { target: upstream.url })
  const [settings] = await once(client.session, 'remoteSettings')
  assert.notEqual(settings.enableConnectProtocol, true)
  const stream = client.session.request({ ':method': 'CONNECT', ':authority': 'example.com:443' })
  const [answer] = await once(stream, 'response')
  assert.equal(answer[':status'], 501)
  stream.close()
})

test('too many field lines get 431, and a list beyond all bounds ends its stream', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('fine'))
  const { client } = await start(t, { target: upstream.url })
  const many = Object.fromEntries(Array.from({ length: 1100 }, (_, i) => [`x-${i}`, 'v']))
  assert.equal((await client.ask(many)).status, 431)
  await assert.rejects(client.ask({ 'x-large': 'v'.repeat(80_000) }))
  assert.equal((await client.ask({})).text, 'fine')
  assert.equal(upstream.requests.length, 1)
})

test('a client that opens and resets streams without end loses its connection; others are served (CVE-2023-44487)', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const socket = connect(proxy.port, '127.0.0.1')
  t.after(() => socket.destroy())
  const closed = once(socket, 'close')
  socket.on('error', () => {})
  socket.resume()
  socket.write(opening())
  let stream = 1
  const flood = (): void => {
    if (socket.destroyed || stream > 20_000) return
    const frames: Buffer[] = []
    for (let i = 0; i < 200; i++, stream += 2) frames.push(headers(stream, post, true), reset(stream, 8))
    socket.write(Buffer.concat(frames), () => setImmediate(flood))
  }
  flood()
  await closed
  assert.ok(proxy.opened.length <= 1000, `${proxy.opened.length} requests`)
  upstream.answer((_, res) => void res.end('served'))
  assert.equal((await get(proxy.url)).text, 'served')
  await proxy.until((ended, opened) => ended.length === opened.length)
})

test('more requests at once than there are files for get 503, on however few connections they come', async (t) => {
  const clock = systemClock()
  const more = gate()
  const edge = await startEdge({
    hosts: ['127.0.0.1'],
    port: 0,
    clock,
    exchanges: new Exchanges({ observers: [], clock, onObserverError: () => {} }),
    handler: async () => {
      await more.promise
      return { status: 200, headers: [], body: Buffer.from('hi') }
    },
    maxRequests: 3,
    onInternalError: () => {},
  })
  t.after(() => edge.close(0))
  const clients = [1, 2].map(() => http2Client(t, `http://127.0.0.1:${edge.port}`))
  const first = clients.flatMap((client) => [client.ask({}), client.ask({})])
  const refused = await Promise.race(first)
  assert.equal(refused.status, 503)
  assert.equal(refused.headers['retry-after'], '1')
  assert.match(refused.text, /ulimit -n/)
  more.open()
  const got = await Promise.all(first)
  assert.deepEqual(got.map(({ status }) => status).sort(), [200, 200, 200, 503])
  assert.equal((await clients[0]!.ask({})).status, 200)
})

test('at its end the proxy sends GOAWAY, and what is on its way is answered', async (t) => {
  const asked = gate()
  const answer = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    asked.open()
    await answer.promise
    res.end('to the end')
  })
  const { client, proxy } = await start(t, { target: upstream.url })
  const got = client.ask({ ':path': '/slow' })
  await asked.promise
  const goaway = once(client.session, 'goaway')
  const closed = proxy.close(5000)
  const [code] = await goaway
  assert.equal(code, constants.NGHTTP2_NO_ERROR)
  answer.open()
  assert.equal((await got).text, 'to the end')
  await closed
})

test('what is left when the time to drain is over ends, and its exchange with it', async (t) => {
  const asked = gate()
  const upstream = await startUpstream(t, () => asked.open())
  const { client, proxy } = await start(t, { target: upstream.url })
  const got = client.ask({ ':path': '/never' })
  await asked.promise
  await Promise.all([assert.rejects(got), proxy.close(10)])
  assert.equal(proxy.exchanges[0]!.ended!.error, 'shutting-down')
})

test('Expect: 100-continue over HTTP/2 is answered when the body is wanted', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void req.pipe(res))
  const { client } = await start(t, { target: upstream.url })
  const stream = client.session.request({ ':method': 'POST', ':path': '/', expect: '100-continue' })
  const got = whole(stream)
  await once(stream, 'continue')
  stream.end('now')
  assert.equal((await got).text, 'now')
})

test('the metrics page is served over HTTP/2', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const { client, proxy } = await start(t, { target: upstream.url })
  const got = await client.ask({ ':path': '/metrics' })
  assert.equal(got.status, 200)
  assert.match(got.text, /http_server_request_duration_seconds/)
  assert.equal((await client.ask({ ':path': '/metrics', ':method': 'POST' }, 'x')).status, 405)
  assert.equal(proxy.exchanges.length, 0)
})

test('clients that know beforehand speak HTTP/2 on the plain port too (RFC 9113 §3.3)', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void req.pipe(res))
  const proxy = await startProxy(t, { target: upstream.url })
  const client = http2Client(t, proxy.url)
  assert.equal((await client.ask({ ':method': 'POST' }, 'one')).text, 'one')
  const large = Buffer.alloc(1_000_000, 'x')
  assert.equal((await client.ask({ ':method': 'POST' }, large)).body.length, large.length)
  assert.equal(proxy.exchanges[0]!.scheme, 'http')
  assert.equal((await get(proxy.url, { method: 'POST', body: 'h1' })).text, 'h1')
  const closed = once(client.session, 'close')
  await proxy.close(1000)
  await closed
})

test('the preface of HTTP/2 may come in pieces', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const proxy = await startProxy(t, { target: upstream.url })
  const socket = connect(proxy.port, '127.0.0.1')
  t.after(() => socket.destroy())
  socket.write('PRI * HTTP/2.0\r\n\r\n')
  await new Promise((resolve) => setTimeout(resolve, 20))
  // SETTINGS, empty
  socket.write(Buffer.concat([Buffer.from('SM\r\n\r\n'), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.equal(answer[3], 4, 'its settings')
})
