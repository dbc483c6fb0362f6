import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { Entry } from '../../src/cache/entry.ts'
import { Shelf, selectionFor } from '../../src/cache/shelf.ts'
import { memoryStore } from '../../src/cache/store/memory.ts'
import { Index, type Put, type Store, StoreError, Tombstone } from '../../src/cache/store/store.ts'
import type { Fields } from '../../src/core/types.ts'
import { gate } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { openStore, until } from '../support/redis-store.ts'
import { entryOf } from './entries.ts'

const MB = 1024 * 1024
const KEY = 'http://h/a'

/** A clock that stands still until it is moved; begins with the system's, which stores expire by. */
const handClock = () => {
  let now = Date.now()
  return {
    now: () => now,
    advance: (ms: number) => {
      now += ms
    },
  }
}

type Hand = ReturnType<typeof handClock>

/** A response to a GET with these fields that was asked for and came at this moment. */
const answer = (
  clock: Hand,
  body: string,
  options: { vary?: string; asked?: Fields; askedAt?: number; fields?: Fields; date?: number } = {},
): Entry => {
  const fields = [
    'Cache-Control',
    'max-age=3600',
    ...(options.vary === undefined ? [] : ['Vary', options.vary]),
    ...(options.date === undefined ? [] : ['Date', new Date(options.date).toUTCString()]),
    ...(options.fields ?? []),
  ]
  return entryOf(body, {
    fields,
    requestedAt: options.askedAt ?? clock.now(),
    receivedAt: clock.now(),
    selection: selectionFor(fields, options.asked ?? []),
    url: '/a',
  })
}

const english = ['Accept-Language', 'en']
const polish = ['accept-language', 'pl']

const bodyOf = async (shelf: Shelf, headers: Fields = [], key = KEY): Promise<string> => {
  const { entry, reason } = await shelf.find(key, headers)
  return entry?.body.toString() ?? reason
}

const keysOf = async (store: Store): Promise<string[]> => {
  const keys: string[] = []
  for await (const key of store.keys('')) keys.push(key)
  return keys
}

/** Runs over memory and over Redis; `second` is another process on the same store, where there can be one. */
const both = (
  what: string,
  work: (given: { shelf: Shelf; second: Shelf; store: Store; clock: Hand; t: TestContext }) => Promise<void>,
): void => {
  const concealed = (name: string) => name === 'cookie'
  test(`shelf over memory: ${what}`, async (t) => {
    const clock = handClock()
    const store = memoryStore(64 * MB)
    const shelf = new Shelf(store, clock, concealed)
    await work({ shelf, second: new Shelf(store, clock, concealed), store, clock, t })
  })
  test(`shelf over Redis: ${what}`, async (t) => {
    const clock = handClock()
    const redis = await startRedis(t)
    const { store } = await openStore(t, redis.url)
    const other = await openStore(t, redis.url)
    const shelf = new Shelf(store, clock, concealed)
    await work({ shelf, second: new Shelf(other.store, clock, concealed), store, clock, t })
  })
}

both('what is saved is found, by this process and another', async ({ shelf, second, clock }) => {
  assert.equal(await bodyOf(shelf), 'uri-miss')
  assert.equal(await shelf.save(KEY, answer(clock, 'hello')), 'stored')
  assert.equal(await bodyOf(shelf), 'hello')
  assert.equal(await bodyOf(second), 'hello')
})

both('a lookup waits for a save that began before it', async ({ shelf, clock }) => {
  const saved = shelf.save(KEY, answer(clock, 'hello'))
  assert.equal(await bodyOf(shelf), 'hello')
  assert.equal(await saved, 'stored')
})

both('saves under one key take place in their order', async ({ shelf, clock }) => {
  const saves = Array.from({ length: 20 }, (_, i) => shelf.save(KEY, answer(clock, `${i}`)))
  assert.equal(await bodyOf(shelf), '19')
  assert.deepEqual(new Set(await Promise.all(saves)), new Set(['stored']))
})

