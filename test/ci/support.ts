/** What the tests of CI mode share: commands to run behind the proxy, files, and processes that are gone. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

/** A command that runs a script in node. */
export const node = (script: string, ...args: string[]): string[] => [process.execPath, '-e', script, ...args]

/** A command that gets the paths from REVPROXY_URL, one after the other, and ends with `code`. */
export const gets = (paths: readonly string[], code = 0): string[] =>
  node(
    `(async () => { for (const path of ${JSON.stringify(paths)}) await (await fetch(process.env.REVPROXY_URL + path)).text(); process.exitCode = ${code} })()`,
  )

/** A folder that goes with the test. */
export const folder = (t: TestContext): string => {
  const path = mkdtempSync(join(tmpdir(), 'revproxy-ci-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** A backend for `--start`: listens on the port after `delayMs`, writes the pids of itself, a child and a child in a group of its own. DEAF=1: SIGTERM does not end the child. */
export const backendScript = `
const http = require('node:http'), fs = require('node:fs'), { spawn } = require('node:child_process')
const [port, pids, delay = '0'] = process.argv.slice(1)
const child = spawn(process.execPath, ['-e', (process.env.DEAF ? 'process.on("SIGTERM", () => {}); ' : '') + 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
const apart = spawn('sleep', ['600'], { stdio: 'ignore', detached: true })
fs.writeFileSync(pids, [process.pid, child.pid, apart.pid].join(' '))
setTimeout(() => http.createServer((req, res) => {
  if (req.url === '/fail') res.writeHead(500)
  res.end('from the backend')
}).listen(Number(port), '127.0.0.1', () => console.log('backend listens')), Number(delay))
`

/** Whether a process runs (one that is dead and not reaped does not). */
export const runs = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch (error) {
    // Where there is no /proc the signal alone tells.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.platform !== 'linux'
  }
}

/** Waits until the condition holds; rejects after 30 s. */
export const until = async (condition: () => boolean, what: string): Promise<void> => {
  const end = Date.now() + 30_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within 30 s: ${what}`)
    await sleep(10)
  }
}

/** Waits until none of the processes runs. */
export const allGone = (pids: readonly number[]): Promise<void> =>
  until(() => !pids.some(runs), `the end of ${pids.join(', ')}`)

/** The pids that a backend wrote. */
export const pidsIn = (file: string): number[] => readFileSync(file, 'utf8').split(' ').map(Number)
