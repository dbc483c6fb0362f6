import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, RESP_TYPES } from '@redis/client'
import type { Handler } from '../../src/core/types.ts'
import type { SharedRedis } from '../../src/limit/shared.ts'
import { rateLimit } from '../../src/limit/stage.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import { dateClock, request } from './request.ts'

/** A connection as the cache opens it, Buffer replies and all. */
const connection = async (t: TestContext, redis: TestRedis) => {
  const client = createClient({
    url: redis.url,
    disableOfflineQueue: true,
    pingInterval: 200,
    socket: { connectTimeout: 500, socketTimeout: 1000, reconnectStrategy: 50 },
    commandOptions: { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } },
  })
  client.on('error', () => {
    // Away for a while, as these tests want it.
  })
  await client.connect()
  t.after(() => client.destroy())
  return { client, shared: { client, isReady: () => client.isReady } satisfies SharedRedis }
}

const limited = async (redis: SharedRedis, rate = { requests: 5, windowMs: 60_000 }): Promise<Handler> => {
  const stage = await rateLimit({
    rate,
    by: { kind: 'ip' },
    mode: 'reject',
    maxWaitMs: 0,
    clock: dateClock,
    redis,
    redisTimeoutMs: 50,
  })
  return stage(async () => ({ status: 200, headers: [], body: Buffer.alloc(0) }))
}

const statuses = async (handle: Handler, times: number): Promise<number[]> => {
  const answers = await Promise.all(Array.from({ length: times }, () => handle(request())))
  return answers.map(({ status }) => status)
}

/** Sends without pause; gives back the slowest answer and how many came. */
const underLoad = (handle: Handler) => {
  let going = true
  let slowestMs = 0
  let answered = 0
  const one = async (): Promise<void> => {
    while (going) {
      const startedAt = performance.now()
      const { status } = await handle(request())
      assert.ok(status === 200 || status === 429)
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      answered++
      await sleep(1)
    }
  }
  const all = Promise.all(Array.from({ length: 20 }, one))
  return {
    async stop() {
      going = false
      await all
      return { slowestMs, answered }
    },
  }
}

test('two limiters on one Redis share one count', async (t) => {
  const redis = await startRedis(t)
  const { client, shared } = await connection(t, redis)
  const other = await connection(t, redis)
  const one = await limited(shared)
  const two = await limited(other.shared)
  assert.deepEqual(await statuses(one, 3), [200, 200, 200])
  assert.deepEqual((await statuses(two, 3)).sort(), [200, 200, 429])
  assert.deepEqual(await statuses(one, 1), [429])

  const over = request()
  await one(over)
  assert.equal(over.exchange.limit?.resetSeconds, 60)
  assert.equal(over.exchange.limit?.remaining, 0)
  const keys = (await client.withTypeMapping({}).keys('*')).map(String)
  assert.deepEqual(keys, ['revproxy:limit:5/60000:ip:192.0.2.1'])
  const ttl = await client.pTTL(keys[0]!)
  assert.ok(ttl > 50_000 && ttl <= 60_000, String(ttl))
})

test('limiters with different rates on one Redis count apart', async (t) => {
  const redis = await startRedis(t)
  const { shared } = await connection(t, redis)
  const one = await limited(shared, { requests: 1, windowMs: 60_000 })
  const two = await limited(shared, { requests: 2, windowMs: 60_000 })
  assert.deepEqual(await statuses(one, 2), [200, 429])
  assert.deepEqual(await statuses(two, 3), [200, 200, 429])
})

test('windows shorter than a second end in Redis too', async (t) => {
  const redis = await startRedis(t)
  const { client, shared } = await connection(t, redis)
  const handle = await limited(shared, { requests: 2, windowMs: 300 })
  assert.deepEqual(await statuses(handle, 3), [200, 200, 429])
  const left = await client.pTTL('revproxy:limit:2/300:ip:192.0.2.1')
  assert.ok(left > 0 && left <= 300, String(left))
  while ((await client.exists('revproxy:limit:2/300:ip:192.0.2.1')) === 1) await sleep(10)
  assert.deepEqual(await statuses(handle, 3), [200, 200, 429])
})

test('a key without an end, left by whomever, gets one', async (t) => {
  const redis = await startRedis(t)
  const { client, shared } = await connection(t, redis)
  await client.set('revproxy:limit:5/60000:ip:192.0.2.1', '7')
  const handle = await limited(shared)
  assert.deepEqual(await statuses(handle, 1), [429])
  assert.ok((await client.pTTL('revproxy:limit:5/60000:ip:192.0.2.1')) > 0)
})

test('a Redis that is killed under load fails and delays nothing, and counts again when it is back', async (t) => {
  const redis = await startRedis(t)
  const { client, shared } = await connection(t, redis)
  const handle = await limited(shared)
  const load = underLoad(handle)
  await sleep(100)
  await redis.stop()
  await sleep(200)
  // In memory now, with a count of its own.
  assert.equal(client.isReady, false)
  const facts = request()
  await handle(facts)
  assert.equal(facts.exchange.limit?.allowed, false)
  await redis.restart()
  const counted = async () =>
    client.isReady && (await client.exists('revproxy:limit:5/60000:ip:192.0.2.1')) === 1
  for (let tries = 0; !(await counted().catch(() => false)); tries++) {
    assert.ok(tries < 500, 'it counts in Redis again')
    await sleep(10)
  }
  const { slowestMs, answered } = await load.stop()
  assert.ok(answered > 100, `${answered} answers`)
  assert.ok(slowestMs < 1000, `${slowestMs} ms`)
})

test('a Redis that freezes under load fails and delays nothing, and counts again when it thaws', async (t) => {
  const redis = await startRedis(t)
  const { client, shared } = await connection(t, redis)
  const handle = await limited(shared)
  const load = underLoad(handle)
  await sleep(100)
  redis.freeze()
  await sleep(500)
  // The pause after a failure: most requests do not even try Redis.
  const startedAt = performance.now()
  await statuses(handle, 100)
  assert.ok(performance.now() - startedAt < 1000)
  redis.thaw()
  for (let tries = 0; !client.isReady; tries++) {
    assert.ok(tries < 500, 'it is connected again')
    await sleep(10)
  }
  await client.flushAll()
  const counted = async () => (await client.exists('revproxy:limit:5/60000:ip:192.0.2.1')) === 1
  for (let tries = 0; !(await counted().catch(() => false)); tries++) {
    assert.ok(tries < 500, 'it counts in Redis again')
    await sleep(10)
  }
  const { slowestMs, answered } = await load.stop()
  assert.ok(answered > 100, `${answered} answers`)
  assert.ok(slowestMs < 1000, `${slowestMs} ms`)
})

test('while Redis does not answer, few requests are spent on it', async () => {
  let asked = 0
  const shared: SharedRedis = {
    isReady: () => true,
    client: {
      eval: () => {
        asked++
        return new Promise(() => {})
      },
    },
  }
  const handle = await limited(shared)
  assert.deepEqual(await statuses(handle, 1), [200])
  for (let i = 0; i < 100; i++) await handle(request())
  assert.equal(asked, 1)
})

test('an error of Redis counts in memory, once a request', async () => {
  const shared: SharedRedis = {
    isReady: () => true,
    client: { eval: () => Promise.reject(new Error('OOM command not allowed')) },
  }
  const handle = await limited(shared)
  assert.deepEqual(await statuses(handle, 6), [200, 200, 200, 200, 200, 429])
})
