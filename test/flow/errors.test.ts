import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { gate, get, raw } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { eventually, talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
const H = 'HTTP/1.1 200 OK\r\n'

/** What comes back of an upstream that answers so; the proxy must be as good as new afterwards. */
const answerOf = async (t: TestContext, bytes: string) => {
  let good = false
  const upstream = await startRawUpstream(t, () => (good ? `${H}Content-Length: 2\r\n\r\nhi` : bytes))
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '2s' })
  const got = await get(proxy.url)
  await proxy.until((ended) => ended.length === 1)
  const { ended } = proxy.exchanges[0]!
  good = true
  assert.equal((await get(proxy.url)).text, 'hi')
  assert.deepEqual(proxy.notices, [])
  return { ...got, error: ended!.error, message: ended!.errorMessage }
}

for (const [name, bytes] of [
  ['no HTTP at all', 'SSH-2.0-OpenSSH_9\r\n'],
  ['a TLS alert', '\x15\x03\x01\x00\x02\x02\x46'],
  ['a control character in a field', `${H}X: a\x01b\r\nContent-Length: 2\r\n\r\nhi`],
  ['DEL in a field', `${H}X: a\x7fb\r\nContent-Length: 2\r\n\r\nhi`],
  ['a bare CR in a field', `${H}X: a\rSet-Cookie: b\r\nContent-Length: 2\r\n\r\nhi`],
  ['a folded field', `${H}X: a\r\n b\r\nContent-Length: 2\r\n\r\nhi`],
  ['a blank before the colon', `${H}X : a\r\nContent-Length: 2\r\n\r\nhi`],
  ['lines without CR', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nhi'],
  ['the status 099', 'HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nhi'],
  ['the status 1000', 'HTTP/1.1 1000 Odd\r\nContent-Length: 2\r\n\r\nhi'],
  ['101 with Upgrade', 'HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nhi'],
  ['101 without Upgrade', `HTTP/1.1 101 Switching\r\n\r\n${H}Content-Length: 2\r\n\r\nhi`],
  ['a length and chunks', `${H}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`],
  ['two lengths', `${H}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!`],
  ['a list of lengths', `${H}Content-Length: 2, 2\r\n\r\nhi`],
  ['a negative length', `${H}Content-Length: -2\r\n\r\nhi`],
  ['a transfer coding that is not chunked', `${H}Transfer-Encoding: gzip\r\n\r\nhi`],
  ['two transfer codings', `${H}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n`],
  ['a head that is too large', `${H}X: ${'a'.repeat(70_000)}\r\nContent-Length: 2\r\n\r\nhi`],
  ['interim answers without end', `${'HTTP/1.1 102 Processing\r\n\r\n'.repeat(1000)}`],
] as const) {
  test(`an upstream that sends ${name} gets 502`, async (t) => {
    const { status, text, error, headers } = await answerOf(t, bytes)
    assert.equal(status, 502)
    assert.match(text, /^revproxy: http:\/\/127\.0\.0\.1:\d+ sent .*\n$/)
    assert.equal(headers['content-type'], 'text/plain; charset=utf-8')
    assert.equal(headers['cache-control'], 'no-store')
    assert.equal(error, 'upstream-protocol')
    assert.equal(headers['proxy-status'], 'revproxy; error=http_protocol_error')
  })
}

for (const [name, bytes] of [
  ['closes before its head', undefined],
  ['is lost in the middle of its head', `${H}Content-`],
] as const) {
  test(`an upstream that ${name} gets 502`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) => {
      if (bytes === undefined) socket.destroy()
      else socket.end(bytes)
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    const { status, text } = await get(proxy.url)
    assert.equal(status, 502)
    assert.match(text, /^revproxy: http:\/\/127\.0\.0\.1:\d+ closed the connection before it answered/)
  })
}

test('a silent upstream gets 504 with the time', async (t) => {
  const left = gate()
  const upstream = await startUpstream(t, (_, res) => void res.on('close', left.open))
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '150ms' })
  const { status, text, headers } = await get(proxy.url)
  assert.equal(status, 504)
  assert.match(text, /^revproxy: http:\/\/127\.0\.0\.1:\d+ was silent for 150 ms \(--timeout\)\.\n$/)
  assert.equal(headers['proxy-status'], 'revproxy; error=http_response_timeout')
  await left.promise
  assert.equal(proxy.opened[0]!.ended?.error ?? 'upstream-timeout', 'upstream-timeout')
})

test('the time counts from the last byte, by the clock of the proxy', async (t) => {
  const asked = gate()
  const upstream = await startUpstream(t, () => asked.open())
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '60s' })
  const answer = get(proxy.url)
  await asked.promise
  proxy.advance(61_000)
  assert.equal((await answer).status, 504)
})

test('an upstream that falls silent within its body breaks the answer off', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.write('hello'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '500ms' })
  await assert.rejects(get(proxy.url), { code: 'ECONNRESET' })
  await proxy.until((ended) => ended.length === 1)
  const { ended } = proxy.exchanges[0]!
  assert.deepEqual([ended!.status, ended!.bytes, ended!.error], [200, 5, 'upstream-timeout'])
  assert.match(ended!.errorMessage!, /was silent for 500 ms/)
})

test('interim answers count as life', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    let left = 5
    const timer = setInterval(() => {
      res.writeProcessing()
      if (--left > 0) return
      clearInterval(timer)
      res.end('hi')
    }, 300)
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '1s' })
  assert.equal((await get(proxy.url)).text, 'hi')
})