both(
  'variants are kept apart, and a miss names the field with both values',
  async ({ shelf, second, clock }) => {
    await shelf.save(KEY, answer(clock, 'hello', { vary: 'Accept-Language', asked: english }))
    assert.deepEqual(await shelf.find(KEY, polish), {
      entry: undefined,
      reason: 'vary-miss',
      detail: 'accept-language (stored en, given pl)',
      varyOn: ['accept-language'],
    })
    assert.equal((await shelf.find(KEY, [])).detail, 'accept-language (stored en, given none)')
    await second.save(KEY, answer(clock, 'cześć', { vary: 'accept-language', asked: polish }))
    for (const each of [shelf, second]) {
      assert.equal(await bodyOf(each, english), 'hello')
      assert.equal(await bodyOf(each, polish), 'cześć')
    }
  },
)

both('a variant takes the place of the one with the same selection, whose entry is gone', async (given) => {
  const { shelf, store, clock } = given
  for (const body of ['1', '2', '3']) {
    await shelf.save(KEY, answer(clock, body, { vary: 'accept-language', asked: english }))
    assert.equal(await bodyOf(shelf, english), body)
  }
  for (let tries = 0; (await keysOf(store)).length !== 2; tries++) assert.ok(tries < 100)
})

both('of several that match the one with the newest Date is used', async ({ shelf, clock }) => {
  const now = clock.now()
  const old = { vary: 'accept-language', asked: english, date: now - 60_000 }
  const newer = { vary: 'x-other', asked: english, date: now - 30_000 }
  await shelf.save(KEY, answer(clock, 'newer', newer))
  await shelf.save(KEY, answer(clock, 'old', old))
  assert.equal(await bodyOf(shelf, english), 'newer')
  await shelf.save(KEY, answer(clock, 'newest', { ...old, date: now - 10_000 }))
  assert.equal(await bodyOf(shelf, english), 'newest')
})

both('values of concealed names do not show', async ({ shelf, clock }) => {
  await shelf.save(KEY, answer(clock, 'x', { vary: 'cookie', asked: ['cookie', 'secret=1'] }))
  assert.equal((await shelf.find(KEY, ['cookie', 'secret=2'])).detail, 'cookie')
})

both('long values are shortened', async ({ shelf, clock }) => {
  await shelf.save(KEY, answer(clock, 'x', { vary: 'x', asked: ['x', 'a'.repeat(500)] }))
  const { detail } = await shelf.find(KEY, ['x', 'b'.repeat(500)])
  assert.equal(detail, `x (stored ${'a'.repeat(60)}…, given ${'b'.repeat(60)}…)`)
})

both('there are at most 100 variants, the oldest go', async ({ shelf, store, clock }) => {
  for (let i = 0; i < 110; i++) {
    clock.advance(1000)
    await shelf.save(KEY, answer(clock, `${i}`, { vary: 'x', asked: ['x', `${i}`] }))
  }
  assert.equal(await bodyOf(shelf, ['x', '109']), '109')
  assert.equal(await bodyOf(shelf, ['x', '10']), '10')
  assert.equal(await bodyOf(shelf, ['x', '9']), 'vary-miss')
  for (let tries = 0; (await keysOf(store)).length !== 101; tries++) assert.ok(tries < 200)
  // One that is older than all of them is kept all the same: it was just asked for.
  await shelf.save(KEY, answer(clock, 'old', { vary: 'x', asked: ['x', 'old'], date: 1000 }))
  assert.equal(await bodyOf(shelf, ['x', 'old']), 'old')
})

both('variants that are not worth keeping any more leave the index, the others keep it', async (given) => {
  const { shelf, store, clock } = given
  await shelf.save(
    KEY,
    answer(clock, 'long', { vary: 'x', asked: ['x', '1'], fields: ['CDN-Cache-Control', 'max-age=1000000'] }),
  )
  await shelf.save(KEY, answer(clock, 'short', { vary: 'x', asked: ['x', '2'] }))
  clock.advance(2 * 24 * 3600_000)
  await shelf.save(KEY, answer(clock, 'new', { vary: 'x', asked: ['x', '3'] }))
  const { slot } = (await store.peek(KEY))!
  assert.ok(slot instanceof Index)
  assert.deepEqual(
    slot.variants.map(({ selection }) => selection[1]),
    ['3', '1'],
  )
  const last = Math.max(...slot.variants.map(({ keepUntil }) => keepUntil))
  assert.ok(last - clock.now() > 9 * 24 * 3600_000)
})

