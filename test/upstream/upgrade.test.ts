import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { WebSocket, WebSocketServer } from 'ws'
import { parseTarget } from '../../src/cli/values.ts'
import { Exchange } from '../../src/core/exchange.ts'
import { firstValue } from '../../src/http/fields.ts'
import { requestFields, upstreamPath } from '../../src/upstream/request-fields.ts'
import { type UpgradeEnd, type UpgradeOptions, upgrades } from '../../src/upstream/upgrade.ts'

const portOf = (server: { address(): AddressInfo | string | null }): number =>
  (server.address() as AddressInfo).port
const listening = async <T extends Server | ReturnType<typeof createTcpServer>>(
  t: TestContext,
  server: T,
  host = '127.0.0.1',
) => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  t.after(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: portOf(server), sockets, server }
}

const until = async (condition: () => boolean, what: string): Promise<void> => {
  for (let tries = 0; tries < 3000; tries++) {
    if (condition()) return
    await sleep(1)
  }
  assert.fail(`this should have happened: ${what}`)
}

/** A server of ours in front of `target`. At the end of the test nothing may be left open. */
const startFront = async (
  t: TestContext,
  target: string,
  more: Partial<UpgradeOptions> & { hostHeader?: string } = {},
) => {
  const parsed = parseTarget(target)
  const tunnels = upgrades({
    target: parsed,
    prepare: (req) =>
      requestFields(req, {
        hostHeader: more.hostHeader ?? 'target',
        targetAuthority: parsed.authority,
        edits: [],
      }),
    timeoutMs: 2000,
    connectTimeoutMs: 2000,
    tls: { rejectUnauthorized: true },
    clock: { now: () => Date.now() },
    lingerMs: 300,
    ...more,
  })
  const exchanges: Exchange[] = []
  const ends: UpgradeEnd[] = []
  const server = createServer()
  server.on('upgrade', (message: IncomingMessage, socket, head) => {
    const exchange = new Exchange({
      id: exchanges.length,
      cause: 'client',
      method: message.method!,
      url: message.url!,
      host: message.headers.host ?? '',
      scheme: 'http',
      clientAddress: '192.0.2.9',
      httpVersion: message.httpVersion,
      startedAt: Date.now(),
      requestHeaders: message.rawHeaders,
    })
    exchanges.push(exchange)
    const url = upstreamPath(message.url!, parsed.basePath, parsed.baseQuery)
    void tunnels.handle({ message, socket, head, exchange, url }).then((end) => ends.push(end))
  })
  const { port, sockets } = await listening(t, server)
  t.after(() => until(() => tunnels.count() === 0, 'no tunnel is left'))
  return { port, sockets, tunnels, exchanges, ends, url: `ws://127.0.0.1:${port}` }
}

/** A WebSocket server that sends everything back. */
const startEcho = async (t: TestContext, host = '127.0.0.1') => {
  const http = createServer()
  const requests: IncomingMessage[] = []
  const wss = new WebSocketServer({
    server: http,
    handleProtocols: (offered) => [...offered].at(-1) ?? false,
  })
  wss.on('connection', (socket, message) => {
    requests.push(message)
    socket.on('message', (data, binary) => socket.send(data, { binary }))
    socket.on('error', () => {})
  })
  const { port, sockets } = await listening(t, http, host)
  return { port, sockets, wss, requests }
}

const opened = (t: TestContext, url: string, protocols: string[] = [], options = {}): Promise<WebSocket> =>
  new Promise((resolve, reject) => {
    const client = new WebSocket(url, protocols, options)
    t.after(() => client.terminate())
    client.once('open', () => resolve(client))
    client.once('error', reject)
  })
const echoed = (client: WebSocket, data: string | Buffer): Promise<{ data: Buffer; binary: boolean }> =>
  new Promise((resolve) => {
    client.once('message', (message, binary) => resolve({ data: message as Buffer, binary }))
    client.send(data)
  })
const closed = (client: WebSocket): Promise<[code: number, reason: string]> =>
  new Promise((resolve) => client.once('close', (code, reason) => resolve([code, reason.toString()])))

const handshake = (path = '/', more: string[] = []): string =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: front.example',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...more,
    '',
    '',
  ].join('\r\n')

