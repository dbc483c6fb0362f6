/**
 * Every process of a run. Each leads a process group of its own, so that Ctrl-C reaches this process alone, and all are
 * ended when it ends, for whatever reason it can still act on.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { connect } from 'node:net'
import { findProgram } from './machine.ts'
import { processTree, runs } from './proc.ts'

const running = new Set<ChildProcess>()
const taskset = findProgram('taskset')

/** Whether processes are kept on the core that is wanted for them. */
export const canPin = taskset !== undefined

const signal = (pid: number, name: NodeJS.Signals): void => {
  try {
    process.kill(pid, name)
  } catch {
    // It has ended already.
  }
}

/** Asks a process to end, and what it has started with it; gives the ids of all of them. */
const askToEnd = (child: ChildProcess): number[] => {
  running.delete(child)
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return []
  const pids = processTree(child.pid)
  // To the first alone: a server that is asked ends its workers by itself, and takes note of their end.
  signal(child.pid, 'SIGTERM')
  return pids
}

const PATIENCE_MS = 2000

/** Ends all of them, before it returns. */
export const endAll = (): void => {
  const pids = [...running].flatMap(askToEnd)
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  const deadline = performance.now() + PATIENCE_MS
  while (pids.some(runs) && performance.now() < deadline) Atomics.wait(sleeper, 0, 0, 20)
  for (const pid of pids) if (runs(pid)) signal(pid, 'SIGKILL')
}

/** Ends one of them. */
const end = async (child: ChildProcess): Promise<void> => {
  const pids = askToEnd(child)
  const deadline = performance.now() + PATIENCE_MS
  while (pids.some(runs) && performance.now() < deadline) await sleep(20)
  for (const pid of pids) if (runs(pid)) signal(pid, 'SIGKILL')
}

/** Makes sure that nothing outlives this process. */
export const endAllWithUs = (): void => {
  process.on('exit', endAll)
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => {
      endAll()
      process.exit(code)
    })
  }
}

/** Nothing of ours, and nothing that colours or verbosely logs, comes in from outside. */
const environment = (): NodeJS.ProcessEnv => ({
  ...Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(?:npm_|REVPROXY_|OTEL_|JAEGER_|NODE_OPTIONS$|NODE_V8_COVERAGE$)/.test(name),
    ),
  ),
  NO_COLOR: '1',
  NODE_NO_WARNINGS: '1',
})

/** Starts a program on a core, or on any where `core` is undefined or pinning is not to be had. */
export const start = (
  file: string,
  args: readonly string[],
  core: number | undefined,
  stdio: SpawnOptions['stdio'] = ['ignore', 'pipe', 'pipe'],
): ChildProcess => {
  const pinned = taskset !== undefined && core !== undefined
  const child = spawn(pinned ? taskset : file, pinned ? ['-c', String(core), file, ...args] : args, {
    stdio,
    env: environment(),
    detached: true,
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  return child
}

/** A server under measurement, or one that the measured ones need. */
export interface Server {
  readonly pid: number
  readonly port: number
  readonly child: ChildProcess
  stop(): Promise<void>
}

/** How to start a server. */
export interface ServerSpec {
  readonly file: string
  readonly args: readonly string[]
  readonly core: number | undefined
  /** The port it was told to use; else it says so in its output, as `pattern` finds it. */
  readonly port?: number
  readonly pattern?: RegExp
  /** A program of this folder: it is asked by messages, and ends when we are gone. */
  readonly ipc?: boolean
  /** Where its standard output goes: a file, not a pipe. */
  readonly stdoutFile?: string
}

const START_MS = 15_000

/** Starts a server; resolves when it listens. */
export const startServer = async (spec: ServerSpec): Promise<Server> => {
  const out = spec.stdoutFile === undefined ? 'pipe' : openSync(spec.stdoutFile, 'a')
  const child = start(spec.file, spec.args, spec.core, [
    'ignore',
    out,
    'pipe',
    ...(spec.ipc === true ? ['ipc' as const] : []),
  ])
  if (typeof out === 'number') closeSync(out)
  let said = ''
  let ended = false
  child.once('error', (error) => {
    said += error.message
    ended = true
  })
  child.once('exit', () => {
    ended = true
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (data: Buffer) => {
      said = (said + data).slice(-20_000)
    })
  }
  const deadline = performance.now() + START_MS
  for (;;) {
    const port = spec.port ?? Number(spec.pattern?.exec(said)?.[1] ?? 0)
    if (port > 0 && (await answers(port))) {
      return {
        pid: child.pid!,
        port,
        child,
        stop: () => end(child),
      }
    }
    if (ended || performance.now() > deadline) {
      await end(child)
      throw new Error(`${spec.file} ${spec.args.join(' ')} did not start:\n${said}`)
    }
    await sleep(20)
  }
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

/** Waits. */
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
