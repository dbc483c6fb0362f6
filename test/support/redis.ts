/** A real Redis for a test: on a port of its own, without files that outlive it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'
import { freePort } from './free-port.ts'

/** A running redis-server. */
export interface TestRedis {
  readonly port: number
  readonly url: string
  /** Of the process that runs at this moment. */
  readonly pid: number
  /** Ends the process and waits until it has ended; SIGKILL unless told. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Stops it from answering while its connections stay. */
  freeze(): void
  thaw(): void
  /** Starts it anew on the same port, empty; ends it first where it still runs. */
  restart(): Promise<void>
}

const findServer = (): string => {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const file = join(folder, 'redis-server')
    try {
      accessSync(file, constants.X_OK)
      return file
    } catch {
      // Not in this folder; the error below says so when it is in none.
    }
  }
  throw new Error(
    'redis-server is not on the PATH. Install it: apt-get install redis-server, brew install redis, or dnf install redis.',
  )
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'))
    const settle = (yes: boolean): void => {
      socket.destroy()
      resolve(yes)
    }
    socket.setTimeout(1000, () => settle(false))
    socket.once('error', () => settle(false))
    // `-NOAUTH` is an answer too.
    socket.once('data', (data) => settle(/^[+-](?:PONG|NOAUTH)/.test(data.toString())))
  })

/** Starts a redis-server on 127.0.0.1 and resolves when it answers; it ends with the test. */
export const startRedis = async (
  t: TestContext,
  options: { port?: number; args?: readonly string[] } = {},
): Promise<TestRedis> => {
  const file = findServer()
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-redis-'))
  const port = options.port ?? (await freePort())
  let child: ChildProcess | undefined
  let ended: Promise<void> = Promise.resolve()

  const start = async (): Promise<void> => {
    const started = spawn(
      file,
      [
        '--port',
        String(port),
        '--bind',
        '127.0.0.1',
        '--save',
        '',
        '--appendonly',
        'no',
        '--dir',
        folder,
        ...(options.args ?? []),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    child = started
    let said = ''
    const listen = (data: Buffer): void => {
      said = (said + data).slice(-4000)
    }
    started.stdout?.on('data', listen)
    started.stderr?.on('data', listen)
    let gone = false
    ended = new Promise((resolve) => {
      const end = (): void => {
        gone = true
        resolve()
      }
      started.once('error', end)
      started.once('exit', end)
    })
    for (let tries = 0; tries < 200; tries++) {
      if (gone) throw new Error(`redis-server ended at its start: ${said}`)
      if (await answers(port)) return
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    throw new Error(`redis-server does not answer on port ${port}: ${said}`)
  }

  const stop = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    // A frozen process takes no signal but SIGKILL.
    if (signal !== 'SIGKILL') child?.kill('SIGCONT')
    child?.kill(signal)
    await ended
  }

  t.after(async () => {
    await stop()
    rmSync(folder, { recursive: true, force: true })
  })
  await start()
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return child?.pid ?? 0
    },
    stop,
    freeze: () => void child?.kill('SIGSTOP'),
    thaw: () => void child?.kill('SIGCONT'),
    async restart() {
      await stop()
      await start()
    },
  }
}
