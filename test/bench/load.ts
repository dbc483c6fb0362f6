/** The load: wrk where there is one, else a small client of our own, in a process of its own. */
import { fileURLToPath } from 'node:url'
import { sleep, start } from './children.ts'
import { findProgram, programVersion } from './machine.ts'
import { cpuMicros } from './proc.ts'

/** What the load generator saw. Latencies in ms. */
export interface Load {
  readonly requests: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  readonly errors: number
  /** Share of a core that the generator itself used. */
  readonly share: number | undefined
}

/** Connections of every run. */
export const CONNECTIONS = 32

const wrk = findProgram('wrk')
const clientFile = (name: string): string => fileURLToPath(new URL(`servers/${name}.js`, import.meta.url))
const ownClient = clientFile('load-client')

/** How it is asked, where not plainly for one path. */
export interface How {
  /** A script of wrk's. */
  readonly script?: string | undefined
  /** A client of the folder `servers` instead of wrk. */
  readonly client?: string | undefined
}

/** Whether scripts can be run. */
export const canScript = wrk !== undefined

/** What makes the load. */
export const generator =
  wrk === undefined ? 'own client (wrk is not here)' : `wrk ${programVersion(wrk, '-v')}`

/** Asks for one path for so many seconds, over and over. Rejects when the generator fails. */
export const load = async (
  port: number,
  path: string,
  seconds: number,
  core: number | undefined,
  how: How = {},
): Promise<Load> => {
  const client = how.client === undefined ? ownClient : clientFile(how.client)
  const child =
    wrk === undefined || how.client !== undefined
      ? start(process.execPath, [client, String(port), path, String(CONNECTIONS), String(seconds)], core)
      : start(
          wrk,
          [
            ...['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '--latency'],
            ...(how.script === undefined ? [] : ['-s', how.script]),
            `http://127.0.0.1:${port}${path}`,
          ],
          core,
        )
  const startedAt = performance.now()
  let out = ''
  child.stdout?.on('data', (data: Buffer) => {
    out += data
  })
  child.stderr?.on('data', (data: Buffer) => {
    out += data
  })
  let ended = false
  const code = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      ended = true
      resolve(status)
    })
  })
  // Its CPU time can only be read while it lives: the last look counts.
  let share: number | undefined
  while (!ended) {
    const used = cpuMicros([child.pid!])
    const elapsed = (performance.now() - startedAt) * 1000
    if (used !== undefined && used > 0) share = used / elapsed
    await sleep(100)
  }
  if ((await code) !== 0) throw new Error(`the load generator failed:\n${out}`)
  const read =
    wrk === undefined || how.client !== undefined ? (JSON.parse(out) as Omit<Load, 'share'>) : readWrk(out)
  if (read.requests === 0) throw new Error(`not one answer came:\n${out}`)
  return { ...read, share }
}

const readWrk = (text: string): Omit<Load, 'share'> => {
  const [, requests = '0', seconds = '1', unit = 's'] = /(\d+) requests in ([\d.]+)(m?s|m)/.exec(text) ?? []
  const broken = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? '0'
  const sockets =
    /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text)?.slice(1) ?? []
  return {
    requests: Number(requests),
    seconds: Number(seconds) * (unit === 'ms' ? 0.001 : unit === 'm' ? 60 : 1),
    p50: inMs(/\n\s+50%\s+(\S+)/.exec(text)?.[1]),
    p99: inMs(/\n\s+99%\s+(\S+)/.exec(text)?.[1]),
    errors: Number(broken) + sockets.reduce((sum, count) => sum + Number(count), 0),
  }
}

const inMs = (text: string | undefined): number => {
  const [, value = 'NaN', unit = 'ms'] = /^([\d.]+)(us|ms|s|m)$/.exec(text ?? '') ?? []
  return Number(value) * ({ us: 0.001, ms: 1, s: 1000, m: 60_000 }[unit] ?? 1)
}
