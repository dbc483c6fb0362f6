/** What no upstream can be made to do at the right moment: connections that come late, or never. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex, PassThrough, type Readable } from 'node:stream'
import { test } from 'node:test'
import type { Attempt } from '../../src/upstream/attempt.ts'
import { PlainPool } from '../../src/upstream/plain-pool.ts'
import { plainRequest } from '../../src/upstream/plain-request.ts'

type Dialled = (...result: [error: Error] | [error: null, socket: Socket]) => void

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A connection that keeps what is written. */
const connection = () => {
  let written = ''
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      written += chunk.toString('latin1')
      done()
    },
  })
  return {
    socket: socket as unknown as Socket,
    written: () => written,
    push: (text: string) => socket.push(text),
  }
}

const attempt = () => {
  const told: string[] = []
  const listener = {
    isOver: false,
    onConnect() {},
    abortedBy() {},
    onHeaders: () => true,
    onResponseStarted() {},
    onRequestSent() {},
    onBodySent() {},
    onHead: (status: number) => void told.push(String(status)),
    onData: () => true,
    onComplete: () => void told.push('complete'),
    onError: (error: NodeJS.ErrnoException) => void told.push(error.code ?? error.message),
  }
  return { listener, told, attempt: listener as unknown as Attempt }
}

const request = (body: Readable | null = null) =>
  plainRequest({
    method: body === null ? 'GET' : 'POST',
    path: '/',
    headers: ['Host', 'a'],
    body,
    trailers: undefined,
    servername: 'a',
    acceptsTrailers: false,
  })!

const startPool = () => {
  const dialled: Dialled[] = []
  const pool = new PlainPool({ origin: 'http://a', dial: (done) => void dialled.push(done) })
  return { pool, dialled }
}

test('a connection whose client left while it was dialled serves the next one', async () => {
  const { pool, dialled } = startPool()
  const first = attempt()
  pool.dispatch(request(), first.attempt)
  await turn()
  first.listener.isOver = true
  const { socket, written, push } = connection()
  dialled[0]!(null, socket)
  assert.equal(written(), '')
  await turn()
  const second = attempt()
  pool.dispatch(request(), second.attempt)
  await turn()
  assert.equal(dialled.length, 1)
  assert.match(written(), /^GET \/ HTTP\/1\.1\r\n/)
  push('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  await turn()
  assert.deepEqual([first.told, second.told], [[], ['200', 'complete']])
  await pool.close()
  assert.ok(socket.destroyed)
})

test('a client that leaves before its request is sent costs no connection', async () => {
  const { pool, dialled } = startPool()
  const first = attempt()
  pool.dispatch(request(), first.attempt)
  first.listener.isOver = true
  await turn()
  assert.equal(dialled.length, 0)
  await pool.close()
})

test('shutting down tells those at once who wait for a connection, and closes what comes later', async () => {
  const { pool, dialled } = startPool()
  const dialling = attempt()
  pool.dispatch(request(), dialling.attempt)
  await turn()
  const waiting = attempt()
  pool.dispatch(request(), waiting.attempt)
  await pool.close()
  const late = attempt()
  pool.dispatch(request(), late.attempt)
  for (const { told } of [dialling, waiting, late]) assert.deepEqual(told, ['UND_ERR_DESTROYED'])
  const { socket } = connection()
  dialled[0]!(null, socket)
  assert.ok(socket.destroyed)
})

test('shutting down breaks off what is under way, with us and handed over', async () => {
  for (const [begun, told] of [
    ['', ['UND_ERR_DESTROYED']],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc', ['200', 'UND_ERR_DESTROYED']],
    ['HTTP/1.1 103 Early Hints\r\n\r\n', ['UND_ERR_DESTROYED']],
  ] as const) {
    const { pool, dialled } = startPool()
    const first = attempt()
    pool.dispatch(request(), first.attempt)
    await turn()
    const { socket, push } = connection()
    dialled[0]!(null, socket)
    push(begun)
    await turn()
    await turn()
    await pool.close()
    await turn()
    assert.deepEqual(first.told, told, begun)
    assert.ok(socket.destroyed)
  }
})

test('an answer up to the end of its connection, handed over, ends although its reader has paused (nodejs/undici#5360)', async () => {
  const { pool, dialled } = startPool()
  const first = attempt()
  first.listener.onData = () => false
  pool.dispatch(request(), first.attempt)
  await turn()
  const { socket, push } = connection()
  dialled[0]!(null, socket)
  push('HTTP/1.1 200 OK\r\n\r\n')
  await turn()
  push('hello')
  socket.push(null)
  for (let turns = 0; turns < 5; turns++) await turn()
  assert.deepEqual(first.told, ['complete'])
  await pool.close()
})

test('a dial that failed is told once, and leaves the others alone', async () => {
  const { pool, dialled } = startPool()
  const [first, second] = [attempt(), attempt()]
  pool.dispatch(request(), first.attempt)
  pool.dispatch(request(), second.attempt)
  await turn()
  dialled[0]!(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }))
  assert.deepEqual([first.told, second.told], [['ECONNREFUSED'], []])
  await pool.close()
  assert.deepEqual([first.told, second.told], [['ECONNREFUSED'], ['UND_ERR_DESTROYED']])
})

