/** The real proxy over a Redis that comes and goes: no request fails for it, and none is slow. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { get } from '../support/client.ts'
import { startCluster } from '../support/cluster.ts'
import { startProxy, type TestProxy, type TextOptions } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/redis-store.ts'
import { startUpstream } from '../support/upstream.ts'

const setup = async (t: TestContext, options: TextOptions) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end(`hello ${req.url}`)
  })
  const proxy = await startProxy(t, { target: upstream.url, ...options })
  return { upstream, proxy }
}

/** Asks without pause; `stop` gives the slowest and how many there were, and fails where one was not right. */
const underLoad = (t: TestContext, proxy: TestProxy) => {
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  let going = true
  let slowestMs = 0
  let count = 0
  const one = async (i: number): Promise<void> => {
    while (going) {
      const path = `/${(i * 7 + count) % 50}`
      const startedAt = performance.now()
      const { status, text } = await get(proxy.url + path, { agent })
      assert.deepEqual([status, text], [200, `hello ${path}`])
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      count++
      await sleep(2)
    }
  }
  const all = Promise.all(Array.from({ length: 10 }, (_, i) => one(i)))
  return {
    async stop() {
      going = false
      await all
      return { slowestMs, count }
    },
  }
}

/** Resolves once answers come out of the store. */
const hits = (proxy: TestProxy): Promise<void> =>
  until('answers come out of the store', async () => {
    const { headers } = await get(`${proxy.url}/warm`)
    return /revproxy; hit/.test(String(headers['cache-status']))
  })

test('Redis is frozen, thawed, emptied, killed and started again under load', async (t) => {
  const redis = await startRedis(t)
  const { proxy } = await setup(t, { cache: redis.url })
  await hits(proxy)
  const load = underLoad(t, proxy)
  await sleep(200)
  redis.freeze()
  await sleep(700)
  redis.thaw()
  await hits(proxy)
  await redis.stop()
  await sleep(300)
  await redis.restart()
  await hits(proxy)
  const { slowestMs, count } = await load.stop()
  assert.ok(count > 200, String(count))
  assert.ok(slowestMs < 1000, `${slowestMs} ms`)
  // Told once each time it went, and once each time it came back; the port was known before it was reached at first.
  const told = proxy.notices.map((notice) => notice.split(' ')[0])
  assert.deepEqual(told.slice(-2), ['away', 'back'])
  assert.ok(told.length <= 6, String(proxy.notices))
})

test('what one proxy stores another serves, and what one purges the other has not', async (t) => {
  const redis = await startRedis(t)
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('x')
  })
  const options = { target: upstream.url, cache: redis.url, purge: 'true' }
  const [one, two] = [await startProxy(t, options), await startProxy(t, options)]
  const headers = { host: 'same' }
  for (const proxy of [one, two]) await hits(proxy)
  await get(one.url, { headers })
  const before = upstream.requests.length
  await until('it is stored', async () =>
    /; hit/.test(String((await get(two.url, { headers })).headers['cache-status'])),
  )
  assert.ok(upstream.requests.length <= before + 1)
  assert.equal((await get(two.url, { headers, method: 'PURGE' })).status, 200)
  await get(one.url, { headers })
  assert.equal(one.exchanges.at(-1)!.cache!.reason, 'purged')
})

for (const kind of ['one Redis', 'a cluster'] as const) {
  test(`the rate limit counts on the same connection (${kind})`, async (t) => {
    const urls = kind === 'a cluster' ? (await startCluster(t)).urls : [(await startRedis(t)).url]
    const upstream = await startUpstream(t, (_, res) => void res.writeHead(200).end('x'))
    const options = { target: upstream.url, cache: urls, rate: '5/60s', 'cache-timeout': '1s' }
    const proxies = [await startProxy(t, options), await startProxy(t, options)]
    // Until its connection stands each counts by itself; then one of six is refused, or all when others had counted.
    await until('both count together', async () => {
      const statuses: number[] = []
      for (let i = 0; i < 6; i++) statuses.push((await get(proxies[i % 2]!.url)).status)
      if (statuses.filter((status) => status === 429).length === 1) return true
      const fresh = [await startProxy(t, options), await startProxy(t, options)]
      proxies.splice(0, 2, ...fresh)
      await sleep(200)
      return statuses.every((status) => status === 429)
    })
  })
}
