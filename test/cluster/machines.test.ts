/** Several programs on one Redis, as on several machines. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Got, get } from '../support/client.ts'
import { startCluster } from '../support/cluster.ts'
import { type Program, runProgram, startProgram } from '../support/program.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'
import { cacheStatus, until } from './support.ts'

const stores: Record<string, (t: TestContext) => Promise<readonly string[]>> = {
  'one Redis': async (t) => [(await startRedis(t)).url],
  'a Redis Cluster': async (t) => (await startCluster(t)).urls,
}

/** The name that clients know all of them by: a balancer passes it on. */
const host = { host: 'app.example' }

for (const [name, start] of Object.entries(stores)) {
  test(`three proxies on ${name}: stored by one is a hit with the others, purged by one is gone for all, one rate`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => {
      res.writeHead(200, { 'cache-control': 'max-age=60' }).end('hello')
    })
    const cache = (await start(t)).flatMap((url) => ['--cache', url])
    const run = (...more: string[]): Promise<Program> =>
      startProgram(t, [upstream.url, '-p', '0', '--admin', '0', '--cache-timeout', '5s', ...cache, ...more])
    // One of them has two processes itself.
    const proxies = await Promise.all([run(), run('--workers', '2'), run()])
    const ask = (at: number, path: string, method = 'GET'): Promise<Got> =>
      get(proxies[at]!.url + path, { method, headers: host })
    for (const at of [0, 1, 2])
      await until('each is connected', async () => /hit/.test(cacheStatus(await ask(at, `/warm${at}`))))

    assert.match(cacheStatus(await ask(0, '/thing')), /uri-miss.*stored/)
    await until('stored', async () => /; hit/.test(cacheStatus(await ask(0, '/thing'))))
    const asked = upstream.requests.length
    for (const at of [1, 1, 2]) assert.match(cacheStatus(await ask(at, '/thing')), /; hit/)
    assert.equal(upstream.requests.length, asked)

    const purged = await get(`${proxies[2]!.adminUrl}/cache/entries?url=/thing`, { method: 'DELETE' })
    assert.deepEqual(JSON.parse(purged.text), { purged: 1 })
    // On a machine that is busy it takes the others longer than a request to hear of it.
    await until('purged', async () => /detail="purged"/.test(cacheStatus(await ask(0, '/thing'))))
    await until('stored again', async () => /; hit/.test(cacheStatus(await ask(1, '/thing'))))
    await ask(1, '/thing', 'DELETE')
    await until('invalidated', async () => /invalidated-by-unsafe/.test(cacheStatus(await ask(2, '/thing'))))

    const limited = await Promise.all([run('--rate', '12/h'), run('--rate', '12/h', '--workers', '2')])
    // Until each is connected it counts by itself: on a path that is not counted on.
    for (const { url } of limited)
      await until('each is connected', async () => {
        const { text } = await get(`${url}/metrics`)
        return /^revproxy_cache_store_up\{store="redis"\} 1$/m.test(text)
      })
    const statuses: number[] = []
    for (let i = 0; i < 24; i++) statuses.push((await get(limited[i % 2]!.url, { headers: host })).status)
    assert.equal(statuses.filter((status) => status === 200).length, 12)
    assert.equal(statuses.filter((status) => status === 429).length, 12)
  })
}

test('the proxies of compose.scale.yaml are started with flags that there are', async (t) => {
  const file = readFileSync(fileURLToPath(new URL('../../../compose.scale.yaml', import.meta.url)), 'utf8')
  const flags = [...file.matchAll(/^ {6}- (--\S+)$/gm)].map(([, flag]) => flag!)
  assert.ok(
    flags.includes('--workers=2') && flags.some((flag) => flag.startsWith('--cache=redis')),
    flags.join(),
  )
  const { code, stdout, stderr } = await runProgram(t, [...flags, '--print-config'])
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^workers +2 +--workers$/m)
})