both('a response that varies on nothing takes the place of all variants', async ({ shelf, store, clock }) => {
  await shelf.save(KEY, answer(clock, '1', { vary: 'x', asked: ['x', '1'] }))
  await shelf.save(KEY, answer(clock, '2', { vary: 'x', asked: ['x', '2'] }))
  await shelf.save(KEY, answer(clock, 'one'))
  assert.equal(await bodyOf(shelf, ['x', '1']), 'one')
  for (let tries = 0; (await keysOf(store)).length !== 1; tries++) assert.ok(tries < 100)
})

both(
  'a variant in the one language that is wanted most is found, where only Accept-Language differs',
  async ({ shelf, clock }) => {
    const save = (text: string, language: string, asked: string[], vary = 'accept-language') =>
      shelf.save(KEY, answer(clock, text, { vary, asked, fields: ['Content-Language', language] }))
    await save('deutsch', 'DE', ['accept-language', 'en, de'])
    await save('english', 'en', ['accept-language', 'en'])
    await save('two', 'fr, pl', ['accept-language', 'pl'])
    assert.equal(await bodyOf(shelf, ['accept-language', 'fr;q=0.5, de;q=1.0']), 'deutsch')
    assert.equal((await shelf.find(KEY, ['accept-language', 'de;q=0.9'])).language, 'de')
    // What is asked for exactly goes before it.
    assert.equal(await bodyOf(shelf, ['accept-language', 'en']), 'english')
    for (const other of ['de, fr', 'de-AT', '*', 'fr', 'pl;q=0.9', 'de;q=0'])
      assert.equal(await bodyOf(shelf, ['accept-language', other]), 'vary-miss', other)
    assert.equal(await bodyOf(shelf, []), 'vary-miss')
    await save('for x', 'de', ['accept-language', 'en', 'x', '1'], 'accept-language, x')
    assert.equal(await bodyOf(shelf, ['accept-language', 'de', 'x', '1']), 'for x')
    assert.equal(await bodyOf(shelf, ['accept-language', 'de;q=0.5', 'x', '2']), 'deutsch')
  },
)

both('what is dropped is gone for all, and says why', async ({ shelf, second, store, clock }) => {
  await shelf.save(KEY, answer(clock, 'x'))
  assert.equal(await second.drop(KEY, 'purged'), 'dropped')
  assert.equal(await bodyOf(shelf), 'purged')
  assert.equal(await second.drop(KEY, 'invalidated-by-unsafe'), 'nothing')
  assert.equal(await bodyOf(shelf), 'purged')
  assert.equal(await shelf.drop('http://h/never', 'purged'), 'nothing')
  assert.equal(await bodyOf(shelf, [], 'http://h/never'), 'uri-miss')
  await shelf.save(KEY, answer(clock, 'again'))
  assert.equal(await bodyOf(second), 'again')
  await shelf.save('v', answer(clock, '1', { vary: 'x' }))
  await shelf.save('v', answer(clock, '2', { vary: 'x', asked: ['x', '2'] }))
  assert.equal(await second.drop('v', 'invalidated-by-unsafe'), 'dropped')
  assert.equal(await bodyOf(shelf, ['x', '2'], 'v'), 'invalidated-by-unsafe')
  for (let tries = 0; (await keysOf(store)).some((key) => key.startsWith('v\0')); tries++)
    assert.ok(tries < 100)
})

both(
  'an answer that was asked for before a drop is kept out, in this process and in others',
  async (given) => {
    const { shelf, second, store, clock } = given
    for (const vary of [undefined, 'x']) {
      const key = `${KEY}/${vary}`
      const options = vary === undefined ? {} : { vary }
      const askedAt = clock.now()
      clock.advance(10)
      await shelf.drop(key, 'purged')
      clock.advance(10)
      const late = () => answer(clock, 'late', { ...options, askedAt })
      assert.equal(await shelf.save(key, late()), 'invalidated')
      assert.equal(await second.save(key, late()), 'invalidated')
      assert.equal(await second.save(key, answer(clock, 'new', options)), 'stored')
      // The tombstone has gone, but what it says still holds.
      assert.equal(await shelf.save(key, late()), 'invalidated')
      assert.equal(await second.save(key, late()), 'invalidated')
      assert.equal(await bodyOf(shelf, [], key), 'new')
    }
    for (let tries = 0; (await keysOf(store)).length !== 3; tries++) assert.ok(tries < 100)
  },
)

