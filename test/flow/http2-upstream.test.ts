import assert from 'node:assert/strict'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { certificate } from '../support/certificate.ts'
import { gate, get } from '../support/client.ts'
import { data, frame, headers, reset } from '../support/http2-frames.ts'
import { startHttp2Upstream } from '../support/http2-upstream.ts'
import { startProxy } from '../support/proxy.ts'

const echo = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200 })
  stream.pipe(stream)
}
const hello = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200 })
  stream.end('hello')
}

test('h2c:// speaks HTTP/2 without TLS: Host becomes :authority, repeated fields stay, bytes are kept', async (t) => {
  const upstream = await startHttp2Upstream(t, (stream) => {
    stream.respond({ ':status': 200, 'set-cookie': ['a=1', 'b=2'], 'x-odd': 'caf\xe9' })
    stream.end('body')
  })
  const proxy = await startProxy(t, { target: `${upstream.url}/base` })
  const got = await get(`${proxy.url}/a//b?x={}`, {
    headers: {
      'X-Two': ['1', '2'],
      'X-Byte': 'caf\xe9',
      Connection: 'X-Hop',
      'X-Hop': 'gone',
      Cookie: 'a=1; b=2',
    },
  })
  assert.equal(got.status, 200)
  assert.equal(got.text, 'body')
  assert.deepEqual(got.headers['set-cookie'], ['a=1', 'b=2'])
  assert.equal(got.headers['x-odd'], 'caf\xe9')
  const [seen] = upstream.requests
  assert.equal(seen!.headers[':authority'], `localhost:${upstream.port}`)
  assert.equal(seen!.headers[':path'], '/base/a//b?x={}')
  assert.equal(seen!.headers[':scheme'], 'http')
  assert.equal(seen!.headers['x-two'], '1, 2')
  assert.equal(seen!.headers['x-byte'], 'caf\xe9')
  assert.equal(seen!.headers.cookie, 'a=1; b=2')
  for (const name of ['host', 'connection', 'x-hop', 'te', 'transfer-encoding'])
    assert.equal(seen!.headers[name], undefined, name)
  assert.equal(seen!.headers.via, '1.1 revproxy')
  const { upstream: facts } = proxy.exchanges[0]!
  assert.equal(facts!.status, 200)
  assert.equal(facts!.receivedBytes, 4)
})

test('an https target that offers HTTP/2 gets it, many requests on one connection', async (t) => {
  const upstream = await startHttp2Upstream(t, hello, { tls: true })
  const { caFile } = await certificate()
  const proxy = await startProxy(t, { target: upstream.url, ca: caFile, cache: 'off' })
  const texts = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => (await get(`${proxy.url}/${i}`)).text),
  )
  assert.deepEqual(texts, Array(50).fill('hello'))
  assert.equal(upstream.requests.length, 50)
  assert.equal(upstream.connections(), 1)
})

test('an https target without HTTP/2 is spoken to in HTTP/1.1, on the connection that asked', async (t) => {
  const { cert, key, caFile } = await certificate()
  let connections = 0
  const versions: string[] = []
  const server = createTlsServer({ cert, key }, (req, res) => {
    versions.push(req.httpVersion)
    res.end('one')
  })
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const proxy = await startProxy(t, {
    target: `https://localhost:${(server.address() as AddressInfo).port}`,
    ca: caFile,
    cache: 'off',
  })
  for (let i = 0; i < 3; i++) assert.equal((await get(`${proxy.url}/${i}`)).text, 'one')
  assert.deepEqual(versions, ['1.1', '1.1', '1.1'])
  assert.equal(connections, 1)
})

test('--no-http2 keeps to HTTP/1.1; a target that has nothing else says so', async (t) => {
  const upstream = await startHttp2Upstream(t, hello, { tls: true })
  const { caFile } = await certificate()
  const proxy = await startProxy(t, { target: upstream.url, ca: caFile, 'no-http2': 'true' })
  const got = await get(proxy.url)
  assert.equal(got.status, 502)
  assert.match(got.text, /does not speak HTTP\/1.1 over TLS. Does it speak HTTP\/2 only\?/)
  assert.equal(upstream.requests.length, 0)
})

test('a certificate that is not trusted is the same 502 as over HTTP/1.1', async (t) => {
  const upstream = await startHttp2Upstream(t, hello, { tls: true })
  const proxy = await startProxy(t, { target: upstream.url })
  const got = await get(proxy.url)
  assert.equal(got.status, 502)
  assert.match(got.text, /-k accepts any certificate/)
  const insecure = await startProxy(t, { target: upstream.url, insecure: 'true' })
  assert.equal((await get(insecure.url)).text, 'hello')
})

test('5 MB go up and down over HTTP/2, and several at once on one connection', async (t) => {
  const upstream = await startHttp2Upstream(t, echo)
  const proxy = await startProxy(t, { target: upstream.url })
  const body = Buffer.alloc(5_000_000, 'abcdefg')
  const all = await Promise.all([1, 2, 3].map(() => get(proxy.url, { method: 'POST', body })))
  for (const got of all) assert.ok(got.body.equals(body))
  assert.equal(upstream.connections(), 1)
})

