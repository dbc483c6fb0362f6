/** The built program, spawned as a user would. */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'

const executable = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))

/** A program that has ended. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** A program that runs. */
export interface Program {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** Where the proxy listens, once its banner says so. */
  readonly url: string
  readonly adminUrl: string | undefined
  kill(signal: NodeJS.Signals): void
  readonly ended: Promise<Ended>
  /** Resolves once the output holds the text; rejects after 30 s. */
  until(text: string | RegExp): Promise<void>
}

const cleanEnv = (): NodeJS.ProcessEnv => {
  const env: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(?:REVPROXY_|OTEL_|JAEGER_|REDIS_URL|NO_COLOR|FORCE_COLOR|NODE_TEST|NODE_OPTIONS)/.test(name))
      env[name] = value
  }
  return env
}

/** How a program is spawned, where that matters. */
export interface Surroundings {
  /** Files it may have open. */
  readonly openFiles?: number
  /** An open file instead of a pipe for its stdout. */
  readonly stdout?: number
}

const launch = (
  t: TestContext,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { openFiles, stdout: file }: Surroundings = {},
) => {
  const words = [process.execPath, executable, ...args]
  const limited =
    openFiles === undefined ? words : ['sh', '-c', `ulimit -n ${openFiles} && exec "$0" "$@"`, ...words]
  const child = spawn(limited[0]!, limited.slice(1), {
    env: { ...cleanEnv(), ...env },
    stdio: ['ignore', file ?? 'pipe', 'pipe'],
  }) as ChildProcess & { readonly stderr: Readable }
  let stdout = ''
  let stderr = ''
  const listeners = new Set<() => void>()
  child.stdout?.on('data', (chunk) => {
    stdout += chunk
    for (const listener of listeners) listener()
  })
  child.stderr.on('data', (chunk) => {
    stderr += chunk
    for (const listener of listeners) listener()
  })
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await ended
  })
  const until = (text: string | RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        const all = stdout + stderr
        if (typeof text === 'string' ? !all.includes(text) : !text.test(all)) return
        listeners.delete(check)
        clearTimeout(timer)
        resolve()
      }
      const timer = setTimeout(
        () => reject(new Error(`no ${text} within 30 s in:\n${stdout}\n${stderr}`)),
        30_000,
      )
      ended.then(() => reject(new Error(`ended without ${text}:\n${stdout}\n${stderr}`)))
      listeners.add(check)
      check()
    })
  return {
    child,
    ended,
    until,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal: NodeJS.Signals) => void child.kill(signal),
  }
}

/** Runs the program to its end. */
export const runProgram = (
  t: TestContext,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  surroundings: Surroundings = {},
): Promise<Ended> => launch(t, args, env, surroundings).ended

/** Starts the program and waits for its banner. */
export const startProgram = async (
  t: TestContext,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  surroundings: Surroundings = {},
): Promise<Program> => {
  const program = launch(t, args, env, surroundings)
  await program.until(/listening .*\n(?:.*\n)*\n/)
  const url = /listening\s+(http\S+)/.exec(program.stderr())?.[1]
  if (url === undefined) throw new Error(`no address in:\n${program.stderr()}`)
  return { ...program, url, adminUrl: /admin\s+(http\S+)/.exec(program.stderr())?.[1] }
}
