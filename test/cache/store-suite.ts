/** What every store must do. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Entry } from '../../src/cache/entry.ts'
import { Index, type Store, Tombstone, type Variant } from '../../src/cache/store/store.ts'
import { entryOf } from './entries.ts'

const MINUTE = 60_000

/** Keys that a store could trip over. */
const oddKeys: Record<string, string> = {
  'a plain one': 'http://localhost:8080/a?b=c',
  'spaces and quotes': `http://h/a b "c" 'd' \\ e`,
  'glob characters': 'http://h/[a-z]*?\\*{x}',
  'bytes beyond ASCII': 'http://h/\u0080\u00ff\u00e9',
  unicode: 'http://h/żółć/日本語/🦊',
  'lone surrogates': 'http://h/\ud800x',
  'control characters': 'http://h/\u0001\r\n\tx\0y',
  'half a hash tag': 'http://h/}{}{a}{b}',
  empty: '',
  'a very long one': `http://h/${'x'.repeat(100_000)}`,
  __proto__: '__proto__',
}

const everyByte = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256))

const variantOf = (key: string, value: string | undefined): Variant => ({
  key,
  selection: ['accept-language', value, 'x', undefined],
  dateAt: 1.5,
  receivedAt: 2.25,
  bytes: 3,
  keepUntil: 4,
})

const collect = async (keys: AsyncIterable<string>): Promise<string[]> => {
  const all = new Set<string>()
  for await (const key of keys) all.add(key)
  return [...all].sort()
}

