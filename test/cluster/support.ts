/** What the tests of --workers share: the program with two of them, what it logged, and its processes. */
import { Agent } from 'node:http'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { processTable } from '../../src/ci/process-table.ts'
import { type Ask, type Got, get } from '../support/client.ts'
import { type Program, startProgram } from '../support/program.ts'

/** A line of the JSON log. */
export interface Line {
  readonly id: number
  readonly event: string
  readonly url: string
  readonly status: number
  readonly cache?: string
  readonly reason?: string
  readonly leader?: number
  readonly error?: string
}

/** The program with two workers and a JSON log. */
export const startWorkers = (
  t: TestContext,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Program> => startProgram(t, ['-p', '0', '--admin', '0', '--workers', '2', '--json', ...args], env)

/** Lines of requests so far. */
export const lines = (program: Program): Line[] =>
  program
    .stdout()
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line)
    .filter(({ event }) => event === 'request')

/** Which worker served: the first one's exchanges have odd numbers, the second one's even ones. */
export const workerOf = ({ id }: Line): number => (id % 2 === 1 ? 1 : 2)

/** Waits until the condition holds; rejects after 15 s. */
export const until = async (what: string, condition: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; tries < 600; tries++) {
    if (await condition()) return
    await sleep(25)
  }
  throw new Error(`not within 15 s: ${what}`)
}

/** Resolves with the request lines once there are so many. */
export const loggedLines = async (program: Program, count: number): Promise<Line[]> => {
  await until(`${count} lines in ${program.stdout()}`, () => lines(program).length >= count)
  return lines(program)
}

/** The workers' pids, in no order. */
export const workersOf = (program: Program): number[] =>
  processTable()
    .filter(({ parent }) => parent === program.child.pid)
    .map(({ pid }) => pid)

/** Connections that stay: one to each worker, since they are handed out in turn. */
export const twoClients = (t: TestContext): Array<(url: string, ask?: Ask) => Promise<Got>> =>
  [0, 1].map(() => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    return (url, ask = {}) => get(url, { ...ask, agent })
  })

/** What Cache-Status says, without the key. */
export const cacheStatus = ({ headers }: Got): string =>
  String(headers['cache-status']).replace(/; key="[^"]*"/, '')
