import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, get, raw } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'
const answered = (text: string) => text.endsWith('hi')

test('any method that node reads is passed on as it is', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const methods = [
    'GET',
    'POST',
    'PUT',
    'DELETE',
    'PATCH',
    'OPTIONS',
    'TRACE',
    'PROPFIND',
    'PURGE',
    'M-SEARCH',
    'QUERY',
  ]
  for (const method of methods) assert.equal((await get(proxy.url, { method })).status, 200, method)
  assert.deepEqual(
    upstream.requests.map(({ method }) => method),
    methods,
  )
})

for (const target of [
  '//a/../b%2F;x?y={}|',
  '/./%zz/%00?a?b#c',
  '/"<>\\^`?\'',
  '/a//b///?&&=&',
  `/${'long/'.repeat(4000)}`,
]) {
  test(`the request target is passed on byte for byte: ${target.slice(0, 24)}`, async (t) => {
    const upstream = await startRawUpstream(t, () => ok)
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    await raw(proxy.port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`, answered)
    assert.equal(upstream.heads[0]!.split('\r\n', 1)[0], `GET ${target} HTTP/1.1`)
    assert.equal(proxy.exchanges[0]?.url ?? proxy.opened[0]!.url, target)
  })
}

for (const [given, path, host] of [
  ['http://example.com/p?q', '/p?q', 'example.com'],
  ['HTTP://example.com:81', '/', 'example.com:81'],
  ['https://example.com?q', '/?q', 'example.com'],
] as const) {
  test(`of an absolute-form target its path is asked for, and its host counts: ${given}`, async (t) => {
    const upstream = await startRawUpstream(t, () => ok)
    const proxy = await startProxy(t, { target: upstream.url, ...passing, 'host-header': 'client' })
    await raw(proxy.port, `GET ${given} HTTP/1.1\r\nHost: other\r\n\r\n`, answered)
    assert.equal(upstream.heads[0]!.split('\r\n', 1)[0], `GET ${path} HTTP/1.1`)
    assert.match(upstream.heads[0]!, new RegExp(`\r\nhost: ${host}\r\n`, 'i'))
    assert.equal(proxy.opened[0]!.host, host)
  })
}

for (const method of ['GET', 'DELETE', 'OPTIONS', 'HEAD', 'POST', 'PURGE']) {
  const wanted = (text: string) => (text.match(/HTTP\/1\.1 200/g) ?? []).length === 2
  test(`the body of a ${method} keeps its framing, so that it cannot pass for another request`, async (t) => {
    const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
    const upstream = await startUpstream(t, async (req, res) => {
      let body = ''
      for await (const chunk of req) body += chunk
      res.end(`${req.method} ${body.length}`)
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const size = smuggled.length
    await raw(
      proxy.port,
      `${method} /length HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n${smuggled}` +
        `${method} /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n${size.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
      wanted,
    )
    assert.deepEqual(
      upstream.requests.map(({ url }) => url),
      ['/length', '/chunked'],
    )
    assert.equal(upstream.requests[0]!.headers['content-length'], String(size))
    assert.equal(upstream.requests[1]!.headers['transfer-encoding'], 'chunked')
    await proxy.until((ended) => ended.length === 2)
    assert.deepEqual(
      proxy.exchanges.map((exchange) => [exchange.requestBytes, exchange.upstream?.sentBytes]),
      [
        [size, size],
        [size, size],
      ],
    )
  })
}

test('a request without a body gets none, whatever its method', async (t) => {
  const upstream = await startRawUpstream(t, () => ok)
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (const head of ['GET / HTTP/1.1\r\nContent-Length: 0', 'DELETE / HTTP/1.1', 'POST / HTTP/1.1'])
    await raw(proxy.port, `${head}\r\nHost: a\r\n\r\n`, answered)
  assert.deepEqual(
    upstream.heads.map((head) => /content-length: \d+|transfer-encoding/i.exec(head)?.[0]),
    [undefined, undefined, 'content-length: 0'],
  )
})

for (const [name, status, sent, want] of [
  ['204', 204, {}, undefined],
  ['204 with a length all the same', 204, { 'content-length': '5' }, undefined],
  ['304 with the length of what it does not carry', 304, { 'content-length': '1234' }, '1234'],
  ['205', 205, { 'content-length': '0' }, '0'],
  ['999', 999, { 'content-length': '0' }, '0'],
] as const) {
  test(`a ${name} has no body, and the connection goes on`, async (t) => {
    const upstream = await startRawUpstream(t, (_, nth) =>
      nth === 0
        ? `HTTP/1.1 ${status} Odd\r\n${Object.entries(sent)
            .map(([n, v]) => `${n}: ${v}\r\n`)
            .join('')}\r\n`
        : ok,
    )
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n')
    const first = await client.until(/\r\n\r\n/)
    assert.match(first, new RegExp(`^HTTP/1.1 ${status} `))
    assert.equal(/content-length: (\d+)/i.exec(first)?.[1], want)
    assert.doesNotMatch(first, /transfer-encoding/i)
    client.send('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.match((await client.until(answered)).slice(first.length), /^HTTP\/1.1 200 OK\r\n/)
    await proxy.until((ended) => ended.length === 2)
    assert.deepEqual(
      proxy.exchanges.map((exchange) => [
        exchange.ended?.status,
        exchange.ended?.bytes,
        exchange.ended?.error,
      ]),
      [
        [status, 0, undefined],
        [200, 2, undefined],
      ],
    )
  })
}

for (const [name, fields] of [
  ['a length', { 'content-length': '1234' }],
  ['no length', {}],
] as const) {
  test(`HEAD of something with ${name} gets the same fields and no body`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, fields).end())
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const { headers, body } = await get(proxy.url, { method: 'HEAD' })
    assert.equal(body.length, 0)
    assert.equal(headers['content-length'], 'content-length' in fields ? '1234' : undefined)
    assert.equal(upstream.requests[0]!.method, 'HEAD')
  })
}

