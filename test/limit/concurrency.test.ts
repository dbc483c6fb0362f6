import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Cancel } from '../../src/core/cancel.ts'
import type { Handler, ProxyResponse } from '../../src/core/types.ts'
import { type ConcurrencyOptions, concurrency } from '../../src/limit/concurrency.ts'
import { request } from './request.ts'

/** Holds each request at the upstream until the test answers it. */
const gated = async (options: Partial<ConcurrencyOptions> = {}) => {
  const arrived: Array<{ answer: (body: Buffer | Readable) => void; fail: (error: Error) => void }> = []
  const upstream: Handler = () =>
    new Promise<ProxyResponse>((resolve, reject) => {
      arrived.push({ answer: (body) => resolve({ status: 200, headers: [], body }), fail: reject })
    })
  const stage = await concurrency({ max: 1, maxWaitMs: 10_000, ...options })
  return { arrived, handle: stage(upstream) }
}

const until = async (condition: () => boolean): Promise<void> => {
  for (let tries = 0; tries < 2000; tries++) {
    if (condition()) return
    await sleep(1)
  }
  assert.fail('this should have happened')
}
/** Long enough for Bottleneck to begin a turn, had it one. */
const quiet = () => sleep(20)

test('so many requests are under way at once, and the rest come in order', async () => {
  const { arrived, handle } = await gated({ max: 2 })
  const requests = Array.from({ length: 5 }, () => request())
  const answers = requests.map(handle)
  await until(() => arrived.length === 2)
  await quiet()
  assert.equal(arrived.length, 2)
  for (let i = 0; i < 5; i++) {
    await until(() => arrived.length > i)
    arrived[i]!.answer(Buffer.from(String(i)))
    await answers[i]
    await quiet()
    assert.equal(arrived.length, Math.min(5, i + 3))
  }
  const bodies = (await Promise.all(answers)).map(({ body }) => body.toString())
  assert.deepEqual(bodies, ['0', '1', '2', '3', '4'])
  assert.ok(requests[4]!.exchange.queuedMs! > requests[0]!.exchange.queuedMs!)
})

const releases: Array<{ name: string; body: () => Readable; end: (body: Readable) => void }> = [
  {
    name: 'was read to its end',
    body: () => Readable.from([Buffer.from('hello')]),
    end: (body) => body.resume(),
  },
  { name: 'was destroyed', body: () => new PassThrough(), end: (body) => body.destroy() },
  {
    name: 'failed',
    body: () => new PassThrough().on('error', () => {}),
    end: (body) => body.destroy(new Error('reset')),
  },
  {
    name: 'had ended before it was given',
    body: () => new PassThrough().resume().end(),
    end: () => {},
  },
  { name: 'had been destroyed before it was given', body: () => new PassThrough().destroy(), end: () => {} },
]
for (const { name, body, end } of releases) {
  test(`the place is free once the body ${name}, and not twice`, async () => {
    const { arrived, handle } = await gated()
    const first = handle(request())
    const others = [handle(request()), handle(request())]
    await until(() => arrived.length === 1)
    const stream = body()
    if (name.startsWith('had')) await quiet()
    arrived[0]!.answer(stream)
    await first
    if (!name.startsWith('had')) {
      await quiet()
      assert.equal(arrived.length, 1, 'the head alone does not free it')
    }
    end(stream)
    await until(() => arrived.length === 2)
    stream.destroy()
    await quiet()
    assert.equal(arrived.length, 2)
    arrived[1]!.answer(Buffer.alloc(0))
    await until(() => arrived.length === 3)
    arrived[2]!.answer(Buffer.alloc(0))
    await Promise.all(others)
  })
}

test('an error frees the place and is passed on', async () => {
  const { arrived, handle } = await gated()
  const first = handle(request())
  const second = handle(request())
  await until(() => arrived.length === 1)
  arrived[0]!.fail(new Error('refused'))
  await assert.rejects(first, /refused/)
  await until(() => arrived.length === 2)
  arrived[1]!.answer(Buffer.alloc(0))
  await second
})

test('a request that waits too long gets 503, and its place is free again', async () => {
  const { arrived, handle } = await gated({ maxWaitMs: 40 })
  const first = handle(request())
  await until(() => arrived.length === 1)
  const late = request()
  await assert.rejects(handle(late), { status: 503, code: 'queue-timeout' })
  assert.ok(late.exchange.queuedMs! >= 39)
  arrived[0]!.answer(Buffer.alloc(0))
  await first
  const next = handle(request())
  await until(() => arrived.length === 2)
  arrived[1]!.answer(Buffer.alloc(0))
  await next
})

test('a full queue refuses the newest at once', async () => {
  const { arrived, handle } = await gated({ maxQueue: 2 })
  const first = handle(request())
  const waiting = [handle(request()), handle(request())]
  await assert.rejects(handle(request()), { status: 503, code: 'queue-full' })
  await until(() => arrived.length === 1)
  await assert.rejects(handle(request()), { status: 503, code: 'queue-full' })
  for (let i = 0; i < 3; i++) {
    await until(() => arrived.length === i + 1)
    arrived[i]!.answer(Buffer.alloc(0))
  }
  await Promise.all([first, ...waiting])
})

test('a client that leaves the queue does not reach the upstream and gives its place back', async () => {
  const { arrived, handle } = await gated({ maxQueue: 1 })
  const first = handle(request())
  await until(() => arrived.length === 1)
  const cancel = new Cancel()
  const leaver = handle(request({ cancel }))
  await assert.rejects(handle(request()), { code: 'queue-full' })
  cancel.fire()
  await assert.rejects(leaver, { code: 'client-gone' })
  const patient = handle(request())
  arrived[0]!.answer(Buffer.alloc(0))
  await first
  await until(() => arrived.length === 2)
  arrived[1]!.answer(Buffer.alloc(0))
  await patient
  await quiet()
  assert.equal(arrived.length, 2)
  const next = handle(request())
  await until(() => arrived.length === 3)
  arrived[2]!.answer(Buffer.alloc(0))
  await next
})

test('a stuck upstream and ever new clients leave no jobs behind', async () => {
  const { arrived, handle } = await gated({ maxQueue: 5, maxWaitMs: 1 })
  const stuck = handle(request())
  await until(() => arrived.length === 1)
  for (let round = 0; round < 20; round++) {
    const cancels = Array.from({ length: 5 }, () => new Cancel())
    const leavers = cancels.map((cancel) => handle(request({ cancel })))
    for (const cancel of cancels) cancel.fire()
    for (const leaver of leavers) await assert.rejects(leaver, { code: 'client-gone' })
  }
  arrived[0]!.answer(Buffer.alloc(0))
  await stuck
  // Turns ordered by those who left would each take a millisecond of the next one's time.
  const startedAt = performance.now()
  const next = handle(request())
  await until(() => arrived.length === 2)
  assert.ok(performance.now() - startedAt < 500)
  arrived[1]!.answer(Buffer.alloc(0))
  await next
})
