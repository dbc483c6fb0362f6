/** All commands of `--start`, together: their output among ours, what became of them, and their end. */
import { setTimeout as sleep } from 'node:timers/promises'
import { escapeControl } from '../observe/escape.ts'
import { type ColorLevel, palette } from '../observe/palette.ts'
import { formatDuration } from '../observe/units.ts'
import { type Backend, type ProcessEnd, startBackend } from './backend.ts'
import { shownLine } from './lines.ts'
import type { Watchdog } from './watchdog.ts'

/** The commands that were started. */
export interface Backends {
  /** The first that has ended with a code other than 0, with what became of it. */
  failed(): string | undefined
  /** What became of those that have ended with 0. */
  finished(): string[]
  /** Calls back as soon as one has failed. */
  onFailed(listener: () => void): void
  /** The last lines of each one's output; what one that has ended wrote last is waited for. */
  tail(): Promise<string>
  /** What `-q` has held back since it was last asked. */
  held(): string
  /** Ends all their trees. */
  end(): Promise<void>
  /** Ends them at once, without waiting. */
  killNow(): void
}

const GRACE_MS = 5000
const TAIL = 20
const DRAIN_MS = 300
const MOST_HELD = 1000

/** Starts the commands. */
export const startBackends = (
  commands: readonly string[],
  options: {
    env: NodeJS.ProcessEnv
    color: ColorLevel
    /** Shows nothing of their output until it is asked for. */
    quiet: boolean
    write: (text: string) => void
    watchdog: Watchdog | undefined
  },
): Backends => {
  const { env, color, quiet, write, watchdog } = options
  const paint = palette(color)
  const paints = [paint.renewed, paint.limited, paint.fetched, paint.fresh]
  const names = shortNames(commands)
  const widest = Math.max(...names.map((name) => name.length))
  const held: string[] = []
  const listeners: Array<() => void> = []
  let ending = false
  let over = false

  const prefixed = (index: number, line: string): string =>
    `${paints[index % paints.length]!(`${names[index]!.padEnd(widest)} |`)} ${shownLine(line, color > 0)}\n`
  const backends: Backend[] = commands.map((command, index) => {
    const backend = startBackend(command, {
      env,
      onLine(line) {
        if (over) return
        if (!quiet) {
          write(prefixed(index, line))
          return
        }
        held.push(prefixed(index, line))
        if (held.length > MOST_HELD) held.shift()
      },
    })
    if (backend.pid !== undefined) watchdog?.watch(-backend.pid)
    void backend.ended.then(({ code }) => {
      // Whoever ends with 0 has left something running (docker compose up -d), or was only a preparation.
      if (!ending && code !== 0) for (const listener of listeners) listener()
    })
    return backend
  })
  const failure = (): Backend | undefined => backends.find((backend) => (backend.end()?.code ?? 0) !== 0)
  let found: string | undefined

  return {
    failed() {
      if (found !== undefined || ending) return found
      const backend = failure()
      const end = backend?.end()
      if (backend === undefined || end === undefined) return undefined
      found = endOf(backend, end)
      return found
    },
    finished: () =>
      backends.flatMap((backend) => {
        const end = backend.end()
        return end?.code === 0 ? [endOf(backend, end)] : []
      }),
    onFailed: (listener) => void listeners.push(listener),
    async tail() {
      await drain(backends.filter((backend) => backend.end() !== undefined))
      return backends
        .flatMap((backend, index) =>
          backend
            .tail()
            .slice(-TAIL)
            .map((line) => `  ${prefixed(index, line)}`),
        )
        .join('')
    },
    held: () => held.splice(0).join(''),
    async end() {
      ending = true
      await Promise.all(backends.map((backend) => backend.tree?.end(GRACE_MS)))
      // What they wrote last stands before the report, and nothing behind it.
      await drain(backends)
      over = true
    },
    killNow() {
      ending = true
      for (const { tree } of backends) tree?.killNow()
    },
  }
}

const endOf = ({ command }: Backend, { code, signal, afterMs }: ProcessEnd): string => {
  const how = signal === undefined ? `with code ${code}` : `by ${signal}`
  return `--start "${escapeControl(command)}" ended ${how} after ${formatDuration(afterMs)}.`
}

/** What a backend left behind may hold its outputs open for ever. */
const drain = async (backends: readonly Backend[]): Promise<void> => {
  const late = new AbortController()
  await Promise.race([
    Promise.all(backends.map(({ drained }) => drained)),
    sleep(DRAIN_MS, undefined, { signal: late.signal }).catch(() => {}),
  ])
  late.abort()
}

/** What stands before their lines: the program or script, numbered when two are the same. */
const shortNames = (commands: readonly string[]): string[] => {
  const names = commands.map((command) => {
    const words = command
      .trim()
      .split(/\s+/)
      .filter((word) => !/^\w+=/.test(word))
    const program = (words[0] ?? 'start').replace(/^.*\//, '')
    const script = /^(?:npm|pnpm|yarn|bun)$/.test(program)
      ? words.slice(1).find((word) => word !== 'run')
      : undefined
    return escapeControl(script ?? program).slice(0, 16)
  })
  return names.map((name, index) => {
    const same = names.filter((each) => each === name).length
    return same === 1 ? name : `${name}#${index + 1}`
  })
}
