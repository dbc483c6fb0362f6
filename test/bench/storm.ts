/** Many clients ask for one URL at the same moment, and nobody has it yet: what reaches the upstream. */
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import type { Server } from './children.ts'
import { bare, type Contestant, orLeaveOut } from './contestants.ts'
import type { Plan } from './measure.ts'
import { many } from './servers/payload.ts'
import { markdown, median } from './table.ts'

const CLIENTS = 1000

/** Plays it with each; gives the table. */
export const storm = async (contestants: readonly Contestant[], plan: Plan): Promise<string> => {
  const upstream = await bare.start({ upstream: '', core: plan.loadCore })
  const rows: string[][] = []
  try {
    for (const contestant of contestants) {
      await orLeaveOut(contestant, async () => {
        const { name } = contestant
        const place = { upstream: `http://127.0.0.1:${upstream.port}`, core: plan.serverCore }
        const server = await contestant.start(place)
        const [requests, times]: [number[], number[]] = [[], []]
        try {
          for (let round = 0; round < plan.rounds; round++) {
            const before = await answered(upstream)
            const startedAt = performance.now()
            await askTogether(`http://127.0.0.1:${server.port}${many.storm}${name.length}.${round}`)
            times.push(performance.now() - startedAt)
            requests.push((await answered(upstream)) - before)
          }
        } finally {
          await server.stop()
        }
        rows.push([name, String(median(requests)), median(times).toFixed(0)])
      })
    }
  } finally {
    await upstream.stop()
  }
  return markdown(
    [`${CLIENTS} clients, one new URL, upstream takes 200 ms`, 'upstream requests', 'all answered, ms'],
    rows,
  )
}

const askTogether = async (url: string): Promise<void> => {
  const agent = new Agent({ maxSockets: CLIENTS })
  await Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const [response] = await once(get(url, { agent }), 'response')
      response.resume()
      await once(response, 'end')
      if (response.statusCode !== 200) throw new Error(`${url} gives ${response.statusCode}`)
    }),
  )
}

/** How many requests the upstream has answered. */
export const answered = async ({ child }: Server): Promise<number> => {
  const reply = once(child, 'message')
  child.send('answered?')
  return (await reply)[0] as number
}
