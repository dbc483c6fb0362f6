/** Whether the memory cache holds up the event loop while it evicts: the same load with room enough, and with none. */
import type { Plan } from '../measure.ts'
import { markdown, median } from '../table.ts'
import { ask, figure, longestStall, proxyTo, sizedUpstream } from './asked.ts'

const WARM_UP = 20_000
/** Responses of 100 bytes that fill 128 MB. */
const FULL = 130_000

/** What is stored at full speed. */
interface Row {
  readonly name: string
  readonly path: string
  readonly times: number
  readonly connections: number
  readonly cacheSize: string
}

const small = { path: '/keep/1000/b#', times: 20_000, connections: 32 }
const large = { path: '/keep/8000000/#', times: 8, connections: 2 }
const rows: readonly Row[] = [
  { name: '1 kB each, room enough', ...small, cacheSize: '4gb' },
  { name: '1 kB each, full: each puts out one or two', ...small, cacheSize: '128mb' },
  { name: '8 MB each, room enough', ...large, cacheSize: '4gb' },
  { name: '8 MB each, full of 100 bytes each: each puts out 7,000', ...large, cacheSize: '128mb' },
]

const measured = async (
  { name, path, times, connections, cacheSize }: Row,
  plan: Plan,
): Promise<string[]> => {
  const upstream = await sizedUpstream(plan)
  const stalls: number[] = []
  try {
    for (let round = 0; round < plan.rounds; round++) {
      const proxy = await proxyTo(upstream, plan, ['--cache-size', cacheSize], true)
      try {
        // Large ones are not new to it; these do not stay.
        await ask(proxy, '/pass/8000000/0', 4, plan, 2)
        await ask(proxy, '/pass/1000/0', WARM_UP, plan)
        await ask(proxy, '/keep/100/a#', FULL, plan)
        await longestStall(proxy)
        await ask(proxy, path, times, plan, connections)
        stalls.push(await longestStall(proxy))
      } finally {
        await proxy.stop()
      }
    }
  } finally {
    await upstream.stop()
  }
  return [name, figure(median(stalls), 1), figure(Math.min(...stalls), 1)]
}

/** The table. */
export const evictionTable = async (plan: Plan): Promise<string> => {
  const lines: string[][] = []
  for (const row of rows) lines.push(await measured(row, plan))
  return markdown(
    ['stored at full speed', 'longest stall of the event loop, ms', 'in the quietest round'],
    lines,
  )
}