test('a connection is not used in the turn in which it came free: its end may be on the way', async () => {
  const { pool, dialled } = startPool()
  const first = attempt()
  pool.dispatch(request(), first.attempt)
  await turn()
  const early = attempt()
  pool.dispatch(request(), early.attempt)
  const { socket, written, push } = connection()
  dialled[0]!(null, socket)
  push('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  for (let tick = 0; tick < 100 && first.told.length < 2; tick++) await new Promise(process.nextTick)
  assert.deepEqual(first.told, ['200', 'complete'])
  await turn()
  assert.equal(dialled.length, 2)
  assert.equal(written().match(/GET/g)?.length, 1)
  const later = attempt()
  pool.dispatch(request(), later.attempt)
  await turn()
  assert.equal(dialled.length, 2)
  assert.equal(written().match(/GET/g)?.length, 2)
  // Its end came before anything of the answer did.
  socket.push(null)
  await turn()
  assert.deepEqual(later.told, ['UND_ERR_SOCKET'])
  await pool.close()
})

/** A pool with an idle connection, and an upload whose turn it is there, but of which nothing has come yet. */
const startUpload = async () => {
  const { pool, dialled } = startPool()
  const first = attempt()
  pool.dispatch(request(), first.attempt)
  await turn()
  const old = connection()
  dialled[0]!(null, old.socket)
  old.push('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
  await turn()
  await turn()
  assert.deepEqual(first.told, ['200', 'complete'])
  const body = new PassThrough()
  const upload = attempt()
  pool.dispatch(request(body), upload.attempt)
  await turn()
  assert.equal(dialled.length, 1)
  assert.equal(old.written().includes('POST'), false)
  return { pool, dialled, old, body, upload }
}

for (const [name, happens] of [
  ['ends', ({ socket }) => void socket.push(null)],
  [
    'is reset',
    ({ socket }) => void socket.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
  ],
  [
    'has an answer that nobody asked for',
    ({ push }) => void push('HTTP/1.1 408 Late\r\nContent-Length: 0\r\n\r\n'),
  ],
] satisfies ReadonlyArray<[string, (old: ReturnType<typeof connection>) => void]>) {
  test(`an upload of which nothing is written yet goes elsewhere when its connection ${name}`, async () => {
    const { pool, dialled, old, body, upload } = await startUpload()
    happens(old)
    await turn()
    await turn()
    assert.ok(old.socket.destroyed)
    assert.equal(old.written().includes('POST'), false)
    assert.deepEqual(upload.told, [])
    const { socket, written, push } = connection()
    body.write('hello')
    dialled[1]!(null, socket)
    body.end(' world')
    await turn()
    await turn()
    assert.match(written(), /^POST [\s\S]*\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n$/)
    push('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')
    await turn()
    assert.deepEqual(upload.told, ['200', 'complete'])
    await pool.close()
  })
}

test('an upload of which something is written goes nowhere else', async () => {
  const { pool, dialled, old, body, upload } = await startUpload()
  body.write('hello')
  await turn()
  await turn()
  assert.match(old.written(), /POST [\s\S]*hello/)
  old.socket.push(null)
  await turn()
  await turn()
  assert.deepEqual(upload.told, ['UND_ERR_SOCKET'])
  assert.equal(dialled.length, 1)
  assert.ok(body.destroyed)
  await pool.close()
})

test('an upload whose connection ends at once though it is new goes nowhere else', async () => {
  const { pool, dialled } = startPool()
  const upload = attempt()
  pool.dispatch(request(new PassThrough()), upload.attempt)
  await turn()
  const { socket } = connection()
  dialled[0]!(null, socket)
  socket.push(null)
  await turn()
  await turn()
  assert.deepEqual(upload.told, ['UND_ERR_SOCKET'])
  assert.equal(dialled.length, 1)
  await pool.close()
})

for (const [hint, keptMs] of [
  ['', 4000],
  ['Keep-Alive: timeout=600\r\n', 598_000],
  ['Connection: keep-alive\r\nKeep-Alive: timeout=5, max=100\r\n', 3000],
  ['Keep-Alive: max=3\r\n', 4000],
  ['Keep-Alive: timeout=100000\r\n', 600_000],
  ['Keep-Alive: timeout=2\r\n', 0],
  ['Keep-Alive: timeout=0\r\n', 0],
  ['Connection: close\r\nKeep-Alive: timeout=600\r\n', 0],
  ['Keep-Alive: timeout=600\r\nConnection: close\r\n', 0],
] as const) {
  test(`an idle connection is kept for ${keptMs} ms behind ${JSON.stringify(hint)}`, async (t) => {
    let now = 1e6
    t.mock.method(performance, 'now', () => now)
    let look = (): void => {}
    t.mock.method(globalThis, 'setInterval', (tick: () => void) => {
      look = tick
      return { unref: () => ({}) }
    })
    t.mock.method(globalThis, 'clearInterval', () => {})
    const { pool, dialled } = startPool()
    const first = attempt()
    pool.dispatch(request(), first.attempt)
    await turn()
    const { socket, push } = connection()
    dialled[0]!(null, socket)
    push(`HTTP/1.1 200 OK\r\n${hint}Content-Length: 0\r\n\r\n`)
    await turn()
    await turn()
    assert.deepEqual(first.told, ['200', 'complete'])
    if (keptMs > 0) {
      now += keptMs - 1
      look()
      assert.equal(socket.destroyed, false)
      now += 1
      look()
    }
    assert.equal(socket.destroyed, true)
    await pool.close()
  })
}