/** Takes connections and says nothing. */
const silentServer = () => createTcpServer((socket) => socket.resume())

/** Sends bytes and gives all that came back, once the connection is closed. */
const exchanged = (port: number, bytes: string): Promise<string> =>
  new Promise((resolve, reject) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from(bytes, 'latin1')))
    socket.on('data', (data) => {
      received += data.toString('latin1')
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(received))
  })

test('messages go both ways: text, binary, a megabyte', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const client = await opened(t, `${front.url}/chat?a=1`)
  assert.deepEqual(await echoed(client, 'hällo'), { data: Buffer.from('hällo'), binary: false })
  const binary = Buffer.from([0, 1, 254, 255])
  assert.deepEqual(await echoed(client, binary), { data: binary, binary: true })
  const large = Buffer.alloc(1024 * 1024, 'x')
  assert.ok((await echoed(client, large)).data.equals(large))
  client.close(4001, 'enough')
  assert.deepEqual(await closed(client), [4001, 'enough'])
  await until(() => front.ends.length === 1, 'the tunnel ended')

  const [exchange] = front.exchanges
  assert.equal(exchange!.upgraded, 'websocket')
  assert.equal(exchange!.upstream?.status, 101)
  assert.equal(exchange!.upstream?.address, `127.0.0.1:${echo.port}`)
  assert.ok(exchange!.upstream!.sentAt! >= exchange!.upstream!.startedAt)
  assert.ok(exchange!.upstream!.headAt! >= exchange!.upstream!.sentAt!)
  assert.ok(exchange!.upstream!.endedAt! >= exchange!.upstream!.headAt!)
  assert.equal(firstValue(exchange!.responseHeaders!, 'upgrade'), 'websocket')
  // Frames of a client are masked: four bytes more each.
  const [end] = front.ends
  assert.equal(end!.status, 101)
  assert.equal(end!.error, undefined)
  assert.equal(end!.bytes, exchange!.upstream!.receivedBytes)
  assert.equal(exchange!.requestBytes, exchange!.upstream!.sentBytes)
  assert.equal(exchange!.requestBytes - end!.bytes, 4 * 4)
  assert.ok(end!.bytes > 1024 * 1024)
})

test('a close of the upstream carries its code to the client', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const client = await opened(t, front.url)
  const ending = closed(client)
  for (const socket of echo.wss.clients) socket.close(1011, 'oops')
  assert.deepEqual(await ending, [1011, 'oops'])
  await until(() => front.ends.length === 1, 'the tunnel ended')
  assert.equal(front.ends[0]!.error, undefined)
})

test('a client that is killed takes its upstream connection along', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const client = await opened(t, front.url)
  await echoed(client, 'hello')
  client.terminate()
  await until(() => echo.sockets.size === 0, 'the upstream socket is closed')
  await until(() => front.ends.length === 1 && front.sockets.size === 0, 'the tunnel ended')
  assert.equal(front.ends[0]!.status, 101)
})

test('a client that resets its connection takes its upstream connection along', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const socket = connect(front.port, '127.0.0.1', () => socket.write(handshake()))
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('data', resolve))
  socket.resetAndDestroy()
  await until(() => echo.sockets.size === 0 && front.ends.length === 1, 'both ended')
})

test('an upstream that is killed takes its client connection along', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  for (const kill of ['destroy', 'resetAndDestroy'] as const) {
    const client = await opened(t, front.url)
    await echoed(client, 'hello')
    const ending = closed(client)
    for (const socket of echo.sockets) socket[kill]()
    assert.deepEqual(await ending, [1006, ''])
    await until(() => front.sockets.size === 0 && front.tunnels.count() === 0, 'the client socket is closed')
  }
  assert.equal(front.ends[1]!.error?.code, 'upstream-aborted')
})

test('many tunnels come and go without a trace', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const client = await opened(t, front.url)
      assert.equal((await echoed(client, `hello ${i}`)).data.toString(), `hello ${i}`)
      if (i % 3 === 0) client.terminate()
      else client.close()
      await closed(client)
    }),
  )
  await until(
    () => front.ends.length === 50 && echo.sockets.size === 0 && front.sockets.size === 0,
    'all ended',
  )
})

