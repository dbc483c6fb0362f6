/** Stores with copies near at hand over one Redis: nobody uses a copy of what another one changed. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createClient } from '@redis/client'
import { encodeFrame } from '../../src/cache/store/frame.ts'
import type { RedisStore } from '../../src/cache/store/redis.ts'
import { Index, Tombstone } from '../../src/cache/store/store.ts'
import { entryOf } from '../cache/entries.ts'
import { courtesy, startFakeRedis } from '../support/fake-redis.ts'
import { startRedis } from '../support/redis.ts'
import { ask, openStore, outcome, textOf, until } from '../support/redis-store.ts'

const MINUTE = 60_000
const nearBytes = 1024 * 1024

/** Two stores with copies over one Redis. */
const twoStores = async (t: TestContext, timeoutMs = 1000) => {
  const redis = await startRedis(t)
  const [a, b] = await Promise.all([
    openStore(t, redis.url, { nearBytes, timeoutMs }),
    openStore(t, redis.url, { nearBytes, timeoutMs }),
  ])
  return { redis, a: a.store, b: b.store }
}

/** Whether the slot comes out of this process: what comes from Redis is made anew each time. */
const isNear = async (store: RedisStore, key = 'k'): Promise<boolean> => {
  const slot = await store.get(key)
  return slot !== undefined && (await store.get(key)) === slot
}
const untilNear = (store: RedisStore, key = 'k'): Promise<void> =>
  until('it is nearby', () => isNear(store, key))

/** For how long after `at` what a reader got was something else than `wanted`, ms. */
const staleMs = async (read: () => Promise<unknown>, wanted: (got: unknown) => boolean, at: number) => {
  let last = 0
  await until('the change is seen', async () => {
    const began = performance.now()
    if (wanted(await read())) return true
    last = Math.max(last, began - at)
    return false
  })
  return last
}

test('Redis is asked once for many reads', async (t) => {
  const { redis, a } = await twoStores(t)
  await a.set('k', entryOf('x'), MINUTE)
  await untilNear(a)
  const gets = async (): Promise<number> =>
    Number(/cmdstat_get:calls=(\d+)/.exec(String(await ask(redis.url, 'INFO', 'commandstats')))?.[1] ?? 0)
  const before = await gets()
  for (let i = 0; i < 10_000; i++) assert.equal(textOf(await a.get('k')), 'x')
  // A busy machine may take longer over one turn than a proof holds.
  const after = await gets()
  assert.ok(after - before < 1000, String(after - before))
})

const changes: Record<string, [(store: RedisStore, url: string) => Promise<unknown>, string | undefined]> = {
  'stores another': [(store) => store.set('k', entryOf('new'), MINUTE, Date.now()), 'new'],
  'stores another whatever stands there': [(store) => store.set('k', entryOf('new'), MINUTE), 'new'],
  'invalidates it': [(store) => store.set('k', new Tombstone('purged', 7), MINUTE), 'purged'],
  'stores an index in its place': [(store) => store.set('k', new Index([]), MINUTE), 'index'],
  'deletes it': [(store) => store.delete('k'), undefined],
  'empties Redis': [(_, url) => ask(url, 'FLUSHALL'), undefined],
}
const said = (slot: unknown): string | undefined =>
  slot === undefined
    ? undefined
    : slot instanceof Tombstone
      ? slot.reason
      : slot instanceof Index
        ? 'index'
        : textOf(slot)

for (const [what, [change, wanted]] of Object.entries(changes)) {
  test(`another process ${what}: the copy is not used any more`, async (t) => {
    const { redis, a, b } = await twoStores(t)
    await a.set('k', entryOf('old'), MINUTE)
    await Promise.all([untilNear(a), untilNear(b)])
    await change(b, redis.url)
    const changedAt = performance.now()
    const ms = await staleMs(
      () => a.get('k'),
      (slot) => said(slot) === wanted,
      changedAt,
    )
    t.diagnostic(`${ms.toFixed(1)} ms`)
    assert.ok(ms < 1000, `${ms} ms`)
    if (what !== 'empties Redis') assert.equal(said(await b.get('k')), wanted)
    if (wanted !== undefined) await untilNear(a)
    assert.equal(said(await a.get('k')), wanted)
  })
}

