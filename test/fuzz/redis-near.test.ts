/**
 * Stores with copies nearby over one Redis, against a model: whoever reads gets what stood under the key not more than
 * 100 ms before, and what it wrote itself at once. Connections are broken and Redis emptied on the way.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROOF_MS } from '../../src/cache/store/proof.ts'
import { StoreError, Tombstone } from '../../src/cache/store/store.ts'
import { entryOf } from '../cache/entries.ts'
import { startRedis } from '../support/redis.ts'
import { ask, openStore, textOf } from '../support/redis-store.ts'
import { Random } from './random.ts'

const MINUTE = 60_000
const RUN_MS = Number(process.env.FUZZ_MS ?? 3000)
const KEYS = ['a', 'b', 'c', 'd']
const nothing = 'nothing'

/** A write that is late would be made at a time that nobody knows. */
const TIMEOUT_MS = 30_000

/** What a call comes to, or the reason of its StoreError. */
const tried = async (work: () => Promise<unknown>): Promise<unknown> => {
  try {
    return await work()
  } catch (error) {
    if (error instanceof StoreError) return error.reason
    throw error
  }
}

/** What stood under a key, from when it was surely there, and who put it there. */
interface Stood {
  readonly what: string
  at: number
  readonly by: number
}

/** A model of a key; its writes come one after another, whoever makes them. */
class Model {
  readonly history: Stood[] = [{ what: nothing, at: 0, by: -1 }]
  #writing: Promise<unknown> = Promise.resolve()

  /** Runs a write; one that is not known to have been made may have been, at any time. */
  write(what: string, by: number, work: () => Promise<unknown>): Promise<unknown> {
    const running = this.#writing.then(async () => {
      const stood = { what, at: Number.POSITIVE_INFINITY, by }
      this.history.push(stood)
      const done = await work()
      if (typeof done !== 'string') stood.at = performance.now()
    })
    this.#writing = running
    return running
  }

  /** What a read that began at that time may give. */
  allowed(at: number, by: number): string[] {
    let from = 0
    for (const [i, stood] of this.history.entries())
      if (stood.at <= (stood.by === by ? at : at - PROOF_MS)) from = i
    return this.history.slice(from).map(({ what }) => what)
  }
}

test(`stores with copies against a model, ${RUN_MS} ms`, async (t) => {
  const random = new Random()
  t.diagnostic(`FUZZ_SEED=${random.seed}`)
  const redis = await startRedis(t)
  // The smallest has room for a few copies only.
  const opened = await Promise.all(
    [1024 * 1024, 1024 * 1024, 3000].map((nearBytes) =>
      openStore(t, redis.url, { nearBytes, timeoutMs: TIMEOUT_MS }),
    ),
  )
  const stores = opened.map(({ store }) => store)
  const models = new Map(KEYS.map((key) => [key, new Model()]))
  let version = 0
  let reads = 0
  let near = 0
  const before = new Map<string, unknown>()

  const read = async (by: number, key: string): Promise<void> => {
    const at = performance.now()
    const slot = await tried(() => stores[by]!.get(key))
    reads++
    if (slot === 'store-down' || slot === 'too-slow-store') return
    if (slot !== undefined && before.get(key + by) === slot) near++
    before.set(key + by, slot)
    const got = slot === undefined ? nothing : slot instanceof Tombstone ? String(slot.at) : textOf(slot)
    const allowed = models.get(key)!.allowed(at, by)
    assert.ok(allowed.includes(got), `store ${by}, ${key}: ${got} instead of ${allowed}`)
  }
  const write = async (by: number, key: string): Promise<void> => {
    const what = String(++version)
    const store = stores[by]!
    const model = models.get(key)!
    const kind = random.below(4)
    if (kind === 0) await model.write(nothing, by, () => tried(() => store.delete(key)))
    else if (kind === 1)
      await model.write(what, by, () =>
        tried(() => store.set(key, new Tombstone('purged', Number(what)), MINUTE)),
      )
    else await model.write(what, by, () => tried(() => store.set(key, entryOf(what), MINUTE)))
  }
  const empty = async (): Promise<void> => {
    // It stands between the writes of each key, as one of nobody's.
    const waits = [...models.values()].map((model) => {
      let go!: () => void
      const gate = new Promise<void>((resolve) => {
        go = resolve
      })
      let reached!: () => void
      const ready = new Promise<void>((resolve) => {
        reached = resolve
      })
      const written = model.write(nothing, -1, () => {
        reached()
        return gate
      })
      return { go, ready, written }
    })
    await Promise.all(waits.map(({ ready }) => ready))
    await ask(redis.url, 'FLUSHALL')
    for (const { go } of waits) go()
    await Promise.all(waits.map(({ written }) => written))
  }

  const end = performance.now() + RUN_MS
  const reader = async (by: number): Promise<void> => {
    while (performance.now() < end) {
      for (let i = random.below(20); i >= 0; i--) await read(by, random.pick(KEYS))
      await sleep(random.below(3))
    }
  }
  const writer = async (by: number): Promise<void> => {
    while (performance.now() < end) {
      await write(by, random.pick(KEYS))
      await sleep(random.below(30))
    }
  }
  const breaker = async (): Promise<void> => {
    while (performance.now() < end) {
      await sleep(100 + random.below(400))
      if (random.chance(0.5)) await empty()
      else await ask(redis.url, 'CLIENT', 'KILL', 'TYPE', 'normal')
    }
  }
  await Promise.all([
    ...stores.flatMap((_, by) => [reader(by), reader(by), reader(by), writer(by)]),
    breaker(),
  ])
  t.diagnostic(`${reads} reads, ${near} of them nearby, ${version} writes`)
  assert.ok(near > 10, String(near))
})
