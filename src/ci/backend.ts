/** A command of `--start`: run by a shell, its output among ours, its whole tree ended at the end. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { lineSplitter } from './lines.ts'
import { type ProcessTree, processTree } from './process-tree.ts'

/** How a process ended. */
export interface ProcessEnd {
  /** 128 and the number of the signal when it died of one. */
  readonly code: number
  readonly signal: NodeJS.Signals | undefined
  readonly afterMs: number
}

/** A command that was started. */
export interface Backend {
  readonly command: string
  readonly pid: number | undefined
  readonly tree: ProcessTree | undefined
  /** Resolves when the command has ended by itself or was ended. */
  readonly ended: Promise<ProcessEnd>
  /** Resolves once it has ended and nobody holds its outputs any more. */
  readonly drained: Promise<void>
  /** How it ended; undefined while it runs. */
  end(): ProcessEnd | undefined
  /** Its last lines of output. */
  tail(): readonly string[]
}

const TAIL_LINES = 40

/** Starts a command line. Each line of its output goes to `onLine`. */
export const startBackend = (
  command: string,
  { env, onLine }: { env: NodeJS.ProcessEnv; onLine: (line: string) => void },
): Backend => {
  const startedAt = performance.now()
  // A group of its own can be ended as a whole. Its stdin stays open and silent: dev servers that end with their stdin
  // then end with us, and not at once.
  const child = spawn(command, { shell: true, detached: process.platform !== 'win32', stdio: 'pipe', env })
  const tail: string[] = []
  const take = (line: string): void => {
    tail.push(line)
    if (tail.length > TAIL_LINES) tail.shift()
    onLine(line)
  }
  for (const stream of [child.stdout, child.stderr]) {
    const lines = lineSplitter(take)
    stream.on('data', lines.write)
    stream.on('end', lines.end)
    stream.on('error', () => {})
  }
  child.stdin.on('error', () => {})
  let end: ProcessEnd | undefined
  const drained = new Promise<void>((resolve) => {
    child.once('close', () => resolve())
  })
  const ended = new Promise<ProcessEnd>((resolve) => {
    const settle = (code: number, signal: NodeJS.Signals | undefined): void => {
      end ??= { code, signal, afterMs: performance.now() - startedAt }
      resolve(end)
    }
    child.once('error', (error) => {
      take(error.message)
      settle(127, undefined)
    })
    child.once('exit', (code, signal) => settle(exitCodeOf(code, signal), signal ?? undefined))
  })
  return {
    command,
    pid: child.pid,
    tree: child.pid === undefined ? undefined : processTree(child.pid),
    ended,
    drained,
    end: () => end,
    tail: () => tail,
  }
}

/** What a shell would say of how a process ended. */
export const exitCodeOf = (code: number | null, signal: NodeJS.Signals | null): number =>
  code ?? 128 + ((signal === null ? undefined : constants.signals[signal]) ?? constants.signals.SIGTERM)
