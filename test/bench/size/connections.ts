/** Connections that are open and idle: what one takes, and what a hit costs beside them. */
import { openFilesLimit } from '../../../src/edge/open-files.ts'
import { sleep } from '../children.ts'
import { CONNECTIONS, load } from '../load.ts'
import type { Plan } from '../measure.ts'
import { cpuMicros, processTree } from '../proc.ts'
import { markdown, median } from '../table.ts'
import { ask, figure, grouped, heldMb, hold, proxyTo, sizedUpstream } from './asked.ts'

const HIT = '/keep/1024/0'
const WARM_UP = 20_000
/** Files of a process beside its connections. */
const OTHER_FILES = 200

const measured = async (connections: number, plan: Plan): Promise<string[]> => {
  const upstream = await sizedUpstream(plan)
  const room = connections + CONNECTIONS + 10
  const proxy = await proxyTo(upstream, plan, ['--max-connections', String(room)])
  try {
    await ask(proxy, HIT, WARM_UP, plan)
    const pids = processTree(proxy.pid)
    const before = heldMb(proxy)
    const held = connections === 0 ? undefined : await hold(proxy, HIT, connections, plan)
    const after = heldMb(proxy)
    const restedAt = cpuMicros(pids) ?? Number.NaN
    await sleep(plan.seconds * 1000)
    const idle = ((cpuMicros(pids) ?? Number.NaN) - restedAt) / 1000 / plan.seconds
    const hits: number[] = []
    for (let round = 0; round < plan.rounds; round++) {
      const start = cpuMicros(pids) ?? Number.NaN
      const { requests } = await load(proxy.port, HIT, plan.seconds, plan.loadCore)
      hits.push(((cpuMicros(pids) ?? Number.NaN) - start) / requests)
    }
    const gone = (await held?.gone()) ?? 0
    await held?.stop()
    if (gone > 0) throw new Error(`${gone} of ${connections} idle connections were closed meanwhile`)
    return [
      grouped(connections),
      figure(connections === 0 ? undefined : ((after - before) * 1024) / connections, 1),
      figure(after),
      figure(idle, 1),
      figure(median(hits), 1),
    ]
  } finally {
    await Promise.all([proxy.stop(), upstream.stop()])
  }
}

/** The table; more connections than this machine gives files for are left out. */
export const connectionsTable = async (plan: Plan): Promise<string> => {
  const most = (openFilesLimit() ?? Number.POSITIVE_INFINITY) - OTHER_FILES
  const lines: string[][] = []
  for (const connections of [0, 1000, 10_000])
    if (connections <= most) lines.push(await measured(connections, plan))
  return markdown(
    ['idle connections', 'KB for each', 'RSS MB', 'CPU ms per idle second', 'CPU µs per hit beside them'],
    lines,
  )
}
