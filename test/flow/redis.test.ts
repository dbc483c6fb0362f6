/** The real proxy over a Redis that comes and goes: no request fails for it, and none is slow. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { get } from '../support/client.ts'
import { startCluster } from '../support/cluster.ts'
import { startProgram } from '../support/program.ts'
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
  // The port was known before it was reached at first.
  const before = proxy.notices.length
  const told = (): string[] => proxy.notices.slice(before).map((notice) => notice.split(' ')[0]!)
  const last = (): string | undefined => told().at(-1)
  redis.freeze()
  await until('the freeze is told', () => last() === 'away')
  await sleep(300)
  redis.thaw()
  await until('its end is told', () => last() === 'back')
  await hits(proxy)
  await redis.stop()
  await until('the end is told', () => last() === 'away')
  await redis.restart()
  await until('the return is told', () => last() === 'back')
  await hits(proxy)
  const { slowestMs, count } = await load.stop()
  assert.ok(count > 20, String(count))
  assert.ok(slowestMs < 1000, `${slowestMs} ms`)
  // Once each time it went, and once each time it came back. (A busy machine may make it look away once more.)
  const all = told()
  assert.ok(all.length >= 4, all.join())
  assert.deepEqual(
    all,
    all.map((_, i) => (i % 2 === 0 ? 'away' : 'back')),
  )
})

test('one request that meets a frozen Redis is enough to be told, on the terminal, and so is its return', async (t) => {
  const redis = await startRedis(t)
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('x')
  })
  const program = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off', '--cache', redis.url])
  await until('it hits', async () => /; hit/.test(String((await get(program.url)).headers['cache-status'])))
  redis.freeze()
  assert.equal((await get(program.url)).status, 200)
  await program.until(/does not answer; serving without the shared cache/)
  redis.thaw()
  await program.until(/answers again; using the shared cache/)
  assert.equal(program.stderr().match(/does not answer|answers again/g)?.length, 2)
})

test('what cannot be purged in Redis is said not to be, counts here, and is made up for', async (t) => {
  const redis = await startRedis(t)
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('x')
  })
  const proxy = await startProxy(t, { target: upstream.url, cache: redis.url, purge: 'true', admin: '0' })
  await hits(proxy)
  redis.freeze()
  const purged = await get(`${proxy.url}/warm`, { method: 'PURGE' })
  assert.deepEqual([purged.status, purged.headers['retry-after']], [503, '1'])
  assert.match(
    purged.text,
    /^the shared cache does not answer: \S+\/warm is purged for this proxy, and for others as soon/,
  )
  for (const [method, path] of [
    ['DELETE', '/cache/entries?all'],
    ['GET', '/cache/entries'],
    ['GET', '/cache/entry?url=/warm'],
  ] as const) {
    const answer = await get(proxy.adminUrl + path, { method })
    assert.equal(answer.status, 503, path)
    assert.match(
      (JSON.parse(answer.text) as { error: string }).error,
      /nothing was done. Try again when it answers/,
    )
  }
  redis.thaw()
  await until(
    'it is of use again',
    async () =>
      (await get(`${proxy.url}/warm`)).headers['cache-status'] !== undefined &&
      proxy.exchanges.at(-1)!.cache!.reason === 'purged',
  )
  assert.deepEqual(
    proxy.notices.filter((notice) => notice.startsWith('internal')),
    [],
  )
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