test('an event stream may be silent for as long as it likes', async (t) => {
  const more = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' }).flushHeaders()
    await more.promise
    res.end('data: 1\n\n')
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '1s' })
  const answer = get(proxy.url)
  await proxy.until((_, opened) => opened[0]?.headAt !== undefined)
  proxy.advance(3_600_000)
  await new Promise((resolve) => setTimeout(resolve, 400))
  more.open()
  assert.equal((await answer).text, 'data: 1\n\n')
})

test('a client that reads slowly, or sends slowly, is not the silence of the upstream', async (t) => {
  const upstream = await startUpstream(t, async (req, res) => {
    for await (const _ of req) {
      // Read to its end.
    }
    res.end('x'.repeat(4_000_000))
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '2s' })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na')
  await proxy.until((_, opened) => opened[0]?.upstream?.sentBytes === 1)
  proxy.advance(3_600_000)
  await new Promise((resolve) => setTimeout(resolve, 700))
  client.socket.pause()
  client.send('b')
  await proxy.until((_, opened) => opened[0]?.headAt !== undefined)
  await new Promise((resolve) => setTimeout(resolve, 50))
  proxy.advance(3_600_000)
  await new Promise((resolve) => setTimeout(resolve, 700))
  client.socket.resume()
  const text = await client.until((sofar) => sofar.endsWith('x') && sofar.length > 4_000_000)
  assert.match(text, /^HTTP\/1\.1 200 OK/)
})

test('an upstream that stops taking the upload is silent', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => void socket.pause())
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '150ms' })
  const client = talk(t, proxy.port)
  client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n')
  const chunk = Buffer.alloc(1_000_000)
  const write = (): void => {
    while (client.socket.writable && client.socket.write(chunk));
  }
  client.socket.on('drain', write)
  write()
  assert.match(await client.until(/--timeout\)\.\n$/), /^HTTP\/1\.1 504 /)
})

test('0 waits for ever', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void setTimeout(() => res.end('hi'), 100))
  const proxy = await startProxy(t, {
    target: upstream.url,
    ...passing,
    timeout: '0',
    'connect-timeout': '0',
  })
  const answer = get(proxy.url)
  proxy.advance(1e9)
  assert.equal((await answer).text, 'hi')
})

test('no connection within the time gets 504 with the time', async (t) => {
  const proxy = await startProxy(t, {
    target: `https://127.0.0.1:${await startSilentTls(t)}`,
    ...passing,
    'connect-timeout': '150ms',
  })
  const { status, text, headers } = await get(proxy.url)
  assert.equal(status, 504)
  assert.match(
    text,
    /^revproxy: no connection to https:\/\/127\.0\.0\.1:\d+ within 150 ms \(--connect-timeout\)\.\n$/,
  )
  assert.equal(headers['proxy-status'], 'revproxy; error=connection_timeout')
})

/** A port where the connection opens and the handshake never comes to an end. */
const startSilentTls = async (t: TestContext): Promise<number> => {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    t.after(() => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('a refused connection gets 502 and a question', async (t) => {
  const upstream = await startUpstream(t, () => {})
  await upstream.stop()
  const proxy = await startProxy(t, { target: upstream.url, ...passing, hold: '0' })
  const { status, text, headers } = await get(proxy.url, { method: 'POST', body: 'x' })
  assert.equal(status, 502)
  assert.equal(
    text,
    `revproxy: ${upstream.url} refused the connection on 127.0.0.1:${upstream.port}. Is it running?\n`,
  )
  assert.equal(headers['proxy-status'], 'revproxy; error=connection_refused')
})

test('429 comes as text, and an upload that it was the answer to does not block the connection', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing, rate: '1/m' })
  assert.equal((await get(proxy.url)).status, 200)
  const client = talk(t, proxy.port)
  const body = 'x'.repeat(300_000)
  client.send(`POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  assert.match(await client.until(/retry in \d+ s\n$/), /^HTTP\/1\.1 429 Too Many Requests\r\n/)
  client.send('GET /2 HTTP/1.1\r\nHost: a\r\n\r\n')
  await client.until((text) => (text.match(/retry in/g) ?? []).length === 2)
  assert.equal(upstream.requests.length, 1)
})

test('many failures leave no connections behind', async (t) => {
  const upstream = await startRawUpstream(t, (_, nth) =>
    nth % 2 === 0 ? 'garbage\r\n\r\n' : `${H}Content-Length: 9\r\n\r\nabc`,
  )
  const proxy = await startProxy(t, { target: upstream.url, ...passing, timeout: '100ms' })
  await Promise.allSettled(Array.from({ length: 40 }, (_, n) => get(`${proxy.url}/${n}`)))
  await proxy.until((ended) => ended.length === 40)
  assert.equal(proxy.active(), 0)
  await proxy.close(0)
  await eventually(() => upstream.sockets.size === 0)
})

test('a field with control characters in a request is refused by node', async (t) => {
  const upstream = await startRawUpstream(t, () => `${H}Content-Length: 2\r\n\r\nhi`)
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (const bad of ['\x00', '\x01', '\x7f', '\r', '\n x'])
    assert.match(
      await raw(proxy.port, `GET / HTTP/1.1\r\nHost: a\r\nX: a${bad}b\r\n\r\n`),
      /^HTTP\/1\.1 400 /,
    )
  assert.equal(upstream.heads.length, 0)
})
