/** The store over a Redis that is in no good state: no call fails otherwise than by StoreError, none takes long. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Entry } from '../../src/cache/entry.ts'
import { Shelf } from '../../src/cache/shelf.ts'
import type { Slot } from '../../src/cache/store/store.ts'
import { entryOf } from '../cache/entries.ts'
import { courtesy, startFakeRedis } from '../support/fake-redis.ts'
import { startRedis } from '../support/redis.ts'
import { ask, openStore, outcome, textOf, until } from '../support/redis-store.ts'

const MINUTE = 60_000
test('Redis is killed and started again: told once each, and used again within two seconds', async (t) => {
  const redis = await startRedis(t)
  const { store, told, until: ready } = await openStore(t, redis.url, { timeoutMs: 100 })
  await store.set('k', entryOf('x'), MINUTE)
  await redis.stop()
  for (let i = 0; i < 200; i++) {
    assert.equal(await outcome(() => store.get('k')), 'store-down')
    assert.equal(await outcome(() => store.set('k', entryOf('y'), MINUTE, 1)), 'store-down')
    await sleep(1)
  }
  assert.equal(told.length, 1)
  await redis.restart()
  await ready(true, 2000)
  assert.equal(await outcome(() => store.get('k')), undefined)
  await store.set('k', entryOf('z'), MINUTE)
  assert.equal(textOf(await store.get('k')), 'z')
  assert.deepEqual([told.length, told[1]], [2, 'back'])
})

test('Redis freezes: a few calls miss the deadline, no more are made, and it is used again when it thaws', async (t) => {
  const redis = await startRedis(t)
  const { store, told, until: ready } = await openStore(t, redis.url, { timeoutMs: 50 })
  await store.set('k', entryOf('x'), MINUTE)
  const gets = async (): Promise<number> =>
    Number(/cmdstat_get:calls=(\d+)/.exec(String(await ask(redis.url, 'INFO', 'commandstats')))?.[1] ?? 0)
  const before = await gets()
  redis.freeze()
  const outcomes: unknown[] = []
  for (let i = 0; i < 300; i++) {
    outcomes.push(await outcome(() => store.get('k')))
    await sleep(1)
  }
  assert.ok(outcomes.filter((each) => each === 'too-slow-store').length <= 4)
  assert.ok(outcomes.filter((each) => each === 'store-down').length >= 296)
  await until('it is told', () => told.length === 1)
  assert.deepEqual(told, ['no answer in time'])
  redis.thaw()
  await ready(true, 2000)
  assert.equal(textOf(await store.get('k')), 'x')
  assert.deepEqual(told, ['no answer in time', 'back'])
  assert.ok((await gets()) - before <= 5, 'nothing had piled up')
})

test('lookups alone find out that Redis is frozen', async (t) => {
  const redis = await startRedis(t)
  const { store, told } = await openStore(t, redis.url, { timeoutMs: 50 })
  const shelf = new Shelf(store, { now: () => Date.now() }, () => false)
  await shelf.save('k', entryOf('x'))
  await shelf.save('v', entryOf('x', { selection: ['accept', undefined] }))
  assert.ok((await shelf.find('v', [])).entry !== undefined)
  redis.freeze()
  for (let i = 0; i < 3; i++) await outcome(() => shelf.find(i === 1 ? 'v' : 'k', []))
  await until('it is told', () => told.length === 1)
  for (let i = 0; i < 20; i++) assert.equal(await outcome(() => shelf.find('k', [])), 'store-down')
  redis.thaw()
})

test('many at once meet a frozen Redis: what they send is bounded', async (t) => {
  const redis = await startRedis(t)
  const { store, until: ready } = await openStore(t, redis.url, { timeoutMs: 50 })
  redis.freeze()
  const large = entryOf(Buffer.alloc(8 * 1024 * 1024))
  const before = process.memoryUsage().rss
  const sets = Array.from({ length: 100 }, (_, i) => outcome(() => store.set(`k${i}`, large, MINUTE, 1)))
  assert.deepEqual(new Set(await Promise.all(sets)), new Set(['too-slow-store']))
  assert.ok(process.memoryUsage().rss - before < 400 * 1024 * 1024)
  redis.thaw()
  await ready(true)
})

test('Redis freezes for longer than a connection may be silent, and thaws', async (t) => {
  const redis = await startRedis(t)
  const { store, told, until: ready } = await openStore(t, redis.url, { timeoutMs: 50 })
  await store.set('k', entryOf('x'), MINUTE)
  redis.freeze()
  for (let i = 0; i < 60; i++) {
    await outcome(() => store.get('k'))
    await sleep(100)
  }
  assert.equal(told.length, 1)
  redis.thaw()
  await ready(true, 2000)
  assert.equal(textOf(await store.get('k')), 'x')
  assert.deepEqual([told.length, told[1]], [2, 'back'])
})

test('somebody else asking whether it is ready does not keep it from being found well again', async (t) => {
  const redis = await startRedis(t)
  const { store, until: ready } = await openStore(t, redis.url, { timeoutMs: 50 })
  redis.freeze()
  for (let i = 0; i < 5; i++) await outcome(() => store.get('k'))
  await ready(false)
  redis.thaw()
  // As the rate limiter does on each request.
  await until('it is ready', () => store.isReady() && store.isReady(), 2000)
  assert.equal(await outcome(() => store.get('k')), undefined)
})

test('Redis is emptied: what was there is a miss', async (t) => {
  const redis = await startRedis(t)
  const { store, told } = await openStore(t, redis.url)
  await store.set('k', entryOf('x'), MINUTE)
  await ask(redis.url, 'FLUSHALL')
  assert.equal(await store.get('k'), undefined)
  assert.equal(await store.peek('k'), undefined)
  assert.deepEqual(told, [])
})

test('Redis is not there at the start, and appears', async (t) => {
  const redis = await startRedis(t)
  await redis.stop()
  const { store, told, until: ready } = await openStore(t, redis.url, { wait: false })
  assert.equal(await outcome(() => store.get('k')), 'store-down')
  await until('it is told', () => told.length === 1)
  assert.match(told[0]!, /ECONNREFUSED/)
  await redis.restart()
  await ready(true, 2000)
  assert.equal(await store.get('k'), undefined)
  assert.deepEqual([told.length, told[1]], [2, 'back'])
})

test('a wrong password is told, once, in the words of Redis', async (t) => {
  const redis = await startRedis(t, { args: ['--requirepass', 'right'] })
  const { store, told } = await openStore(t, redis.url.replace('//', '//:wrong@'), { wait: false })
  await until('it is told', () => told.length === 1)
  await sleep(500)
  assert.equal(await outcome(() => store.get('k')), 'store-down')
  assert.equal(told.length, 1)
  assert.match(told[0]!, /WRONGPASS/)
})

test('a missing password is told, once, in the words of Redis', async (t) => {
  const redis = await startRedis(t, { args: ['--requirepass', 'right'] })
  const { store, told } = await openStore(t, redis.url, { wait: false })
  await until('it is told', () => told.length === 1)
  for (let i = 0; i < 20; i++) assert.equal(await outcome(() => store.get('k')), 'store-down')
  await sleep(500)
  assert.equal(told.length, 1)
  assert.match(told[0]!, /NOAUTH/)
})

test('a full Redis that evicts nothing: reads go on, and it is told once', async (t) => {
  const redis = await startRedis(t, { args: ['--maxmemory', '4mb', '--maxmemory-policy', 'noeviction'] })
  const { store, told } = await openStore(t, redis.url)
  await store.set('k', entryOf('x'), MINUTE, 1)
  const large = entryOf(Buffer.alloc(500_000))
  for (let i = 0; i < 40; i++) await outcome(() => store.set(`l${i}`, large, MINUTE, 1))
  for (let i = 0; i < 20; i++) {
    assert.equal(await outcome(() => store.set('m', large, MINUTE)), 'store-down')
    assert.equal(textOf(await store.get('k')), 'x')
  }
  assert.equal(told.length, 1)
  assert.match(told[0]!, /OOM/)
  await ask(redis.url, 'CONFIG', 'SET', 'maxmemory', '0')
  await until('it is told', async () => {
    await store.set('m', large, MINUTE, 1)
    return told.length === 2
  })
  assert.equal(told[1], 'back')
})

test('a full Redis that evicts: what is gone is a miss, and nothing is told', async (t) => {
  const redis = await startRedis(t, { args: ['--maxmemory', '6mb', '--maxmemory-policy', 'allkeys-lru'] })
  const { store, told } = await openStore(t, redis.url)
  for (let i = 0; i < 60; i++) await store.set(`k${i}`, entryOf(Buffer.alloc(500_000)), MINUTE, 1)
  const found: Array<Slot | undefined> = []
  for (let i = 0; i < 60; i++) found.push(await store.get(`k${i}`))
  assert.ok(found.some((slot) => slot === undefined))
  assert.ok(found.some((slot) => slot instanceof Entry))
  assert.deepEqual(told, [])
})

test('a replica that may not be written to: reads go on, and it is told once', async (t) => {
  const main = await startRedis(t, { args: ['--repl-diskless-sync-delay', '0'] })
  const redis = await startRedis(t)
  const other = await openStore(t, main.url)
  await other.store.set('k', entryOf('x'), MINUTE)
  await ask(redis.url, 'REPLICAOF', '127.0.0.1', String(main.port))
  await until('it has all', async () => (await ask(redis.url, 'DBSIZE')) === 1)
  const { store, told } = await openStore(t, redis.url)
  for (let i = 0; i < 10; i++) {
    assert.equal(await outcome(() => store.set('l', entryOf('y'), MINUTE, 1)), 'store-down')
    assert.equal(await outcome(() => store.set('l', entryOf('y'), MINUTE)), 'store-down')
    assert.equal(textOf(await store.get('k')), 'x')
  }
  assert.equal(told.length, 1)
  assert.match(told[0]!, /READONLY/)
})

test('a Redis that is loading is waited for, without a request to pay for it', async (t) => {
  let loading = true
  const redis = await startFakeRedis(t, (words) => {
    if (words[0] === 'client') return '+OK\r\n'
    if (loading) return '-LOADING Redis is loading the dataset in memory\r\n'
    return words[0] === 'get' ? '$-1\r\n' : courtesy(words)
  })
  const { store, told, until: ready } = await openStore(t, redis.url, { wait: false })
  await until('it is told', () => told.length === 1)
  assert.match(told[0]!, /LOADING/)
  for (let i = 0; i < 20; i++) assert.equal(await outcome(() => store.get('k')), 'store-down')
  assert.deepEqual(
    redis.commands.filter(([command]) => command === 'get'),
    [],
  )
  loading = false
  await ready(true, 2000)
  assert.equal(await store.get('k'), undefined)
  assert.deepEqual([told.length, told[1]], [2, 'back'])
})

test('something that takes the connection and never speaks', async (t) => {
  const redis = await startFakeRedis(t, () => undefined)
  const { store } = await openStore(t, redis.url, { wait: false })
  await until('it is connected', () => redis.commands.length > 0)
  for (let i = 0; i < 20; i++) assert.equal(await outcome(() => store.get('k')), 'store-down')
})

test('something that speaks another protocol', async (t) => {
  const redis = await startFakeRedis(t, () => 'HTTP/1.1 400 Bad Request\r\n\r\n')
  const { store, told } = await openStore(t, redis.url, { wait: false })
  await until('it is told', () => told.length === 1)
  for (let i = 0; i < 20; i++) assert.equal(await outcome(() => store.get('k')), 'store-down')
  assert.equal(told.length, 1)
})

/** A Redis that keeps what it is given, and says `garbage.next` instead of its next reply to a get. */
const startBabbling = async (t: TestContext) => {
  const frames = new Map<string, string>()
  const garbage: { next: string | undefined } = { next: undefined }
  const redis = await startFakeRedis(t, (words) => {
    const [command, key = '', value = ''] = words
    if (command === 'set') {
      frames.set(key, value)
      return '+OK\r\n'
    }
    if (command !== 'get') return courtesy(words)
    if (garbage.next !== undefined) {
      const { next } = garbage
      garbage.next = undefined
      return next
    }
    const frame = frames.get(key)
    return frame === undefined ? '$-1\r\n' : `$${frame.length}\r\n${frame}\r\n`
  })
  return { redis, garbage }
}

