import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Entry } from '../../src/cache/entry.ts'
import { memoryStore } from '../../src/cache/store/memory.ts'
import { Index, Tombstone } from '../../src/cache/store/store.ts'
import { entryOf } from './entries.ts'
import { storeSuite } from './store-suite.ts'

const MINUTE = 60_000

storeSuite('memory', async () => memoryStore(64 * 1024 * 1024))

test('the bound counts bodies, fields and keys, and the least recently used goes first', async () => {
  const max = 1_000_000
  for (const make of [
    (i: number) => ({ key: `k${i}`, entry: entryOf(Buffer.alloc(10_000)) }),
    (i: number) => ({ key: `k${i}`, entry: entryOf('', { fields: ['x', 'v'.repeat(10_000)] }) }),
    (i: number) => ({ key: `k${i}${'y'.repeat(10_000)}`, entry: entryOf('') }),
    (i: number) => ({ key: `k${i}`, entry: entryOf('', { selection: ['x', 'v'.repeat(10_000)] }) }),
  ]) {
    const store = memoryStore(max)
    await store.set(make(0).key, make(0).entry, MINUTE)
    for (let i = 1; i < 300; i++) {
      const { key, entry } = make(i)
      await store.set(key, entry, MINUTE)
      assert.ok((await store.get(make(0).key)) instanceof Entry, 'what is used stays')
    }
    const { entries, bytes, evictions } = store.stats()!
    assert.ok(bytes <= max && bytes > 0.8 * max, String(bytes))
    assert.ok(entries > 70 && entries < 100, String(entries))
    assert.equal(entries + evictions, 300)
    assert.equal(await store.get(make(1).key), undefined)
    assert.equal(store.whyGone(make(1).key), 'evicted-size')
    assert.equal(store.whyGone(make(299).key), undefined)
  }
})

test('a large entry puts out many small ones over several turns of the event loop', async () => {
  const max = 48 * 1024 * 1024
  const store = memoryStore(max)
  const small = entryOf(Buffer.alloc(100))
  for (let i = 0; i < 50_000; i++) await store.set(`k${i}`, small, MINUTE)
  let { evictions } = store.stats()!
  const before = evictions
  await store.set('large', entryOf(Buffer.alloc(8 * 1024 * 1024)), MINUTE)
  const inTurns: number[] = []
  do {
    inTurns.push(store.stats()!.evictions - evictions)
    evictions = store.stats()!.evictions
    assert.ok(store.stats()!.bytes < max + 8.1 * 1024 * 1024, 'what it is over is what came last')
    await nextTurn()
  } while (store.stats()!.evictions > evictions)
  assert.ok(evictions - before > 5000, `${evictions - before} went`)
  assert.ok(Math.max(...inTurns) <= 1000, String(inTurns))
  assert.ok(store.stats()!.bytes <= max)
  assert.ok((await store.get('large')) instanceof Entry)
  assert.ok((await store.get('k49999')) instanceof Entry)
})

test('however fast large entries come, the bound is exceeded by no more than a quarter', async () => {
  const max = 24 * 1024 * 1024
  const store = memoryStore(max)
  const small = entryOf(Buffer.alloc(100))
  for (let i = 0; i < 25_000; i++) await store.set(`k${i}`, small, MINUTE)
  const large = entryOf(Buffer.alloc(2 * 1024 * 1024))
  for (let i = 0; i < 30; i++) {
    // No turn of the event loop between them.
    await store.set(`large${i}`, large, MINUTE)
    assert.ok(store.stats()!.bytes <= max * 1.25, `${store.stats()!.bytes} bytes after ${i}`)
  }
  await nextTurn()
  await nextTurn()
  assert.ok(store.stats()!.bytes <= max, `${store.stats()!.bytes} bytes`)
})

test('an index counts with all its variants', async () => {
  const store = memoryStore(10_000_000)
  const variants = Array.from({ length: 100 }, (_, i) => ({
    key: `k\0${i}${'x'.repeat(1000)}`,
    selection: ['accept', 'v'.repeat(1000)],
    dateAt: 1,
    receivedAt: 1,
    bytes: 1,
    keepUntil: 1,
  }))
  await store.set('k', new Index(variants), MINUTE)
  assert.ok(store.stats()!.bytes > 200_000)
})

