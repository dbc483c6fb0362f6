import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { readBeforeWriteErrors } from '../../src/upstream/write-errors.ts'

/** Both ends of a connection. */
const pair = async (t: TestContext): Promise<{ ours: Socket; theirs: Socket }> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const ours = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const theirs = await accepted
  t.after(() => {
    ours.destroy()
    theirs.destroy()
    server.close()
  })
  if (ours.connecting) await new Promise((resolve) => ours.once('connect', resolve))
  return { ours, theirs }
}

const told = (socket: Socket): Promise<string[]> =>
  new Promise((resolve) => {
    const heard: string[] = []
    socket.on('data', (bytes) => heard.push(bytes.toString()))
    socket.on('error', () => heard.push('error'))
    socket.on('close', () => resolve(heard))
  })

for (const [name, write] of [
  ['a piece', (socket: Socket) => void socket.write('more')],
  [
    'several pieces',
    (socket: Socket) => {
      socket.cork()
      socket.write('more')
      socket.write('and more')
      socket.uncork()
    },
  ],
] as const) {
  test(`what was said before a hang-up is heard, though writing ${name} meets that first`, async (t) => {
    const { ours, theirs } = await pair(t)
    readBeforeWriteErrors(ours)
    const heard = told(ours)
    // All in one turn: nothing is read between the hang-up and the write.
    theirs.write('an answer')
    theirs.resetAndDestroy()
    write(ours)
    assert.deepEqual(await heard, ['an answer', 'error'])
  })
}

test('a hang-up without a word is an error, told once', async (t) => {
  const { ours, theirs } = await pair(t)
  readBeforeWriteErrors(ours)
  const heard = told(ours)
  theirs.resetAndDestroy()
  ours.write('more')
  assert.deepEqual(await heard, ['error'])
})

test('writes that succeed are told as before', async (t) => {
  const { ours, theirs } = await pair(t)
  readBeforeWriteErrors(ours)
  const written = new Promise<unknown>((resolve) => void ours.write('a', resolve))
  assert.equal((await written) ?? null, null)
  ours.end('b')
  assert.equal((await told(theirs)).join(''), 'ab')
})
