/**
 * `npm run bench -- observation`: what watching costs. One proxy, a hit and a pass-through, with more and more of it on;
 * each is held against the one with all of it off, round by round. `--readme` puts the table into the README.
 */
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { withBlock } from '../support/readme.ts'
import { type Server, sleep, startServer } from './children.ts'
import { type Contestant, revproxy } from './contestants.ts'
import { type Measured, measure, type Plan, type Scenario } from './measure.ts'
import { paths } from './servers/payload.ts'
import { markdown, median, timesCheaper } from './table.ts'

const quiet = ['--no-server-timing', '--admin', 'off']

/** What came of the spans of a proxy that was sending them. */
interface Spans {
  readonly name: string
  readonly taken: number
  readonly dropped: number
}

/** Ours with these options, sending spans to a sink of its own. */
const traced = (name: string, sample: string, note: (spans: Spans) => void): Contestant => ({
  name,
  async start(place) {
    const sink = await startServer({
      file: process.execPath,
      args: [fileURLToPath(new URL('servers/span-sink.js', import.meta.url))],
      // Beside the load, not beside the proxy.
      core: place.loadCore,
      pattern: /listening on (\d+)/,
      ipc: true,
    })
    const trace = `http://127.0.0.1:${sink.port}`
    const server = await revproxy(name, [...quiet, '--trace', trace, '--trace-sample', sample]).start(place)
    return {
      ...server,
      async stop() {
        note({ name, dropped: await droppedBy(server), taken: await takenBy(sink) })
        await server.stop()
        await sink.stop()
      },
    }
  },
})

/** Once all that waits has been sent. */
const droppedBy = async ({ port }: Server): Promise<number> => {
  await sleep(1000)
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return Number(/^revproxy_trace_spans_dropped_total (\d+)$/m.exec(text)?.[1] ?? 0)
}

const takenBy = async ({ child }: Server): Promise<number> => {
  const reply = once(child, 'message')
  child.send('taken?')
  return (await reply)[0] as number
}

const scenario = (name: string, path: string, cached: boolean, note: (spans: Spans) => void): Scenario => ({
  name,
  path,
  cached,
  contestants: [
    revproxy('all of it off', [...quiet, '--metrics', 'off']),
    revproxy('metrics', quiet),
    revproxy('metrics, log to a file', quiet, 'file'),
    traced('metrics, traces sampled at 0.01', '0.01', note),
    traced('metrics, traces sampled at 1', '1', note),
  ],
})

const microsOf = ({ rounds }: Measured): string => {
  const known = rounds.flatMap(({ micros }) => (micros === undefined || Number.isNaN(micros) ? [] : [micros]))
  return known.length === 0 ? '–' : median(known).toFixed(1)
}

/** How much more of the CPU than the first, as a share of the first. */
const more = (one: Measured, first: Measured): string => {
  if (one === first) return ''
  const times = timesCheaper(first, one)
  if (times.length === 0) return '–'
  const share = Math.round((median(times) - 1) * 100)
  return `${share < 0 ? '−' : '+'}${Math.abs(share)} %`
}

const readme = fileURLToPath(new URL('../../../README.md', import.meta.url))

/** Measures, and gives the table and what is to be said of it as Markdown. */
export const observation = async (plan: Plan, { intoReadme }: { intoReadme: boolean }): Promise<string> => {
  const spans: Spans[] = []
  const note = (of: Spans): void => void spans.push(of)
  const hit = await measure(scenario('hit', paths.hit, true, note), plan)
  const pass = await measure(scenario('pass-through', paths.pass, false, note), plan)
  const table = markdown(
    ['CPU µs per request', 'hit, 1 KB', '', 'pass-through, 1 KB', ''],
    hit.map((each, i) => [
      each.name,
      microsOf(each),
      more(each, hit[0]!),
      microsOf(pass[i]!),
      more(pass[i]!, pass[0]!),
    ]),
  )
  const lost = spans
    .filter(({ dropped }) => dropped > 0)
    .map(({ name, dropped, taken }) => `${Math.round((dropped / (dropped + taken)) * 100)} % (${name})`)
  const text =
    lost.length === 0
      ? table
      : `${table}\n\nAt this load an endpoint cannot take all spans; dropped: ${lost.join(', ')}.`
  if (intoReadme) writeFileSync(readme, withBlock(readFileSync(readme, 'utf8'), 'observation', text))
  return text
}