both('a drop and a save of another process at one moment: the late answer never stays', async (given) => {
  const { shelf, second, clock } = given
  for (let i = 0; i < 50; i++) {
    const key = `${KEY}/${i}`
    const options = i % 2 === 0 ? {} : { vary: 'x' }
    await shelf.save(key, answer(clock, 'old', options))
    clock.advance(1)
    const late = answer(clock, 'late', options)
    clock.advance(1)
    await Promise.all([shelf.save(key, late), second.drop(key, 'invalidated-by-unsafe')])
    assert.equal(await bodyOf(shelf, [], key), 'invalidated-by-unsafe')
  }
})

both(
  'two that save variants of one URI at one moment leave an index whose entries are there',
  async (given) => {
    const { shelf, second, clock } = given
    for (let i = 0; i < 20; i++) {
      const key = `${KEY}/${i}`
      await Promise.all([
        shelf.save(key, answer(clock, '1', { vary: 'x', asked: ['x', '1'] })),
        second.save(key, answer(clock, '2', { vary: 'x', asked: ['x', '2'] })),
      ])
      const found = [await bodyOf(shelf, ['x', '1'], key), await bodyOf(shelf, ['x', '2'], key)]
      assert.ok(found.some((body) => /\d/.test(body)))
      assert.ok(
        found.every((body) => ['1', '2', 'vary-miss'].includes(body)),
        String(found),
      )
    }
  },
)

both('a list has one line a URI, with what is to be told of it, and no tombstones', async (given) => {
  const { shelf, clock } = given
  const list = async (prefix: string) => {
    const lines = []
    for await (const line of shelf.list(prefix)) lines.push(line)
    return lines.sort((a, b) => (a.key < b.key ? -1 : 1))
  }
  assert.deepEqual(await list(''), [])
  await shelf.save('http://h/a', answer(clock, 'hello'))
  await shelf.save('http://h/b', answer(clock, '12345', { vary: 'x', asked: ['x', '1'] }))
  clock.advance(1000)
  await shelf.save('http://h/b', answer(clock, '1', { vary: 'x', asked: ['x', '2'] }))
  await shelf.save('http://h/c', answer(clock, 'gone'))
  await shelf.drop('http://h/c', 'purged')
  await shelf.save('http://i/a', answer(clock, 'other'))
  const lines = await list('http://h/')
  assert.deepEqual(
    lines.map(({ entry, ...line }) => [line, entry.body.length, entry.fields.slice(0, 2)]),
    [
      [
        { key: 'http://h/a', url: '/a', status: 200, bytes: 5, storedAt: clock.now() - 1000, variants: 0 },
        0,
        ['Cache-Control', 'max-age=3600'],
      ],
      [
        { key: 'http://h/b', url: '/a', status: 200, bytes: 6, storedAt: clock.now(), variants: 2 },
        0,
        ['Cache-Control', 'max-age=3600'],
      ],
    ],
  )
  assert.equal((await list('')).length, 3)
})

both('what stands under a key can be looked at, without bodies', async ({ shelf, store, clock }) => {
  assert.equal(await shelf.slotOf(KEY), undefined)
  await shelf.save(KEY, answer(clock, 'hello'))
  const entry = (await shelf.slotOf(KEY))!
  assert.ok(entry.kind === 'entry')
  assert.deepEqual([entry.bodyBytes, entry.entry.body.length, entry.entry.status], [5, 0, 200])
  await shelf.drop(KEY, 'purged')
  assert.deepEqual(await shelf.slotOf(KEY), { kind: 'tombstone', reason: 'purged', at: clock.now() })
  await shelf.save(KEY, answer(clock, '1', { vary: 'x', asked: ['x', '1'] }))
  clock.advance(1000)
  await shelf.save(KEY, answer(clock, '22', { vary: 'x', asked: ['x', '2'] }))
  const [first] = ((await store.peek(KEY))!.slot as Index).variants
  await store.delete(first!.key)
  const variants = (await shelf.slotOf(KEY))!
  assert.ok(variants.kind === 'variants')
  assert.deepEqual(
    variants.variants.map(({ selection, stored }) => [selection, stored?.bodyBytes]),
    [
      [['x', '2'], undefined],
      [['x', '1'], 1],
    ],
  )
})

