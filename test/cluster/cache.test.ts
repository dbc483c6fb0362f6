import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'
import { cacheStatus, loggedLines, startWorkers, twoClients, until, workerOf } from './support.ts'

const fresh = { 'cache-control': 'max-age=60' }

for (const kind of ['memory', 'redis'] as const) {
  test(`${kind}: stored by one worker is a hit with the other, and gone for both when either drops it`, async (t) => {
    const upstream = await startUpstream(t, (req, res) => {
      res.writeHead(200, fresh).end(`${req.method} ${req.url}`)
    })
    const args = kind === 'redis' ? ['--cache', (await startRedis(t)).url, '--cache-timeout', '5s'] : []
    const program = await startWorkers(t, [upstream.url, '--purge', ...args])
    const [a, b] = twoClients(t) as [typeof get, typeof get]
    const url = `${program.url}/thing`
    // Until Redis is connected to, nothing is stored.
    await until('something is stored', async () => {
      await a(`${program.url}/warm`)
      return /hit/.test(cacheStatus(await b(`${program.url}/warm`)))
    })
    const before = upstream.requests.length
    assert.match(cacheStatus(await a(url)), /uri-miss.*stored/)
    // The answer is given before it is stored.
    await until('stored', async () => /hit/.test(cacheStatus(await a(url))))
    const asked = upstream.requests.length
    assert.equal((await b(url)).text, 'GET /thing')
    assert.match(cacheStatus(await b(url)), /; hit/)
    assert.equal(upstream.requests.length, asked)
    if (kind === 'memory') assert.equal(asked, before + 1)

    // Whoever has the answer to an unsafe request sees nothing older, whomever they ask (RFC 9111 §4.4).
    for (let round = 0; round < 5; round++) {
      await until('both have it', async () => {
        const statuses = [cacheStatus(await a(url)), cacheStatus(await b(url))]
        return statuses.every((status) => /; hit/.test(status))
      })
      await a(url, { method: 'PUT' })
      assert.match(cacheStatus(await b(url)), /detail="invalidated-by-unsafe"/)
    }
    await until('both have it', async () => /; hit/.test(cacheStatus(await a(url))))
    assert.equal((await b(url, { method: 'PURGE' })).status, 200)
    assert.match(cacheStatus(await a(url)), /detail="purged"/)
    await until('both have it', async () => /; hit/.test(cacheStatus(await b(url))))
    const purged = await get(`${program.adminUrl}/cache/entries?url=/thing`, { method: 'DELETE' })
    assert.deepEqual(JSON.parse(purged.text), { purged: 1 })
    assert.match(cacheStatus(await b(url)), /detail="purged"/)
    await until('the admin listener sees it', async () => {
      return (await get(`${program.adminUrl}/cache/entry?url=/thing`)).status === 200
    })
    const logged = await loggedLines(program, 20)
    assert.deepEqual([...new Set(logged.map(workerOf))].sort(), [1, 2])
  })

  test(`${kind}: misses for one key with both workers make one request to the upstream`, async (t) => {
    const hold = gate()
    const upstream = await startUpstream(t, async (req, res) => {
      if (req.url !== '/warm') await hold.promise
      res.writeHead(200, fresh).end('once')
    })
    const args = kind === 'redis' ? ['--cache', (await startRedis(t)).url, '--cache-timeout', '5s'] : []
    const program = await startWorkers(t, [upstream.url, ...args])
    await until('something is stored', async () => /hit/.test(cacheStatus(await get(`${program.url}/warm`))))
    const before = upstream.requests.length
    const all = Array.from({ length: 100 }, () => get(`${program.url}/storm`))
    const metric = async (): Promise<number> => {
      const { text } = await get(`${program.adminUrl}/metrics`)
      return Number(/^http_server_active_requests\{[^}]*"GET"[^}]*\} (\d+)/m.exec(text)?.[1])
    }
    await until('all are under way', async () => (await metric()) === 100)
    hold.open()
    const got = await Promise.all(all)
    assert.deepEqual([...new Set(got.map(({ text }) => text))], ['once'])
    assert.equal(upstream.requests.length, before + 1)
    await until('all are logged', () => program.stdout().split('/storm"').length > 100)
    const logged = (await loggedLines(program, 100)).filter(({ url }) => url === '/storm')
    assert.deepEqual([...new Set(logged.map(workerOf))].sort(), [1, 2])
    const misses = logged.filter(({ cache }) => cache === 'miss')
    assert.equal(misses.length, 1)
    assert.equal(logged.filter(({ cache }) => cache === 'coalesced').length, 99)
  })
}

