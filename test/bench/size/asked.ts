/** What the tables of size are made with: a proxy, requests that are counted, and what they cost it. */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { type Server, sleep, start, startServer } from '../children.ts'
import { program } from '../contestants.ts'
import type { Plan } from '../measure.ts'
import { cpuMicros, processTree, residentMb } from '../proc.ts'

const file = (name: string): string => fileURLToPath(new URL(`../servers/${name}.js`, import.meta.url))

/** The upstream that gives as many bytes as it is asked for. */
export const sizedUpstream = ({ loadCore }: Plan): Promise<Server> =>
  startServer({
    file: process.execPath,
    args: [file('sized')],
    core: loadCore,
    pattern: /listening on (\d+)/,
    ipc: true,
  })

/** A proxy before it; it tells of the stalls of its event loop where that is wanted. */
export const proxyTo = (
  upstream: Server,
  { serverCore }: Plan,
  options: readonly string[],
  watched = false,
): Promise<Server> =>
  startServer({
    file: process.execPath,
    args: [
      ...(watched ? ['--import', file('stalls')] : []),
      ...[program, `http://127.0.0.1:${upstream.port}`, '--host', '127.0.0.1', '-p', '0'],
      ...['--admin', 'off', '--log', 'off', ...options],
    ],
    core: serverCore,
    pattern: /listening\s+http:\/\/\S+:(\d+)/,
    ipc: watched,
  })

/** What so many answers have cost. */
export interface Cost {
  /** CPU µs of the proxy, all of its threads; NaN where the system does not tell. */
  readonly micros: number
  readonly bytes: number
  readonly seconds: number
  /** The most memory it held meanwhile, as far as looking every 20 ms shows, MB. */
  readonly peakMb: number
}

const LOOK_MS = 20

/** Asks for a path so many times. Rejects when an answer does not come whole. */
export const ask = async (
  server: Server,
  path: string,
  times: number,
  { loadCore }: Plan,
  connections = 32,
): Promise<Cost> => {
  const pids = processTree(server.pid)
  const before = cpuMicros(pids)
  const client = start(
    process.execPath,
    [file('asking'), String(server.port), path, String(Math.min(connections, times)), String(times)],
    loadCore,
  )
  let said = ''
  for (const stream of [client.stdout, client.stderr]) stream?.on('data', (data: Buffer) => (said += data))
  let ended = false
  const end = once(client, 'close').then(([code]) => {
    ended = true
    return code as number | null
  })
  let peakMb = 0
  while (!ended) {
    peakMb = Math.max(peakMb, residentMb(pids) ?? Number.NaN)
    await sleep(LOOK_MS)
  }
  if ((await end) !== 0) throw new Error(`${path} was not answered ${times} times:\n${said}`)
  const after = cpuMicros(pids)
  const { bytes, seconds } = JSON.parse(said) as { bytes: number; seconds: number }
  return { micros: (after ?? Number.NaN) - (before ?? Number.NaN), bytes, seconds, peakMb }
}

/** Connections that are held open, and do nothing. */
export const hold = async (
  server: Server,
  path: string,
  connections: number,
  { loadCore }: Plan,
): Promise<{ gone(): Promise<number>; stop(): Promise<void> }> => {
  const client = start(
    process.execPath,
    [file('holding'), String(server.port), path, String(connections)],
    loadCore,
    ['ignore', 'pipe', 'pipe', 'ipc'],
  )
  let said = ''
  for (const stream of [client.stdout, client.stderr]) stream?.on('data', (data: Buffer) => (said += data))
  while (!said.includes('holding')) {
    if (client.exitCode !== null) throw new Error(`${connections} connections were not to be had:\n${said}`)
    await sleep(LOOK_MS)
  }
  return {
    async gone() {
      const reply = once(client, 'message')
      client.send('gone?')
      return (await reply)[0] as number
    },
    async stop() {
      const end = once(client, 'exit')
      client.disconnect()
      await end
    },
  }
}

/** How long the loop of a watched proxy stood at the longest since it was last asked, ms. */
export const longestStall = async ({ child }: Server): Promise<number> => {
  const reply = once(child, 'message')
  child.send('longest?')
  return (await reply)[0] as number
}

/** Memory that a server holds at this moment, MB. */
export const heldMb = (server: Server): number => residentMb(processTree(server.pid)) ?? Number.NaN

/** With separators between thousands. */
export const grouped = (value: number): string => value.toLocaleString('en-US')

/** A figure of a table; a dash where there is none. */
export const figure = (value: number | undefined, digits = 0): string =>
  value === undefined || Number.isNaN(value) ? '–' : value.toFixed(digits)
