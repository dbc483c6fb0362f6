/**
 * The soak: mixed load on the built program while backend, Redis and the reader of the log come and go. At the end no
 * request has failed that must not, and the process holds what it held at the beginning.
 * `npm run soak -- [--seconds 600] [--seed n]`
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Random } from '../fuzz/random.ts'
import { startFaults } from './faults.ts'
import type { Held } from './inside.ts'
import { startLoad } from './load.ts'
import { startWorld } from './world.ts'

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '600' }, seed: { type: 'string' } },
})
const seconds = Number(values.seconds)
const random = new Random(values.seed === undefined ? undefined : Number(values.seed))
console.log(`soak of ${seconds} s, --seed ${random.seed}`)

const CLIENTS = 12
/** What the process may hold more at the end than after its warm-up. */
const bounds = { sockets: 4, timers: 6, listeners: 0, heapMb: 25, rssMb: 100 }
const SOCKETS = ['TCPSocketWrap', 'TCPWRAP', 'PipeWrap', 'TLSWrap']

const mb = (bytes: number): number => Math.round(bytes / 1024 ** 2)
const sum = (counts: Map<string, number>): number => [...counts.values()].reduce((a, b) => a + b, 0)
const sockets = ({ resources }: Held): number => SOCKETS.reduce((n, kind) => n + (resources[kind] ?? 0), 0)
const timers = ({ resources }: Held): number => resources.Timeout ?? 0
const listed = (counts: Map<string, number>): string =>
  [...counts].map(([name, n]) => `${name} ×${n}`).join(' · ') || 'none'

const world = await startWorld()
const stop = async (code: number): Promise<never> => {
  await world.end()
  process.exit(code)
}
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => void stop(1))

/** Kept connections to the upstream are given up after 4 s without use. */
const SETTLE_MS = 6000

console.log('warm-up')
const warmUp = startLoad(world, random, CLIENTS)
await sleep(Math.min(5000, seconds * 100))
await warmUp.stop()
await sleep(SETTLE_MS)
const before = await world.held()

const load = startLoad(world, random, CLIENTS)
const faults = startFaults(world, random)
const startedAt = performance.now()
const row = (held: Held): void =>
  console.log(
    `${String(Math.round((performance.now() - startedAt) / 1000)).padStart(4)} s  ${String(sum(load.tally.done)).padStart(7)} requests  ` +
      `${String(sum(faults.counts)).padStart(4)} faults  ${String(sum(load.tally.excused)).padStart(4)} excused  ` +
      `${String(load.tally.failures.length).padStart(3)} failed  ` +
      `rss ${mb(held.rssBytes)} MB  heap ${mb(held.heapBytes)} MB  sockets ${sockets(held)}  timers ${timers(held)}`,
  )
row(before)
let told = 0
for (let i = 1; i <= 15; i++) {
  await sleep(startedAt + (i * seconds * 1000) / 15 - performance.now())
  row(await world.held())
  for (; told < load.tally.failures.length; told++) console.log(`        ${load.tally.failures[told]}`)
  if (world.proxy.exitCode !== null) break
}
await faults.stop()
await load.stop()
await sleep(SETTLE_MS)
const after = await world.held()
row(after)

const { tally } = load
const wrong = [...warmUp.tally.failures, ...tally.failures]
const grown = (what: keyof typeof bounds, from: number, to: number): void => {
  if (to - from > bounds[what]) wrong.push(`${what} grew from ${from} to ${to}`)
}
grown('sockets', sockets(before), sockets(after))
grown('timers', timers(before), timers(after))
grown('listeners', before.listeners, after.listeners)
grown('heapMb', mb(before.heapBytes), mb(after.heapBytes))
grown('rssMb', mb(before.rssBytes), mb(after.rssBytes))
for (const warning of after.warnings) wrong.push(`node warns: ${warning}`)

const came = readFileSync(world.postFile, 'utf8')
  .split('\n')
  .filter((id) => /^\d+$/.test(id))
const twice = came.filter((id, i) => came.indexOf(id) !== i)
for (const id of new Set(twice)) wrong.push(`POST ${id} came to the backend twice`)

const stderr = world.stderr()
const { code, lines } = await world.end()
if (code !== 143) wrong.push(`the proxy ended with ${code}`)
for (const [line] of stderr.matchAll(/^revproxy: (?:unexpected|a fault).*(?:\n +at .*)*/gm)) wrong.push(line)

console.log(`requests   ${listed(tally.done)}`)
console.log(`left       ${tally.aborted} clients`)
console.log(`faults     ${listed(faults.counts)}`)
console.log(`excused    ${listed(tally.excused)} (the backend was killed under them)`)
console.log(`log        ${lines} lines read`)
console.log(`held       ${JSON.stringify(before.resources)} → ${JSON.stringify(after.resources)}`)
console.log(`bounds     ${JSON.stringify(bounds)}`)
for (const line of wrong.slice(0, 30)) console.log(`FAILED     ${line}`)
console.log(
  wrong.length === 0 ? 'nothing failed' : `${wrong.length} failed; again with --seed ${random.seed}`,
)
process.exitCode = wrong.length === 0 ? 0 : 1
