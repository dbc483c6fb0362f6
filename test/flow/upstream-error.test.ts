/** Why the upstream failed stands on the record, whatever the client got. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, raw } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'

const head = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n'
const table: Array<{ name: string; answer: string | undefined; want: string; status: number }> = [
  { name: 'closes before its head', answer: undefined, want: 'upstream-reset', status: 502 },
  { name: 'sends no HTTP', answer: 'SSH-2.0\r\n', want: 'upstream-protocol', status: 502 },
  { name: 'breaks off in its body', answer: `${head}\r\nhalf`, want: 'upstream-aborted', status: 200 },
]
for (const { name, answer, want, status } of table) {
  test(`an upstream that ${name} is ${want} on the record`, async (t) => {
    const upstream = await startRawUpstream(t, (socket) =>
      answer === undefined ? socket.destroy() : socket.end(answer),
    )
    const proxy = await startProxy(t, { target: upstream.url, hold: '0' })
    await get(proxy.url).catch(() => {})
    await proxy.until((ended) => ended.length === 1)
    const { ended, upstream: facts } = proxy.exchanges[0]!
    assert.deepEqual([ended!.status, ended!.error, facts!.error], [status, want, want])
  })
}

test('behind a stale answer, and of a refused upgrade, the error of the upstream is on the record and in the metrics', async (t) => {
  let away = false
  const upstream = await startRawUpstream(t, (socket) =>
    away ? socket.destroy() : `${head}Cache-Control: max-age=1, stale-if-error=60\r\n\r\n0123456789`,
  )
  const proxy = await startProxy(t, { target: upstream.url, admin: '0', hold: '0' })
  await get(proxy.url)
  away = true
  proxy.advance(5000)
  assert.equal((await get(proxy.url)).text, '0123456789')
  await proxy.until((ended) => ended.length === 2)
  const { ended, cache, upstream: facts } = proxy.exchanges[1]!
  assert.deepEqual([ended!.status, ended!.error, cache!.status], [200, undefined, 'stale'])
  assert.equal(facts!.error, 'upstream-reset')
  const metrics = await (await fetch(`${proxy.adminUrl}/metrics`)).text()
  assert.match(metrics, /^revproxy_upstream_errors_total\{code="upstream-reset"\} 1$/m)

  const closed = await startProxy(t, { target: `http://127.0.0.1:${await freePort()}`, hold: '0' })
  await raw(
    closed.port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n',
  )
  await closed.until((ended) => ended.length === 1)
  assert.equal(closed.exchanges[0]!.upstream!.error, 'upstream-refused')
})

test('a client that leaves is no error of the upstream', async (t) => {
  const upstream = await startRawUpstream(t, () => undefined)
  const proxy = await startProxy(t, { target: upstream.url })
  const leaving = new AbortController()
  const gone = get(proxy.url, { signal: leaving.signal }).catch(() => {})
  await proxy.until((_, opened) => opened[0]?.upstream?.sentAt !== undefined)
  leaving.abort()
  await gone
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'client-gone')
  assert.equal(proxy.exchanges[0]!.upstream!.error, undefined)
})
