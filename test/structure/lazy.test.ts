/** What a run does not need is not loaded: each of these costs every start 10 to 100 ms, and memory. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'

/** Packages that only some options ask for. */
const seldom =
  /\/node_modules\/(@grpc|@keyv\/redis|@opentelemetry|@redis|bottleneck|http-proxy|jaeger-client|node-forge|prom-client|rate-limiter-flexible|ws)\//
/** Parts of undici that are more than its Pool. */
const wholeUndici = /\/node_modules\/undici\/(?:index|lib\/(?:web|mock|interceptor|handler|llhttp\/.*))\b/
/** Parts of our own. */
const ownSeldom =
  /\/src\/(?:cluster|demo|limit|ci\/(?:session|doctor|completion|har|report|junit))\/?|\/src\/(?:cache\/store\/redis|edge\/(?:http2|local-ca|tls)|trace\/(?:otlp|jaeger|receive))/
/** Beyond the command line itself. */
const ofARun = /\/node_modules\/(?!commander\/)|\/src\/(?:proxy|server|cache|edge|upstream)\b|^node:https?/

const recorder = new URL('../support/record-imports.js', import.meta.url)

const recorded = (t: TestContext): { env: NodeJS.ProcessEnv; modules(): string[] } => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-imports-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'imports')
  return {
    env: { NODE_OPTIONS: `--import=${recorder.href}`, RECORD_IMPORTS: file },
    modules: () => readFileSync(file, 'utf8').trim().split('\n'),
  }
}

test('a run without options loads nothing that only options need, not even once it has served', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const { env, modules } = recorded(t)
  const program = await startProgram(t, [upstream.url, '-p', '0', '--admin', '0'], env)
  assert.equal((await get(program.url)).text, 'hello')
  const loaded = modules()
  assert.ok(
    loaded.some((url) => /\/src\/proxy\b/.test(url)),
    'nothing was recorded',
  )
  assert.deepEqual(
    loaded.filter((url) => seldom.test(url) || wholeUndici.test(url) || ownSeldom.test(url)),
    [],
  )
})

test('--version loads the command line and commander', async (t) => {
  const { env, modules } = recorded(t)
  assert.equal((await runProgram(t, ['--version'], env)).code, 0)
  const loaded = modules()
  assert.ok(loaded.some((url) => /\/commander\//.test(url)))
  assert.deepEqual(
    loaded.filter((url) => ofARun.test(url)),
    [],
  )
})
