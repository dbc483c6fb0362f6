/** The command after `--`: run without a shell, its streams its own. */
import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { exitCodeOf, type ProcessEnd } from './backend.ts'
import { type ProcessTree, processTree } from './process-tree.ts'

/** The command while it runs. */
export interface Command {
  readonly pid: number | undefined
  /** It and what it runs, for when all of that is to end. */
  readonly tree: ProcessTree | undefined
  readonly ended: Promise<ProcessEnd>
  /** Passes a signal on; nothing when it has ended. */
  signal(name: NodeJS.Signals): void
}

/** Starts it. A command that cannot be started rejects `ended` with the system's error. */
export const startCommand = ([file, ...args]: readonly string[], env: NodeJS.ProcessEnv): Command => {
  const startedAt = performance.now()
  const child = spawn(file!, args, { stdio: 'inherit', env })
  const ended = new Promise<ProcessEnd>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      resolve({
        code: exitCodeOf(code, signal),
        signal: signal ?? undefined,
        afterMs: performance.now() - startedAt,
      }),
    )
  })
  return {
    pid: child.pid,
    tree: child.pid === undefined ? undefined : processTree(child.pid),
    ended,
    signal(name) {
      if (child.exitCode === null && child.signalCode === null) child.kill(name)
    },
  }
}

/** Whether the system would find and run the command; so that nothing is started when it would not. */
export const findCommand = (name: string, env: NodeJS.ProcessEnv): 'found' | 'missing' | 'forbidden' => {
  // Windows has its own ways (PATHEXT); there the attempt itself tells.
  if (process.platform === 'win32') return 'found'
  const places = name.includes('/')
    ? [name]
    : (env.PATH ?? '').split(delimiter).map((folder) => join(folder === '' ? '.' : folder, name))
  let forbidden = false
  for (const place of places) {
    try {
      if (!statSync(place).isFile()) continue
      accessSync(place, constants.X_OK)
      return 'found'
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EACCES') forbidden = true
    }
  }
  return forbidden ? 'forbidden' : 'missing'
}
