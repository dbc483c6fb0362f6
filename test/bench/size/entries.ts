/** How many responses are stored: what a hit costs beside them, and what they take. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporary } from '../contestants.ts'
import { canScript, load } from '../load.ts'
import type { Plan } from '../measure.ts'
import { cpuMicros, processTree } from '../proc.ts'
import { answered } from '../storm.ts'
import { markdown, median } from '../table.ts'
import { ask, figure, grouped, heldMb, proxyTo, sizedUpstream } from './asked.ts'

const BYTES = 1024
const path = (number: string): string => `/keep/${BYTES}/${number}`

/** So many stored responses in a cache of so much. */
interface Row {
  readonly entries: number
  readonly cacheSize: string
  /** Whether all of them fit, so that every request is a hit. */
  readonly fits: boolean
}

const rows: readonly Row[] = [
  { entries: 10, cacheSize: '128mb', fits: true },
  { entries: 1000, cacheSize: '128mb', fits: true },
  { entries: 100_000, cacheSize: '4gb', fits: true },
  { entries: 1_000_000, cacheSize: '4gb', fits: true },
  { entries: 1_000_000, cacheSize: '128mb', fits: false },
]

/** Any of them, each as likely. */
const anyOf = (entries: number, port: number): string | undefined => {
  if (!canScript) return undefined
  const file = join(temporary, `any-of-${entries}.lua`)
  writeFileSync(
    file,
    `math.randomseed(1)
request = function()
  return "GET ${path('" .. math.random(0, ')}${entries - 1}) .. " HTTP/1.1\\r\\nHost: 127.0.0.1:${port}\\r\\n\\r\\n"
end
`,
  )
  return file
}

const measured = async ({ entries, cacheSize, fits }: Row, plan: Plan): Promise<string[]> => {
  const upstream = await sizedUpstream(plan)
  const proxy = await proxyTo(upstream, plan, ['--cache-size', cacheSize])
  try {
    const filling = await ask(proxy, path('#'), entries, plan)
    const hits: number[] = []
    if (fits) {
      const script = anyOf(entries, proxy.port)
      const fetched = await answered(upstream)
      const pids = processTree(proxy.pid)
      for (let round = -1; round < plan.rounds; round++) {
        const before = cpuMicros(pids)
        const { requests } = await load(proxy.port, path('0'), plan.seconds, plan.loadCore, { script })
        // The first warms it up.
        if (round >= 0) hits.push(((cpuMicros(pids) ?? Number.NaN) - (before ?? Number.NaN)) / requests)
      }
      if ((await answered(upstream)) > fetched) throw new Error('what is stored was fetched again')
    }
    return [
      `${grouped(entries)}, \`--cache-size ${cacheSize}\``,
      figure(entries < 10_000 ? undefined : filling.micros / entries, 0),
      figure(fits ? median(hits) : undefined, 1),
      figure(heldMb(proxy)),
      figure(filling.peakMb),
    ]
  } finally {
    await Promise.all([proxy.stop(), upstream.stop()])
  }
}

/** The table. */
export const entriesTable = async (plan: Plan): Promise<string> => {
  const lines: string[][] = []
  for (const row of rows) lines.push(await measured(row, plan))
  return markdown(
    [
      'different URLs of 1 KB',
      'CPU µs to fetch and store',
      'CPU µs per hit',
      'RSS MB',
      'most while filling, MB',
    ],
    lines,
  )
}
