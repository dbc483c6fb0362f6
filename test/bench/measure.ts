/** One scenario: every contestant gets the same load, in turn, round after round. */
import { once } from 'node:events'
import { get } from 'node:http'
import { type Server, sleep } from './children.ts'
import { bare, type Contestant, orLeaveOut } from './contestants.ts'
import { type How, type Load, load } from './load.ts'
import { cpuMicros, processTree, residentMb } from './proc.ts'
import { answered } from './storm.ts'

/** What is asked of whom. */
export interface Scenario {
  readonly name: string
  readonly path: string
  /** Whether answers come out of the contestants' caches; undefined where that is not looked at. */
  readonly cached: boolean | undefined
  readonly how?: How
  /** How many times the usual warm-up it needs: caches that fill slowly. */
  readonly warmUps?: number
  /** Whom the contestants ask; the bare server when absent. */
  readonly upstream?: Contestant
  /** The first is the yardstick. */
  readonly contestants: readonly Contestant[]
}

/** How long, how often, and where. */
export interface Plan {
  readonly rounds: number
  readonly seconds: number
  /** Requests after which code counts as compiled, and the seconds that they may take. */
  readonly warmUp: { readonly requests: number; readonly seconds: number }
  readonly serverCore: number | undefined
  readonly loadCore: number | undefined
}

/** One round of one contestant. */
export interface Round extends Load {
  /** CPU µs per request of all its processes; undefined where the system does not tell, NaN of too little to tell by. */
  readonly micros: number | undefined
  /** Share of a core that it used. */
  readonly serverShare: number | undefined
}

/** All rounds of one contestant, in order. */
export interface Measured {
  readonly name: string
  readonly rounds: readonly Round[]
  readonly residentMb: number | undefined
}

/** Measures; the servers of the scenario are started for it and ended after it. */
export const measure = async (scenario: Scenario, plan: Plan): Promise<Measured[]> => {
  const upstream = await (scenario.upstream ?? bare).start({ upstream: '', core: plan.loadCore })
  const place = {
    upstream: `http://127.0.0.1:${upstream.port}`,
    core: plan.serverCore,
    loadCore: plan.loadCore,
  }
  const playing = new Set<Player>()
  const leave = async (gone: Contestant): Promise<void> => {
    for (const player of playing) {
      if (player.contestant !== gone) continue
      playing.delete(player)
      await player.server.stop()
    }
  }
  try {
    for (const contestant of scenario.contestants) {
      await orLeaveOut(
        contestant,
        async () => {
          const player = { contestant, server: await contestant.start(place), rounds: [] }
          playing.add(player)
          if (scenario.cached !== undefined) await check(player.server, contestant.name, scenario, upstream)
          await warmUp(player.server, scenario, plan)
        },
        leave,
      )
    }
    for (let round = 0; round < plan.rounds; round++) {
      for (const { contestant, server, rounds } of playing) {
        await orLeaveOut(
          contestant,
          async () => {
            rounds.push(await oneRound(server, contestant.name, scenario, plan))
          },
          leave,
        )
      }
    }
    return [...playing].map(({ contestant: { name }, server, rounds }) => ({
      name,
      rounds,
      residentMb: residentMb(processTree(server.pid)),
    }))
  } finally {
    await Promise.all([upstream, ...[...playing].map(({ server }) => server)].map((server) => server.stop()))
  }
}

/** One who is here, and what came of it so far. */
interface Player {
  readonly contestant: Contestant
  readonly server: Server
  readonly rounds: Round[]
}

/** The clock of CPU time ticks every 10 ms. */
const LEAST_MICROS = 100_000

/** By requests, not by time: on a busy machine a second is a few requests, and node still interprets. */
const warmUp = async (server: Server, { path, how, warmUps = 1 }: Scenario, plan: Plan): Promise<void> => {
  let requests = 0
  for (
    let second = 0;
    second < plan.warmUp.seconds * warmUps && requests < plan.warmUp.requests * warmUps;
    second++
  )
    requests += (await load(server.port, path, 1, plan.loadCore, how)).requests
}

const oneRound = async (
  server: Server,
  name: string,
  { path, how }: Scenario,
  plan: Plan,
): Promise<Round> => {
  const pids = processTree(server.pid)
  const before = cpuMicros(pids)
  const result = await load(server.port, path, plan.seconds, plan.loadCore, how)
  const after = cpuMicros(pids)
  if (result.errors > 0) throw new Error(`${name}: ${result.errors} answers were wrong or did not come`)
  const used = before === undefined || after === undefined ? undefined : after - before
  return {
    ...result,
    micros: used === undefined ? undefined : used < LEAST_MICROS ? Number.NaN : used / result.requests,
    serverShare: used === undefined ? undefined : used / (result.seconds * 1e6),
  }
}

/** How long one answer may take, and being cached. */
const CACHED_WITHIN_MS = 5000

/** What is measured must be what is meant: the right bytes, out of the cache or from the upstream. */
const check = async (
  server: Server,
  name: string,
  { path, cached }: Scenario,
  upstream: Server,
): Promise<void> => {
  const url = `http://127.0.0.1:${server.port}${path}`
  const direct = await bytesOf(`http://127.0.0.1:${upstream.port}${path}`)
  const reaches = async (): Promise<boolean> => {
    const before = await answered(upstream)
    if (!(await bytesOf(url)).equals(direct)) throw new Error(`${name}: ${url} gives other bytes`)
    return (await answered(upstream)) > before
  }
  if (name === bare.name) {
    await reaches()
    return
  }
  if (!cached) {
    if (!((await reaches()) && (await reaches()))) throw new Error(`${name}: ${url} comes out of a cache`)
    return
  }
  // A store may not be connected yet, or still be writing.
  const deadline = performance.now() + CACHED_WITHIN_MS
  while (await reaches()) {
    if (performance.now() > deadline) throw new Error(`${name}: ${url} does not come out of the cache`)
    await sleep(100)
  }
}

const bytesOf = async (url: string): Promise<Buffer> => {
  const signal = AbortSignal.timeout(CACHED_WITHIN_MS)
  const [response] = await once(get(url, { agent: false, signal }), 'response')
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk)
  if (response.statusCode !== 200) throw new Error(`${url} gives ${response.statusCode}`)
  return Buffer.concat(chunks)
}
