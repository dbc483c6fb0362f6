/** Our own connections to an http: target (upstream/plain-connection.ts), seen from both of their ends. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { eventually, talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
const MB = 1024 * 1024
const answer = (text: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${text.length}\r\n\r\n${text}`
/** Answers with an interim answer in front are handed over to undici. */
const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'

// The first: nothing of another test is open.
test('clients that leave, at whatever point, leave nothing open behind them', async (t) => {
  const upstream = await startRawUpstream(t, (_, nth) => {
    const path = upstream.heads[nth]!.split(' ')[1]!
    if (path === '/body') return 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'
    if (path === '/chunks') return 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc'
    return path === '/odd' ? hints : undefined
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const connections = (): number =>
    process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
  const before = connections()
  const asked = [
    'GET /silent HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /body HTTP/1.1\r\nHost: a\r\n\r\n',
    'GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n',
    'POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc',
    'POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc',
    // These two are not enough to make the upstream undici's.
    'GET /odd HTTP/1.1\r\nHost: a\r\n\r\n',
    'POST /odd HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n',
  ].map((text) => ({ text, client: talk(t, proxy.port) }))
  for (const { client, text } of asked) client.send(text)
  await eventually(() => upstream.heads.length === asked.length, 'all were asked')
  for (const { client, text } of asked)
    if (!text.includes('/silent')) await client.until(text.includes('/odd') ? / 103 / : /abc(?:\r\n)?$/)
  assert.ok(connections() >= before + 4 * asked.length, 'both ends of both connections of each')
  for (const { client } of asked) client.socket.destroy()
  await proxy.until((ended) => ended.length === asked.length)
  assert.deepEqual([...new Set(proxy.exchanges.map(({ ended }) => ended?.error))], ['client-gone'])
  await eventually(() => upstream.sockets.size === 0, 'the connections are closed')
  await eventually(() => connections() <= before, 'nothing is left')
  assert.deepEqual(proxy.notices, [])
})

test('bytes on an idle connection end it, and are nobody’s answer', async (t) => {
  const upstream = await startRawUpstream(t, () => answer('hi', 'Keep-Alive: timeout=600\r\n'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  await get(proxy.url)
  const [idle] = upstream.sockets
  idle!.write(answer('evil'))
  await eventually(() => upstream.sockets.size === 0, 'the idle connection is closed')
  assert.equal((await get(proxy.url)).text, 'hi')
  assert.equal(upstream.connections(), 2)
})

for (const [name, whole] of [
  ['a length', answer('hi')],
  ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n'],
  ['trailers', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\r\n\r\n'],
  ['204', 'HTTP/1.1 204 No Content\r\n\r\n'],
  ['304', 'HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n'],
] as const) {
  test(`bytes behind an answer with ${name} end the connection, and are nobody’s answer`, async (t) => {
    const more = [answer('evil'), 'H', '\r\n', '\0']
    // What is left of the answer that nobody asked for comes when the next request may be on the connection.
    const upstream = await startRawUpstream(t, (socket, nth) => {
      if (nth >= more.length) return answer('hi')
      socket.write(whole + more[nth]!)
      setImmediate(() => socket.destroyed || socket.write(answer('evil')))
      return undefined
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    for (const _ of more) assert.notEqual((await get(proxy.url)).text, 'evil')
    assert.equal((await get(proxy.url)).text, 'hi')
    assert.equal(upstream.connections(), more.length + 1)
  })
}

test('no two requests are on one connection at once, and later ones use those that are there', async (t) => {
  const waiting: Array<() => void> = []
  const busy = new Set<Socket>()
  const upstream = await startRawUpstream(t, (socket, nth) => {
    assert.ok(!busy.has(socket), 'a second request before the first was answered')
    busy.add(socket)
    const path = upstream.heads[nth]!.split(' ')[1]!
    waiting.push(() => {
      busy.delete(socket)
      socket.write(answer(path))
    })
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (let round = 1; round <= 3; round++) {
    const paths = Array.from({ length: 12 }, (_, n) => `/${round}/${n}`)
    const got = paths.map(async (path) => (await get(proxy.url + path)).text)
    await eventually(() => waiting.length === 12, 'all were asked')
    // In another order than they came in.
    for (const release of waiting.splice(0).reverse()) release()
    assert.deepEqual(await Promise.all(got), paths)
    assert.equal(upstream.connections(), 12)
  }
})

test('a connection that the upstream keeps for two seconds only is not kept', async (t) => {
  const upstream = await startRawUpstream(t, () => answer('hi', 'Keep-Alive: timeout=2\r\n'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (let round = 1; round <= 3; round++) {
    await get(proxy.url)
    assert.equal(upstream.connections(), round)
  }
  await eventually(() => upstream.sockets.size === 0, 'nothing is kept')
})

for (const [framing, body] of [
  ['Content-Length: 10', ['hello', 'world']],
  ['Transfer-Encoding: chunked', ['5\r\nhello\r\n', '5\r\nworld\r\n0\r\n\r\n']],
] as const) {
  test(`an upload goes on while its answer is handed over to undici (${framing})`, async (t) => {
    const upstream = await startUpstream(t, async (req, res) => {
      res.writeEarlyHints({ link: '</a>; rel=preload' })
      let text = ''
      for await (const chunk of req) text += chunk
      res.end(`got ${text}`)
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    for (let round = 0; round < 2; round++) {
      const client = talk(t, proxy.port)
      client.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n${body[0]}`)
      await client.until(/^HTTP\/1\.1 103 [\s\S]*\r\n\r\n/)
      client.send(body[1])
      await client.until(/ 200 OK\r\n[\s\S]*got helloworld/)
    }
    await proxy.until((ended) => ended.length === 2)
    for (const { ended, upstream: facts } of proxy.exchanges) {
      assert.deepEqual([ended?.status, ended?.error], [200, undefined])
      assert.equal(facts?.sentBytes, 10)
    }
    assert.equal(upstream.requests.length, 2)
  })
}

for (const framing of ['length', 'chunks']) {
  test(`an upstream that refuses an upload and hangs up is heard by a client that still sends (${framing})`, async (t) => {
    const upstream = await startUpstream(t, (req, res) => {
      res.writeHead(413, { connection: 'close', ...(framing === 'length' ? { 'content-length': 3 } : {}) })
      req.once('data', () => res.end('big'))
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    // Which is met first, the answer or the end of writing, is a race.
    for (let round = 0; round < 10; round++) {
      const client = talk(t, proxy.port)
      client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${20 * MB}\r\n\r\n`)
      client.send(Buffer.alloc(20 * MB))
      assert.match(await client.until(/big/), /^HTTP\/1\.1 413 /)
      client.socket.destroy()
    }
    await proxy.until((ended) => ended.length === 10)
    assert.deepEqual(
      proxy.exchanges.map(({ ended }) => [ended?.status, ended?.error]),
      Array(10).fill([413, undefined]),
    )
    await eventually(() => upstream.sockets.size === 0, 'the connections are closed')
  })
}

test('an answer up to the end of the connection is not whole when that is reset while we write', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\nabc')
    // Not before the head is on its way to the client.
    setTimeout(() => socket.resetAndDestroy(), 20)
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  // Whether the reset is met by reading or by writing is a race.
  for (let round = 0; round < 10; round++) {
    const client = talk(t, proxy.port)
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${200 * MB}\r\n\r\n`)
    const sending = setInterval(() => {
      if (client.socket.writableLength < MB) client.send(Buffer.alloc(MB))
    }, 1)
    t.after(() => clearInterval(sending))
    assert.doesNotMatch(await client.closed(), /\r\n0\r\n\r\n/)
    clearInterval(sending)
  }
  await proxy.until((ended) => ended.length === 10)
  assert.deepEqual([...new Set(proxy.exchanges.map(({ ended }) => ended?.error))], ['upstream-aborted'])
})

for (const [name, early] of [
  ['plain', ['HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno']],
  ['handed over', ['HTTP/1.1 413 No\r\n', 'Content-Length: 2\r\n\r\nno']],
] as const) {
  test(`an answer before the upload has ended takes the connection along (${name})`, async (t) => {
    const upstream = await startRawUpstream(t, (socket, nth) => {
      if (nth > 0) return answer('hi')
      socket.setNoDelay(true)
      socket.write(early[0])
      // The first piece has been read when the second comes.
      if (early[1] !== undefined) setTimeout(() => socket.write(early[1]!), 50)
      return undefined
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${2 * MB}\r\n\r\nabc`)
    assert.match(await client.until(/no$/), /^HTTP\/1\.1 413 /)
    await eventually(() => upstream.sockets.size === 0, 'the connection is closed')
    // Nothing of what is left of the body goes anywhere.
    client.send('GET /smuggled HTTP/1.1\r\n\r\n'.padEnd(2 * MB - 3, 'x'))
    client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.until(/200 OK[\s\S]*hi$/)
    assert.equal(upstream.connections(), 2)
    assert.match(upstream.heads[1]!, /^GET \/next /)
  })
}

for (const handedOver of [false, true]) {
  const how = handedOver ? ', handed over' : ''
  test(`a client that leaves in the middle of its upload ends the upstream's request${how}`, async (t) => {
    const upstream = await startRawUpstream(t, () => (handedOver ? hints : undefined))
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
    await eventually(() => upstream.received().endsWith('\r\n\r\nabc'), 'the upload has begun')
    if (handedOver) await client.until(/ 103 /)
    client.socket.destroy()
    await eventually(() => upstream.sockets.size === 0, 'the connection is closed')
    await proxy.until((ended) => ended.length === 1)
    assert.equal(proxy.exchanges[0]!.ended!.error, 'client-gone')
    assert.ok(upstream.received().endsWith('\r\n\r\nabc'), 'no end of the body')
  })

  test(`an upload that turns out to be none ends the upstream's request${how}`, async (t) => {
    const upstream = await startRawUpstream(t, () => (handedOver ? hints : undefined))
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    await eventually(() => upstream.received().endsWith('\r\n3\r\nabc\r\n'), 'the upload has begun')
    if (handedOver) await client.until(/ 103 /)
    client.send('no chunk\r\n')
    await eventually(() => upstream.sockets.size === 0, 'the connection is closed')
    await proxy.until((ended) => ended.length === 1)
    assert.ok(upstream.received().endsWith('\r\n3\r\nabc\r\n'), 'no end of the body')
  })

  test(`an upstream that dies in the middle of an upload is a 502, and the client is heard out${how}`, async (t) => {
    const upstream = await startRawUpstream(t, () => (handedOver ? hints : undefined))
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
    await eventually(() => upstream.received().endsWith('\r\n\r\nabc'), 'the upload has begun')
    if (handedOver) await client.until(/ 103 /)
    const [socket] = upstream.sockets
    socket!.resetAndDestroy()
    await client.until(/HTTP\/1\.1 502 /)
    await proxy.until((ended) => ended.length === 1)
    assert.equal(proxy.exchanges[0]!.ended!.error, 'upstream-reset')
    assert.equal(upstream.heads.length, 1)
  })

  test(`silence of the upstream in the middle of an upload that it does not take ends it, that of the client does not${how}`, async (t) => {
    const begun = gate()
    const upstream = await startRawUpstream(t, (socket, nth) => {
      if (handedOver) socket.write(hints)
      if (nth > 0) return
      socket.pause()
      begun.open()
    })
    const proxy = await startProxy(t, {
      target: upstream.url,
      ...passing,
      timeout: '1m',
      'body-timeout': '0',
    })
    const stuck = talk(t, proxy.port)
    stuck.send(`POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: ${MB * 50}\r\n\r\n`)
    await begun.promise
    stuck.send(Buffer.alloc(MB * 50))
    const slow = talk(t, proxy.port)
    slow.send('POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc')
    await eventually(() => upstream.received().endsWith('abc'), 'the second upload has begun')
    // As long as the proxy has room for more of it, it is the client's turn.
    const clock = setInterval(() => proxy.advance(61_000), 50)
    t.after(() => clearInterval(clock))
    await stuck.until(/HTTP\/1\.1 504 /)
    clearInterval(clock)
    assert.ok(proxy.opened[0]!.requestBytes < 32 * MB, 'taken for an upstream that does not read')
    assert.equal(proxy.exchanges.length, 1)
    slow.send('de')
    await eventually(() => upstream.received().endsWith('abcde'), 'the rest has come')
    for (const socket of upstream.sockets) socket.write(answer('hi'))
    await slow.until(/200 OK[\s\S]*hi$/)
  })
}

test('a body in chunks from an upstream that stops in its trailers by a bare line feed is refused at once', async (t) => {
  const upstream = await startRawUpstream(
    t,
    () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nA: b\n\r\n',
  )
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  assert.equal((await get(proxy.url)).status, 502)
})

test('an upstream that takes one connection at a time is asked for everything on that', async (t) => {
  // As single-threaded servers in development do: they come to the next connection once the one before has ended.
  const queue: Socket[] = []
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.on('close', () => {
      queue.shift()
      if (queue.length > 0) serve(queue[0]!)
    })
    if (queue.push(socket) === 1) serve(socket)
  })
  const serve = (socket: Socket): void =>
    void socket.on('data', (bytes) => void socket.write(answer(bytes.toString().split(' ')[0]!)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of queue) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}`, ...passing, timeout: '2s' })
  for (const method of ['GET', 'OPTIONS', 'POST', 'DELETE', 'PUT', 'GET'])
    assert.equal((await get(proxy.url, { method })).text, method)
  assert.equal(queue.length, 1)
})

test('an upstream whose answers are odd is undici’s for a while', async (t) => {
  let odd = true
  const upstream = await startRawUpstream(t, () => (odd ? hints : '') + answer('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const ask = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n++) assert.equal((await get(proxy.url)).text, 'hi')
  }
  // Each that is handed over takes its connection along; undici keeps its own.
  await ask(20)
  const afterOdd = upstream.connections()
  assert.ok(afterOdd <= 5, `${afterOdd} connections`)
  odd = false
  await ask(70)
  assert.equal(upstream.connections(), afterOdd)
  await ask(40)
  assert.equal(upstream.connections(), afterOdd + 1)
})

test('an answer over a unix socket is handed over too', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'plain-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'app.sock')
  const server = createHttpServer((req, res) => {
    res.writeEarlyHints({ link: '</a>; rel=preload' })
    req.pipe(res)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const proxy = await startProxy(t, { target: `unix:${path}`, ...passing })
  const { information, text } = await get(proxy.url, { method: 'POST', body: 'hello' })
  assert.equal(text, 'hello')
  assert.equal(information.length, 1)
})

for (const [name, began, held] of [
  ['nothing has come', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', ''],
  ['a body comes', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'],
  ['an answer was handed over', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', hints],
  ['an upload goes', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc', ''],
  ['an upload goes, handed over', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc', hints],
] as const) {
  test(`shutting down ends a connection on which ${name}`, async (t) => {
    const upstream = await startRawUpstream(t, () => held)
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const client = talk(t, proxy.port)
    client.send(began)
    await eventually(() => upstream.heads.length === 1, 'it was asked')
    if (held !== '') await client.until(/HTTP/)
    await proxy.close(0)
    await eventually(() => upstream.sockets.size === 0, 'the connection is closed')
    await proxy.until((ended) => ended.length === 1)
    assert.deepEqual(proxy.notices, [])
  })
}
