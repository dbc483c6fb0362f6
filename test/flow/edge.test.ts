import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { ProxyError } from '../../src/core/errors.ts'
import type { Exchange } from '../../src/core/exchange.ts'
import { Exchanges } from '../../src/core/exchanges.ts'
import type { Handler } from '../../src/core/types.ts'
import { type EdgeOptions, startEdge } from '../../src/server.ts'
import { gate, get, raw } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { eventually, talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const hi = { status: 200, headers: ['Content-Length', '2'], body: Buffer.from('hi') }

/** The edge with a chain of one handler. */
const edgeWith = async (t: TestContext, handler: Handler, options: Partial<EdgeOptions> = {}) => {
  const ended: Exchange[] = []
  const internal: unknown[] = []
  const clock = systemClock()
  const edge = await startEdge({
    hosts: ['127.0.0.1'],
    port: 0,
    handler,
    clock,
    exchanges: new Exchanges({
      observers: [{ ended: (exchange) => void ended.push(exchange as Exchange) }],
      clock,
      onObserverError: (error) => internal.push(error),
    }),
    onInternalError: (error) => internal.push(error),
    ...options,
  })
  t.after(() => edge.close(0))
  return { ...edge, url: `http://127.0.0.1:${edge.port}`, ended, internal }
}

for (const [name, request, status, says] of [
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'no Host field'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n', 400, 'several Host fields'],
  ['a Host that is none', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'the Host field is not a host'],
  ['a list of Hosts', 'GET / HTTP/1.1\r\nHost: a, b\r\n\r\n', 400, 'the Host field is not a host'],
  ['OPTIONS *', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'OPTIONS \\* asks about the proxy itself'],
  ['GET *', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'the target \\* is for OPTIONS'],
  [
    'another scheme',
    'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'the request target is neither a path nor a URL',
  ],
  [
    'a user in the target',
    'GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'the request target is neither a path nor a URL',
  ],
  [
    'a fragment in a URL',
    'GET http://a/#b HTTP/1.1\r\nHost: a\r\n\r\n',
    400,
    'the request target is neither a path nor a URL',
  ],
  [
    'an unknown expectation',
    'GET / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n',
    417,
    'the only expectation',
  ],
  [
    'another transfer coding',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n',
    501,
    'the only transfer coding served is chunked',
  ],
  [
    'too many fields',
    `GET / HTTP/1.1\r\nHost: a\r\n${'X: 1\r\n'.repeat(1001)}\r\n`,
    431,
    'more than 1000 field lines',
  ],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 501, 'CONNECT is not served'],
] as const) {
  test(`a request with ${name} gets ${status} from the edge, in an exchange`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
    const proxy = await startProxy(t, { target: upstream.url })
    const answer = await raw(proxy.port, request, (text) => /\.\n$/.test(text))
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} [A-Z]`))
    assert.match(answer, new RegExp(`\r\n\r\nrevproxy: ${says}`))
    await proxy.until((ended) => ended.length === 1)
    const { ended } = proxy.exchanges[0]!
    assert.deepEqual([ended!.status, ended!.error], [status, 'bad-request'])
    assert.equal(ended!.bytes, Buffer.byteLength(answer.slice(answer.indexOf('\r\n\r\n') + 4), 'latin1'))
    assert.equal(proxy.active(), 0)
    assert.equal(upstream.requests.length, 0)
  })
}

for (const [name, bytes] of [
  ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ['an unknown method', 'BREW / HTTP/1.1\r\nHost: a\r\n\r\n'],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n',
  ],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc'],
  ['a folded field', 'GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n'],
  ['lines without CR', 'GET / HTTP/1.1\nHost: a\n\n'],
  ['a blank before the colon', 'GET / HTTP/1.1\r\nHost : a\r\n\r\n'],
  ['bytes above ASCII in its target', 'GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n'],
] as const) {
  test(`${name} is no request: 400, no exchange, and the edge can tell`, async (t) => {
    const told: string[] = []
    const edge = await edgeWith(t, async () => hi, {
      onMalformed: (address, { message }) => void told.push(`${address} ${message}`),
    })
    const answer = await raw(edge.port, Buffer.from(bytes, 'latin1'))
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/)
    assert.match(answer, /\r\nconnection: close\r\n\r\nrevproxy: this is not valid HTTP \(Parse Error: /i)
    assert.equal(edge.ended.length, 0)
    assert.equal(told.length, 1)
    assert.match(told[0]!, /^127\.0\.0\.1 this is not valid HTTP/)
  })
}

test('a TLS hello is told what it came to, and the edge can tell it from other garbage', async (t) => {
  const told: unknown[] = []
  const edge = await edgeWith(t, async () => hi, {
    onMalformed: (_, { cause }) => void told.push((cause as NodeJS.ErrnoException).code),
  })
  const answer = await raw(edge.port, Buffer.from('\x16\x03\x01\x02\x00\x01\x00', 'latin1'))
  assert.match(answer, /^HTTP\/1\.1 400 [\s\S]*plain HTTP, not TLS: use http: rather than https:\.\n$/)
  assert.deepEqual(told, ['TLS_HELLO'])
})

test('a head that is too large gets 431, although the client is still sending it', async (t) => {
  const edge = await edgeWith(t, async () => hi)
  const answer = await raw(edge.port, `GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(1_000_000)}\r\n\r\n`)
  assert.match(answer, /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n/)
  assert.match(answer, /revproxy: the head of this request is larger than 64 kB\.\n$/)
})

test('a head that does not come in time gets 408, and an upload may take its time', async (t) => {
  const edge = await edgeWith(
    t,
    async (req) => {
      let body = ''
      for await (const chunk of req.body!) body += chunk
      return { status: 200, headers: [], body: Buffer.from(`got ${body}`) }
    },
    { headTimeoutMs: 100 },
  )
  const slow = talk(t, edge.port)
  slow.send('GET / HTTP/1.1\r\nHo')
  const upload = talk(t, edge.port)
  upload.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na')
  assert.match(
    await slow.closed(),
    /^HTTP\/1\.1 408 Request Timeout\r\n[\s\S]*did not come in time \(--head-timeout\)\.\n$/,
  )
  await new Promise((resolve) => setTimeout(resolve, 300))
  upload.send('bc')
  await upload.until(/got abc$/)
})

test('a body that is no HTTP gets 400 in its exchange, and ends the upstream request', async (t) => {
  const left = gate()
  const upstream = await startUpstream(t, (req) => {
    req.on('close', left.open)
    req.resume()
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await proxy.until((_, opened) => opened[0]?.upstream?.sentBytes === 3)
  client.send('zz\r\n')
  assert.match(await client.closed(), /^HTTP\/1\.1 400 [\s\S]*this is not valid HTTP/)
  await left.promise
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual(
    [proxy.exchanges[0]!.ended?.status, proxy.exchanges[0]!.ended?.error],
    [400, 'bad-request'],
  )
})

test('a body that is no HTTP is no part of an answer that is under way', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.write('hello')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await client.until(/hello\r\n$/)
  client.send('zz\r\n')
  assert.match(await client.closed(), /hello\r\n$/)
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual(
    [proxy.exchanges[0]!.ended?.status, proxy.exchanges[0]!.ended?.error],
    [200, 'bad-request'],
  )
})

test('what is no HTTP behind a request is not the answer to that request', async (t) => {
  const asked = gate()
  const more = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    asked.open()
    await more.promise
    res.end('hi')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03garbage\r\n\r\n')
  await asked.promise
  client.send('more garbage\r\n\r\n')
  more.open()
  const text = await client.closed()
  assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*hi$/)
  assert.doesNotMatch(text, /400/)
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual([proxy.exchanges[0]!.ended?.status, proxy.exchanges[0]!.ended?.error], [200, undefined])
})

test('pipelined requests are answered in their order, each in its exchange, and asked for one by one (RFC 9112 §9.3.2)', async (t) => {
  const late = gate()
  let now = 0
  let most = 0
  const upstream = await startUpstream(t, async (req, res) => {
    most = Math.max(most, ++now)
    if (req.url === '/1') await late.promise
    res.end(`answer ${req.url};`, () => now--)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  await proxy.until(() => upstream.requests.length === 1)
  late.open()
  const text = await client.until(/answer \/3;/)
  assert.deepEqual(text.match(/answer \/\d/g), ['answer /1', 'answer /2', 'answer /3'])
  await proxy.until((ended) => ended.length === 3)
  assert.equal(most, 1)
})

test('a client that pipelines without end costs one connection to the upstream and no memory, and is answered in time', async (t) => {
  const late = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    await late.promise
    res.end(`${req.url!.split('?', 1)[0]};`)
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  const client = talk(t, proxy.port)
  const count = 30_000
  const pad = 'x'.repeat(1000)
  let text = ''
  for (let i = 0; i < count; i++) text += `GET /${i}?${pad} HTTP/1.1\r\nHost: a\r\n\r\n`
  const bytes = Buffer.from(text)
  const before = process.memoryUsage().heapUsed
  client.send(bytes)
  await proxy.until(() => upstream.requests.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 500))
  const grown = process.memoryUsage().heapUsed - before
  assert.ok(grown < 50 * 1024 ** 2, `grown by ${grown} bytes`)
  assert.deepEqual([upstream.requests.length, upstream.sockets.size], [1, 1])
  late.open()
  // What was read at first, and more.
  await client.until(/\r\n\r\n\/400;/)
  assert.deepEqual(
    client
      .text()
      .match(/(?<=\r\n\r\n)\/\d+(?=;)/g)
      ?.slice(0, 400),
    Array.from({ length: 400 }, (_, i) => `/${i}`),
  )
})

test('garbage behind requests that wait for their turn is none of their answers, and ends the connection behind them', async (t) => {
  for (const [garbage, answers] of [
    ['\0garbage\r\n\r\n', 3],
    ['POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', 3],
    ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 3],
  ] as const) {
    const late = gate()
    const upstream = await startUpstream(t, async (_, res) => {
      await late.promise
      res.end('hi')
    })
    const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
    const client = talk(t, proxy.port)
    client.send([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join('') + garbage)
    await proxy.until(() => upstream.requests.length === 1)
    late.open()
    const text = await client.closed()
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), Array(answers).fill('HTTP/1.1 200'), garbage)
    await proxy.until((ended) => ended.length === answers)
    assert.deepEqual(
      upstream.requests.map(({ url }) => url),
      ['/1', '/2', '/3'],
    )
  }
})

test('a body over --max-body is refused by its length, before anybody reads it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, 'max-body': '1kb' })
  for (const expect of ['', 'Expect: 100-continue\r\n']) {
    const answer = await raw(
      proxy.port,
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n${expect}\r\n`,
    )
    assert.match(answer, /^HTTP\/1\.1 413 (?:Content|Payload) Too Large\r\n/)
    assert.match(answer, /revproxy: the body of this request is larger than 1 kB \(--max-body\)\.\n$/)
  }
  assert.equal(upstream.requests.length, 0)
  assert.equal((await get(proxy.url, { method: 'POST', body: 'x'.repeat(1024) })).text, 'hi')
  await proxy.until((ended) => ended.length === 3)
  assert.deepEqual(
    proxy.exchanges.map(({ ended }) => ended?.error),
    ['body-too-large', 'body-too-large', undefined],
  )
})

