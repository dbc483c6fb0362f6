/** Runs all tests of the built tree with node's own runner, after finding what they need beyond npm. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** What tests need beyond npm, and the Debian package that has it. */
const needed = [
  { program: 'redis-server', packageName: 'redis-server' },
  { program: 'prometheus', packageName: 'prometheus' },
  { program: 'promtool', packageName: 'prometheus' },
  { program: 'openssl', packageName: 'openssl' },
  { program: 'xmllint', packageName: 'libxml2-utils' },
  { program: 'curl', packageName: 'curl' },
  { program: 'make', packageName: 'make' },
  { program: 'zsh', packageName: 'zsh' },
  { program: 'fish', packageName: 'fish' },
]

const onPath = (program: string): boolean =>
  [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'].some((folder) =>
    existsSync(join(folder, program)),
  )

const missing = (): string[] => [
  ...new Set(needed.filter(({ program }) => !onPath(program)).map(({ packageName }) => packageName)),
]

/** Installs what is missing where that is allowed; says plainly what to install otherwise. */
const provide = (): void => {
  const packages = missing()
  if (packages.length === 0) return
  if (process.getuid?.() === 0 && onPath('apt-get')) {
    console.log(`installing ${packages.join(', ')} for the tests`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    spawnSync('apt-get', ['update', '-q'], { stdio: 'ignore', env })
    // A policy that keeps the services from being started: the tests start their own.
    spawnSync('apt-get', ['install', '-y', '-q', '--no-install-recommends', ...packages], {
      stdio: 'ignore',
      env: { ...env, RUNLEVEL: '1' },
    })
  }
  const still = missing()
  if (still.length > 0) {
    console.error(
      `The tests need ${still.join(', ')}. On Debian or Ubuntu: sudo apt-get install ${still.join(' ')}`,
    )
    process.exit(1)
  }
}

const testFiles = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.js'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()

provide()
const root = fileURLToPath(new URL('..', import.meta.url))
const wanted = process.argv.slice(2)
const files = testFiles(root).filter(
  (file) => wanted.length === 0 || wanted.some((part) => file.includes(part)),
)
// Not with node_modules/.bin, which `npm test` puts in front: a development dependency has an npm of its own there that
// is years old.
const path = (process.env.PATH ?? '')
  .split(delimiter)
  .filter((folder) => !folder.endsWith(join('node_modules', '.bin')))
  .join(delimiter)
const { status, signal } = spawnSync(
  process.execPath,
  ['--test', `--test-concurrency=${Math.max(2, cpus().length)}`, '--test-reporter=spec', ...files],
  { stdio: 'inherit', env: { ...process.env, PATH: path } },
)
process.exit(status ?? (signal === null ? 1 : 1))
