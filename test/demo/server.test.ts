import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { WebSocket } from 'ws'
import { type Demo, startDemo } from '../../src/demo/server.ts'

const start = async (t: TestContext): Promise<Demo> => {
  const demo = await startDemo()
  t.after(() => demo.close())
  return demo
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

const read = async (res: IncomingMessage): Promise<Answer> => {
  const chunks: Buffer[] = []
  for await (const chunk of res) chunks.push(chunk)
  return { status: res.statusCode!, headers: res.headers, body: Buffer.concat(chunks).toString() }
}

const ask = async (
  demo: Demo,
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> => {
  const req = request({ port: demo.port, host: '127.0.0.1', path, method, headers, agent: false })
  req.end(body)
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  return read(res)
}

/** Sends bytes as they are; `received` gives what came back by the time the other side ended. */
const raw = async (demo: Demo): Promise<{ socket: Socket; received: Promise<Buffer> }> => {
  const socket = connect(demo.port, '127.0.0.1')
  await once(socket, 'connect')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  const received = new Promise<Buffer>((resolve) => {
    socket.on('error', () => {})
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
  return { socket, received }
}

const openWebSocket = async (t: TestContext, demo: Demo, protocols: string[] = []): Promise<WebSocket> => {
  const socket = new WebSocket(`${demo.url.replace('http', 'ws')}/ws`, protocols)
  t.after(() => socket.terminate())
  await once(socket, 'open')
  return socket
}

/** A frame as a client sends it, masked. */
const frame = (first: number, payload: Buffer, { mask = true, length = payload.length } = {}): Buffer => {
  const size = length < 126 ? 0 : length < 65_536 ? 2 : 8
  const head = Buffer.alloc(2 + size)
  head[0] = first
  head[1] = (mask ? 0x80 : 0) | (size === 0 ? length : size === 2 ? 126 : 127)
  if (size === 2) head.writeUInt16BE(length, 2)
  if (size === 8) head.writeBigUInt64BE(BigInt(length), 2)
  const key = Buffer.from([1, 2, 3, 4])
  const masked = mask ? payload.map((byte, i) => byte ^ key[i & 3]!) : payload
  return Buffer.concat([head, mask ? key : Buffer.alloc(0), masked])
}

const handshake = (extra = ''): string =>
  'GET /ws HTTP/1.1\r\nHost: demo\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n' +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${extra}\r\n`

/** Sends frames after the handshake and gives the frames that came back, bytes after the head of the 101. */
const rawFrames = async (demo: Demo, ...frames: Buffer[]): Promise<Buffer> => {
  const { socket, received } = await raw(demo)
  socket.write(Buffer.concat([Buffer.from(handshake()), ...frames]))
  const bytes = await received
  return bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)
}

const FIBONACCI_1000 =
  '43466557686937456435688527675040625802564660517371780402481729089536555417949051890403879840079255169295922593080322634775209689623239873322471161642996440906533187938298969649928516003704476137795166849228875'

const table: ReadonlyArray<{
  path: string
  status: number
  body?: string | RegExp
  headers?: Record<string, string | undefined>
  send?: Record<string, string>
}> = [
  {
    path: '/api/echo?echo=test',
    status: 200,
    body: 'test',
    headers: { 'cache-control': 'max-age=60', etag: undefined },
  },
  { path: '/api/echo', status: 200, body: '' },
  { path: '/api/echo?other=1&echo=&echo=second', status: 200, body: '' },
  { path: '/api/echo?echo=a+b%20%C3%A9%26', status: 200, body: 'a b é&' },
  { path: '/api/echo?echo=%', status: 400, body: /percent-encoding/ },
  { path: '/api/echo?echo=%FF', status: 400, body: /percent-encoding/ },
  { path: '/api/echo?%E0%A4%A', status: 400, body: /percent-encoding/ },
  { path: '/api/echo?__proto__=1&echo=x', status: 200, body: 'x' },
  { path: 'http://demo.example/api/echo?echo=absolute', status: 200, body: 'absolute' },
  { path: '/api/fibonacci?pos=0', status: 200, body: '0' },
  { path: '/api/fibonacci?pos=1', status: 200, body: '1' },
  { path: '/api/fibonacci?pos=90', status: 200, body: '2880067194370816120' },
  {
    path: '/api/fibonacci?pos=1000',
    status: 200,
    body: FIBONACCI_1000,
    headers: { 'cache-control': 'max-age=60' },
  },
  ...['', '?pos=', '?pos=-1', '?pos=1.5', '?pos=20001', '?pos=1e3', '?pos=0x10', '?pos=99999999999999'].map(
    (query) => ({
      path: `/api/fibonacci${query}`,
      status: 400,
      body: /from 0 to 20000, such as \/api\/fibonacci\?pos=10000/,
      headers: { 'cache-control': undefined },
    }),
  ),
  { path: '/api/slow?ms=0', status: 200 },
  ...['', '?ms=60001', '?ms=soon', '?ms=-5'].map((query) => ({
    path: `/api/slow${query}`,
    status: 400,
    body: /from 0 to 60000/,
  })),
  { path: '/api/status/200', status: 200 },
  { path: '/api/status/404', status: 404, body: 'status 404\n' },
  { path: '/api/status/599', status: 599 },
  { path: '/api/status/204', status: 204, body: '', headers: { 'content-length': undefined } },
  { path: '/api/status/205', status: 205, body: '' },
  { path: '/api/status/304', status: 304, body: '' },
  ...['/100', '/101', '/199', '/600', '/20', '/abc', '/', '', '/200/1', '/%32%30%30'].map((code) => ({
    path: `/api/status${code}`,
    status: 400,
    body: /from 200 to 599/,
  })),
  {
    path: '/api/vary',
    status: 200,
    body: 'Hello!\n',
    headers: { vary: 'Accept-Language', 'cache-control': 'max-age=60', 'content-language': 'en' },
  },
  ...Object.entries({
    de: 'de',
    'fr-CH, fr;q=0.9, en;q=0.8': 'fr',
    'en;q=0.3, PL;q=0.7': 'pl',
    'tlh, es;q=0.1': 'es',
    'en;q=0, *;q=0.5': 'de',
    '*': 'en',
    'constructor, __proto__;q=0.9': 'en',
    'de;q=;;,,': 'en',
  }).map(([languages, expected]) => ({
    path: '/api/vary',
    send: { 'accept-language': languages },
    status: 200,
    headers: { 'content-language': expected },
  })),
  {
    path: '/api/cache?max-age=5,stale-while-revalidate=30',
    status: 200,
    body: /^generated at \d{4}-.*Z with Cache-Control: max-age=5,stale-while-revalidate=30\n$/,
    headers: { 'cache-control': 'max-age=5,stale-while-revalidate=30' },
  },
  {
    path: '/api/cache?private%2C%20max-age%3D5',
    status: 200,
    headers: { 'cache-control': 'private, max-age=5' },
  },
  { path: '/api/cache', status: 200, body: /without Cache-Control/, headers: { 'cache-control': undefined } },
  { path: '/api/cache?a%0D%0ASet-Cookie:x', status: 400, headers: { 'set-cookie': undefined } },
  { path: '/api/cache?%00', status: 400 },
  { path: '/api/cache?%E2%82%AC', status: 400 },
  { path: '/api/cache?%', status: 400, body: /percent-encoding/ },
  { path: '/ws', status: 426, headers: { upgrade: 'websocket' } },
  {
    path: '/',
    status: 200,
    body: /<html lang="en">/,
    headers: { 'content-type': 'text/html; charset=utf-8' },
  },
  { path: '/?utm=1', status: 200 },
  { path: '/nothing', status: 404, body: /there is nothing here/ },
  { path: '/api/echo/', status: 404 },
  { path: '//', status: 404 },
]

test('every route answers as it says, to HEAD without the body', async (t) => {
  const demo = await start(t)
  for (const { path, status, body, headers = {}, send = {} } of table) {
    const name = `${path} ${JSON.stringify(send)}`
    const got = await ask(demo, path, { headers: send })
    assert.equal(got.status, status, name)
    if (typeof body === 'string') assert.equal(got.body, body, name)
    else if (body !== undefined) assert.match(got.body, body, name)
    for (const [field, value] of Object.entries(headers))
      assert.equal(got.headers[field], value, `${name}: ${field}`)
    const head = await ask(demo, path, { headers: send, method: 'HEAD' })
    assert.equal(head.status, status, `HEAD ${name}`)
    assert.equal(head.body, '', `HEAD ${name}`)
    assert.equal(head.headers['content-length'], got.headers['content-length'], `HEAD ${name}`)
  }
})

test('the page links to routes that answer', async (t) => {
  const demo = await start(t)
  const { body } = await ask(demo, '/')
  const links = [...body.matchAll(/href="(\/[^"]*)"/g)].map((match) => match[1]!.replaceAll('&amp;', '&'))
  assert.equal(links.length, 7)
  for (const link of links) {
    const { status } = await ask(demo, link, { method: 'HEAD' })
    assert.equal(status, link === '/api/status/503' ? 503 : 200, link)
  }
})

test('other methods get 405 and what is allowed', async (t) => {
  const demo = await start(t)
  for (const path of ['/', '/api/fibonacci?pos=1', '/api/status/200', '/ws', '/api/stream']) {
    const got = await ask(demo, path, { method: 'POST', body: 'x' })
    assert.equal(got.status, 405, path)
    assert.equal(got.headers.allow, 'GET, HEAD', path)
  }
  const got = await ask(demo, '/api/echo', { method: 'DELETE' })
  assert.equal(got.status, 405)
  assert.equal(got.headers.allow, 'GET, HEAD, POST, PUT, PATCH')
})

test('POST, PUT and PATCH to the echo get their body back', async (t) => {
  const demo = await start(t)
  for (const method of ['POST', 'PUT', 'PATCH']) {
    const got = await ask(demo, '/api/echo', {
      method,
      body: 'héllo',
      headers: { 'content-type': 'text/x-test' },
    })
    assert.equal(got.status, 200)
    assert.equal(got.body, 'héllo')
    assert.equal(got.headers['content-type'], 'text/x-test')
  }
  assert.equal((await ask(demo, '/api/echo', { method: 'POST' })).body, '')
})

test('the echo streams: a piece comes back before the next is sent', async (t) => {
  const demo = await start(t)
  const req = request({ port: demo.port, host: '127.0.0.1', path: '/api/echo', method: 'POST', agent: false })
  req.write('one')
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  assert.equal(String((await once(res, 'data'))[0]), 'one')
  req.end('two')
  assert.equal(String((await once(res, 'data'))[0]), 'two')
})

test('an upload that is given up leaves the backend standing', async (t) => {
  const demo = await start(t)
  const req = request({ port: demo.port, host: '127.0.0.1', path: '/api/echo', method: 'POST', agent: false })
  req.on('error', () => {})
  req.write('one')
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  res.on('error', () => {})
  req.destroy()
  assert.equal((await ask(demo, '/api/echo?echo=alive')).body, 'alive')
})

test('a large fibonacci number lets other requests through', async (t) => {
  const demo = await start(t)
  let slowDone = false
  const slow = ask(demo, '/api/fibonacci?pos=20000').then((answer) => {
    slowDone = true
    return answer
  })
  for (let i = 0; i < 5; i++) await ask(demo, '/api/echo?echo=quick')
  assert.equal(slowDone, false)
  const { body } = await slow
  assert.equal(body.length, 4180)
  assert.match(body, /^25311623237323612422[0-9]*$/)
})

test('events come one by one after a head at once, and end by themselves', async (t) => {
  const demo = await start(t)
  const req = request({ port: demo.port, host: '127.0.0.1', path: '/api/stream?n=3&ms=20', agent: false })
  req.end()
  const [res] = (await once(req, 'response')) as [IncomingMessage]
  assert.equal(res.headers['content-type'], 'text/event-stream')
  const chunks: string[] = []
  for await (const chunk of res) chunks.push(String(chunk))
  assert.match(
    chunks.join(''),
    /^id: 1\ndata: event 1 of 3 at .*\n\nid: 2\ndata: event 2 .*\n\nid: 3\ndata: event 3 .*\n\n$/,
  )
  for (const query of ['n=0', 'n=1001', 'ms=x', 'n=%']) {
    assert.equal((await ask(demo, `/api/stream?${query}`)).status, 400, query)
  }
  const head = await ask(demo, '/api/stream?ms=60000', { method: 'HEAD' })
  assert.equal(head.headers['content-type'], 'text/event-stream')
})

test('close ends unfinished answers, streams, idle connections and WebSockets', async (t) => {
  const demo = await startDemo()
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const idle = request({ port: demo.port, host: '127.0.0.1', path: '/', agent }).end()
  await read(((await once(idle, 'response')) as [IncomingMessage])[0])
  const endings = ['/api/slow?ms=60000', '/api/stream?ms=60000', '/api/fibonacci?pos=20000'].map((path) =>
    assert.rejects(ask(demo, path)),
  )
  const socket = await openWebSocket(t, demo)
  const closed = once(socket, 'close')
  await demo.close()
  assert.equal((await closed)[0], 1001)
  await Promise.all(endings)
  await demo.close()
  await assert.rejects(ask(demo, '/'))
})

test('a port in use rejects', async (t) => {
  const demo = await start(t)
  await assert.rejects(startDemo({ port: demo.port }), { code: 'EADDRINUSE' })
})

test('a host decides the address, and the url reaches it', async (t) => {
  const demo = await startDemo({ host: '0.0.0.0' })
  t.after(() => demo.close())
  assert.equal(demo.url, `http://127.0.0.1:${demo.port}`)
  assert.equal((await ask(demo, '/api/echo?echo=x')).body, 'x')
})

test('an Upgrade other than WebSocket, or elsewhere than /ws, is served as a plain request', async (t) => {
  const demo = await start(t)
  const h2c = { connection: 'Upgrade, HTTP2-Settings', upgrade: 'h2c', 'http2-settings': 'AAMAAABkAAQAAP__' }
  assert.equal((await ask(demo, '/api/echo?echo=x', { headers: h2c })).body, 'x')
  assert.equal(
    (await ask(demo, '/api/echo', { method: 'POST', body: 'posted', headers: h2c })).body,
    'posted',
  )
  assert.equal((await ask(demo, '/ws', { headers: h2c })).status, 426)
  assert.equal(
    (await ask(demo, '/nothing', { headers: { connection: 'Upgrade', upgrade: 'websocket' } })).status,
    404,
  )
})

test('a connection may be told many times that its upgrade is ignored', async (t) => {
  const demo = await start(t)
  const warnings: Error[] = []
  const warned = (warning: Error) => warnings.push(warning)
  process.on('warning', warned)
  t.after(() => process.off('warning', warned))
  const { socket, received } = await raw(demo)
  for (let i = 0; i < 20; i++) {
    socket.write(
      'GET /api/echo?echo=yes HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    )
    await once(socket, 'data')
  }
  socket.end('GET /api/echo?echo=last HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n')
  const bytes = await received
  assert.equal(String(bytes).match(/HTTP\/1\.1 200 OK/g)?.length, 21)
  assert.match(String(bytes), /last$/)
  assert.deepEqual(warnings, [])
})

test('odd bytes, pipelined upgrades and resets leave the backend standing', async (t) => {
  const demo = await start(t)
  const attempts = [
    'garbage\r\n\r\n',
    'GET /api/slow?ms=50 HTTP/1.1\r\nHost: demo\r\n\r\nGET /api/echo HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    `GET /api/slow?ms=50 HTTP/1.1\r\nHost: demo\r\n\r\n${handshake()}`,
    'CONNECT demo:1 HTTP/1.1\r\nHost: demo\r\n\r\n',
    'OPTIONS * HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n',
    'GET /ws HTTP/1.1\r\nHost: demo\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n',
  ]
  for (const attempt of attempts) {
    const { socket, received } = await raw(demo)
    socket.write(attempt)
    await received
  }
  for (const path of ['/api/fibonacci?pos=20000', '/api/stream?ms=1', '/api/slow?ms=10']) {
    const { socket } = await raw(demo)
    socket.write(`GET ${path} HTTP/1.1\r\nHost: demo\r\n\r\n`)
    socket.resetAndDestroy()
  }
  const { socket } = await raw(demo)
  socket.write(handshake())
  await once(socket, 'data')
  socket.resetAndDestroy()
  assert.equal((await ask(demo, '/api/echo?echo=alive')).body, 'alive')
})

test('the WebSocket echoes text, binary and every kind of length', async (t) => {
  const demo = await start(t)
  const socket = await openWebSocket(t, demo, ['chat', 'other'])
  assert.equal(socket.protocol, 'chat')
  for (const length of [0, 1, 125, 126, 65_535, 65_536, 16 * 1024 * 1024]) {
    const sent = Buffer.alloc(length, 'é')
    socket.send(sent)
    const [data, isBinary] = await once(socket, 'message')
    assert.equal(isBinary, true)
    assert.ok(sent.equals(data), `${length} bytes`)
  }
  socket.send('grüße')
  const [data, isBinary] = await once(socket, 'message')
  assert.equal(isBinary, false)
  assert.equal(String(data), 'grüße')
})

test('the WebSocket joins fragments, also with a ping between them', async (t) => {
  const demo = await start(t)
  const socket = await openWebSocket(t, demo)
  const pong = once(socket, 'pong')
  socket.send('one ', { fin: false })
  socket.ping('between')
  socket.send('', { fin: false })
  socket.send('two', { fin: true })
  assert.equal(String((await once(socket, 'message'))[0]), 'one two')
  assert.equal(String((await pong)[0]), 'between')
})

test('the WebSocket closes with the code it was given', async (t) => {
  const demo = await start(t)
  for (const [sent, expected] of [
    [1000, 1000],
    [4321, 4321],
    [undefined, 1005],
  ] as const) {
    const socket = await openWebSocket(t, demo)
    socket.close(sent)
    assert.equal((await once(socket, 'close'))[0], expected)
  }
})

test('a message over the bound is refused with 1009', async (t) => {
  const demo = await start(t)
  const whole = await openWebSocket(t, demo)
  whole.on('error', () => {})
  whole.send(Buffer.alloc(16 * 1024 * 1024 + 1))
  assert.equal((await once(whole, 'close'))[0], 1009)
  const announced = await rawFrames(demo, frame(0x82, Buffer.alloc(0), { length: 2 ** 52 }))
  assert.deepEqual([...announced], [0x88, 2, 1009 >> 8, 1009 & 255])
})

test('a client that breaks the protocol is told so', async (t) => {
  const demo = await start(t)
  const none = Buffer.alloc(0)
  const cases: ReadonlyArray<readonly [name: string, code: number, ...frames: Buffer[]]> = [
    ['unmasked', 1002, frame(0x81, Buffer.from('hi'), { mask: false })],
    ['reserved bit', 1002, frame(0xc1, none)],
    ['unknown opcode', 1002, frame(0x83, none)],
    ['unknown control opcode', 1002, frame(0x8b, none)],
    ['fragmented ping', 1002, frame(0x09, none)],
    ['long ping', 1002, frame(0x89, Buffer.alloc(126))],
    ['continuation of nothing', 1002, frame(0x80, none)],
    ['message within a message', 1002, frame(0x01, none), frame(0x81, none)],
    ['close with one byte', 1002, frame(0x88, Buffer.from([3]))],
    ['close code that must not be sent', 1002, frame(0x88, Buffer.from([1005 >> 8, 1005 & 255]))],
    ['text that is not UTF-8', 1007, frame(0x81, Buffer.from([0xff]))],
    ['close reason that is not UTF-8', 1007, frame(0x88, Buffer.from([1000 >> 8, 1000 & 255, 0xff]))],
  ]
  for (const [name, code, ...frames] of cases) {
    assert.deepEqual([...(await rawFrames(demo, ...frames))], [0x88, 2, code >> 8, code & 255], name)
  }
})

test('frames may arrive one byte at a time', async (t) => {
  const demo = await start(t)
  const { socket, received } = await raw(demo)
  socket.setNoDelay(true)
  const bytes = Buffer.concat([
    Buffer.from(handshake()),
    frame(0x81, Buffer.alloc(200, 'a')),
    frame(0x88, Buffer.alloc(0)),
  ])
  for (const byte of bytes) {
    socket.write(Buffer.from([byte]))
    await new Promise(setImmediate)
  }
  const got = await received
  assert.match(String(got), /Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=\r\n/)
  const frames = got.subarray(got.indexOf('\r\n\r\n') + 4)
  assert.deepEqual(
    frames,
    Buffer.concat([Buffer.from([0x81, 126, 0, 200]), Buffer.alloc(200, 'a'), Buffer.from([0x88, 0])]),
  )
})

test('a WebSocket client that does not read is not read from', async (t) => {
  const demo = await start(t)
  const socket = await openWebSocket(t, demo)
  socket.pause()
  const message = Buffer.alloc(1024 * 1024)
  const count = 64
  for (let i = 0; i < count; i++) socket.send(message)
  await new Promise((resolve) => setTimeout(resolve, 200))
  // What the two kernels hold is a few MB; the rest waits at the client.
  assert.ok(socket.bufferedAmount > 32 * message.length, `${socket.bufferedAmount} bytes wait`)
  let received = 0
  socket.on('message', () => received++)
  socket.resume()
  while (received < count) await once(socket, 'message')
})

test('a handshake that cannot be is refused', async (t) => {
  const demo = await start(t)
  const upgrade = {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  const version = { 'sec-websocket-version': '13' }
  const old = await ask(demo, '/ws', { headers: { ...upgrade, 'sec-websocket-version': '8' } })
  assert.equal(old.status, 426)
  assert.equal(old.headers['sec-websocket-version'], '13')
  assert.equal(
    (await ask(demo, '/ws', { headers: { ...upgrade, ...version, 'sec-websocket-key': 'x' } })).status,
    400,
  )
  assert.equal((await ask(demo, '/ws', { headers: { ...upgrade, ...version }, method: 'POST' })).status, 405)
})