/** Defines the suite; `open` gives a store of its own to each test. */
export const storeSuite = (name: string, open: (t: TestContext) => Promise<Store>): void => {
  const it = (what: string, work: (store: Store) => Promise<void>): void => {
    test(`${name}: ${what}`, async (t) => work(await open(t)))
  }

  it('nothing is there at first', async (store) => {
    assert.equal(await store.get('k'), undefined)
    assert.equal(await store.peek('k'), undefined)
    assert.equal(store.whyGone('k'), undefined)
    await store.delete('k')
    assert.deepEqual(await collect(store.keys('')), [])
  })

  it('an entry comes back as it was, byte for byte', async (store) => {
    const entry = entryOf(everyByte, {
      status: 206,
      fields: ['X-A', '', 'x-a', 'b, c', 'Set-Cookie', 'a="\xe9"', 'set-cookie', 'b'],
      requestedAt: 1_700_000_000_000.125,
      receivedAt: 1_700_000_000_017.5,
      selection: ['accept', undefined, 'accept-language', '', 'x', 'é'],
      url: '/a?\xe9"',
      part: { first: 2, last: 1025, total: 5000 },
      ruled: { seconds: 1.5, by: 'force', over: 'no-store' },
      single: true,
    })
    assert.equal((await store.set('k', entry, MINUTE)).kept, 'stored')
    const got = await store.get('k')
    assert.ok(got instanceof Entry)
    assert.deepEqual({ ...got.parts, body: 0 }, { ...entry.parts, body: 0 })
    assert.deepEqual(Buffer.from(got.body), everyByte)
    const standing = (await store.peek('k'))!
    assert.ok(standing.slot instanceof Entry)
    assert.equal(standing.slot.body.length, 0)
    assert.equal(standing.bodyBytes, 1024)
    assert.deepEqual({ ...standing.slot.parts, body: 0 }, { ...entry.parts, body: 0 })
  })

  it('an entry without body and fields comes back', async (store) => {
    await store.set('k', entryOf('', { fields: [] }), MINUTE)
    const got = await store.get('k')
    assert.ok(got instanceof Entry)
    assert.equal(got.body.length, 0)
    assert.deepEqual(got.fields, [])
  })

  it('a part of a whole of unknown length comes back', async (store) => {
    await store.set('k', entryOf('ab', { part: { first: 0, last: 1, total: undefined } }), MINUTE)
    const got = (await store.get('k')) as Entry
    const { first, last, total } = got.parts.part!
    assert.deepEqual([first, last, total], [0, 1, undefined])
  })

  it('an index and a tombstone come back', async (store) => {
    const variants = [variantOf('k\0a', 'en'), variantOf('k\0b', undefined)]
    await store.set('i', new Index(variants), MINUTE)
    await store.set('t', new Tombstone('purged', 12.5), MINUTE)
    const index = await store.get('i')
    assert.ok(index instanceof Index)
    assert.deepEqual(index.variants, variants)
    const tombstone = await store.get('t')
    assert.ok(tombstone instanceof Tombstone)
    assert.deepEqual([tombstone.reason, tombstone.at], ['purged', 12.5])
    assert.deepEqual((await store.peek('i'))!.slot, index)
    assert.deepEqual(await store.peek('t'), { slot: tombstone, bodyBytes: 0, guard: 12.5 })
  })

  it('heads larger than a page are looked at whole', async (store) => {
    const fields = Array.from({ length: 400 }, (_, i) => [`x-${i}`, 'v'.repeat(100)]).flat()
    await store.set('k', entryOf('body', { fields }), MINUTE)
    const standing = (await store.peek('k'))!
    assert.deepEqual((standing.slot as Entry).fields, fields)
    assert.equal(standing.bodyBytes, 4)
  })

  it('8 MB come back', async (store) => {
    const body = Buffer.alloc(8 * 1024 * 1024, everyByte)
    await store.set('k', entryOf(body), MINUTE)
    const got = (await store.get('k')) as Entry
    assert.ok(Buffer.compare(got.body, body) === 0)
  })

  for (const [what, key] of Object.entries(oddKeys)) {
    it(`keys: ${what}`, async (store) => {
      await store.set(key, entryOf(what), MINUTE)
      await store.set(`${key}/other`, entryOf('other'), MINUTE)
      assert.equal(((await store.get(key)) as Entry).body.toString(), what)
      assert.equal((await store.peek(key))!.bodyBytes, Buffer.byteLength(what))
      const text = Buffer.from(key).toString()
      assert.deepEqual(
        (await collect(store.keys(key))).map((each) => Buffer.from(each).toString()),
        [text, `${text}/other`],
      )
      await store.delete(key)
      assert.equal(await store.get(key), undefined)
      assert.ok((await store.get(`${key}/other`)) instanceof Entry)
    })
  }

  it('keys by prefix: no others, all of many, and few where few are asked for', async (store) => {
    const wanted = Array.from({ length: 1200 }, (_, i) => `http://a/${i}`)
    await Promise.all(wanted.map((key) => store.set(key, entryOf(''), MINUTE)))
    await store.set('http://b/1', entryOf(''), MINUTE)
    assert.deepEqual(await collect(store.keys('http://a/')), [...wanted].sort())
    assert.deepEqual(await collect(store.keys('http://c/')), [])
    const few = await collect(store.keys('', 10))
    assert.ok(few.length < 600, String(few.length))
  })

  it('a later entry takes the place of an earlier one, larger or smaller', async (store) => {
    for (const body of ['first', 'x'.repeat(100_000), 'second']) {
      await store.set('k', entryOf(body), MINUTE)
      assert.equal(((await store.get('k')) as Entry).body.toString(), body)
    }
  })

  it('what is kept for a fraction of a millisecond is kept for one, and then it is gone', async (store) => {
    await store.set('k', entryOf('x'), 0.25)
    await store.set('l', entryOf('x'), 30.5)
    await store.set('m', new Tombstone('purged', 5), 30.5)
    assert.ok((await store.get('l')) instanceof Entry)
    await sleep(80)
    assert.equal(await store.get('k'), undefined)
    assert.equal(await store.peek('l'), undefined)
    assert.equal(await store.get('l'), undefined)
    assert.equal(await store.peek('m'), undefined)
    assert.deepEqual(await collect(store.keys('')), [])
  })

  it('an index that something takes the place of is given back', async (store) => {
    const variants = [variantOf('k\0a', 'en')]
    for (const slot of [entryOf('x'), new Tombstone('purged', 1), new Index([])]) {
      await store.set('k', new Index(variants), MINUTE)
      const put = await store.set('k', slot, MINUTE, 10)
      assert.deepEqual([put.kept, put.replaced?.variants], ['stored', variants])
    }
  })

  it('what was asked for before a tombstone is kept out, what was asked for after it is not', async (store) => {
    await store.set('k', new Tombstone('purged', 1000.5), MINUTE)
    assert.equal((await store.set('k', entryOf('late'), MINUTE, 1000.25)).kept, 'invalidated')
    assert.ok((await store.get('k')) instanceof Tombstone)
    assert.equal((await store.set('k', entryOf('new'), MINUTE, 1000.5)).kept, 'stored')
    assert.equal(((await store.get('k')) as Entry).body.toString(), 'new')
  })

  it('a tombstone still keeps out when something newer stands in its place', async (store) => {
    await store.set('k', new Tombstone('purged', 1000), MINUTE)
    await store.set('k', entryOf('new'), MINUTE, 2000)
    assert.equal((await store.peek('k'))!.guard, 1000)
    assert.equal((await store.set('k', entryOf('late'), MINUTE, 500)).kept, 'invalidated')
    await store.set('k', new Index([]), MINUTE, 3000)
    assert.equal((await store.set('k', new Index([]), MINUTE, 500)).kept, 'invalidated')
    assert.equal((await store.set('k', entryOf('newer'), MINUTE, 4000)).kept, 'stored')
    assert.equal(((await store.get('k')) as Entry).body.toString(), 'newer')
    // An earlier tombstone that comes late does not take back the later one.
    await store.set('k', new Tombstone('purged', 10), MINUTE)
    assert.equal((await store.set('k', entryOf('late'), MINUTE, 500)).kept, 'invalidated')
  })

  it('many at once do not get in each other’s way', async (store) => {
    const keys = Array.from({ length: 300 }, (_, i) => `k${i}`)
    await Promise.all(keys.map((key) => store.set(key, entryOf(key.repeat(50)), MINUTE, 1)))
    const got = await Promise.all(keys.map((key) => store.get(key)))
    assert.deepEqual(
      got.map((slot) => (slot as Entry).body.toString()),
      keys.map((key) => key.repeat(50)),
    )
  })

  it('nothing can be had of it once it is closed, and closing twice does no harm', async (store) => {
    await store.set('k', entryOf('x'), MINUTE)
    await store.close()
    await store.close()
    assert.equal(await store.get('k').catch(() => undefined), undefined)
  })
}