test('subprotocol and extensions are agreed between the ends', async (t) => {
  const echo = await startEcho(t)
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const client = await opened(t, front.url, ['one', 'two'], { perMessageDeflate: true })
  assert.equal(client.protocol, 'two')
  assert.equal(
    echo.requests[0]!.headers['sec-websocket-extensions'],
    'permessage-deflate; client_max_window_bits',
  )
  client.close()
  await closed(client)
})

test('the upstream gets exactly the prepared fields and the exact path', async (t) => {
  const seen: string[] = []
  const tcp = createTcpServer((socket) => {
    socket.once('data', (data) => {
      seen.push(data.toString('latin1'))
      socket.end('HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n')
    })
  })
  const { port } = await listening(t, tcp)
  const front = await startFront(t, `http://127.0.0.1:${port}/base?key=1`)
  await exchanged(
    front.port,
    handshake('/a//b/../c?x=http://y//z&q=%20', [
      'X-Twice: 1',
      'x-twice: 2',
      'X-High: \xe4',
      'X-Forwarded-For: 6.6.6.6',
      'Forwarded: for=6.6.6.6',
      'Expect: 100-continue',
      'Content-Length: 0',
      'TE: trailers',
      'Keep-Alive: timeout=5',
      'Via: 1.0 fred',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    ]),
  )
  assert.equal(
    seen[0],
    [
      'GET /base/a//b/../c?x=http://y//z&q=%20&key=1 HTTP/1.1',
      `Host: 127.0.0.1:${port}`,
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'X-Twice: 1',
      'X-Twice: 2',
      'X-High: \xe4',
      'traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'Via: 1.0 fred, 1.1 revproxy',
      'X-Forwarded-For: 192.0.2.9',
      'X-Forwarded-Proto: http',
      'X-Forwarded-Host: front.example',
      'X-Real-IP: 192.0.2.9',
      'Forwarded: for=192.0.2.9;host=front.example;proto=http',
      'Connection: Upgrade',
      'Upgrade: websocket',
      '',
      '',
    ].join('\r\n'),
  )
})

test('the client gets the fields of the 101 as they came, edited, without connection-level ones', async (t) => {
  const tcp = createTcpServer((socket) => {
    socket.once('data', () => {
      socket.end(
        'HTTP/1.1 101 Whatever\r\nUpgrade: WebSocket\r\nConnection: upgrade, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n' +
          'Age: 1\r\nAge: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-High: \xe4\r\nServer: own\r\n\r\nfirst bytes',
        'latin1',
      )
    })
  })
  const { port } = await listening(t, tcp)
  const front = await startFront(t, `http://127.0.0.1:${port}`, {
    responseEdits: [
      { name: 'server', value: undefined },
      { name: 'X-Added', value: 'yes' },
    ],
  })
  const received = await exchanged(front.port, handshake())
  assert.equal(
    received,
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nAge: 1\r\nAge: 2\r\n' +
      'Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-High: \xe4\r\nX-Added: yes\r\n\r\nfirst bytes',
  )
  await until(() => front.ends.length === 1, 'it ended')
  assert.equal(front.ends[0]!.bytes, 'first bytes'.length)
  assert.equal(front.exchanges[0]!.upgraded, 'websocket')
})

test('an upstream that is down is answered with 502, an unknown name too', async (t) => {
  const tcp = await listening(t, silentServer())
  tcp.server.close()
  for (const [target, code] of [
    [`http://127.0.0.1:${tcp.port}`, 'upstream-refused'],
    [`http://localhost:${tcp.port}`, 'upstream-refused'],
    [`https://localhost:${tcp.port}`, 'upstream-refused'],
    ['http://nowhere.invalid:1', 'upstream-unresolved'],
    ['unix:/nowhere/to/be.found', 'upstream-refused'],
  ] as const) {
    const front = await startFront(t, target)
    const received = await exchanged(front.port, handshake())
    assert.match(received, /^HTTP\/1\.1 502 Bad Gateway\r\n/, target)
    assert.match(received, /\r\nConnection: close\r\n/)
    assert.match(received, /\r\n\r\n502 - Bad Gateway\n.+\n$/)
    await until(() => front.ends.length === 1, 'it ended')
    assert.equal(front.ends[0]!.status, 502)
    assert.equal(front.ends[0]!.error?.code, code, target)
    assert.ok(front.ends[0]!.bytes > 20)
  }
})

