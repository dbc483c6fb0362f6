import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClient, RESP_TYPES } from '@redis/client'
import { Entry } from '../../src/cache/entry.ts'
import { clusterSlot } from '../../src/cache/store/cluster-slot.ts'
import { decodeFrame, encodeFrame } from '../../src/cache/store/frame.ts'
import { shownUrl } from '../../src/cache/store/redis.ts'
import { Index, Tombstone } from '../../src/cache/store/store.ts'
import { startCluster } from '../support/cluster.ts'
import { startRedis } from '../support/redis.ts'
import { openStore, until } from '../support/redis-store.ts'
import { entryOf } from './entries.ts'
import { storeSuite } from './store-suite.ts'

const MINUTE = 60_000

storeSuite('redis', async (t) => (await openStore(t, (await startRedis(t)).url)).store)
storeSuite(
  'redis with copies nearby',
  async (t) => (await openStore(t, (await startRedis(t)).url, { nearBytes: 64 * 1024 * 1024 })).store,
)

const bareClient = async (t: { after(work: () => void): void }, url: string) => {
  const client = createClient({ url })
  client.on('error', () => {})
  await client.connect()
  t.after(() => client.destroy())
  return client
}

test('redis: what is not ours under our key is a miss, and gone', async (t) => {
  const redis = await startRedis(t)
  const { store, told } = await openStore(t, redis.url)
  const client = await bareClient(t, redis.url)
  await store.set('k', entryOf('hello'), MINUTE)
  const [filed] = await client.keys('*')
  const whole = (await client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer }).get(filed!))!
  const changed = (change: (bytes: Buffer) => void): Buffer => {
    const bytes = Buffer.from(whole)
    change(bytes)
    return bytes
  }
  const put: Record<string, () => Promise<unknown>> = {
    'another text': () => client.set(filed!, 'hello'),
    nothing: () => client.set(filed!, ''),
    'JSON as keyv writes it': () => client.set(filed!, '{"value":{"status":200}}'),
    'a list': () => client.lPush(filed!, 'x'),
    'a hash': () => client.hSet(filed!, 'a', 'b'),
    'a frame cut short in its body': () => client.set(filed!, whole.subarray(0, -1)),
    'a frame with more than its body': () => client.set(filed!, Buffer.concat([whole, Buffer.from('x')])),
    'a frame cut short in its head': () => client.set(filed!, whole.subarray(0, 40)),
    'a preamble alone': () => client.set(filed!, whole.subarray(0, 16)),
    'less than a preamble': () => client.set(filed!, whole.subarray(0, 15)),
    'another version': () =>
      client.set(
        filed!,
        changed((bytes) => bytes.writeUInt8(2, 2)),
      ),
    'another kind': () =>
      client.set(
        filed!,
        changed((bytes) => bytes.writeUInt8(3, 3)),
      ),
    'a guard that is no number': () =>
      client.set(
        filed!,
        changed((bytes) => bytes.writeDoubleBE(Number.NaN, 4)),
      ),
    'a head beyond all bounds': () =>
      client.set(
        filed!,
        changed((bytes) => bytes.writeUInt32BE(0xffffffff, 12)),
      ),
    'a head that is no JSON': () =>
      client.set(
        filed!,
        changed((bytes) => bytes.write('}', 16)),
      ),
    'the frame of another key': () => client.set(filed!, encodeFrame('other', entryOf('hello'))),
    'a status that is none': () => client.set(filed!, encodeFrame('k', entryOf('', { status: 99 }))),
    'a field that splits the head': () =>
      client.set(filed!, encodeFrame('k', entryOf('', { fields: ['a', 'b\r\nc: d'] }))),
    'a name that is none': () => client.set(filed!, encodeFrame('k', entryOf('', { fields: ['a b', 'c'] }))),
  }
  for (const [what, foreign] of Object.entries(put)) {
    for (const look of ['get', 'peek'] as const) {
      await client.del(filed!)
      await foreign()
      // What is missing at the end of the body does not show in the head, and an empty value looks like none.
      if (look === 'peek' && /body|^nothing/.test(what)) continue
      assert.equal(await store[look]('k'), undefined, `${look}: ${what}`)
      for (let tries = 0; (await client.exists(filed!)) === 1; tries++)
        assert.ok(tries < 100, `${what} is gone`)
      await foreign()
      await store.set('k', entryOf('again'), MINUTE, 1)
      assert.equal(((await store.get('k')) as Entry).body.toString(), 'again', what)
    }
  }
  assert.deepEqual(told, [])
})

test('redis: bytes of a frame, changed at random, are an entry or nothing, and never an error', () => {
  const frames = [
    encodeFrame('k', entryOf('hello', { selection: ['accept', 'x'] })),
    encodeFrame(
      'k',
      new Index([
        { key: 'v', selection: ['a', undefined], dateAt: 1, receivedAt: 1, bytes: 1, keepUntil: 1 },
      ]),
    ),
    encodeFrame('k', new Tombstone('purged', 1)),
  ]
  let seed = 1
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let i = 0; i < 30_000; i++) {
    const bytes = Buffer.from(frames[i % 3]!)
    for (let changes = 1 + random(3); changes > 0; changes--) bytes[random(bytes.length)] = random(256)
    decodeFrame(i % 5 === 0 ? bytes.subarray(0, random(bytes.length)) : bytes, 'k')
  }
})

