/** How large a body is: what a MB of it costs, and what memory it takes on its way. */
import type { Plan } from '../measure.ts'
import { markdown } from '../table.ts'
import { ask, type Cost, figure, heldMb, proxyTo, sizedUpstream } from './asked.ts'

/** One size of body, asked for so many times. */
interface Row {
  readonly name: string
  readonly bytes: number
  readonly times: number
  readonly connections: number
  /** Whether `--cache-max-entry` lets it be stored. */
  readonly stored: boolean
}

const rows: readonly Row[] = [
  { name: '1 kB', bytes: 1000, times: 50_000, connections: 32, stored: true },
  { name: '1 MB', bytes: 1e6, times: 1000, connections: 8, stored: true },
  { name: '8 MB', bytes: 8e6, times: 150, connections: 4, stored: true },
  { name: '100 MB', bytes: 100e6, times: 12, connections: 2, stored: false },
  { name: '1 GB', bytes: 1e9, times: 2, connections: 1, stored: false },
]

const WARM_UP = 20_000

const measured = async (
  kind: 'keep' | 'pass',
  { bytes, times, connections }: Row,
  plan: Plan,
): Promise<Cost & { readonly grownMb: number }> => {
  const upstream = await sizedUpstream(plan)
  const proxy = await proxyTo(upstream, plan, [])
  try {
    await ask(proxy, '/pass/1000/0', WARM_UP, plan)
    // Once before it counts: what is stored is stored, and what grows once has grown.
    const path = `/${kind}/${bytes}/0`
    const before = heldMb(proxy)
    const first = await ask(proxy, path, Math.min(connections, times), plan, connections)
    const cost = await ask(proxy, path, times, plan, connections)
    return { ...cost, grownMb: Math.max(first.peakMb, cost.peakMb) - before }
  } finally {
    await Promise.all([proxy.stop(), upstream.stop()])
  }
}

const perMb = ({ micros }: Cost, { bytes, times }: Row): string => figure(micros / ((bytes * times) / 1e6))

/** The table. */
export const bodiesTable = async (plan: Plan): Promise<string> => {
  const lines: string[][] = []
  for (const row of rows) {
    const pass = await measured('pass', row, plan)
    const hit = row.stored ? await measured('keep', row, plan) : undefined
    lines.push([
      `${row.name}, ${row.connections} at once`,
      perMb(pass, row),
      figure(pass.grownMb),
      hit === undefined ? '–' : perMb(hit, row),
      figure(hit?.grownMb),
    ])
  }
  return markdown(
    ['body', 'pass-through, CPU µs per MB', 'RSS grew by MB', 'hit, CPU µs per MB', 'RSS grew by MB '],
    lines,
  )
}
