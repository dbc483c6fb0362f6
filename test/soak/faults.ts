/** What is done to the backend, to Redis and to the log while the clients ask. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../fuzz/random.ts'
import type { World } from './world.ts'

type Fault = readonly [name: string, work: (world: World, random: Random) => Promise<void>]

const faults: readonly Fault[] = [
  [
    'backend killed and started again',
    async (world, random) => {
      await world.killBackend()
      await sleep(random.below(1000))
      await world.startBackend()
    },
  ],
  [
    'backend killed three times in a row',
    async (world, random) => {
      for (let i = 0; i < 3; i++) {
        await world.killBackend()
        await world.startBackend()
        await sleep(random.below(50))
      }
    },
  ],
  [
    'backend frozen and thawed',
    async (world, random) => {
      world.freezeBackend()
      await sleep(200 + random.below(800))
      world.thawBackend()
    },
  ],
  [
    'Redis killed and started again',
    async (world, random) => {
      await world.redis.stop()
      await sleep(random.below(1500))
      await world.redis.restart()
    },
  ],
  [
    'Redis frozen and thawed',
    async (world, random) => {
      world.redis.freeze()
      await sleep(200 + random.below(1500))
      world.redis.thaw()
    },
  ],
  [
    'log not read for a while',
    async (world, random) => {
      world.readLog(false)
      await sleep(200 + random.below(2000))
      world.readLog(true)
    },
  ],
]

/** Injects one fault after another until it is stopped; all is well again then. */
export const startFaults = (world: World, random: Random) => {
  const counts = new Map<string, number>()
  let going = true
  const all = (async () => {
    // Each once before chance rules.
    const first = [...faults]
    while (going) {
      const [name, work] = first.shift() ?? random.pick(faults)
      counts.set(name, (counts.get(name) ?? 0) + 1)
      await work(world, random)
      for (let left = 500 + random.below(1500); going && left > 0; left -= 100) await sleep(100)
    }
  })()
  return {
    counts,
    async stop() {
      going = false
      await all
    },
  }
}
