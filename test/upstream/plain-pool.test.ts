/** What no upstream can be made to do at the right moment: connections that come late, or never. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
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
    onResponseStarted() {},
    onRequestSent() {},
    onHead: (status: number) => void told.push(String(status)),
    onData: () => true,
    onComplete: () => void told.push('complete'),
    onError: (error: NodeJS.ErrnoException) => void told.push(error.code ?? error.message),
  }
  return { listener, told, attempt: listener as unknown as Attempt }
}

const request = () =>
  plainRequest({
    method: 'GET',
    path: '/',
    headers: ['Host', 'a'],
    body: null,
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