test('garbage on a good connection: no reply is taken for that to another call', async (t) => {
  const { redis, garbage } = await startBabbling(t)
  const { store, told, until: ready } = await openStore(t, redis.url, { timeoutMs: 200 })
  garbage.next = '\x01what\r\n'
  const both = await Promise.all([outcome(() => store.get('a')), outcome(() => store.get('b'))])
  assert.ok(
    both.every((each) => each === 'store-down' || each === 'too-slow-store'),
    String(both),
  )
  await ready(true)
  assert.equal(redis.connections, 2)
  assert.equal(await store.get('a'), undefined)
  assert.deepEqual(told.slice(1), ['back'])
})

test('garbage that looks like the beginning of a very long reply', async (t) => {
  const { redis, garbage } = await startBabbling(t)
  const { store, told, until: ready } = await openStore(t, redis.url, { timeoutMs: 200 })
  garbage.next = '$999999999999\r\n'
  for (let i = 0; i < 5; i++) await outcome(() => store.get('a'))
  await ready(false)
  await ready(true, 10_000)
  assert.equal(redis.connections, 2)
  assert.equal(await store.get('a'), undefined)
  assert.deepEqual(told.slice(1), ['back'])
})

test('replies that are out of step are misses', async (t) => {
  const frames: string[] = []
  const redis = await startFakeRedis(t, (words) => {
    if (words[0] === 'set') frames.push(words[2]!)
    if (words[0] === 'set') return '+OK\r\n'
    if (words[0] !== 'get') return courtesy(words)
    const frame = frames.at(-1)!
    return `$${frame.length}\r\n${frame}\r\n`
  })
  const { store } = await openStore(t, redis.url)
  await store.set('a', entryOf('of a'), MINUTE)
  assert.equal(textOf(await store.get('a')), 'of a')
  assert.equal(await store.get('b'), undefined)
})