both(
  'the nearest key is that of the same path with another query, or of another host',
  async ({ shelf, clock }) => {
    assert.equal(await shelf.nearest('http://h/path?a=1'), undefined)
    for (const key of [
      'http://h/path?a=2',
      'http://other/exact/way?to=it',
      'http://h/zzz',
      'http://h/path?a=1',
    ])
      await shelf.save(key, answer(clock, 'x'))
    await shelf.drop('http://h/path?a=1', 'purged')
    await shelf.save('http://h/path?a=9\nx', answer(clock, 'x', { vary: 'x' }))
    assert.equal(await shelf.nearest('http://h/path?a=1'), 'http://h/path?a=2')
    assert.equal(await shelf.nearest('http://h/exact/way?to=it'), 'http://other/exact/way?to=it')
    assert.equal(await shelf.nearest('ftp:'), undefined)
  },
)

test('the search for the nearest key looks at 2,000 keys and no more', async () => {
  let named = 0
  const store: Store = {
    ...memoryStore(MB),
    async *keys(_prefix, most = Number.POSITIVE_INFINITY) {
      for (let i = 0; i < most; i++) {
        named++
        yield `http://h/${i}`
      }
    },
  }
  await new Shelf(store, handClock(), () => false).nearest('http://h/x')
  assert.equal(named, 2000)
})

/** A store whose calls wait, fail or go through as the test says. */
const troubled = (timeoutMs = 50) => {
  const inner = memoryStore(MB)
  const state: { mode: 'well' | 'down' | 'slow' | 'broken'; calls: number } = { mode: 'well', calls: 0 }
  const through = async <T>(work: () => Promise<T>): Promise<T> => {
    state.calls++
    if (state.mode === 'down') throw new StoreError('store-down')
    if (state.mode === 'broken') throw new TypeError('a fault of ours')
    if (state.mode === 'slow') await new Promise(() => {})
    return work()
  }
  const store: Store = {
    ...inner,
    timeoutMs,
    get: (key) => through(() => inner.get(key)),
    peek: (key) => through(() => inner.peek(key)),
    set: (key, slot, keepMs, askedAt) => through<Put>(() => inner.set(key, slot, keepMs, askedAt)),
    delete: (key) => through(() => inner.delete(key)),
  }
  return { store, inner, state }
}

test('errors of the store never come out of save and drop, and out of find only as StoreError', async () => {
  const clock = handClock()
  const { store, state } = troubled()
  const shelf = new Shelf(store, clock, () => false)
  for (const mode of ['down', 'slow', 'broken'] as const) {
    state.mode = mode
    for (const vary of [undefined, 'x']) {
      const options = vary === undefined ? {} : { vary }
      assert.equal(await shelf.save(`${mode}/${vary}`, answer(clock, 'x', options)), 'store-down')
      assert.equal(await shelf.drop(`${mode}/${vary}/d`, 'purged'), 'owed')
    }
    // A read that hangs is the store's own to bound.
    if (mode === 'down') await assert.rejects(shelf.find(`${mode}/f`, []), StoreError)
  }
})

test('a lookup behind a write that hangs takes no longer than the deadline', async () => {
  const clock = handClock()
  const { store, state } = troubled()
  const shelf = new Shelf(store, clock, () => false)
  state.mode = 'slow'
  void shelf.save(KEY, answer(clock, 'x'))
  const startedAt = performance.now()
  await assert.rejects(shelf.find(KEY, []), { name: 'StoreError', reason: 'too-slow-store' })
  assert.ok(performance.now() - startedAt < 1000)
})

test('a lookup that must look at several variants has one deadline for all', async () => {
  const clock = handClock()
  const inner = memoryStore(MB)
  const given: Array<number | undefined> = []
  const store: Store = {
    ...inner,
    timeoutMs: 1000,
    async get(key, withinMs) {
      given.push(withinMs)
      await new Promise((resolve) => setTimeout(resolve, 20))
      return key.includes('\0') ? undefined : inner.get(key)
    },
  }
  const shelf = new Shelf(store, clock, () => false)
  for (let i = 0; i < 3; i++) await shelf.save(KEY, answer(clock, `${i}`, { vary: `x${i}` }))
  assert.equal((await shelf.find(KEY, [])).reason, 'uri-miss')
  assert.equal(given.length, 4)
  assert.equal(given.shift(), undefined)
  for (const [i, ms] of given.entries()) assert.ok(ms! <= 1000 - 15 * (i + 1), String(given))
})