test('an HTTP/1.0 client gets no chunks, no interim answers, and the end of the connection', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeEarlyHints({ link: '</a>; rel=preload' })
    res.writeHead(200)
    res.write('hel')
    setImmediate(() => {
      res.addTrailers({ 'x-late': '1' })
      res.end('lo')
    })
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const answer = await raw(proxy.port, 'GET / HTTP/1.0\r\n\r\n')
  assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/)
  assert.doesNotMatch(answer, /transfer-encoding|x-late|103/i)
  assert.match(answer, /\r\n\r\nhello$/)
  assert.equal(upstream.requests[0]!.headers.via, '1.0 revproxy')
  assert.equal(upstream.requests[0]!.headers['x-forwarded-host'], undefined)
})

test('an HTTP/1.0 client that keeps its connection is served again on it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const client = talk(t, proxy.port)
  client.send('GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n')
  const first = await client.until(answered)
  assert.match(first, /\r\nconnection: keep-alive\r\n/i)
  client.send('GET /2 HTTP/1.0\r\n\r\n')
  await client.closed()
  assert.equal(upstream.requests.length, 2)
})

test('interim answers are passed on as they come', async (t) => {
  const seen = gate()
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write(
      'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nConnection: x\r\nX: 1\r\n\r\n',
    )
    seen.promise.then(() => socket.write(ok))
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const client = talk(t, proxy.port)
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  const interim = await client.until(/103[\s\S]*\r\n\r\n/)
  assert.equal(
    interim,
    'HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n',
  )
  seen.open()
  assert.match((await client.until(answered)).slice(interim.length), /^HTTP\/1\.1 200 OK/)
})

