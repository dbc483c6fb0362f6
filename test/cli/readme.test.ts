import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Exchange } from '../../src/core/exchange.ts'
import { metrics } from '../../src/observe/metrics.ts'
import { redactor } from '../../src/observe/redact.ts'
import { options, redactedByDefault } from '../../src/options.ts'
import { get } from '../support/client.ts'
import { runProgram } from '../support/program.ts'
import { startProxy } from '../support/proxy.ts'
import { flagTables, metricTable, reasonTables, redactedNames, withBlock } from '../support/readme.ts'
import { recipesText } from '../support/recipes.ts'
import { startUpstream } from '../support/upstream.ts'

const path = fileURLToPath(new URL('../../../README.md', import.meta.url))

/** A scrape in which every metric has all its labels. */
const fullScrape = async (): Promise<string> => {
  const of = metrics({
    route: () => '/',
    version: '1',
    cacheStats: () => ({ entries: 0, bytes: 0, evictions: 0 }),
    storeState: () => ({ kind: 'memory', up: true }),
    waiting: () => ({ hold: 0 }),
    spansDropped: () => 0,
    spansReceived: () => 0,
    logLinesDropped: () => 0,
  })
  const exchange = new Exchange({
    id: 1,
    cause: 'client',
    method: 'POST',
    url: '/',
    host: 'localhost',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: 0,
    requestHeaders: [],
  })
  Object.assign(exchange, {
    requestBytes: 1,
    cache: { status: 'miss', reason: 'uri-miss', storage: 'stored' },
    upstream: {
      startedAt: 0,
      status: 200,
      sentBytes: 1,
      receivedBytes: 1,
      address: 'localhost:3000',
      error: 'upstream-reset',
    },
    ended: { at: 1, status: 502, bytes: 1, error: 'upstream-reset' },
  })
  of.observer.opened?.(exchange)
  of.observer.ended?.(exchange)
  return (await of.scrape()).body
}

test('the tables of the README are the program’s own, its recipes those that tests run (UPDATE_README=1 npm test readme writes them)', async () => {
  const readme = readFileSync(path, 'utf8')
  const made = {
    flags: flagTables(),
    reasons: reasonTables(),
    recipes: recipesText(),
    metrics: metricTable(await fullScrape()),
    redacted: redactedNames(),
  }
  const right = Object.entries(made).reduce((text, [name, block]) => withBlock(text, name, block), readme)
  if (process.env.UPDATE_README === '1') writeFileSync(path, right)
  else assert.equal(readme, right)
})

test('every metric of a running proxy is in the README, and every word that it says is telling hides a value', async (t) => {
  const readme = readFileSync(path, 'utf8')
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await startProxy(t, { target: upstream.url, admin: '0', concurrency: '1' })
  await get(proxy.url)
  await proxy.until((ended) => ended.length === 1)
  const scrape = await (await fetch(`${proxy.adminUrl}/metrics`)).text()
  const names = [...scrape.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!)
  assert.ok(names.length > 40)
  assert.deepEqual(
    names.filter((name) => !/^(?:process|nodejs)_/.test(name) && !readme.includes(`| \`${name}\` |`)),
    [],
  )
  const redact = redactor({ names: redactedByDefault, enabled: true })
  for (const word of ['token', 'secret', 'passw', 'api-key', 'session', 'credential', 'signature'])
    assert.equal(redact.value(`my-${word}s`, 'x'), '***', word)
})

test('every flag that the README mentions is one, and --help has them all', async (t) => {
  const known = new Set([
    '--help',
    '--version',
    '--backend-only',
    '--all',
    '--method',
    '--tracing',
    ...Object.keys(options).map((name) => `--${name}`),
  ])
  // Of other programs.
  const others = new Set([
    '--build',
    '--readme',
    '--quick',
    '--test',
    '--http2-prior-knowledge',
    '--cacert',
    '--http',
    '--omit',
  ])
  const readme = readFileSync(path, 'utf8')
  const mentioned = [...readme.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].map(([flag]) => flag)
  assert.deepEqual(
    [...new Set(mentioned)].filter((flag) => !known.has(flag) && !others.has(flag)),
    [],
  )
  const { stdout } = await runProgram(t, ['--help'])
  assert.deepEqual(
    Object.keys(options).filter((name) => !stdout.includes(`--${name}`)),
    [],
  )
})