test('a drop that the store was not told of holds in this process, and is told when the store is back', async () => {
  const clock = handClock()
  const { store, inner, state } = troubled()
  const shelf = new Shelf(store, clock, () => false)
  await shelf.save(KEY, answer(clock, 'old'))
  await shelf.save('other', answer(clock, 'other'))
  const askedAt = clock.now()
  clock.advance(10)
  state.mode = 'down'
  await shelf.drop(KEY, 'invalidated-by-unsafe')
  state.mode = 'well'
  assert.equal(await bodyOf(shelf), 'invalidated-by-unsafe')
  assert.equal(await shelf.save(KEY, answer(clock, 'late', { askedAt })), 'invalidated')
  assert.equal(await bodyOf(shelf, [], 'other'), 'other')
  for (let tries = 0; !((await inner.get(KEY)) instanceof Tombstone); tries++) {
    assert.ok(tries < 1000)
    await new Promise(setImmediate)
  }
  await shelf.save(KEY, answer(clock, 'new'))
  assert.equal(await bodyOf(shelf), 'new')
})

test('what is owed is told when the store is back, also where nobody asks here any more', async () => {
  const clock = handClock()
  const { store, inner, state } = troubled()
  const shelf = new Shelf(store, clock, () => false)
  await shelf.save(KEY, answer(clock, 'old'))
  clock.advance(10)
  state.mode = 'down'
  await shelf.drop(KEY, 'purged')
  const { calls } = state
  await until('it is tried, and tried again', () => state.calls > calls + 1)
  state.mode = 'well'
  await until('the store was told', async () => (await inner.get(KEY)) instanceof Tombstone)
  shelf.close()
})

test('a newer answer takes the place of what is owed', async () => {
  const clock = handClock()
  const { store, inner, state } = troubled()
  const shelf = new Shelf(store, clock, () => false)
  await shelf.save(KEY, answer(clock, 'old'))
  clock.advance(10)
  state.mode = 'down'
  await shelf.drop(KEY, 'invalidated-by-unsafe')
  state.mode = 'well'
  clock.advance(10)
  assert.equal(await shelf.save(KEY, answer(clock, 'new')), 'stored')
  assert.equal(await bodyOf(shelf), 'new')
  await new Promise(setImmediate)
  assert.ok((await inner.get(KEY)) instanceof Entry)
})

test('a newer variant does not bring back older ones while it is owed that all were dropped', async () => {
  const clock = handClock()
  const { store, state } = troubled()
  const [here, elsewhere] = [new Shelf(store, clock, () => false), new Shelf(store, clock, () => false)]
  const [pl, en] = [
    ['X', 'pl'],
    ['X', 'en'],
  ]
  await here.save(KEY, answer(clock, 'old pl', { vary: 'x', asked: pl! }))
  await here.save(KEY, answer(clock, 'old en', { vary: 'x', asked: en! }))
  const late = answer(clock, 'late', { vary: 'x', asked: en! })
  clock.advance(10)
  state.mode = 'down'
  assert.equal(await here.drop(KEY, 'purged'), 'owed')
  state.mode = 'well'
  clock.advance(10)
  assert.equal(await here.save(KEY, answer(clock, 'new pl', { vary: 'x', asked: pl! })), 'stored')
  assert.equal(await bodyOf(here, pl!), 'new pl')
  assert.notEqual(await bodyOf(here, en!), 'old en')
  assert.notEqual(await bodyOf(elsewhere, en!), 'old en')
  // Nor does what another process was asked for before.
  assert.equal(await elsewhere.save(KEY, late), 'invalidated')
  here.close()
})

