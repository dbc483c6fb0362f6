/** Who may use a flight that began before something else happened. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Cache, cache } from '../../src/cache/stage.ts'
import { memoryStore } from '../../src/cache/store/memory.ts'
import type { Store } from '../../src/cache/store/store.ts'
import { Cancel } from '../../src/core/cancel.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Exchange } from '../../src/core/exchange.ts'
import { Exchanges } from '../../src/core/exchanges.ts'
import type { ProxyRequest } from '../../src/core/types.ts'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const cacheable = { 'cache-control': 'max-age=60' }

for (const how of ['POST', 'PURGE'] as const) {
  test(`who asks after a ${how} does not get what was asked for before it`, async (t) => {
    const held = gate()
    let version = 1
    const upstream = await startUpstream(t, async (req, res) => {
      if (req.method === 'POST') {
        version++
        res.end()
        return
      }
      const text = `v${version}`
      if (upstream.requests.filter(({ method }) => method === 'GET').length === 1) await held.promise
      res.writeHead(200, cacheable).end(text)
    })
    const proxy = await startProxy(t, { target: upstream.url, purge: 'true' })
    const first = get(proxy.url)
    await proxy.until(() => upstream.requests.length === 1)
    if (how === 'PURGE') version++
    await get(proxy.url, { method: how })
    const second = await Promise.race([
      get(proxy.url),
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 1000)),
    ])
    held.open()
    assert.equal(second?.text, 'v2')
    assert.equal((await first).text, 'v1')
    assert.equal((await get(proxy.url)).text, 'v2')
    await proxy.until((ended) => ended.some((x) => x.cache?.storage === 'invalidated'))
  })
}

let lastId = 0
const request = (): ProxyRequest => ({
  method: 'GET',
  url: '/',
  headers: [],
  body: undefined,
  cancel: new Cancel(),
  exchange: new Exchange({
    id: ++lastId,
    cause: 'client',
    method: 'GET',
    url: '/',
    host: 'h',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: Date.now(),
    requestHeaders: [],
  }),
})

const cacheOver = (store: Store): Cache => {
  const clock = systemClock()
  return cache({
    store,
    clock,
    exchanges: new Exchanges({
      observers: [],
      clock,
      onObserverError: (error) => assert.fail(String(error)),
    }),
    mode: 'rfc',
    ttlMs: undefined,
    maxEntryBytes: 1_000_000,
    roomBytes: 1_000_000,
    cacheStatus: 'off',
    concealed: () => false,
    collapse: true,
    storeCookies: true,
    shared: true,
    forcePrivate: false,
    purge: false,
  })
}

test('who looked into the store before a flight landed, and sees only now that nothing was there, asks nobody', async () => {
  const inner = memoryStore(1_000_000)
  const slow = gate()
  let looks = 0
  const store: Store = {
    ...inner,
    async get(key) {
      const slot = await inner.get(key)
      // As over a network: what was found is known some time after it was looked for.
      if (++looks === 2) await slow.promise
      return slot
    },
  }
  let asked = 0
  const landing = gate()
  const handle = cacheOver(store).stage(async () => {
    asked++
    await landing.promise
    return { status: 200, headers: ['Cache-Control', 'max-age=60'], body: Buffer.from('hello') }
  })
  const [first, second] = [request(), request()]
  const answers = [handle(first), handle(second)]
  while (looks < 2) await new Promise(setImmediate)
  landing.open()
  await answers[0]
  while (inner.stats()!.entries === 0) await new Promise(setImmediate)
  slow.open()
  assert.equal(String((await answers[1]!).body), 'hello')
  assert.equal(asked, 1)
  assert.deepEqual(
    [second.exchange.cache!.status, second.exchange.cache!.leader],
    ['coalesced', first.exchange.id],
  )
  // Those who come later find it in the store.
  const third = request()
  await handle(third)
  assert.deepEqual([third.exchange.cache!.status, asked], ['hit', 1])
})
