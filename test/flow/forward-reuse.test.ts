import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'

test('requests follow each other on one connection', async (t) => {
  const upstream = await startRawUpstream(t, () => ok)
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (let i = 0; i < 5; i++) assert.equal((await get(proxy.url)).text, 'hi')
  assert.equal(upstream.connections(), 1)
})

for (const method of ['GET', 'HEAD', 'OPTIONS']) {
  test(`a ${method} that met a connection just closed by the upstream is sent again`, async (t) => {
    // The second request on a connection is met by its end, which is what a race with an idle timeout looks like.
    const upstream = await startRawUpstream(t, (socket, nth, nthHere) => {
      if (nth === 0 || (nthHere === 0 && method !== 'HEAD')) return ok
      if (nthHere === 0) return 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n'
      socket.destroy()
      return undefined
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    await get(proxy.url)
    for (let i = 0; i < 3; i++) assert.equal((await get(proxy.url, { method })).status, 200)
    assert.deepEqual(
      proxy.opened.map(({ ended }) => ended?.error),
      Array(4).fill(undefined),
    )
  })
}

test('a GET that met several such connections is sent until one is new', async (t) => {
  let closing = false
  const upstream = await startRawUpstream(t, (socket, _, nthHere) => {
    if (!closing || nthHere === 0) setTimeout(() => socket.write(ok), 20)
    else socket.destroy()
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  await Promise.all([1, 2, 3, 4].map((n) => get(`${proxy.url}/${n}`)))
  assert.equal(upstream.connections(), 4)
  closing = true
  assert.equal((await get(`${proxy.url}/last`)).text, 'hi')
  assert.ok(upstream.heads.filter((head) => head.includes('/last')).length > 1)
  assert.ok(upstream.connections() > 4)
})

for (const [method, body] of [
  ['POST', 'x'],
  ['POST', undefined],
  ['DELETE', undefined],
  ['GET', 'x'],
] as const) {
  test(`a ${method} ${body === undefined ? 'without' : 'with'} body is never sent twice`, async (t) => {
    const upstream = await startRawUpstream(t, (socket, nth) => {
      if (nth === 0) return ok
      socket.destroy()
      return undefined
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    await get(proxy.url)
    const { status, text } = await get(proxy.url, {
      method,
      ...(body === undefined ? {} : { body, headers: { 'content-length': String(body.length) } }),
    })
    assert.equal(status, 502)
    assert.match(text, /^revproxy: http:\/\/127\.0\.0\.1:\d+ closed the connection before it answered/)
    assert.equal(upstream.heads.length, 2)
  })
}

test('a GET that fails on a new connection is not sent again', async (t) => {
  const upstream = await startRawUpstream(t, (socket) => void socket.destroy())
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  assert.equal((await get(proxy.url)).status, 502)
  assert.equal(upstream.heads.length, 1)
})

for (const [name, bytes] of [
  ['an interim answer', 'HTTP/1.1 103 Early Hints\r\n\r\n'],
  ['half a head', 'HTTP/1.1 200 OK\r\nContent-'],
  ['one byte', 'H'],
] as const) {
  test(`a GET that got ${name} on a kept connection is not sent again`, async (t) => {
    const upstream = await startRawUpstream(t, (socket, nth) => {
      if (nth === 0) return ok
      socket.end(bytes)
      return undefined
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    await get(proxy.url)
    assert.equal((await get(proxy.url)).status, 502)
    assert.equal(upstream.heads.length, 2)
  })
}

test('more bytes than the length said are no answer to the next request', async (t) => {
  const upstream = await startRawUpstream(t, (_, nth) =>
    nth === 0 ? `${ok}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil` : ok,
  )
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (let i = 0; i < 3; i++) assert.equal((await get(proxy.url)).text, 'hi')
})
