import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { get } from '../support/client.ts'

/** What npm says of a tarball. */
interface Packed {
  readonly filename: string
  readonly size: number
  readonly files: ReadonlyArray<{ readonly path: string }>
}

/** Without node_modules/.bin, where a development dependency has an npm of its own that is years old. */
const env = {
  ...process.env,
  PATH: (process.env.PATH ?? '')
    .split(delimiter)
    .filter((folder) => !folder.endsWith(join('node_modules', '.bin')))
    .join(delimiter),
}

const execute = promisify(execFile)
const run = (file: string, args: string[], options: { cwd?: string } = {}) =>
  execute(file, args, { ...options, env })
const root = fileURLToPath(new URL('../../..', import.meta.url))

test('the packed tarball, installed into an empty folder, gives a working revproxy', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-pack-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  // Built already; building again would pull the files away under the tests that run beside this one.
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], {
    cwd: root,
  })
  const packed = JSON.parse(stdout) as unknown
  const [tarball] = (Array.isArray(packed) ? packed : Object.values(packed as object)) as Packed[]
  const { files, size, filename } = tarball!
  const paths = files.map(({ path }) => path)
  for (const needed of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'dist/bin/revproxy.js'])
    assert.ok(paths.includes(needed), `${needed} is not packed`)
  assert.deepEqual(
    paths.filter((path) => /^(?:dist\/)?(?:test|src\/.*\.ts$|\.ci)/.test(path)),
    [],
  )
  assert.ok(size < 400_000, `${size} bytes`)

  const home = join(folder, 'home')
  mkdirSync(home)
  writeFileSync(join(home, 'package.json'), '{"private":true}')
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(folder, filename)], {
    cwd: home,
  })
  const executable = join(home, 'node_modules', '.bin', 'revproxy')
  assert.match((await run(executable, ['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)

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