test('trailers of an answer are passed on, without those that would change how it is read', async (t) => {
  for (const together of [true, false]) {
    const more = gate()
    const upstream = await startRawUpstream(t, (socket) => {
      const end = '0\r\nX-Sum: 1\r\nX-Sum: 2\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n'
      socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n${together ? end : ''}`)
      if (!together) more.promise.then(() => socket.write(end))
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n')
    await client.until(/hel/)
    more.open()
    const text = await client.until(/0\r\n[\s\S]*\r\n\r\n$/)
    assert.match(text, /\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n$/)
  }
})

test('trailers of a request are passed on, without those that would change how it is read', async (t) => {
  const upstream = await startUpstream(t, async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    res.end(`${body} ${JSON.stringify(req.rawTrailers)}`)
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const given = ['X-T: 1', 'X-T: 2', 'X-Forwarded-For: 6.6.6.6', 'Content-Type: b', 'Cookie: a=b', 'Host: b']
  const text = await raw(
    proxy.port,
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n0\r\n${given.join('\r\n')}\r\n\r\n`,
    (sofar) => sofar.endsWith(']'),
  )
  assert.match(text, /abc \["X-T","1","X-T","2"\]$/)
})

test('a client that expects 100 gets it once the upstream is there to take the body', async (t) => {
  const upstream = await startUpstream(t, async (req, res) => {
    let body = ''
    for await (const chunk of req) body += chunk
    res.end(`got ${body}`)
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n')
  assert.equal(await client.until(/\r\n\r\n/), 'HTTP/1.1 100 Continue\r\n\r\n')
  client.send('abc')
  await client.until(/got abc$/)
  assert.equal(upstream.requests[0]!.headers.expect, undefined)
})

for (const [how, together, want] of [
  ['waits for it', '', ['HTTP/1.1 200', 'got ', 'HTTP/1.1 100', 'HTTP/1.1 200', 'got abc']],
  ['does not wait', 'abc', ['HTTP/1.1 200', 'got ', 'HTTP/1.1 100', 'HTTP/1.1 200', 'got abc']],
] as const)
  test(`a client that expects 100 behind a request that has no answer yet, and ${how}: no answer is torn apart by it`, async (t) => {
    const first = gate()
    const upstream = await startUpstream(t, async (req, res) => {
      let body = ''
      for await (const chunk of req) body += chunk
      if (req.url === '/first') await first.promise
      res.end(`got ${body}`)
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send(
      `GET /first HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n${together}`,
    )
    await proxy.until(() => upstream.requests.length === 1)
    first.open()
    if (together === '') {
      await client.until(/Continue\r\n\r\n$/)
      client.send('abc')
    }
    const text = await client.until(/got abc$/)
    assert.deepEqual(text.match(/HTTP\/1\.1 \d+|got (?:abc)?/g), want)
  })

test('a client that expects 100 is told at once when the upstream is not there', async (t) => {
  const upstream = await startUpstream(t, () => {})
  await upstream.stop()
  const proxy = await startProxy(t, { target: upstream.url, ...passing, hold: '0' })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n')
  const text = await client.closed()
  assert.match(text, /^HTTP\/1\.1 502 Bad Gateway\r\n/)
  // It may send the body or the next request now, and nobody could tell which.
  assert.match(text, /\r\nconnection: close\r\n/i)
})

test('an early answer reaches a client that is still sending', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(403).end('no'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc')
  assert.match(await client.until(/no$/), /^HTTP\/1\.1 403 /)
  // The rest is read and dropped, and the connection is good for more.
  client.send('x'.repeat(100_000 - 3))
  upstream.answer((_, res) => void res.end('hi'))
  client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until(/200 OK[\s\S]*hi$/)
})

test('both directions stream at once', async (t) => {
  const upstream = await startUpstream(t, (req, res) => void req.pipe(res))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  for (const word of ['one', 'two', 'three']) {
    client.send(`${word.length}\r\n${word}\r\n`)
    await client.until(new RegExp(`${word}\r\n$`))
  }
  client.send('0\r\n\r\n')
  await client.until(/0\r\n\r\n$/)
  await proxy.until((ended) => ended.length === 1)
  const { upstream: facts, ended, requestBytes } = proxy.exchanges[0]!
  assert.deepEqual([requestBytes, facts?.sentBytes, facts?.receivedBytes, ended?.bytes], [11, 11, 11, 11])
})

test('the times of an exchange are in order', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  await get(proxy.url)
  await proxy.until((ended) => ended.length === 1)
  const { startedAt, upstream: facts, headAt, ended } = proxy.exchanges[0]!
  const times = [
    startedAt,
    facts!.startedAt,
    facts!.sentAt!,
    facts!.headAt!,
    facts!.endedAt!,
    headAt!,
    ended!.at,
  ]
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  )
  assert.equal(facts!.address, `127.0.0.1:${upstream.port}`)
  assert.equal(facts!.status, 200)
})