test('a client that sends all of a refused body reads its 413', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, 'max-body': '1kb' })
  for (let i = 0; i < 5; i++) {
    const { status, text } = await get(proxy.url, { method: 'POST', body: Buffer.alloc(8_000_000) })
    assert.equal(status, 413)
    assert.match(text, /--max-body/)
  }
})

test('a chunked body that grows over --max-body ends the upstream request with 413', async (t) => {
  const left = gate()
  const upstream = await startUpstream(t, (req) => {
    req.on('close', left.open)
    req.resume()
  })
  const proxy = await startProxy(t, { target: upstream.url, 'max-body': '1kb' })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const chunk = `200\r\n${'x'.repeat(512)}\r\n`
  client.send(chunk + chunk)
  await proxy.until((_, opened) => opened[0]?.upstream?.sentBytes === 1024)
  client.send('1\r\nx\r\n')
  assert.match(await client.closed(), /^HTTP\/1\.1 413 [\s\S]*--max-body\)\.\n$/)
  await left.promise
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual(
    [proxy.exchanges[0]!.ended?.status, proxy.exchanges[0]!.ended?.error],
    [413, 'body-too-large'],
  )
})

test('a chunked body that grows over --max-body under an answer breaks that off', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    req.resume()
    res.write('hello')
  })
  const proxy = await startProxy(t, { target: upstream.url, 'max-body': '1kb' })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n')
  await client.until(/hello\r\n$/)
  client.send(`400\r\n${'x'.repeat(1024)}\r\n`)
  assert.match(await client.closed(), /hello\r\n$/)
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual(
    [proxy.exchanges[0]!.ended?.status, proxy.exchanges[0]!.ended?.error],
    [200, 'body-too-large'],
  )
})