test('what is dropped between the look at an index and its writing does not come back, however late it was told', async () => {
  const clock = handClock()
  const inner = memoryStore(MB)
  const [en, pl] = [
    ['X', 'en'],
    ['X', 'pl'],
  ]
  const elsewhere = new Shelf(inner, clock, () => false)
  await elsewhere.save(KEY, answer(clock, 'old en', { vary: 'x', asked: en! }))
  // It was dropped at this moment; the store hears of it later.
  clock.advance(10)
  const dropped = new Tombstone('purged', clock.now())
  clock.advance(10)
  let looks = 0
  const store: Store = {
    ...inner,
    async peek(key) {
      const standing = await inner.peek(key)
      if (looks++ === 0) await inner.set(KEY, dropped, 600_000)
      return standing
    },
  }
  const shelf = new Shelf(store, clock, () => false)
  assert.equal(await shelf.save(KEY, answer(clock, 'new pl', { vary: 'x', asked: pl! })), 'stored')
  assert.equal(await bodyOf(shelf, pl!), 'new pl')
  assert.notEqual(await bodyOf(shelf, en!), 'old en')
  assert.equal(looks, 2)
  // The index, its one variant, and the old one, which whoever dropped it forgets; not that of the first attempt.
  await until('the first attempt left nothing', async () => (await keysOf(inner)).length === 3)
})

test('more invalidations than can be remembered make all that is older untrusted', async () => {
  const clock = handClock()
  const { store, state } = troubled()
  const shelf = new Shelf(store, clock, () => false)
  await shelf.save(KEY, answer(clock, 'old'))
  await shelf.save('v', answer(clock, 'old', { vary: 'x' }))
  clock.advance(10)
  state.mode = 'down'
  for (let i = 0; i < 10_002; i++) await shelf.drop(i === 0 ? KEY : `k${i}`, 'invalidated-by-unsafe')
  state.mode = 'well'
  clock.advance(10)
  assert.equal(await bodyOf(shelf), 'invalidated-by-unsafe')
  assert.notEqual(await bodyOf(shelf, [], 'v'), 'old')
  await shelf.save(KEY, answer(clock, 'new'))
  assert.equal(await bodyOf(shelf), 'new')
})

test('a save that hangs does not hold up later ones for ever, once it ends', async () => {
  const clock = handClock()
  const inner = memoryStore(MB)
  const hold = gate()
  let first = true
  const store: Store = {
    ...inner,
    timeoutMs: 20,
    async set(...given) {
      if (first) {
        first = false
        await hold.promise
      }
      return inner.set(...given)
    },
  }
  const shelf = new Shelf(store, clock, () => false)
  assert.equal(await shelf.save(KEY, answer(clock, '1')), 'store-down')
  assert.equal(await shelf.save(KEY, answer(clock, '2')), 'store-down')
  hold.open()
  assert.equal(await bodyOf(shelf), '2')
})

test('evicted and expired responses say so', async () => {
  const clock = handClock()
  const shelf = new Shelf(memoryStore(20_000), clock, () => false)
  await shelf.save(KEY, answer(clock, 'x'))
  for (let i = 0; i < 50; i++) await shelf.save(`k${i}`, answer(clock, 'x'.repeat(1000)))
  assert.equal(await bodyOf(shelf), 'evicted-size')
  assert.equal(await shelf.save('large', answer(clock, 'x'.repeat(20_000))), 'too-large')
  assert.equal(await shelf.save('large', answer(clock, 'x'.repeat(20_000), { vary: 'x' })), 'too-large')
})

test('a variant that was evicted says so, and what it varies on', async () => {
  const clock = handClock()
  const store = memoryStore(MB)
  const shelf = new Shelf(store, clock, () => false)
  await shelf.save(KEY, answer(clock, 'x', { vary: 'x' }))
  const [variant] = ((await store.peek(KEY))!.slot as Index).variants
  for (let i = 0; store.whyGone(variant!.key) === undefined; i++) {
    assert.ok(i < 5000)
    await store.get(KEY)
    await shelf.save(`k${i}`, answer(clock, 'x'.repeat(1000)))
  }
  assert.deepEqual(await shelf.find(KEY, []), { entry: undefined, reason: 'evicted-size', varyOn: ['x'] })
})

test('who wants to know is told of each drop, before the store is', () => {
  const clock = handClock()
  const told: string[] = []
  const { store, state } = troubled()
  const shelf = new Shelf(
    store,
    clock,
    () => false,
    (key) => {
      assert.equal(state.calls, 0)
      told.push(key)
    },
  )
  state.mode = 'down'
  void shelf.drop(KEY, 'purged')
  assert.deepEqual(told, [KEY])
})
