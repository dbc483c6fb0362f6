import assert from 'node:assert/strict'
import { request } from 'node:http'
import { type TestContext, test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

/** The one exchange, once it has ended. */
const theEnd = async (proxy: TestProxy) => {
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.active(), 0)
  assert.deepEqual(proxy.notices, [])
  const { ended, upstream, requestBytes } = proxy.exchanges[0]!
  return { ...ended!, upstream, requestBytes }
}

for (const cache of ['off', 'memory']) {
  test(`a client that leaves before the head ends the upstream request (cache ${cache})`, async (t) => {
    const asked = gate()
    const left = gate()
    const upstream = await startUpstream(t, (_, res) => {
      res.on('close', left.open)
      asked.open()
    })
    const proxy = await startProxy(t, { target: upstream.url, cache })
    const client = talk(t, proxy.port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await asked.promise
    client.socket.destroy()
    await left.promise
    const end = await theEnd(proxy)
    assert.deepEqual([end.status, end.bytes, end.error], [0, 0, 'client-gone'])
  })

  test(`a client that leaves in the middle of the body ends the upstream request (cache ${cache})`, async (t) => {
    const left = gate()
    const upstream = await startUpstream(t, (_, res) => {
      res.on('close', left.open)
      res.write('hello')
    })
    const proxy = await startProxy(t, { target: upstream.url, cache })
    const client = talk(t, proxy.port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.until(/hello/)
    client.socket.destroy()
    await left.promise
    const end = await theEnd(proxy)
    assert.deepEqual([end.status, end.bytes, end.error], [200, 5, 'client-gone'])
    assert.equal(end.upstream?.receivedBytes, 5)
    assert.ok(end.upstream!.endedAt! >= end.upstream!.headAt!)
  })
}

for (const framing of ['Content-Length: 10', 'Transfer-Encoding: chunked']) {
  test(`a client that leaves in the middle of its upload ends the upstream request (${framing})`, async (t) => {
    const begun = gate()
    const left = gate()
    const upstream = await startUpstream(t, (req) => {
      req.on('data', begun.open)
      req.on('close', left.open)
    })
    const proxy = await startProxy(t, { target: upstream.url })
    const client = talk(t, proxy.port)
    client.send(`POST / HTTP/1.1\r\nHost: a\r\n${framing}\r\n\r\n3\r\nabc\r\n`)
    await begun.promise
    client.socket.destroy()
    await left.promise
    const end = await theEnd(proxy)
    assert.deepEqual([end.status, end.bytes, end.error], [0, 0, 'client-gone'])
  })
}

test('a client that leaves while its request waits for a turn is not asked for, and nothing breaks', async (t) => {
  const asked = gate()
  const upstream = await startUpstream(t, () => asked.open())
  const proxy = await startProxy(t, { target: upstream.url, concurrency: '1' })
  const first = talk(t, proxy.port)
  first.send('GET /1 HTTP/1.1\r\nHost: a\r\n\r\n')
  await asked.promise
  const second = talk(t, proxy.port)
  second.send('POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc')
  await proxy.until((_, opened) => opened.length === 2)
  second.socket.destroy()
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual([proxy.exchanges[0]!.url, proxy.exchanges[0]!.ended?.error], ['/2', 'client-gone'])
  assert.equal(upstream.requests.length, 1)
  assert.deepEqual(proxy.notices, [])
})

test('a client that leaves with requests behind the one under way ends that one, and nobody is asked for the others', async (t) => {
  const left = gate()
  const upstream = await startUpstream(t, (_, res) => void res.on('close', left.open))
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send([1, 2, 3].map((n) => `GET /${n} HTTP/1.1\r\nHost: a\r\n\r\n`).join(''))
  await proxy.until(() => upstream.requests.length === 1)
  client.socket.destroy()
  await left.promise
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual(
    proxy.exchanges.map(({ ended }) => [ended?.status, ended?.error]),
    [[0, 'client-gone']],
  )
  assert.equal(proxy.active(), 0)
  assert.equal(upstream.requests.length, 1)
})

/** What a client gets of an answer that breaks off: nothing that looks like the whole. */
const cutAnswer = async (
  t: TestContext,
  head: string,
  breakOff: 'end' | 'reset' | 'garbage',
  cache: string,
) => {
  const more = gate()
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write(head)
    more.promise.then(() => {
      if (breakOff === 'end') socket.end()
      else if (breakOff === 'reset') socket.resetAndDestroy()
      else socket.write('zz\r\nno chunk\r\n')
    })
  })
  const proxy = await startProxy(t, { target: upstream.url, cache })
  const error = await new Promise<Error>((resolve, reject) => {
    request(proxy.url, { agent: false }, (res) => {
      res.on('data', () => more.open())
      res.on('error', resolve)
      res.on('end', () => reject(new Error('a clean end')))
    })
      .on('error', reject)
      .end()
  })
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET')
  const end = await theEnd(proxy)
  assert.deepEqual([end.status, end.bytes, end.error], [200, 3, 'upstream-aborted'])
  assert.match(end.errorMessage!, /^http:\/\/127\.0\.0\.1:\d+ broke off in the middle of its answer/)
  // It might have been stored, had it been whole.
  await get(proxy.url).catch(() => {})
  assert.equal(upstream.heads.length, 2)
}