test('redis: entries expire there by themselves', async (t) => {
  const redis = await startRedis(t)
  const { store } = await openStore(t, redis.url)
  const client = await bareClient(t, redis.url)
  await store.set('k', entryOf('x'), 12_345.6, 1)
  await store.set('l', entryOf('x'), 12_345.6)
  for (const key of await client.keys('*')) {
    const left = await client.pTTL(key)
    assert.ok(left > 11_000 && left <= 12_346, String(left))
  }
})

test('redis: what belongs to another target is another’s', async (t) => {
  const redis = await startRedis(t)
  const one = await openStore(t, redis.url, { scope: 'http://a' })
  const two = await openStore(t, redis.url, { scope: 'http://b' })
  const same = await openStore(t, redis.url, { scope: 'http://a' })
  await one.store.set('k', entryOf('x'), MINUTE)
  assert.equal(await two.store.get('k'), undefined)
  assert.ok((await same.store.get('k')) instanceof Entry)
  for await (const key of two.store.keys('')) assert.fail(key)
})

test('redis: a user and a database in the URL are used', async (t) => {
  const redis = await startRedis(t, {
    args: ['--user', 'dev', 'on', '>pa/ss', '~*', '&*', '+@all'],
  })
  const { store } = await openStore(t, `redis://dev:pa%2Fss@127.0.0.1:${redis.port}/3`)
  await store.set('k', entryOf('x'), MINUTE)
  const client = await bareClient(t, `redis://dev:pa%2Fss@127.0.0.1:${redis.port}/3`)
  assert.equal(await client.dbSize(), 1)
})

test('redis: where scripts are forbidden the guard still holds', async (t) => {
  const redis = await startRedis(t, {
    args: ['--user', 'dev', 'on', '>x', '~*', '&*', '+@all', '-@scripting'],
  })
  const { store, told } = await openStore(t, `redis://dev:x@127.0.0.1:${redis.port}`)
  await store.set('k', new Tombstone('purged', 1000), MINUTE)
  assert.equal((await store.set('k', entryOf('late'), MINUTE, 500)).kept, 'invalidated')
  assert.equal((await store.set('k', entryOf('new'), MINUTE, 2000)).kept, 'stored')
  assert.equal((await store.set('k', entryOf('late'), MINUTE, 500)).kept, 'invalidated')
  assert.equal(((await store.get('k')) as Entry).body.toString(), 'new')
  assert.deepEqual(told, [])
})

test('redis: the client runs scripts for others, replies as they are', async (t) => {
  const redis = await startRedis(t)
  const { store } = await openStore(t, redis.url)
  const reply = await store.client.eval('return {1, tonumber(ARGV[1])}', {
    keys: ['limit'],
    arguments: ['7'],
  })
  assert.deepEqual(reply, [1, 7])
})

test('passwords do not show', () => {
  assert.equal(shownUrl('redis://:secret@h:1/2'), 'redis://:***@h:1/2')
  assert.equal(shownUrl('redis://h:1'), 'redis://h:1')
})

test('slots of a cluster are those that Redis computes', async (t) => {
  const redis = await startRedis(t, { args: ['--cluster-enabled', 'yes'] })
  const client = await bareClient(t, redis.url)
  const keys = [
    '',
    'a',
    '123456789',
    '{a}b',
    'x{a}',
    '{}a',
    '{}{a}',
    '{a',
    'a}',
    '}{a}',
    'ż{ó}ł',
    '{{a}}',
    'x'.repeat(3000),
  ]
  for (const key of keys)
    assert.equal(clusterSlot(key), await client.sendCommand(['CLUSTER', 'KEYSLOT', key]), key)
})

test('redis cluster: it does what a single one does, on all its nodes', async (t) => {
  const cluster = await startCluster(t, { password: 'secret' })
  const { store, told } = await openStore(t, cluster.urls)
  const keys = Array.from({ length: 300 }, (_, i) => `http://h/{${i % 50}}/${i}`)
  const setAll = () => Promise.all(keys.map((key) => store.set(key, entryOf(key), MINUTE, 1)))
  await until('all nodes are ready', () =>
    setAll().then(
      () => true,
      () => false,
    ),
  )
  for (const node of [0, 1, 2]) assert.ok(Number(await cluster.ask(node, 'DBSIZE')) > 0)
  for (const key of keys) {
    assert.equal(((await store.get(key)) as Entry).body.toString(), key)
    assert.equal((await store.peek(key))!.bodyBytes, Buffer.byteLength(key))
  }
  const listed = new Set<string>()
  for await (const key of store.keys('http://h/')) listed.add(key)
  assert.equal(listed.size, 300)
  await store.set(keys[0]!, new Tombstone('purged', 10), MINUTE)
  assert.equal((await store.set(keys[0]!, entryOf('late'), MINUTE, 5)).kept, 'invalidated')
  await store.delete(keys[1]!)
  assert.equal(await store.get(keys[1]!), undefined)
  const body = Buffer.alloc(1_000_000, Buffer.from([0, 255, 13, 10]))
  await store.set('large', entryOf(body), MINUTE)
  assert.ok(Buffer.compare(((await store.get('large')) as Entry).body, body) === 0)
  assert.deepEqual(await store.client.eval('return {1, 2}', { keys: ['any'], arguments: [] }), [1, 2])
  assert.deepEqual(told, [])
})