test('an entry larger than the whole cache is not kept, and leaves no older one standing', async () => {
  const store = memoryStore(10_000)
  await store.set('k', entryOf('old'), MINUTE)
  await store.set('l', entryOf('other'), MINUTE)
  assert.deepEqual((await store.set('k', entryOf(Buffer.alloc(10_001)), MINUTE)).kept, 'too-large')
  assert.equal(await store.get('k'), undefined)
  assert.equal(store.whyGone('k'), 'evicted-size')
  assert.ok((await store.get('l')) instanceof Entry)
  await store.set('k', entryOf('new'), MINUTE)
  assert.equal(store.whyGone('k'), undefined)
})

test('a cache of no size at all keeps nothing and does not fail', async () => {
  const store = memoryStore(0)
  assert.equal((await store.set('k', entryOf('x'), MINUTE)).kept, 'too-large')
  assert.equal(await store.get('k'), undefined)
})

test('what became too old says so; a forgotten tombstone says nothing', async () => {
  const store = memoryStore(1_000_000)
  await store.set('k', entryOf('x'), 1)
  await store.set('t', new Tombstone('purged', 1), 1)
  await new Promise((resolve) => setTimeout(resolve, 10))
  assert.equal(await store.get('k'), undefined)
  assert.equal(await store.get('t'), undefined)
  assert.equal(store.whyGone('k'), 'evicted-age')
  assert.equal(store.whyGone('t'), undefined)
  assert.deepEqual(store.stats(), { entries: 0, bytes: 0, evictions: 0 })
})

test('why keys are gone is remembered for 10,000 of them and no more than 4 MB of keys', async () => {
  const store = memoryStore(1_000)
  for (let i = 0; i < 12_000; i++) await store.set(`k${i}`, entryOf(''), MINUTE)
  assert.equal(store.whyGone('k0'), undefined)
  assert.equal(store.whyGone('k11900'), 'evicted-size')
  const long = memoryStore(100_000)
  for (let i = 0; i < 200; i++) await long.set(`${i}${'x'.repeat(60_000)}`, entryOf(''), MINUTE)
  const known = Array.from({ length: 200 }, (_, i) => long.whyGone(`${i}${'x'.repeat(60_000)}`))
  assert.ok(known.filter((reason) => reason !== undefined).length <= 70)
})

test('what is packed away comes back as it was, and remembers how often it was served', async () => {
  const store = memoryStore(1_000_000)
  const entries = Array.from({ length: 150 }, (_, i) =>
    entryOf(Buffer.alloc(i % 10 === 0 ? 20_000 : 100, i), {
      fields: ['X-Odd', 'żółć "\\\xff', 'x', ''],
      selection: ['accept', undefined, 'x', 'y'],
      url: `/${i}`,
      ruled: { seconds: 2, by: 'ttl' },
    }),
  )
  for (const [i, entry] of entries.entries()) {
    await store.set(`k${i}`, entry, MINUTE)
    await store.set(
      'i',
      new Index([
        { key: 'k\0v', selection: ['x', undefined], dateAt: 1, receivedAt: 2, bytes: 3, keepUntil: 4 },
      ]),
      MINUTE,
    )
    const got = (await store.get(`k${i}`)) as Entry
    got.hits += i
    assert.equal(await store.get(`k${i}`), got, 'while it is asked for it is not made anew')
  }
  for (const [i, entry] of entries.entries()) {
    assert.equal(((await store.peek(`k${i}`))!.slot as Entry).hits, i)
    const got = (await store.get(`k${i}`)) as Entry
    assert.equal(got.hits, i)
    assert.deepEqual({ ...got.parts, body: 0 }, { ...entry.parts, body: 0 })
    assert.deepEqual(Buffer.from(got.body), Buffer.from(entry.body))
  }
  assert.deepEqual(((await store.get('i')) as Index).variants[0]!.selection, ['x', undefined])
})

test('a small body that is a view of large memory does not hold that memory', async () => {
  const store = memoryStore(10_000_000)
  const body = Buffer.alloc(1_000_000).subarray(10, 30)
  await store.set('k', entryOf(body), MINUTE)
  const got = (await store.get('k')) as Entry
  assert.equal(got.body.length, 20)
  assert.ok(got.body.buffer.byteLength < 2000)
})