test('what is on its way while its URL is purged is not stored, though there was nothing to purge yet', async (t) => {
  const hold = gate()
  t.after(() => hold.open())
  let version = 1
  const upstream = await startUpstream(t, async (_, res) => {
    const mine = version
    if (mine === 1) await hold.promise
    res.writeHead(200, fresh).end(`v${mine}`)
  })
  const program = await startWorkers(t, [upstream.url])
  const [a, b] = twoClients(t) as [typeof get, typeof get]
  const url = `${program.url}/thing`
  const first = a(url)
  await until('it came', () => upstream.requests.length === 1)
  version = 2
  const purged = await get(`${program.adminUrl}/cache/entries?url=${url}`, { method: 'DELETE' })
  assert.deepEqual(JSON.parse(purged.text), { purged: 0 })
  hold.open()
  assert.equal((await first).text, 'v1')
  await until('the first is logged', () => loggedLines(program, 1).then(() => true))
  for (const ask of [b, a, b]) assert.equal((await ask(url)).text, 'v2')
})

test('an answer that is not for sharing keeps nobody waiting at the other worker', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'no-store' }).end('yours')
  })
  const program = await startWorkers(t, [upstream.url])
  const got = await Promise.all(Array.from({ length: 20 }, () => get(`${program.url}/own`)))
  assert.ok(got.every(({ text }) => text === 'yours'))
  assert.equal(upstream.requests.length, 20)
})

test('a body that is long in coming does not hold up the other worker', async (t) => {
  const hold = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    res.writeHead(200, { ...fresh, 'content-length': '10' }).write('12345')
    await hold.promise
    res.end('67890')
  })
  t.after(() => hold.open())
  const program = await startWorkers(t, [upstream.url])
  const [a, b] = twoClients(t) as [typeof get, typeof get]
  const first = a(`${program.url}/slow`)
  await until('it came', () => upstream.requests.length === 1)
  const second = b(`${program.url}/slow`)
  await until('the other worker asked for itself', () => upstream.requests.length === 2)
  hold.open()
  assert.deepEqual([(await first).text, (await second).text], ['1234567890', '1234567890'])
})

test('a stale answer is refreshed once, whichever workers served it', async (t) => {
  const hold = gate()
  let version = 0
  const upstream = await startUpstream(t, async (_, res) => {
    const mine = ++version
    if (mine === 2) await hold.promise
    const age = mine === 1 ? 'max-age=0' : 'max-age=60'
    res.writeHead(200, { 'cache-control': `${age}, stale-while-revalidate=60` }).end(`v${mine}`)
  })
  t.after(() => hold.open())
  const program = await startWorkers(t, [upstream.url])
  const [a, b] = twoClients(t) as [typeof get, typeof get]
  const url = `${program.url}/swr`
  await a(url)
  // The answer is given before it is stored, and whoever asks between gets one of its own.
  await until('stored', async () => {
    return (await get(`${program.adminUrl}/cache/entry?url=/swr`)).status === 200
  })
  for (const ask of [b, a, b, a]) assert.equal((await ask(url)).text, 'v1')
  await until('the refresh came', () => upstream.requests.length >= 2)
  hold.open()
  await until('it is fresh', async () => (await b(url)).text === 'v2' && (await a(url)).text === 'v2')
  assert.equal(upstream.requests.length, 2)
})

test('--cache-size bounds what all processes keep together', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, fresh).end(Buffer.alloc(50_000))
  })
  const program = await startWorkers(t, [upstream.url, '--cache-size', '1mb'])
  for (let i = 0; i < 40; i++) await get(`${program.url}/${i}`)
  await until('the first ones are gone', async () => {
    const { text } = await get(`${program.adminUrl}/metrics`)
    const bytes = Number(/^revproxy_cache_bytes (\d+)/m.exec(text)?.[1])
    const evictions = Number(/^revproxy_cache_evictions_total (\d+)/m.exec(text)?.[1])
    return evictions >= 20 && bytes <= 512 * 1024
  })
  assert.match(cacheStatus(await get(`${program.url}/0`)), /detail="evicted-size"/)
})
