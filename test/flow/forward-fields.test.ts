import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get, raw } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'
import { startUpstream } from '../support/upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'
const answered = (text: string) => text.endsWith('hi')
const linesOf = (head: string): string[] => head.split('\r\n').slice(1, -2)

test('fields of a request keep their case, order and repeats; ours come behind', async (t) => {
  const upstream = await startRawUpstream(t, () => ok)
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  await raw(
    proxy.port,
    Buffer.from(
      'GET / HTTP/1.1\r\nHost: a\r\nx-B: 1\r\nX-a: 2\r\nX-b: 3\r\nCookie: c=1\r\nCookie: d=2\r\nAge: 1\r\nAge: 2\r\nX-Empty:\r\nX-Bytes: \xe9\xff\r\n\r\n',
      'latin1',
    ),
    answered,
  )
  assert.deepEqual(linesOf(upstream.heads[0]!), [
    `host: 127.0.0.1:${upstream.port}`,
    'connection: keep-alive',
    'x-B: 1',
    'X-a: 2',
    'X-b: 3',
    'Cookie: c=1',
    'Cookie: d=2',
    'Age: 1',
    'Age: 2',
    'X-Empty: ',
    'X-Bytes: \xe9\xff',
    'Via: 1.1 revproxy',
    'X-Forwarded-For: 127.0.0.1',
    'X-Forwarded-Proto: http',
    'X-Forwarded-Host: a',
    'X-Real-IP: 127.0.0.1',
    'Forwarded: for=127.0.0.1;host=a;proto=http',
  ])
})

test('fields of an answer keep their case, order, repeats and bytes, streamed or whole', async (t) => {
  const lines = [
    'x-B: 1',
    'X-a: 2',
    'X-b: 3',
    'Set-Cookie: c=1',
    'Set-Cookie: d=2',
    'Age: 1',
    'AGE: 2',
    'X-Bytes: \xc3\xa9\xff',
    'Date: x',
  ]
  const upstream = await startRawUpstream(t, (socket, nth) => {
    const head = `HTTP/1.1 200 OK\r\n${lines.join('\r\n')}\r\nContent-Length: 2\r\n\r\n`
    if (nth === 0) return `${head}hi`
    socket.write(head, 'latin1')
    setTimeout(() => socket.write('hi'), 30)
    return undefined
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  for (let i = 0; i < 2; i++) {
    const answer = await raw(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', answered)
    assert.deepEqual(linesOf(answer).slice(0, lines.length + 1), [...lines, 'Content-Length: 2'])
  }
  assert.deepEqual(proxy.opened[0]!.responseHeaders?.slice(0, 4), ['x-B', '1', 'X-a', '2'])
})

test('fields of the connection, and those that Connection names, stay on their side', async (t) => {
  const upstream = await startRawUpstream(
    t,
    () =>
      'HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=99\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-End: 2\r\nContent-Length: 2\r\n\r\nhi',
  )
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const answer = await raw(
    proxy.port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop , Content-Length, close\r\nConnection: other\r\nX-Hop: 1\r\nOther: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nX-End: 2\r\n\r\n',
    answered,
  )
  assert.doesNotMatch(answer, /x-hop|timeout=99|proxy-connection|upgrade/i)
  assert.match(answer, /\r\nX-End: 2\r\n/)
  assert.doesNotMatch(upstream.heads[0]!, /hop|other|keep-alive: 5|proxy-connection|\nte:|close/i)
  assert.match(upstream.heads[0]!, /\r\nX-End: 2\r\n/)
})

test('what a client says of itself as if it were a proxy is replaced', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  await get(proxy.url, {
    headers: {
      host: 'shop.example',
      forwarded: 'for=6.6.6.6',
      'x-forwarded-for': ['6.6.6.6', '7.7.7.7'],
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil',
      'x-forwarded-port': '1',
      'x-real-ip': '6.6.6.6',
      via: '1.0 fred, 1.1 p.example',
    },
  })
  const { headers } = upstream.requests[0]!
  assert.equal(headers.forwarded, 'for=127.0.0.1;host=shop.example;proto=http')
  assert.equal(headers['x-forwarded-for'], '127.0.0.1')
  assert.equal(headers['x-forwarded-proto'], 'http')
  assert.equal(headers['x-forwarded-host'], 'shop.example')
  assert.equal(headers['x-forwarded-port'], undefined)
  assert.equal(headers['x-real-ip'], '127.0.0.1')
  assert.equal(headers.via, '1.0 fred, 1.1 p.example, 1.1 revproxy')
})

for (const [choice, want] of [
  ['target', (port: number) => `127.0.0.1:${port}`],
  ['client', () => 'shop.example:81'],
  ['api.example:8443', () => 'api.example:8443'],
] as const) {
  test(`--host-header ${choice} decides which Host the upstream sees`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
    const proxy = await startProxy(t, { target: upstream.url, ...passing, 'host-header': choice })
    await get(proxy.url, { headers: { host: 'shop.example:81' } })
    assert.equal(upstream.requests[0]!.headers.host, want(upstream.port))
    assert.equal(upstream.requests[0]!.rawHeaders.filter((name) => name.toLowerCase() === 'host').length, 1)
  })
}

test('a client of HTTP/1.0 that names no host has the target named for it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url, ...passing, 'host-header': 'client' })
  await raw(proxy.port, 'GET / HTTP/1.0\r\n\r\n')
  assert.equal(upstream.requests[0]!.headers.host, `127.0.0.1:${upstream.port}`)
})

test('--header and --response-header set and remove fields', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { Server: 'secret', 'X-Old': '1', 'X-Kept': '2' }).end('hi'),
  )
  const proxy = await startProxy(t, {
    target: upstream.url,
    ...passing,
    header: [
      'Authorization: Bearer x',
      'X-Two: 1',
      'X-Two: 2',
      'User-Agent:',
      'X-Forwarded-For:',
      'Host: set.example',
    ],
    'response-header': ['server:', 'X-Old: new', 'X-Cafe: \xe9'],
  })
  const answer = await raw(
    proxy.port,
    'GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nauthorization: y\r\nx-two: 0\r\n\r\n',
    answered,
  )
  const { rawHeaders, headers } = upstream.requests[0]!
  assert.equal(headers.authorization, 'Bearer x')
  assert.equal(headers['x-two'], '1, 2')
  assert.equal(headers['user-agent'], undefined)
  assert.equal(headers['x-forwarded-for'], undefined)
  assert.equal(headers.host, 'set.example')
  assert.equal(rawHeaders.filter((name) => name.toLowerCase() === 'host').length, 1)
  assert.doesNotMatch(answer, /secret/)
  assert.match(answer, /\r\nX-Old: new\r\n/)
  assert.match(answer, /\r\nX-Cafe: \xe9\r\n/)
  assert.match(answer, /\r\nX-Kept: 2\r\n/)
})

test('an answer without Date gets one, and an answer with one keeps it', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.sendDate = false
    if (req.url === '/dated') res.setHeader('date', 'Sun, 06 Nov 1994 08:49:37 GMT')
    res.end('hi')
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  assert.match(String((await get(proxy.url)).headers.date), /GMT$/)
  assert.equal((await get(`${proxy.url}/dated`)).headers.date, 'Sun, 06 Nov 1994 08:49:37 GMT')
})
