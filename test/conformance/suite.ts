/**
 * The npm package http-cache-tests (an older state of http-tests/cache-tests) run against the built program: its own
 * server and its own client, each in a process, with our program between them.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** Required and optimal tests are judged; a `check` only finds out what a cache does. */
export type Kind = 'required' | 'optimal'

/** One judged test of the suite. */
export interface SuiteTest {
  readonly id: string
  readonly kind: Kind
  readonly name: string
}

/** What became of a test: `true`, or what the suite has against us. */
export type Outcome = true | string

/** A suite with our program in its middle; all of it ends with the test. */
export interface Suite {
  /** Runs everything at once, as the suite's own client does; by id. */
  runAll(): Promise<ReadonlyMap<string, Outcome>>
  /** Runs one test alone, and gives the dialogue of client, proxy and server as the suite prints it. */
  runOne(id: string): Promise<{ passed: boolean; dialogue: string }>
}

const folder = dirname(createRequire(import.meta.url).resolve('http-cache-tests/package.json'))
const program = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))

/** Nothing of npm's, and none of our options, comes in from outside. */
const environment = (extra: Record<string, string>): NodeJS.ProcessEnv => {
  const own = Object.entries(process.env).filter(([name]) => !/^(?:npm_|REVPROXY_|OTEL_|JAEGER_)/.test(name))
  return { ...Object.fromEntries(own), NO_COLOR: '1', NODE_NO_WARNINGS: '1', ...extra }
}

/** The judged tests that concern a shared cache: those for browsers and for CDNs are left out. */
export const judgedTests = async (): Promise<SuiteTest[]> => {
  interface Written {
    id: string
    name: string
    kind?: Kind | 'check'
    browser_only?: boolean
    cdn_only?: boolean
  }
  const index = (await import(pathToFileURL(join(folder, 'tests/index.mjs')).href)) as {
    default: Array<{ tests: Written[] }>
  }
  return index.default.flatMap(({ tests }) =>
    tests.flatMap(({ id, name, kind = 'required', browser_only, cdn_only }) =>
      kind === 'check' || browser_only === true || cdn_only === true ? [] : [{ id, name, kind }],
    ),
  )
}

/** Starts a child that ends with the test; resolves with what `pattern` finds in its output. */
const startChild = (
  t: TestContext,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  pattern: RegExp,
): Promise<string> => {
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve())
    child.once('exit', () => resolve())
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return new Promise((resolve, reject) => {
    let said = ''
    const listen = (data: Buffer): void => {
      said = (said + data).slice(-10_000)
      const found = pattern.exec(said)?.[1]
      if (found !== undefined) resolve(found)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    ended.then(() => reject(new Error(`${args.join(' ')} ended at its start: ${said}`)))
  })
}

/** Everything that a child writes, once it has ended well. */
const output = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    let out = ''
    let err = ''
    child.stdout?.on('data', (data) => {
      out += data
    })
    child.stderr?.on('data', (data) => {
      err += data
    })
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`the suite's client ended with ${code}: ${err}`)),
    )
  })

/** Starts the suite's server and, in front of it, our program with these options. */
export const startSuite = async (t: TestContext, options: readonly string[]): Promise<Suite> => {
  const temporary = mkdtempSync(join(tmpdir(), 'revproxy-suite-'))
  t.after(() => rmSync(temporary, { recursive: true, force: true }))
  const serverPort = await startChild(
    t,
    [join(folder, 'server/server.mjs')],
    environment({
      npm_config_protocol: 'http',
      npm_config_port: '0',
      npm_config_pidfile: join(temporary, 'server.pid'),
    }),
    /Listening on http:\/\/.*:(\d+)\//,
  )
  const proxyPort = await startChild(
    t,
    [
      program,
      `http://127.0.0.1:${serverPort}`,
      ...['--host', '127.0.0.1', '-p', '0', '--admin', 'off', '--log', 'off', ...options],
    ],
    environment({}),
    /listening\s+http:\/\/\S+:(\d+)/,
  )
  const client = (id: string): Promise<string> => {
    const child = spawn(process.execPath, [join(folder, 'cli.mjs')], {
      env: environment({
        npm_config_base: `http://127.0.0.1:${proxyPort}`,
        // Its client tells "none" from an empty string, which only the package's own default may be.
        npm_config_id: id,
        npm_package_config_id: '',
      }),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    t.after(() => void child.kill('SIGKILL'))
    return output(child)
  }
  return {
    async runAll() {
      const results = JSON.parse(await client('')) as Record<string, true | [string, string]>
      return new Map(
        Object.entries(results).map(([id, result]) => [id, result === true ? true : result.join(': ')]),
      )
    },
    async runOne(id) {
      const dialogue = await client(id)
      return { passed: /^✅/m.test(dialogue), dialogue }
    },
  }
}