test('more requests at once than the upstream lets on a connection get further connections', async (t) => {
  const open = gate()
  let waiting = 0
  const upstream = await startHttp2Upstream(
    t,
    async (stream) => {
      if (++waiting === 6) open.open()
      await open.promise
      hello(stream)
    },
    { settings: { maxConcurrentStreams: 2 } },
  )
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  // The settings are known once an answer is here.
  waiting = -1
  upstream.answer(hello)
  await get(`${proxy.url}/first`)
  upstream.answer(async (stream) => {
    if (++waiting === 5) open.open()
    await open.promise
    hello(stream)
  })
  const texts = await Promise.all(
    Array.from({ length: 6 }, async (_, i) => (await get(`${proxy.url}/${i}`)).text),
  )
  assert.deepEqual(texts, Array(6).fill('hello'))
  assert.equal(upstream.connections(), 3)
})

test('trailers, early hints, HEAD, 204 and 304 come through from HTTP/2', async (t) => {
  const upstream = await startHttp2Upstream(t, (stream, { ':path': path, ':method': method }) => {
    if (path === '/trailers') {
      stream.additionalHeaders({ ':status': 103, link: '</a.css>' })
      stream.respond({ ':status': 200 }, { waitForTrailers: true })
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': '42' }))
      stream.end('body')
    } else if (method === 'HEAD') stream.respond({ ':status': 200, 'content-length': 7 }, { endStream: true })
    else stream.respond({ ':status': Number(path!.slice(1)), etag: '"a"' }, { endStream: true })
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const got = await get(`${proxy.url}/trailers`)
  assert.equal(got.text, 'body')
  assert.equal(got.trailers['x-sum'], '42')
  assert.equal(got.information[0]?.status, 103)
  const head = await get(proxy.url, { method: 'HEAD' })
  assert.equal(head.headers['content-length'], '7')
  for (const status of [204, 304]) assert.equal((await get(`${proxy.url}/${status}`)).status, status)
})

test('a client that leaves has its stream cancelled, and the connection serves on', async (t) => {
  const begun = gate()
  const left = gate<number>()
  const upstream = await startHttp2Upstream(t, (stream) => {
    stream.on('close', () => left.open(stream.rstCode))
    stream.respond({ ':status': 200 })
    stream.write('begun')
    begun.open()
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const abort = new AbortController()
  const got = get(`${proxy.url}/endless`, { signal: abort.signal })
  await begun.promise
  abort.abort()
  await assert.rejects(got)
  assert.equal(await left.promise, constants.NGHTTP2_CANCEL)
  upstream.answer(hello)
  assert.equal((await get(`${proxy.url}/next`)).text, 'hello')
  assert.equal(upstream.connections(), 1)
})

test('silence for longer than --timeout is 504, and only that stream ends', async (t) => {
  const asked = gate()
  const upstream = await startHttp2Upstream(t, () => asked.open())
  const proxy = await startProxy(t, { target: upstream.url, timeout: '30s', cache: 'off' })
  const answer = get(proxy.url)
  await asked.promise
  proxy.advance(31_000)
  const got = await answer
  assert.equal(got.status, 504)
  assert.match(got.text, /silent for 30 s/)
  upstream.answer(hello)
  assert.equal((await get(proxy.url)).text, 'hello')
  assert.equal(upstream.connections(), 1)
})

test('GOAWAY: what is on its way ends as it should, the next request gets a new connection', async (t) => {
  const asked = gate()
  const answer = gate()
  const upstream = await startHttp2Upstream(t, async (stream) => {
    asked.open()
    await answer.promise
    hello(stream)
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const slow = get(`${proxy.url}/slow`)
  await asked.promise
  for (const session of upstream.sessions) session.close()
  upstream.answer(hello)
  // Whether GOAWAY has come is known when a request takes another connection.
  for (let i = 0; upstream.connections() < 2 && i < 100; i++)
    assert.equal((await get(`${proxy.url}/${i}`)).text, 'hello')
  answer.open()
  assert.equal((await slow).text, 'hello')
  assert.equal(upstream.connections(), 2)
})

test('a connection lost between two requests costs neither; lost in an answer, that is not whole', async (t) => {
  const upstream = await startHttp2Upstream(t, hello)
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off', hold: '0' })
  assert.equal((await get(`${proxy.url}/1`)).text, 'hello')
  for (const session of upstream.sessions) session.destroy()
  assert.equal((await get(`${proxy.url}/2`)).text, 'hello')
  upstream.answer((stream) => {
    stream.respond({ ':status': 200 })
    stream.write('part of it')
    setTimeout(() => stream.session?.destroy(), 20)
  })
  await assert.rejects(get(`${proxy.url}/3`))
  await proxy.until((ended) => ended.length === 3)
  assert.equal(proxy.exchanges[2]!.ended!.error, 'upstream-aborted')
})

test('a request that the upstream refuses unprocessed is sent again, one that it resets is not', async (t) => {
  const upstream = await startHttp2Upstream(t, (stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM))
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  let asked = 0
  upstream.answer((stream) => {
    if (++asked < 3) stream.close(constants.NGHTTP2_REFUSED_STREAM)
    else hello(stream)
  })
  assert.equal((await get(proxy.url, { method: 'DELETE' })).text, 'hello')
  assert.equal(asked, 3)
  upstream.answer((stream) => stream.close(constants.NGHTTP2_REFUSED_STREAM))
  const refused = await get(proxy.url)
  assert.equal(refused.status, 503)
  const before = upstream.requests.length
  upstream.answer((stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR))
  const failed = await get(proxy.url)
  assert.equal(failed.status, 502)
  assert.match(failed.text, /reset the request before it answered \(INTERNAL_ERROR\)/)
  assert.equal(upstream.requests.length, before + 1)
})

/** An upstream that answers with frames by hand. */
const startFrames = async (t: TestContext, answer: Buffer): Promise<string> => {
  const server = createServer((socket) => {
    t.after(() => socket.destroy())
    socket.on('error', () => {})
    // SETTINGS, and its acknowledgement of ours.
    socket.write(Buffer.concat([frame(4, 0, 0), frame(4, 1, 0)]))
    let seen = ''
    let done = false
    socket.on('data', (chunk) => {
      seen += chunk.toString('latin1')
      // HEADERS of stream 1 have come.
      if (done || !/\x01[\x00-\xff]\x00\x00\x00\x01/.test(seen)) return
      done = true
      socket.write(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return `h2c://localhost:${(server.address() as AddressInfo).port}`
}

for (const [name, code] of [
  ['NO_ERROR', constants.NGHTTP2_NO_ERROR],
  ['CANCEL', constants.NGHTTP2_CANCEL],
  ['INTERNAL_ERROR', constants.NGHTTP2_INTERNAL_ERROR],
] as const) {
  test(`an answer that is cut off by RST_STREAM with ${name} is never taken for a whole one`, async (t) => {
    const target = await startFrames(
      t,
      Buffer.concat([headers(1, { ':status': '200' }, false), data(1, 'part'), reset(1, code)]),
    )
    const proxy = await startProxy(t, { target, cache: 'off' })
    const got = await get(proxy.url).then(
      ({ status }) => status,
      () => 'cut off',
    )
    assert.ok(got === 'cut off' || got === 502, `${got}`)
    await proxy.until((ended) => ended.length === 1)
    assert.match(proxy.exchanges[0]!.ended!.error ?? '', /^upstream-/)
  })
}

test('an answer that breaks the rules of HTTP/2 is 502', async (t) => {
  const target = await startFrames(t, headers(1, { ':status': '200', Connection: 'close' }, true))
  const proxy = await startProxy(t, { target, cache: 'off' })
  const got = await get(proxy.url)
  assert.equal(got.status, 502)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'upstream-protocol')
})

test('HTTP_1_1_REQUIRED has the request sent anew over HTTP/1.1', async (t) => {
  const { cert, key, caFile } = await certificate()
  const { createSecureServer } = await import('node:http2')
  const server = createSecureServer({ cert, key, allowHTTP1: true })
  server.on('stream', (stream) => stream.close(constants.NGHTTP2_HTTP_1_1_REQUIRED))
  server.on('request', (req, res) => {
    if (req.httpVersionMajor === 1) res.end('over 1.1')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const proxy = await startProxy(t, {
    target: `https://localhost:${(server.address() as AddressInfo).port}`,
    ca: caFile,
  })
  assert.equal((await get(proxy.url)).text, 'over 1.1')
  await proxy.close(0)
})

test('what is no HTTP/2 on an h2c target is 502, and nobody there is 502', async (t) => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.resume()
    socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const proxy = await startProxy(t, { target: `h2c://localhost:${port}`, hold: '0' })
  const got = await get(proxy.url)
  assert.equal(got.status, 502)
  assert.match(got.text, /without a word of HTTP\/2. Is it http: rather than h2c:\?/)
  await new Promise((resolve) => server.close(resolve))
  const refused = await get(proxy.url)
  assert.equal(refused.status, 502)
  assert.match(refused.text, /^revproxy: h2c:\/\/localhost:\d+ refused the connection/)
})

test('an upload over --max-body cancels the stream: the upstream never sees a whole one', async (t) => {
  const ended = gate<string>()
  const upstream = await startHttp2Upstream(t, (stream) => {
    stream.on('aborted', () => ended.open('aborted'))
    stream.resume()
  })
  const proxy = await startProxy(t, { target: upstream.url, 'max-body': '64kb' })
  const got = await get(proxy.url, {
    method: 'POST',
    body: Buffer.alloc(200_000),
    headers: { 'transfer-encoding': 'chunked' },
  })
  assert.equal(got.status, 413)
  assert.equal(await ended.promise, 'aborted')
})