test('what a process changed itself it sees at once, and then nearby', async (t) => {
  const { a } = await twoStores(t)
  for (let i = 0; i < 50; i++) {
    await a.set('k', entryOf(String(i)), MINUTE, Date.now())
    assert.equal(textOf(await a.get('k')), String(i))
    if (i % 10 === 0) await untilNear(a)
    assert.equal(textOf(await a.get('k')), String(i))
  }
  await a.set('k', new Tombstone('purged', 7), MINUTE)
  assert.ok((await a.get('k')) instanceof Tombstone)
  await a.delete('k')
  assert.equal(await a.get('k'), undefined)
})

test('indexes and tombstones are nearby as well', async (t) => {
  const { a, b } = await twoStores(t)
  await a.set('index', new Index([]), MINUTE)
  await a.set('tombstone', new Tombstone('purged', 7), MINUTE)
  await Promise.all([untilNear(b, 'index'), untilNear(b, 'tombstone')])
})

test('Redis freezes: copies are used for 100 ms more, and again once it thaws', async (t) => {
  const { redis, a } = await twoStores(t, 100)
  await a.set('k', entryOf('old'), MINUTE)
  await untilNear(a)
  redis.freeze()
  const frozenAt = performance.now()
  let last = 0
  const end = frozenAt + 600
  while (performance.now() < end) {
    const began = performance.now()
    if (typeof (await outcome(() => a.get('k'))) === 'object') last = began - frozenAt
  }
  t.diagnostic(`used for ${last.toFixed(1)} ms`)
  assert.ok(last < 300, `${last} ms`)
  redis.thaw()
  await until('it is nearby again', async () => (await outcome(() => isNear(a))) === true)
  assert.equal(textOf(await a.get('k')), 'old')
})

test('Redis is killed: copies are not used any more, nor when it is back without what was there', async (t) => {
  const { redis, a } = await twoStores(t, 100)
  await a.set('k', entryOf('old'), MINUTE)
  await untilNear(a)
  await redis.stop()
  const stoppedAt = performance.now()
  const ms = await staleMs(
    () => outcome(() => a.get('k')),
    (got) => got === 'store-down',
    stoppedAt,
  )
  assert.ok(ms < 300, `${ms} ms`)
  await redis.restart()
  await until('it is used again', async () => {
    const got = await outcome(() => a.get('k'))
    assert.ok(got === undefined || typeof got === 'string', 'a copy from before')
    return got === undefined
  })
  await a.set('k', entryOf('new'), MINUTE)
  await untilNear(a)
})

test('what changed while the connection was broken is not used', async (t) => {
  const { redis, a } = await twoStores(t)
  const client = createClient({ url: redis.url })
  client.on('error', () => {})
  await client.connect()
  t.after(() => client.destroy())
  for (let round = 0; round < 5; round++) {
    await until('it can be stored', async () => {
      const put = await outcome(() => a.set('k', entryOf('old'), MINUTE))
      return typeof put === 'object'
    })
    await until('it is nearby', async () => (await outcome(() => isNear(a))) === true)
    // In one step: nobody is left to be told of the change.
    const broken = client.multi().addCommand(['CLIENT', 'KILL', 'TYPE', 'normal']).addCommand(['FLUSHALL'])
    await broken.exec()
    // Until copies are used again: before that nothing nearby is.
    await until('another is stored', async () => {
      return typeof (await outcome(() => a.set('other', entryOf('x'), MINUTE))) === 'object'
    })
    await until('it is nearby', async () => (await outcome(() => isNear(a, 'other'))) === true)
    await until('it is answered', async () => {
      const got = await outcome(() => a.get('k'))
      assert.ok(got === undefined || typeof got === 'string', 'a copy from before')
      return got === undefined
    })
  }
})