test('an upstream that takes the connection and says nothing is answered with 504', async (t) => {
  const tcp = await listening(t, silentServer())
  const front = await startFront(t, `http://127.0.0.1:${tcp.port}`, { timeoutMs: 60 })
  assert.match(await exchanged(front.port, handshake()), /^HTTP\/1\.1 504 Gateway Timeout\r\n/)
  await until(() => front.ends.length === 1 && tcp.sockets.size === 0, 'it ended, upstream too')
  assert.equal(front.ends[0]!.error?.code, 'upstream-timeout')
})

test('a TLS handshake that never ends is a connection that never comes', async (t) => {
  const tcp = await listening(t, silentServer())
  const front = await startFront(t, `https://127.0.0.1:${tcp.port}`, { connectTimeoutMs: 60 })
  assert.match(await exchanged(front.port, handshake()), /^HTTP\/1\.1 504 Gateway Timeout\r\n/)
  await until(() => front.ends.length === 1 && tcp.sockets.size === 0, 'it ended, upstream too')
  assert.equal(front.ends[0]!.error?.code, 'connect-timeout')
})

test('an upstream that answers garbage or just closes is answered with 502', async (t) => {
  for (const [answer, code] of [
    ['SSH-2.0-OpenSSH_9.6\r\n', 'upstream-protocol'],
    ['\x00\x01\x02\x03', 'upstream-protocol'],
    ['HTTP/1.1 101 Switching Protocols\r\nUpgrade: web', 'upstream-reset'],
    [`HTTP/1.1 101 Switching Protocols\r\nX: ${'y'.repeat(100_000)}`, 'upstream-protocol'],
    ['', 'upstream-reset'],
  ] as const) {
    const tcp = await listening(
      t,
      createTcpServer((socket) => socket.once('data', () => socket.end(answer))),
    )
    const front = await startFront(t, `http://127.0.0.1:${tcp.port}`)
    assert.match(
      await exchanged(front.port, handshake()),
      /^HTTP\/1\.1 502 Bad Gateway\r\n/,
      answer.slice(0, 60),
    )
    await until(() => front.ends.length === 1, 'it ended')
    assert.equal(front.ends[0]!.error?.code, code, answer.slice(0, 60))
  }
})

