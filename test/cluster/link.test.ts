import assert from 'node:assert/strict'
import { Duplex, PassThrough } from 'node:stream'
import { test } from 'node:test'
import { Link, LinkClosed } from '../../src/cluster/link.ts'

const noFault = (error: unknown): void => assert.fail(String(error))

/** Two ends of one connection; `slice` cuts what goes to the second one into pieces of so many bytes. */
const pair = (slice = Number.POSITIVE_INFINITY): [Link, Link] => {
  const [there, back] = [new PassThrough(), new PassThrough()]
  const cut = new PassThrough()
  there.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += slice) cut.write(chunk.subarray(at, at + slice))
  })
  return [
    new Link(Duplex.from({ writable: there, readable: back }), noFault),
    new Link(Duplex.from({ writable: back, readable: cut }), noFault),
  ]
}

for (const slice of [1, 7, 4096, Number.POSITIVE_INFINITY]) {
  test(`messages arrive whole and in order when the stream comes in pieces of ${slice}`, async () => {
    const [a, b] = pair(slice)
    const heard: unknown[] = []
    b.on('say', ({ n }, bytes) => void heard.push([n, bytes.toString()]))
    b.on('ask', async ({ n }, bytes) => ({
      said: { twice: Number(n) * 2 },
      bytes: Buffer.from(bytes).reverse(),
    }))
    a.tell('say', { n: 1 }, Buffer.from('one'))
    a.tell('say', { n: 2 })
    const answer = a.call('ask', { n: 21 }, Buffer.from('abc'))
    a.tell('say', { n: 3, text: 'ź\u0000"' }, Buffer.alloc(100_000, 'x'))
    const { said, bytes } = await answer
    assert.deepEqual([said.twice, bytes.toString()], [42, 'cba'])
    await a.flush()
    while (heard.length < 3) await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(heard, [
      [1, 'one'],
      [2, ''],
      [3, 'x'.repeat(100_000)],
    ])
  })
}

test('a call rejects with what the listener threw, and when nobody listens', async () => {
  const [a, b] = pair()
  b.on('fails', () => {
    throw new Error('no such thing')
  })
  await assert.rejects(a.call('fails'), /no such thing/)
  await assert.rejects(a.call('unknown'), /nobody listens/)
})

test('calls that are open when the stream closes reject, and so do later ones', async () => {
  const [a, b] = pair()
  b.on('never', () => new Promise(() => {}))
  const open = a.call('never')
  await a.flush()
  a.destroy()
  await assert.rejects(open, LinkClosed)
  await a.closed
  await assert.rejects(a.call('never'), LinkClosed)
  a.tell('nothing comes of it')
})