const refusing: Record<string, { args?: string[]; setUp?: string[]; user?: string }> = {
  'is too old for RESP3': { args: ['--rename-command', 'HELLO', ''] },
  'forbids tracking': {
    setUp: ['ACL', 'SETUSER', 'limited', 'on', '>x', '~*', '&*', '+@all', '-client|tracking'],
    user: 'limited:x@',
  },
}
for (const [what, { args, setUp, user }] of Object.entries(refusing)) {
  test(`a Redis that ${what} is used without copies, and nothing is told`, async (t) => {
    const redis = await startRedis(t, { args: args ?? [] })
    if (setUp !== undefined) await ask(redis.url, ...setUp)
    const { store, told } = await openStore(t, redis.url.replace('//', `//${user ?? ''}`), { nearBytes })
    await store.set('k', entryOf('x'), MINUTE)
    for (let i = 0; i < 50; i++) assert.equal(await isNear(store), false)
    assert.deepEqual(told, [])
  })
}

const hello = '%1\r\n+server\r\n+redis\r\n'

/** A Redis that tells of no change; what it has expires in 300 ms. */
const tellsNothing = async (t: TestContext): Promise<RedisStore> => {
  const frame = encodeFrame('k', entryOf('x')).toString('latin1')
  const replies: Record<string, string> = {
    hello,
    get: `$${frame.length}\r\n${frame}\r\n`,
    pttl: ':300\r\n',
  }
  const fake = await startFakeRedis(t, (words) => replies[words[0]!] ?? courtesy(words))
  const { store } = await openStore(t, fake.url, { nearBytes })
  await untilNear(store)
  return store
}

test('a copy ends with its original, though Redis may tell of that late', async (t) => {
  const store = await tellsNothing(t)
  const slot = await store.get('k')
  await until('it is read anew', async () => (await store.get('k')) !== slot)
})

test('a copy may be forgotten before Redis tells of a change', async (t) => {
  const store = await tellsNothing(t)
  const slot = await store.get('k')
  store.forget('k')
  assert.notEqual(await store.get('k'), slot)
})

test('the connection that tells of changes is silent: reads go over the other', async (t) => {
  const tracking = new Set<unknown>()
  const fake = await startFakeRedis(t, (words, socket) => {
    if (words[0] === 'hello') {
      tracking.add(socket)
      return hello
    }
    if (words[0] === 'client') return '+OK\r\n'
    if (tracking.has(socket)) return undefined
    return words[0] === 'get' ? '$-1\r\n' : courtesy(words)
  })
  const { store, told } = await openStore(t, fake.url, { nearBytes, timeoutMs: 30 })
  const outcomes: unknown[] = []
  await until('many reads were answered', async () => {
    outcomes.push(await outcome(() => store.get('k')))
    return outcomes.filter((each) => each === undefined).length > 50
  })
  assert.ok(
    outcomes.slice(-20).every((each) => each === undefined),
    String(outcomes),
  )
  assert.deepEqual(told, [])
})

test('what is no RESP on the connection that tells of changes: it is made anew', async (t) => {
  let greeted = 0
  const fake = await startFakeRedis(t, (words) => {
    if (words[0] === 'hello') {
      greeted++
      return hello
    }
    if (words[0] === 'get' && greeted === 1) return 'nonsense\r\n'
    if (words[0] === 'get') return '$-1\r\n'
    if (words[0] === 'pttl') return ':-2\r\n'
    return courtesy(words)
  })
  const { store } = await openStore(t, fake.url, { nearBytes, timeoutMs: 100 })
  await until('it was made anew', async () => {
    await outcome(() => store.get('k'))
    return greeted > 1
  })
  await until('it is used', async () => (await outcome(() => store.get('k'))) === undefined)
})

test('a closed store has no copies, and its connection ends', async (t) => {
  const { redis, a, b } = await twoStores(t)
  await a.set('k', entryOf('x'), MINUTE)
  await untilNear(a)
  await Promise.all([a.close(), b.close()])
  assert.equal(await outcome(() => a.get('k')), 'store-down')
  await until('all connections have ended', async () => {
    const list = String(await ask(redis.url, 'CLIENT', 'LIST'))
    return list.trim().split('\n').length === 1
  })
})