test('a head of up to 64 kB is taken', async (t) => {
  const tcp = await listening(
    t,
    createTcpServer((socket) =>
      socket.once('data', () =>
        socket.end(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: ${'y'.repeat(50_000)}\r\n\r\n`,
        ),
      ),
    ),
  )
  const front = await startFront(t, `http://127.0.0.1:${tcp.port}`)
  assert.match(await exchanged(front.port, handshake()), /^HTTP\/1\.1 101 /)
})

test('a refusal with a chunked body arrives whole and well framed', async (t) => {
  const body = 'no entry '.repeat(50_000)
  const upstream = createServer()
  upstream.on('upgrade', (_, socket) => {
    socket.write(
      'HTTP/1.1 403 Keep Out\r\nTransfer-Encoding: chunked\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n',
    )
    const half = body.length / 2
    for (const part of [body.slice(0, half), body.slice(half)])
      socket.write(`${part.length.toString(16)}\r\n${part}\r\n`)
    socket.end('0\r\n\r\n')
  })
  const { port } = await listening(t, upstream)
  const front = await startFront(t, `http://127.0.0.1:${port}`)
  const answer = await new Promise<{ message: IncomingMessage; text: string }>((resolve, reject) => {
    const client = new WebSocket(front.url)
    client.on('error', () => {})
    client.on('unexpected-response', (_, message) => {
      let text = ''
      message.on('data', (data) => {
        text += data
      })
      message.on('end', () => resolve({ message, text }))
      message.on('error', reject)
    })
  })
  assert.equal(answer.message.statusCode, 403)
  assert.equal(answer.message.statusMessage, 'Keep Out')
  assert.equal(answer.message.headers['transfer-encoding'], 'chunked')
  assert.equal(answer.message.headers['x-a'], '1, 2')
  assert.equal(answer.message.headers.connection, 'close')
  assert.equal(answer.text, body)
  await until(() => front.ends.length === 1 && front.sockets.size === 0, 'it ended')
  assert.deepEqual(front.ends[0], { status: 403, bytes: body.length })
  assert.equal(front.exchanges[0]!.upgraded, undefined)
})

test('other refusals pass as they are: with a length, without a body, asking for another version', async (t) => {
  for (const [answer, want] of [
    [
      'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n\r\nno',
      /401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n[\s\S]*\r\n\r\nno$/,
    ],
    ['HTTP/1.1 204 No Content\r\n\r\n', /204 No Content\r\n[\s\S]*\r\n\r\n$/],
    ['HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n', /304 Not Modified\r\nETag: "a"\r\n[\s\S]*\r\n\r\n$/],
    [
      'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n',
      /426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\n[\s\S]*\r\n\r\n$/,
    ],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', /200 OK\r\n[\s\S]*\r\n\r\nhello$/],
    [
      'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
      /^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\nhello$/,
    ],
    [
      'HTTP/1.0 200 OK\r\n\r\nto the end',
      /200 OK\r\n[\s\S]*Transfer-Encoding: chunked\r\n\r\na\r\nto the end\r\n0\r\n\r\n$/,
    ],
  ] as const) {
    const tcp = await listening(
      t,
      createTcpServer((socket) => socket.once('data', () => socket.end(answer))),
    )
    const front = await startFront(t, `http://127.0.0.1:${tcp.port}`)
    const received = await exchanged(front.port, handshake())
    assert.match(received, want)
    assert.match(received, /\r\nConnection: close\r\n/)
    await until(() => front.ends.length === 1, 'it ended')
    assert.equal(front.ends[0]!.error, undefined)
  }
})

test('a refusal that breaks off or falls silent is never a whole one', async (t) => {
  for (const [ending, code] of [
    ['destroy', 'upstream-aborted'],
    ['silence', 'upstream-timeout'],
  ] as const) {
    const tcp = await listening(
      t,
      createTcpServer((socket) =>
        socket.once('data', () => {
          socket.write('HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
          if (ending === 'destroy') setTimeout(() => socket.destroy(), 20)
        }),
      ),
    )
    const front = await startFront(t, `http://127.0.0.1:${tcp.port}`, { timeoutMs: 80 })
    const received = await exchanged(front.port, handshake())
    assert.match(received, /\r\n5\r\nhello\r\n$/)
    await until(() => front.ends.length === 1 && tcp.sockets.size === 0, 'it ended')
    assert.equal(front.ends[0]!.status, 403)
    assert.equal(front.ends[0]!.error?.code, code)
  }
})

test('a client that leaves within an endless refusal takes its request along', async (t) => {
  const tcp = await listening(
    t,
    createTcpServer((socket) => {
      socket.write('HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n')
      const timer = setInterval(() => socket.write(`2710\r\n${'x'.repeat(10_000)}\r\n`), 1)
      socket.on('close', () => clearInterval(timer)).resume()
    }),
  )
  const front = await startFront(t, `http://127.0.0.1:${tcp.port}`)
  for (const leave of ['destroy', 'resetAndDestroy'] as const) {
    const socket = connect(front.port, '127.0.0.1', () => socket.write(handshake()))
    await new Promise((resolve) => socket.once('data', resolve))
    socket[leave]()
    await until(() => tcp.sockets.size === 0 && front.tunnels.count() === 0, 'both are gone')
  }
  assert.deepEqual(
    front.ends.map(({ status, error }) => [status, error?.code]),
    Array(2).fill([403, 'client-gone']),
  )
})

test('bytes sent together with the handshake reach the upstream', async (t) => {
  const tcp = await listening(
    t,
    createTcpServer((socket) => {
      let received = ''
      socket.on('data', (data) => {
        const before = received
        received += data.toString('latin1')
        if (!before.includes('\r\n\r\n') && received.includes('\r\n\r\n')) {
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
          )
        }
        if (received.endsWith('early and late')) socket.end(received.split('\r\n\r\n')[1] ?? '')
      })
    }),
  )
  const front = await startFront(t, `http://127.0.0.1:${tcp.port}`)
  const received = await new Promise<string>((resolve) => {
    let text = ''
    const socket = connect(front.port, '127.0.0.1', () => socket.write(`${handshake()}early`))
    socket.on('data', (data) => {
      if (text === '') socket.write(' and late')
      text += data
    })
    socket.on('close', () => resolve(text))
  })
  assert.ok(received.endsWith('\r\n\r\nearly and late'), received)
  await until(() => front.ends.length === 1, 'it ended')
  assert.equal(front.exchanges[0]!.requestBytes, 'early and late'.length)
})

test('a client that leaves before the upstream has answered takes its request along', async (t) => {
  const tcp = await listening(t, silentServer())
  const front = await startFront(t, `http://127.0.0.1:${tcp.port}`, { timeoutMs: 60_000 })
  for (const leave of ['destroy', 'end', 'resetAndDestroy'] as const) {
    const socket = connect(front.port, '127.0.0.1', () => socket.write(handshake()))
    socket.on('error', () => {})
    await until(() => tcp.sockets.size === 1, 'the upstream has the request')
    socket[leave]()
    await until(() => tcp.sockets.size === 0 && front.tunnels.count() === 0, 'both are gone')
  }
  assert.deepEqual(
    front.ends.map(({ status, error }) => [status, error?.code]),
    Array(3).fill([0, 'client-gone']),
  )
})

test('a tunnel of which one side has ended ends when nothing moves any more', async (t) => {
  const tcp = await listening(
    t,
    createTcpServer({ allowHalfOpen: true }, (socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n')
        socket.once('end', () => setTimeout(() => socket.write('still here'), 50))
      })
    }),
  )
  const front = await startFront(t, `http://127.0.0.1:${tcp.port}`, { lingerMs: 150 })
  const socket = connect({ port: front.port, host: '127.0.0.1', allowHalfOpen: true }, () =>
    socket.write(handshake()),
  )
  let received = ''
  socket.once('data', () => socket.end())
  socket.on('data', (data) => {
    received += data
  })
  socket.on('error', () => {})
  await until(() => front.ends.length === 1, 'it ended')
  assert.ok(received.endsWith('still here'))
  socket.destroy()
})

test('a client that does not read holds the upstream back', async (t) => {
  const echo = await startEcho(t)
  let sent = 0
  echo.wss.removeAllListeners('connection')
  echo.wss.on('connection', (upstream) => {
    upstream.on('error', () => {})
    for (let i = 0; i < 64; i++) {
      upstream.send(Buffer.alloc(1024 * 1024), () => {
        sent++
      })
    }
  })
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const socket = connect(front.port, '127.0.0.1', () => socket.write(handshake()))
  socket.on('error', () => {})
  socket.pause()
  await until(() => front.exchanges[0]?.upgraded !== undefined, 'the tunnel is open')
  await sleep(300)
  const before = front.exchanges[0]!.upstream!.receivedBytes
  await sleep(100)
  assert.equal(front.exchanges[0]!.upstream!.receivedBytes, before)
  assert.ok(before < 32 * 1024 * 1024, `${before} bytes went in`)
  assert.ok(sent < 64)
  socket.resume()
  await until(() => front.exchanges[0]!.upstream!.receivedBytes > 64 * 1024 * 1024, 'all came')
  socket.destroy()
  await until(() => front.ends.length === 1, 'it ended')
})

test('targets: a name with two families, IPv6, a unix socket', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'upstream.sock')
  const unix = createServer()
  const wss = new WebSocketServer({ server: unix })
  wss.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  await new Promise<void>((resolve) => unix.listen(path, resolve))
  t.after(() => {
    for (const socket of wss.clients) socket.terminate()
    unix.close()
  })
  const four = await startEcho(t, '127.0.0.1')
  const six = await startEcho(t, '::1')
  for (const target of [
    `http://localhost:${four.port}`,
    `http://localhost:${six.port}`,
    `http://[::1]:${six.port}`,
    `unix:${path}`,
  ]) {
    const front = await startFront(t, target)
    const client = await opened(t, front.url)
    assert.equal((await echoed(client, target)).data.toString(), target)
    client.close()
    await closed(client)
    await until(() => front.ends.length === 1, 'it ended')
  }
})

