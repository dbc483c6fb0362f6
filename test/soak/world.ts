/** The processes of a soak: backend, Redis and the proxy, and what can be done to them. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import { startRedis, type TestRedis } from '../support/redis.ts'
import type { Held } from './inside.ts'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** The backend was killed. */
export interface Outage {
  /** performance.now() at that moment. */
  readonly from: number
}

/** Everything that runs. */
export interface World {
  readonly port: number
  readonly outages: readonly Outage[]
  readonly redis: TestRedis
  readonly proxy: ChildProcess
  /** One id a line: every POST that reached a backend. */
  readonly postFile: string
  killBackend(): Promise<void>
  startBackend(): Promise<void>
  freezeBackend(): void
  thawBackend(): void
  /** Stops and goes on reading the proxy's log. */
  readLog(read: boolean): void
  held(): Promise<Held>
  stderr(): string
  end(): Promise<{ code: number | null; lines: number }>
}

/** Starts it all. */
export const startWorld = async (): Promise<World> => {
  const cleanups: Array<() => unknown> = []
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-soak-'))
  const postFile = join(folder, 'posts')
  const backendPort = await freePort()
  const redis = await startRedis({ after: (work: () => unknown) => void cleanups.push(work) } as TestContext)
  const outages: Outage[] = []
  let backend: ChildProcess | undefined
  const startBackend = async (): Promise<void> => {
    const child = spawn(process.execPath, [here('backend.js'), String(backendPort), postFile], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    backend = child
    await new Promise((resolve) => child.stdout.once('data', resolve))
  }
  await startBackend()

  const proxy = spawn(
    process.execPath,
    [
      '--expose-gc',
      `--import=${new URL('inside.js', import.meta.url)}`,
      here('../../bin/revproxy.js'),
      `http://127.0.0.1:${backendPort}`,
      ...[
        '-p',
        '0',
        '--host',
        '127.0.0.1',
        '--admin',
        'off',
        '--cache',
        redis.url,
        '--hold',
        '30s',
        '--log',
        'json',
      ],
    ],
    { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] },
  )
  // Whatever ends this process, they do not outlive it.
  let over = false
  process.on('exit', () => {
    if (over) return
    for (const child of [proxy, backend]) child?.kill('SIGKILL')
    void redis.stop()
  })
  let stderr = ''
  let lines = 0
  let readLog = true
  proxy.stdout!.on('data', (chunk: Buffer) => {
    for (const byte of chunk) if (byte === 10) lines++
  })
  proxy.stderr!.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-1_000_000)
  })
  const ended = new Promise<number | null>((resolve) => proxy.once('close', resolve))
  while (!/listening\s+http:\/\/\S+:(\d+)[\s\S]*\n\n/.test(stderr)) {
    if (proxy.exitCode !== null) throw new Error(stderr)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  return {
    port: Number(/listening\s+http:\/\/\S+:(\d+)/.exec(stderr)![1]),
    outages,
    redis,
    proxy,
    postFile,
    startBackend,
    async killBackend() {
      const child = backend!
      const gone = new Promise((resolve) => child.once('close', resolve))
      outages.push({ from: performance.now() })
      child.kill('SIGKILL')
      await gone
    },
    freezeBackend: () => void backend!.kill('SIGSTOP'),
    thawBackend: () => void backend!.kill('SIGCONT'),
    readLog(read) {
      if (read === readLog) return
      readLog = read
      if (read) proxy.stdout!.resume()
      else proxy.stdout!.pause()
    },
    held: () =>
      new Promise((resolve, reject) => {
        proxy.once('message', (held) => resolve(held as Held))
        proxy.send('', (error) => error && reject(error))
      }),
    stderr: () => stderr,
    async end() {
      proxy.kill('SIGTERM')
      const late = setTimeout(() => proxy.kill('SIGKILL'), 10_000)
      const code = await ended
      clearTimeout(late)
      backend?.kill('SIGKILL')
      for (const work of cleanups.reverse()) await work()
      over = true
      rmSync(folder, { recursive: true, force: true })
      return { code, lines }
    },
  }
}
