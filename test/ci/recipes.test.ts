import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import { recipes } from '../support/recipes.ts'
import { folder } from './support.ts'

const executable = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))

const server = `
const users = JSON.stringify([{ name: 'Ada' }])
require('node:http').createServer((req, res) => {
  if (process.env.BROKEN) res.writeHead(500)
  else if (req.url.startsWith('/api/')) res.setHeader('cache-control', 'max-age=60')
  res.end(req.url === '/api/users' ? users : 'hello')
}).listen(PORT, '127.0.0.1')
`
const smoke = `
const assert = require('node:assert'), { test } = require('node:test')
test('users', async () => {
  const answer = await fetch(process.env.BASE_URL + '/api/users')
  assert.equal(answer.status, 200)
  assert.equal((await answer.json())[0].name, 'Ada')
})
`

/** A project as users have it, with revproxy among its dependencies; `as` prints a recipe for its port. */
const project = async (t: TestContext) => {
  const at = folder(t)
  const port = await freePort()
  // The one thing that differs from what is printed: a port that is free here.
  const as = (text: string): string => text.replaceAll('3000', String(port))
  const write = (name: string, text: string): void => writeFileSync(join(at, name), text)
  mkdirSync(join(at, 'revproxy'))
  write('revproxy/cli.mjs', `#!/usr/bin/env node\nawait import(${JSON.stringify(executable)})\n`)
  chmodSync(join(at, 'revproxy/cli.mjs'), 0o755)
  const tool = { name: 'revproxy', version: '0.0.0', bin: { revproxy: 'cli.mjs' } }
  write('revproxy/package.json', JSON.stringify(tool))
  const dependencies = { devDependencies: { revproxy: 'file:revproxy' } }
  write('package.json', JSON.stringify({ ...JSON.parse(as(recipes.npm.text)), ...dependencies }))
  write(
    'package-lock.json',
    JSON.stringify({
      lockfileVersion: 3,
      packages: {
        '': dependencies,
        'node_modules/revproxy': { resolved: 'revproxy', link: true },
        revproxy: { version: '0.0.0', dev: true, bin: tool.bin },
      },
    }),
  )
  write('server.js', server.replace('PORT', String(port)))
  write('smoke.test.js', smoke)
  const env: NodeJS.ProcessEnv = {
    npm_config_offline: 'true',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
  }
  for (const [name, value] of Object.entries(process.env)) {
    if (!/^(?:REVPROXY_|OTEL_|JAEGER_|GITHUB_|NODE_TEST|NODE_OPTIONS|npm_|(?:https?|all)_proxy$)/i.test(name))
      env[name] = value
  }
  const run = (
    command: string,
    more: NodeJS.ProcessEnv = {},
  ): Promise<{ code: number | null; output: string }> =>
    new Promise((resolve) => {
      const child = spawn('bash', ['-e', '-c', command], {
        cwd: at,
        env: { ...env, ...more },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let output = ''
      for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (chunk) => {
          output += chunk
        })
      }
      child.on('close', (code) => resolve({ code, output }))
    })
  const installed = await run('npm ci')
  assert.equal(installed.code, 0, installed.output)
  return { at, as, run, write }
}

/** The commands of a job: what stands after `- run:` and under `script:`. */
const commandsOf = (yaml: string): string[] => {
  const folded = yaml.replace(
    />-\n((?: {10}.*(?:\n|$))+)/g,
    (_, block: string) => `${block.trim().split(/\n\s*/).join(' ')}\n`,
  )
  const runs = [...folded.matchAll(/^ *- run: (.*)$/gm)].map(([, command]) => command!)
  const script = /\n {2}script:\n((?: {4}- .*\n)+)/.exec(folded)?.[1] ?? ''
  return [...runs, ...script.split('\n').flatMap((line) => (line === '' ? [] : [line.slice(6)]))]
}

describe('each recipe of the README does what it says', () => {
  test('the npm script', async (t) => {
    const { run } = await project(t)
    const fine = await run('npm run smoke')
    assert.equal(fine.code, 0, fine.output)
    assert.match(fine.output, /✓ 5xx==0/)
    const broken = await run('npm run smoke', { BROKEN: '1' })
    assert.equal(broken.code, 1, broken.output)
    assert.match(broken.output, /✗ 5xx==0/)
  })

  test('the shell script', async (t) => {
    const { as, run } = await project(t)
    const fine = await run(as(recipes.shell.text))
    assert.equal(fine.code, 0, fine.output)
    assert.match(fine.output, /✓ hit-ratio\{route=\/api\/\*\}>=50%/)
    // curl's own code for an answer that says failure.
    assert.equal((await run(as(recipes.shell.text), { BROKEN: '1' })).code, 22)
  })

  test('the GitHub Actions job', async (t) => {
    const { at, as, run } = await project(t)
    const commands = commandsOf(as(recipes.github.text))
    assert.equal(commands.length, 2)
    const summary = join(at, 'summary.md')
    for (const command of commands) {
      const { code, output } = await run(command, {
        GITHUB_ACTIONS: 'true',
        GITHUB_STEP_SUMMARY: summary,
        CI: 'true',
      })
      assert.equal(code, 0, output)
    }
    assert.match(readFileSync(summary, 'utf8'), /✅ revproxy: fine/)
    assert.match(readFileSync(join(at, 'reports/revproxy.xml'), 'utf8'), /<testcase name="5xx==0"/)
  })

  test('the GitLab job', async (t) => {
    const { at, as, run } = await project(t)
    const commands = commandsOf(as(recipes.gitlab.text))
    assert.equal(commands.length, 2)
    for (const command of commands) {
      const { code, output } = await run(command, { CI: 'true' })
      assert.equal(code, 0, output)
    }
    assert.match(readFileSync(join(at, 'revproxy.xml'), 'utf8'), /<testcase name="5xx==0"/)
  })

  test('the Makefile', async (t) => {
    const { as, run, write } = await project(t)
    write('Makefile', `${as(recipes.make.text)}\n`)
    const { code, output } = await run('make smoke')
    assert.equal(code, 0, output)
  })

  test('the baseline', async (t) => {
    const { at, as, run } = await project(t)
    for (const says of [/wrote the first baseline/, /✓ upstream-requests<=baseline/]) {
      const { code, output } = await run(as(recipes.baseline.text))
      assert.equal(code, 0, output)
      assert.match(output, says)
    }
    assert.ok(existsSync(join(at, 'baseline.json')))
  })
})
