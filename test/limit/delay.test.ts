import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancel } from '../../src/core/cancel.ts'
import type { Handler } from '../../src/core/types.ts'
import { delayLimiter } from '../../src/limit/delay.ts'
import { rateLimit } from '../../src/limit/stage.ts'
import { dateClock, limitView, mockedTime, request } from './request.ts'

/** Mocked milliseconds within which Bottleneck has begun a turn that is due. */
const A_TURN = 10

test('requests over the rate wait for the next windows, in order', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({ rate: { requests: 2, windowMs: 1000 }, maxWaitMs: 60_000, clock: dateClock })
  const order: number[] = []
  const all = Array.from({ length: 7 }, async (_, i) => {
    const { verdict } = await limiter.take('k', new Cancel())
    assert.equal(verdict, 'admitted')
    order.push(i)
  })
  await pass(A_TURN)
  assert.deepEqual(order, [0, 1])
  await pass(980)
  assert.deepEqual(order, [0, 1])
  await pass(10 + A_TURN)
  assert.deepEqual(order, [0, 1, 2, 3])
  await pass(1000)
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5])
  await pass(1000)
  assert.deepEqual(order, [0, 1, 2, 3, 4, 5, 6])
  await Promise.all(all)
})

test('keys wait apart, __proto__ and all', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({ rate: { requests: 1, windowMs: 1000 }, maxWaitMs: 60_000, clock: dateClock })
  const admitted: string[] = []
  for (const key of ['__proto__', 'constructor', 'a', 'a']) {
    void limiter.take(key, new Cancel()).then(() => admitted.push(key))
  }
  await pass(A_TURN)
  assert.deepEqual(admitted, ['__proto__', 'constructor', 'a'])
  await pass(1000)
  assert.deepEqual(admitted, ['__proto__', 'constructor', 'a', 'a'])
})

test('a wait that is too long ends with 429 and says when to come again', async (t) => {
  const pass = mockedTime(t)
  let reached = 0
  const stage = await rateLimit({
    rate: { requests: 1, windowMs: 60_000 },
    by: { kind: 'ip' },
    mode: 'delay',
    maxWaitMs: 500,
    clock: dateClock,
  })
  const ok: Handler = async () => {
    reached++
    return { status: 200, headers: [], body: Buffer.from('hello') }
  }
  const handle = stage(ok)
  const first = handle(request())
  await pass(A_TURN)
  const answered = await first
  assert.equal(answered.status, 200)
  assert.deepEqual(limitView(answered.headers), ['"default";q=1;w=60', '"default";r=0;t=60', undefined])
  const late = request()
  let response: Awaited<ReturnType<Handler>> | undefined
  const second = handle(late).then((given) => {
    response = given
  })
  await pass(490)
  assert.equal(response, undefined)
  await pass(20)
  await second
  assert.equal(response!.status, 429)
  assert.deepEqual(limitView(response!.headers), ['"default";q=1;w=60', '"default";r=0;t=60', '60'])
  assert.equal(reached, 1)
  assert.equal(late.exchange.queuedMs, 500)
  assert.equal(late.exchange.limit?.allowed, false)
})

test('the queue is bounded, and the newest is refused', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({
    rate: { requests: 2, windowMs: 1000 },
    maxWaitMs: 60_000,
    clock: dateClock,
    maxQueue: 3,
  })
  const verdicts: string[] = []
  for (let i = 0; i < 7; i++) {
    void limiter.take('k', new Cancel()).then(({ verdict }) => verdicts.push(`${i} ${verdict}`))
  }
  await pass(A_TURN)
  assert.deepEqual(verdicts, ['5 refused', '6 refused', '0 admitted', '1 admitted'])
  await pass(2000)
  assert.deepEqual(verdicts.slice(4), ['2 admitted', '3 admitted', '4 admitted'])
})

test('a client that leaves gives its place back to those behind it', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({
    rate: { requests: 1, windowMs: 1000 },
    maxWaitMs: 60_000,
    clock: dateClock,
    maxQueue: 2,
  })
  const verdicts: string[] = []
  const enter = (name: string): Cancel => {
    const cancel = new Cancel()
    void limiter.take('k', cancel).then(({ verdict }) => verdicts.push(`${name} ${verdict}`))
    return cancel
  }
  enter('first')
  await pass(A_TURN)
  const leaver = enter('leaver')
  enter('patient')
  enter('unlucky')
  leaver.fire()
  enter('newcomer')
  await pass(A_TURN)
  assert.deepEqual(verdicts, ['first admitted', 'unlucky refused', 'leaver gone'])
  await pass(1000)
  assert.deepEqual(verdicts.slice(3), ['patient admitted'])
  await pass(1000)
  assert.deepEqual(verdicts.slice(4), ['newcomer admitted'])
})

test('turns of clients that left are not lost: the window still admits its number', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({ rate: { requests: 2, windowMs: 1000 }, maxWaitMs: 60_000, clock: dateClock })
  const admitted: string[] = []
  const enter = (name: string): Cancel => {
    const cancel = new Cancel()
    void limiter.take('k', cancel).then(({ verdict }) => verdict === 'admitted' && admitted.push(name))
    return cancel
  }
  enter('a')
  enter('b')
  await pass(A_TURN)
  const leavers = Array.from({ length: 5 }, (_, i) => enter(`leaver ${i}`))
  enter('c')
  for (const cancel of leavers) cancel.fire()
  await pass(1000)
  assert.deepEqual(admitted, ['a', 'b', 'c'])
  enter('d')
  enter('e')
  await pass(A_TURN)
  assert.deepEqual(admitted, ['a', 'b', 'c', 'd'])
  await pass(1000)
  assert.deepEqual(admitted, ['a', 'b', 'c', 'd', 'e'])
})

test('no window admits more than its number under a long load', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({ rate: { requests: 3, windowMs: 100 }, maxWaitMs: 250, clock: dateClock })
  const startedAt = Date.now()
  const admitted: number[] = []
  let refused = 0
  for (let i = 0; i < 100; i++) {
    void limiter.take('k', new Cancel()).then(({ verdict }) => {
      if (verdict === 'admitted') admitted.push(Date.now() - startedAt)
      else refused++
    })
    await pass(10)
  }
  await pass(300)
  assert.equal(admitted.length + refused, 100)
  // A turn falls due with its window and comes up to a few milliseconds later.
  for (let window = 0; window < 10; window++) {
    const within = admitted.filter((at) => at >= window * 100 && at < (window + 1) * 100).length
    assert.equal(within, 3, `window ${window} of ${admitted}`)
  }
})

test('keys beyond the most that have a queue of their own share one', async (t) => {
  const pass = mockedTime(t)
  const limiter = delayLimiter({
    rate: { requests: 1, windowMs: 1000 },
    maxWaitMs: 60_000,
    clock: dateClock,
    maxKeys: 2,
  })
  const admitted: string[] = []
  for (const key of ['a', 'b', 'c', 'd']) void limiter.take(key, new Cancel()).then(() => admitted.push(key))
  await pass(A_TURN)
  assert.deepEqual(admitted, ['a', 'b', 'c'])
  await pass(1000)
  assert.deepEqual(admitted, ['a', 'b', 'c', 'd'])
})
