import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { packInto, runTool, stagePackage } from '../support/stage.ts'

test('the packed tarball, installed into an empty folder, gives a working revproxy', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-pack-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const { files, size, filename } = await packInto(folder, await stagePackage(folder))
  const paths = files.map(({ path }) => path)
  for (const needed of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'dist/bin/revproxy.js'])
    assert.ok(paths.includes(needed), `${needed} is not packed`)
  assert.deepEqual(
    paths.filter((path) => /^(?:dist\/)?(?:test|src|\.ci)/.test(path)),
    [],
  )
  assert.ok(size < 400_000, `${size} bytes`)

  const home = join(folder, 'home')
  mkdirSync(home)
  writeFileSync(join(home, 'package.json'), '{"private":true}')
  await runTool('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)], {
    cwd: home,
  })
  const executable = join(home, 'node_modules', '.bin', 'revproxy')
  assert.match((await runTool(executable, ['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)

  const child = spawn(executable, ['demo', '-p', '0', '--admin', 'off'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.after(() => child.kill('SIGKILL'))
  const url = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stderr.on('data', (chunk) => {
      text += chunk
      const found = /listening\s+(http\S+)\n/.exec(text)
      if (found !== null) resolve(found[1]!)
    })
    child.on('exit', () => reject(new Error(text)))
  })
  assert.equal((await get(`${url}/api/echo?echo=packed`)).text, 'packed')
})