test('a TLS upstream: refused with an unknown certificate, taken with -k or --ca, asked for by its own name', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  execFileSync(
    'openssl',
    `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout ${keyFile} -out ${certFile}`.split(
      ' ',
    ),
    { stdio: 'ignore' },
  )
  const cert = readFileSync(certFile, 'utf8')
  const names: unknown[] = []
  const tls = createTlsServer({ key: readFileSync(keyFile), cert })
  tls.on('secureConnection', (socket) => names.push((socket as { servername?: unknown }).servername))
  const wss = new WebSocketServer({ server: tls })
  wss.on('connection', (socket) => socket.on('message', (data) => socket.send(data)))
  const { port, sockets } = await listening(t, tls as unknown as Server, 'localhost')

  const strict = await startFront(t, `https://localhost:${port}`)
  const received = await exchanged(strict.port, handshake())
  assert.match(received, /^HTTP\/1\.1 502 Bad Gateway\r\n/)
  await until(() => strict.ends.length === 1, 'it ended')
  assert.equal(strict.ends[0]!.error?.code, 'upstream-tls')

  for (const options of [{ rejectUnauthorized: false }, { rejectUnauthorized: true, ca: cert }]) {
    // With the client's Host, the certificate is still asked for by the target's name.
    const front = await startFront(t, `https://localhost:${port}`, { tls: options, hostHeader: 'client' })
    const client = await opened(t, front.url, [], { headers: { host: 'other.example' } })
    const large = Buffer.alloc(100_000, 'x')
    assert.ok((await echoed(client, large)).data.equals(large))
    client.close()
    await closed(client)
    await until(() => front.ends.length === 1, 'it ended')
    // Plain bytes are counted, not those of TLS: a frame with its head of 10, and an empty close frame.
    assert.equal(front.ends[0]!.bytes, 100_000 + 10 + 2)
    assert.equal(names.at(-1), 'localhost')
  }
  await until(() => sockets.size === 0, 'no connection is kept')
})

