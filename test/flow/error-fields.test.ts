/** What answers say that the edge itself makes of errors: the trace, and where the time went. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { raw } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'

const traceparent = `traceparent: 00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`

const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket'
const table: Array<{ name: string; status: number; head: string; timing: RegExp }> = [
  { name: 'two hosts', status: 400, head: 'GET / HTTP/1.1\r\nHost: a\r\nHost: b', timing: /^total;dur=/ },
  {
    name: 'a body over --max-body',
    status: 413,
    head: 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99',
    timing: /^total;dur=/,
  },
  {
    name: 'an expectation nobody knows',
    status: 417,
    head: 'GET / HTTP/1.1\r\nHost: a\r\nExpect: tea',
    timing: /^total;dur=/,
  },
  {
    name: 'too many field lines',
    status: 431,
    head: `GET / HTTP/1.1\r\nHost: a\r\n${'a: b\r\n'.repeat(1001).trimEnd()}`,
    timing: /^total;dur=/,
  },
  { name: 'CONNECT', status: 501, head: 'CONNECT a:1 HTTP/1.1\r\nHost: a', timing: /^total;dur=/ },
  {
    name: 'a WebSocket of two hosts',
    status: 400,
    head: `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n${upgrade}`,
    timing: /^total;dur=/,
  },
  {
    name: 'an upstream that breaks off',
    status: 502,
    head: 'GET /break HTTP/1.1\r\nHost: a',
    timing: /^cache;desc="miss uri-miss", total;dur=/,
  },
  {
    name: 'a WebSocket to an upstream that breaks off',
    status: 502,
    head: `GET /break HTTP/1.1\r\nHost: a\r\n${upgrade}`,
    timing: /^total;dur=/,
  },
  {
    name: 'an upstream that is silent',
    status: 504,
    head: 'GET /silent HTTP/1.1\r\nHost: a',
    timing: /^cache;desc="miss uri-miss", total;dur=/,
  },
]

for (const { name, status, head, timing } of table) {
  test(`the ${status} for ${name} has Server-Timing and the trace`, async (t) => {
    const upstream = await startRawUpstream(t, (socket, nth) => {
      if (upstream.heads[nth]!.startsWith('GET /break')) socket.destroy()
    })
    const proxy = await startProxy(t, {
      target: upstream.url,
      'trace-header': 'true',
      'max-body': '10b',
      timeout: '100ms',
    })
    const ask = `${head.replace('\r\n', `\r\n${traceparent}\r\n`)}\r\nConnection: close\r\n\r\n`
    const answer = await raw(proxy.port, ask, (sofar) => /\r\n\r\n.*\n/.test(sofar))
    assert.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `))
    const field = (wanted: string) => new RegExp(`\r\n${wanted}: ([^\r]*)`, 'i').exec(answer)?.[1] ?? ''
    assert.equal(field('x-trace-id'), 'ab'.repeat(16))
    assert.match(field('server-timing'), timing)
  })
}

test('an answer to what is no HTTP has no trace, and none has Server-Timing where others can reach the proxy', async (t) => {
  const proxy = await startProxy(t, {
    target: `http://127.0.0.1:${await freePort()}`,
    'trace-header': 'true',
  })
  const garbage = await raw(proxy.port, 'hello\r\n\r\n')
  assert.match(garbage, /^HTTP\/1\.1 400 /)
  assert.doesNotMatch(garbage, /server-timing|x-trace-id/i)
  const without = await startProxy(t, {
    target: `http://127.0.0.1:${await freePort()}`,
    'no-server-timing': 'true',
    hold: '0',
  })
  const refused = await raw(without.port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  assert.match(refused, /^HTTP\/1\.1 502 /)
  assert.doesNotMatch(refused, /server-timing|x-trace-id/i)
})