for (const [name, answer] of [
  ['a line break in a field', { ...hi, headers: ['X', 'a\r\nSet-Cookie: b'] }],
  ['a character beyond Latin-1', { ...hi, headers: ['X', '\u20ac'] }],
  ['a name that is none', { ...hi, headers: ['X Y', 'a'] }],
  ['the status 99', { ...hi, status: 99 }],
  ['the status 1000', { ...hi, status: 1000 }],
] as const) {
  test(`an answer with ${name} becomes 502`, async (t) => {
    const edge = await edgeWith(t, async () => answer)
    const { status, text } = await get(edge.url)
    assert.equal(status, 502)
    assert.match(text, /^revproxy: the upstream's answer cannot be passed on: /)
    assert.deepEqual([edge.ended[0]!.ended?.status, edge.ended[0]!.ended?.error], [502, 'upstream-protocol'])
    assert.equal((await get(edge.url)).status, 502)
    assert.deepEqual(edge.internal, [])
  })
}

for (const [name, handler] of [
  [
    'throws',
    () => {
      throw new TypeError('oops')
    },
  ],
  ['rejects', () => Promise.reject(new TypeError('oops'))],
] as const) {
  test(`a chain that ${name} becomes 500 without its inner life, and is told about`, async (t) => {
    const edge = await edgeWith(t, handler as Handler)
    const { status, text } = await get(edge.url)
    assert.equal(status, 500)
    assert.equal(text, 'revproxy: something went wrong in the proxy itself; its log has the details.\n')
    assert.equal(edge.internal.length, 1)
    assert.equal((edge.internal[0] as Error).message, 'oops')
    assert.deepEqual([edge.ended[0]!.ended?.status, edge.ended[0]!.ended?.error], [500, 'internal'])
  })
}

test('an answer that comes after its client left is let go', async (t) => {
  const { Readable } = await import('node:stream')
  const late = gate()
  const asked = gate()
  const body = new Readable({ read() {} })
  const edge = await edgeWith(t, async (req) => {
    asked.open()
    await late.promise
    assert.equal(req.cancel.fired, true)
    return { status: 200, headers: [], body }
  })
  const client = talk(t, edge.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await asked.promise
  client.socket.destroy()
  await eventually(() => edge.ended.length === 1)
  late.open()
  await eventually(() => body.destroyed)
})

test('a body that broke before it was sent breaks the answer off', async (t) => {
  const { Readable } = await import('node:stream')
  const edge = await edgeWith(t, async () => {
    const body = new Readable({ read() {} }).on('error', () => {})
    body.destroy(new ProxyError(502, 'upstream-aborted', 'broken'))
    await new Promise((resolve) => setImmediate(resolve))
    return { status: 200, headers: [], body }
  })
  await assert.rejects(get(edge.url))
  await eventually(() => edge.ended.length === 1)
  assert.equal(edge.ended[0]!.ended?.error, 'upstream-aborted')
})

test('a body that is closed before its end breaks the answer off', async (t) => {
  const { Readable } = await import('node:stream')
  const body = new Readable({ read() {} })
  const edge = await edgeWith(t, async () => ({ status: 200, headers: [], body }))
  const answer = get(edge.url)
  body.push('a')
  setTimeout(() => body.destroy(), 20)
  await assert.rejects(answer, { code: 'ECONNRESET' })
})

test('a client that hangs up in its upload after its early answer is told nothing, and nothing is told of it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('early'))
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc')
  const text = await client.until(/early$/)
  await proxy.until((ended) => ended.length === 1)
  client.socket.end()
  assert.equal(await client.closed(), text)
  assert.deepEqual(proxy.notices, [])
})

for (const protocol of ['h2c', 'TLS/1.2', 'websocket, h2c']) {
  test(`a request that asks for ${protocol} is served as if it had not`, async (t) => {
    const upstream = await startUpstream(t, async (req, res) => {
      let body = ''
      for await (const chunk of req) body += chunk
      res.end(`${req.url} ${body};`)
    })
    const proxy = await startProxy(t, { target: upstream.url })
    const first = `POST /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, X-Upgrade-Me\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABk\r\nX-Upgrade-Me: 1\r\nX-Kept: 1\r\nX-Kept: 2\r\nContent-Length: 3\r\n\r\nabc`
    const others = `GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`
    const text = await raw(proxy.port, first + others, (sofar) => /\/2 ;/.test(sofar))
    assert.match(text, /^HTTP\/1\.1 200 OK\r\n[\s\S]*\/1 abc;/)
    // Node >= 22.21 loses what came right behind the body of such a request: then its connection ends in time.
    if (!text.includes('/2 ;')) {
      assert.match(text, /^Connection: close\r$/m)
      await raw(proxy.port, others, (sofar) => /\/2 ;/.test(sofar))
    }
    const { headers } = upstream.requests[0]!
    assert.equal(headers.upgrade, undefined)
    assert.equal(headers['http2-settings'], undefined)
    assert.equal(headers['x-upgrade-me'], undefined)
    assert.equal(headers['x-kept'], '1, 2')
    await proxy.until((ended) => ended.length === 2)
    assert.deepEqual(proxy.notices, [])
  })
}

test('a body that follows an upgrade that was declined is read as it comes', async (t) => {
  const upstream = await startUpstream(t, async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    res.end(`got ${body}`)
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send(
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
  )
  await proxy.until((_, opened) => opened[0]?.upstream?.sentBytes === 3)
  client.send('3\r\ndef\r\n0\r\n\r\n')
  await client.until(/got abcdef/)
})

test('an upgrade behind a request that has no answer yet changes nothing for that', async (t) => {
  const more = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    await more.promise
    res.end('hi')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send(
    'GET /1 HTTP/1.1\r\nHost: a\r\n\r\n' +
      'GET /2 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  )
  await proxy.until(() => upstream.requests.length === 1)
  more.open()
  assert.match(await client.closed(), /^HTTP\/1\.1 200 OK\r\n[\s\S]*hi$/)
  await proxy.until((ended) => ended.length === 1)
})

test('a WebSocket asked for with POST is served as a plain request', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void res.end(`plain ${req.headers.upgrade}`))
  const proxy = await startProxy(t, { target: upstream.url })
  await raw(
    proxy.port,
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n',
    (text) => /plain undefined/.test(text),
  )
})

test('the metrics page is no exchange, and other paths that begin like it are', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url })
  assert.match((await get(`${proxy.url}/metrics?x=1`)).text, /^# HELP/)
  assert.equal((await get(`${proxy.url}/metrics`, { method: 'HEAD' })).text, '')
  assert.equal((await get(`${proxy.url}/metrics`, { method: 'POST', body: 'x'.repeat(200_000) })).status, 405)
  assert.equal(proxy.opened.length, 0)
  assert.equal((await get(`${proxy.url}/metrics/more`)).text, 'hi')
  assert.equal(proxy.opened.length, 1)
})

test('every exchange that is opened ends once, whatever becomes of it', async (t) => {
  const upstream = await startRawUpstream(t, (socket, nth) => {
    switch (nth % 5) {
      case 0:
        return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'
      case 1:
        return 'garbage\r\n\r\n'
      case 2:
        socket.destroy()
        return undefined
      case 3:
        return 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi'
      default:
        return undefined
    }
  })
  const ends = new Map<number, number>()
  const proxy = await startProxy(
    t,
    { target: upstream.url, timeout: '100ms' },
    {
      observers: [
        { opened: ({ id }) => void ends.set(id, 0), ended: ({ id }) => void ends.set(id, ends.get(id)! + 1) },
      ],
    },
  )
  await Promise.allSettled(
    Array.from({ length: 50 }, (_, n) =>
      get(`${proxy.url}/${n}`, {
        method: n % 3 === 0 ? 'POST' : 'GET',
        signal: AbortSignal.timeout(20 + n * 10),
      }),
    ),
  )
  await eventually(() => proxy.active() === 0)
  assert.ok(ends.size >= 40)
  assert.deepEqual(new Set(ends.values()), new Set([1]))
})