const storable = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n'
const byLength = `${storable}Content-Length: 10\r\n\r\nabc`
const chunked = `${storable}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`
const chunkedWhole = `${storable}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n`
const upToTheEnd = `${storable}\r\nabc`
for (const cache of ['off', 'memory']) {
  for (const [name, head, breakOff] of [
    ['closed, with Content-Length', byLength, 'end'],
    ['reset, with Content-Length', byLength, 'reset'],
    ['closed, chunked', chunked, 'end'],
    ['reset, chunked', chunked, 'reset'],
    ['a broken chunk', chunked, 'garbage'],
    ['closed, before the end of the trailers', chunkedWhole, 'end'],
    ['a broken trailer', `${chunkedWhole}A: b\r\n`, 'garbage'],
    ['reset, up to the end of the connection', upToTheEnd, 'reset'],
  ] as const) {
    test(`an upstream that breaks off in its body breaks the client's answer off: ${name} (cache ${cache})`, (t) =>
      cutAnswer(t, head, breakOff, cache))
  }
}

test('a body up to the end of the connection is not whole when that is reset, for undici’s own connections too', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 207 Multi-Status\r\n\r\nabc')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until(/abc\r\n$/)
  for (const socket of upstream.sockets) socket.resetAndDestroy()
  assert.doesNotMatch(await client.closed(), /\r\n0\r\n/)
  assert.deepEqual((await theEnd(proxy)).error, 'upstream-aborted')
})

test('an upstream that breaks off right behind the head gets 502 while there is time', async (t) => {
  const upstream = await startRawUpstream(t, () => 'HTTP/1.1 200 OK\r\nContent-Length: 10, 11\r\n\r\nabc')
  const proxy = await startProxy(t, { target: upstream.url })
  assert.equal((await get(proxy.url)).status, 502)
})

test('a body up to the end of the connection is whole when that ends', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.write('HTTP/1.0 200 OK\r\n\r\nhel', () => setTimeout(() => socket.end('lo'), 20))
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  assert.equal((await get(proxy.url)).text, 'hello')
  const end = await theEnd(proxy)
  assert.deepEqual([end.status, end.bytes, end.error], [200, 5, undefined])
})

test('an upstream that answers and closes in the middle of an upload is heard', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => {
    socket.end('HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno')
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc')
  assert.match(await client.until(/no$/), /^HTTP\/1\.1 403 /)
  const end = await theEnd(proxy)
  assert.deepEqual([end.status, end.error], [403, undefined])
})
