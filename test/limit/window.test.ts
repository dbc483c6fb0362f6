import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRate, parseRateBy } from '../../src/cli/values.ts'
import { Cancel } from '../../src/core/cancel.ts'
import type { Handler } from '../../src/core/types.ts'
import { type RateLimitOptions, rateLimit } from '../../src/limit/stage.ts'
import { windowLimiter } from '../../src/limit/window.ts'
import { dateClock, limitView, mockedTime, request } from './request.ts'

const ok: Handler = async () => ({ status: 200, headers: ['X-Own', '1'], body: Buffer.from('hello') })

const limited = async (rate: string, more: Partial<RateLimitOptions> = {}): Promise<Handler> => {
  const stage = await rateLimit({
    rate: parseRate(rate)!,
    by: parseRateBy('ip'),
    mode: 'reject',
    maxWaitMs: 5000,
    clock: dateClock,
    ...more,
  })
  return stage(ok)
}

test('exactly so many requests of a window are admitted and the next one gets 429', async (t) => {
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.UTC(2026, 0, 1) })
  const handle = await limited('5/m')
  for (let left = 4; left >= 0; left--) {
    const req = request()
    const response = await handle(req)
    assert.equal(response.status, 200)
    assert.deepEqual(response.headers.slice(0, 2), ['X-Own', '1'])
    assert.deepEqual(limitView(response.headers), [
      `"default";q=5;w=60`,
      `"default";r=${left};t=60`,
      undefined,
    ])
    assert.deepEqual(req.exchange.limit, {
      startedAt: Date.now(),
      endedAt: Date.now(),
      allowed: true,
      limit: 5,
      remaining: left,
      resetSeconds: 60,
    })
  }
  t.mock.timers.tick(4500)
  const over = request()
  const refused = await handle(over)
  assert.equal(refused.status, 429)
  assert.deepEqual(limitView(refused.headers), ['"default";q=5;w=60', '"default";r=0;t=56', '56'])
  assert.equal(refused.body.toString(), '429 - Too Many Requests\nretry in 56 s\n')
  assert.equal(over.exchange.limit?.allowed, false)
  assert.equal(over.exchange.limit?.resetSeconds, 56)

  t.mock.timers.tick(55_499)
  assert.equal((await handle(request())).status, 429)
  t.mock.timers.tick(1)
  const again = await handle(request())
  assert.equal(again.status, 200)
  assert.deepEqual(limitView(again.headers), ['"default";q=5;w=60', '"default";r=4;t=60', undefined])
})

test('a refused request does not reach the upstream', async () => {
  let reached = 0
  const stage = await rateLimit({
    rate: { requests: 1, windowMs: 60_000 },
    by: { kind: 'global' },
    mode: 'reject',
    maxWaitMs: 0,
    clock: dateClock,
  })
  const handle = stage((req) => {
    reached++
    return ok(req)
  })
  await Promise.all(Array.from({ length: 50 }, () => handle(request())))
  assert.equal(reached, 1)
})

test('keys count apart', async () => {
  const handle = await limited('1/m')
  assert.equal((await handle(request({ address: '192.0.2.1' }))).status, 200)
  assert.equal((await handle(request({ address: '192.0.2.2' }))).status, 200)
  assert.equal((await handle(request({ address: '192.0.2.1' }))).status, 429)
  assert.equal((await handle(request({ address: '2001:db8::1' }))).status, 200)
  assert.equal((await handle(request({ address: '2001:db8::ffff' }))).status, 429)
})

test('a concurrent burst admits exactly the limit', async () => {
  const handle = await limited('100/m')
  const answers = await Promise.all(Array.from({ length: 1000 }, () => handle(request())))
  assert.equal(answers.filter(({ status }) => status === 200).length, 100)
  assert.equal(answers.filter(({ status }) => status === 429).length, 900)
})

test('windows shorter than a second and not of whole seconds work and round up', async (t) => {
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.UTC(2026, 0, 1) })
  for (const [rate, windowMs, seconds] of [
    ['2/200ms', 200, '1'],
    ['2/10ms', 10, '1'],
    ['2/1500ms', 1500, '2'],
  ] as const) {
    const handle = await limited(rate)
    assert.equal((await handle(request())).status, 200)
    t.mock.timers.tick(windowMs / 2)
    assert.equal((await handle(request())).status, 200)
    const refused = await handle(request())
    assert.equal(refused.status, 429)
    // A rounded window would tell another rate, so none is told.
    assert.deepEqual(limitView(refused.headers), ['"default";q=2', '"default";r=0;t=1', '1'])
    t.mock.timers.tick(windowMs / 2)
    const again = await handle(request())
    assert.equal(again.status, 200)
    assert.equal(limitView(again.headers)[1], `"default";r=1;t=${seconds}`)
  }
})

test('the field lines of the answer are not changed in place', async () => {
  const headers = Object.freeze(['X-Own', '1'])
  const trailers = () => []
  const stage = await rateLimit({
    rate: { requests: 1, windowMs: 1000 },
    by: { kind: 'ip' },
    mode: 'reject',
    maxWaitMs: 0,
    clock: dateClock,
  })
  const response = await stage(async () => ({ status: 200, headers, body: Buffer.alloc(0), trailers }))(
    request(),
  )
  assert.equal(response.headers.length, 6)
  assert.equal(response.trailers, trailers)
})

test('a client that has left gets nothing from the upstream', async () => {
  const stage = await rateLimit({
    rate: { requests: 1, windowMs: 1000 },
    by: { kind: 'ip' },
    mode: 'reject',
    maxWaitMs: 0,
    clock: dateClock,
  })
  const cancel = new Cancel()
  cancel.fire()
  await assert.rejects(stage(() => assert.fail('called'))(request({ cancel })), { code: 'client-gone' })
})

test('keys beyond the most that are kept apart count together, until windows end', async (t) => {
  const pass = mockedTime(t)
  const limiter = windowLimiter({ rate: { requests: 2, windowMs: 50 }, redisTimeoutMs: 50, maxKeys: 3 })
  const take = async (key: string) => (await limiter.take(key, new Cancel())).verdict
  for (const key of ['a', 'b', 'c']) assert.equal(await take(key), 'admitted')
  assert.equal(await take('d'), 'admitted')
  assert.equal(await take('e'), 'admitted')
  assert.equal(await take('f'), 'refused')
  assert.equal(await take('d'), 'refused')
  assert.equal(await take('a'), 'admitted')
  assert.equal(await take('a'), 'refused')
  await pass(50)
  assert.equal(await take('f'), 'admitted')
  assert.equal(await take('a'), 'admitted')
  assert.equal(await take('d'), 'admitted')
  assert.equal(await take('d'), 'admitted')
  assert.equal(await take('d'), 'refused')
})