/** Runs a program that opens a store, waits, closes it, and has nothing else to do; gives ms from close to exit. */
const exitMs = async (url: string, waitFor: string): Promise<number> => {
  const store = fileURLToPath(new URL('../../src/cache/store/redis.js', import.meta.url))
  const program = `
    const { redisStore } = await import(${JSON.stringify(store)})
    const store = redisStore({ urls: ${JSON.stringify([url])}, timeoutMs: 50, scope: 'x', onState() {} })
    ${waitFor}
    await store.close()
    process.stdout.write('closed')
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let closedAt = 0
  child.stdout.once('data', () => {
    closedAt = performance.now()
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  const code = await new Promise((resolve) => child.once('exit', resolve))
  clearTimeout(timer)
  assert.equal(code, 0)
  return performance.now() - closedAt
}

test('after close nothing keeps a process alive, whatever the state of Redis', async (t: TestContext) => {
  const redis = await startRedis(t)
  const frozen = await startRedis(t)
  const gone = await startRedis(t)
  await gone.stop()
  const mute = await startFakeRedis(t, () => undefined)
  const ready = 'while (!store.isReady()) await new Promise((resolve) => setTimeout(resolve, 5))'
  const aWhile = 'await new Promise((resolve) => setTimeout(resolve, 300))'
  frozen.freeze()
  const all = await Promise.all([
    exitMs(redis.url, ready),
    exitMs(redis.url, ''),
    exitMs(redis.url, `${ready}; store.get('k').catch(() => {})`),
    exitMs(frozen.url, aWhile),
    exitMs(gone.url, aWhile),
    exitMs(gone.url, ''),
    exitMs(mute.url, aWhile),
    exitMs(mute.url, ''),
  ])
  frozen.thaw()
  for (const [i, ms] of all.entries()) assert.ok(ms < 2000, `case ${i}: ${ms} ms`)
})