test('closing ends all tunnels and what is about to become one', async (t) => {
  const echo = await startEcho(t)
  const silent = await listening(t, silentServer())
  const front = await startFront(t, `http://127.0.0.1:${echo.port}`)
  const waiting = await startFront(t, `http://127.0.0.1:${silent.port}`)
  const client = await opened(t, front.url)
  const ending = closed(client)
  const unanswered = exchanged(waiting.port, handshake())
  await until(() => silent.sockets.size === 1, 'the upstream has the request')
  front.tunnels.closeAll()
  waiting.tunnels.closeAll()
  assert.deepEqual(await ending, [1006, ''])
  assert.equal(await unanswered, '')
  await until(
    () => echo.sockets.size === 0 && silent.sockets.size === 0,
    'the upstream connections are closed',
  )
  await until(() => front.ends.length === 1 && waiting.ends.length === 1, 'they ended')
})

test('http-proxy is loaded with the first upgrade only, and nothing is printed (node-http-proxy#1666)', () => {
  const module = fileURLToPath(new URL('../../src/upstream/upgrade.js', import.meta.url))
  const program = `
    import { createRequire } from 'node:module'
    import { once } from 'node:events'
    import { createServer } from 'node:http'
    import { connect } from 'node:net'
    import util from 'node:util'
    const { upgrades } = await import(${JSON.stringify(module)})
    const loaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('http-proxy'))
    console.log(loaded())
    const extend = util._extend
    const upstream = createServer().on('upgrade', (_, socket) => socket.end('HTTP/1.1 101 OK\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\nhi'))
    await once(upstream.listen(0, '127.0.0.1'), 'listening')
    const target = { protocol: 'http:', hostname: '127.0.0.1', port: upstream.address().port, authority: 'x', display: 'x' }
    const tunnels = upgrades({ target, prepare: () => ['Host', 'x'], timeoutMs: 1000, connectTimeoutMs: 1000, tls: { rejectUnauthorized: true }, clock: { now: Date.now } })
    const front = createServer().on('upgrade', async (message, socket, head) => {
      const end = await tunnels.handle({ message, socket, head, exchange: { requestBytes: 0 }, url: '/' })
      console.log(end.status, end.bytes, loaded(), util._extend === extend)
      front.close()
      upstream.close()
    })
    await once(front.listen(0, '127.0.0.1'), 'listening')
    const client = connect(front.address().port, '127.0.0.1')
    client.on('end', () => client.end()).resume().write(${JSON.stringify(handshake())})
  `
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  assert.equal(stderr, '')
  assert.equal(stdout, 'false\n101 2 true true\n')
  assert.equal(status, 0)
})
