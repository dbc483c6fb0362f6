/** Programs with copies nearby over one Redis: what one purges none serves for long, whatever becomes of Redis. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { type TestContext, test } from 'node:test'
import { get } from '../support/client.ts'
import { startProgram } from '../support/program.ts'
import { startRedis } from '../support/redis.ts'
import { ask as askRedis, until } from '../support/redis-store.ts'
import { startUpstream } from '../support/upstream.ts'

/** The name that clients know all of them by. */
const host = { host: 'app.example' }
/** What a busy CI can keep; figures are printed. */
const LONGEST_MS = 1000

const setUp = async (t: TestContext, count: number) => {
  const redis = await startRedis(t)
  let version = 0
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=600' }).end(String(++version))
  })
  const args = [upstream.url, '-p', '0', '--admin', 'off', '--log', 'off', '--purge', '--cache', redis.url]
  const programs = await Promise.all(
    Array.from({ length: count }, () => startProgram(t, [...args, '--cache-timeout', '1s'])),
  )
  const agent = new Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const ask = (at: number, method = 'GET') =>
    get(`${programs[at]!.url}/thing`, { method, headers: host, agent })
  const isHit = async (at: number): Promise<boolean> =>
    String((await ask(at)).headers['cache-status']).includes('; hit')
  const allHit = (): Promise<void> =>
    until(
      'all serve it',
      async () => (await Promise.all(programs.map((_, at) => isHit(at)))).every(Boolean),
      20_000,
    )
  const gets = async (): Promise<number> => {
    const stats = String(await askRedis(redis.url, 'INFO', 'commandstats'))
    return Number(/cmdstat_get:calls=(\d+)/.exec(stats)?.[1] ?? 0)
  }
  return { redis, ask, allHit, gets }
}

/**
 * Asks all programs without pause; `since` says when nothing of what is old may be served any more, and resolves when all
 * serve something newer: for how long each served what is old.
 */
const readers = (count: number, ask: (at: number) => Promise<{ text: string }>, old: string) => {
  const stale = Array.from({ length: count }, () => [] as number[])
  let asked = 0
  let end = Number.POSITIVE_INFINITY
  const read = async (at: number): Promise<void> => {
    for (;;) {
      const began = performance.now()
      if (began > end + 20 * LONGEST_MS) throw new Error(`${at} serves what is old`)
      const { text } = await ask(at)
      asked++
      if (text === old) stale[at]!.push(began)
      else return
    }
  }
  const all = Promise.all(stale.map((_, at) => read(at)))
  return {
    get asked() {
      return asked
    },
    async since(at: number): Promise<number[]> {
      end = at
      await all
      return stale.map((times) => Math.max(0, ...times.map((time) => time - at)))
    },
  }
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1]!
const shown = (values: number[]): string =>
  `median ${median(values).toFixed(1)} ms, longest ${Math.max(...values).toFixed(1)} ms`

test('stored by one, read by three, purged by one: for how long the others serve it', async (t) => {
  const { redis, ask, allHit, gets } = await setUp(t, 3)
  await allHit()
  await until(
    'most hits ask Redis nothing',
    async () => {
      const before = await gets()
      for (let i = 0; i < 20; i++) await ask(0)
      return (await gets()) - before < 10
    },
    20_000,
  )
  const all: number[] = []
  for (let round = 0; round < 9; round++) {
    await allHit()
    const old = (await ask(0)).text
    const reading = readers(3, ask, old)
    await until('they are read', () => reading.asked > 50)
    assert.equal((await ask(round % 3, 'PURGE')).status, 200)
    const stale = await reading.since(performance.now())
    assert.equal(stale[round % 3], 0, 'who purged it knows')
    all.push(...stale.filter((_, at) => at !== round % 3))
  }
  t.diagnostic(`served after the purge’s answer: ${shown(all)}`)
  assert.ok(Math.max(...all) < LONGEST_MS)

  // What another one may have changed meanwhile cannot be known: nothing nearby is used for long.
  await allHit()
  const frozen = readers(3, ask, (await ask(0)).text)
  await until('they are read', () => frozen.asked > 50)
  redis.freeze()
  const cutOff = await frozen.since(performance.now())
  t.diagnostic(`served after Redis froze: ${shown(cutOff)}`)
  assert.ok(Math.max(...cutOff) < LONGEST_MS)
  redis.thaw()
  await allHit()
  const killed = readers(3, ask, (await ask(0)).text)
  await until('they are read', () => killed.asked > 50)
  await redis.stop()
  const gone = await killed.since(performance.now())
  t.diagnostic(`served after Redis was killed: ${shown(gone)}`)
  assert.ok(Math.max(...gone) < LONGEST_MS)
  await redis.restart()
  const lastOld = Number((await ask(0)).text)
  await allHit()
  for (const at of [0, 1, 2]) assert.ok(Number((await ask(at)).text) >= lastOld, 'a copy from before')
})

test('two programs purge and store in turn: what one stored the other serves, and nothing purged again', async (t) => {
  const { ask, allHit } = await setUp(t, 2)
  await allHit()
  /** What each may not serve any more. */
  const purged = [0, 0]
  let newest = 0
  const see = async (at: number): Promise<number> => {
    const version = Number((await ask(at)).text)
    assert.ok(version > purged[at]!, `${at}: ${version} is as old as ${purged[at]}`)
    newest = Math.max(newest, version)
    return version
  }
  for (let round = 0; round < 30; round++) {
    const [one, other] = [round % 2, 1 - (round % 2)]
    await Promise.all([see(0), see(1)])
    const old = newest
    assert.equal((await ask(one, 'PURGE')).status, 200)
    purged[one] = old
    await see(one)
    await until('the other has heard of it', async () => (await see(other)) > old)
    purged[other] = old
  }
})
