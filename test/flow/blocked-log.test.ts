/** A log that nobody reads holds up no request; what it lacks is counted and said. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent } from 'node:http'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { get } from '../support/client.ts'
import { startUpstream } from '../support/upstream.ts'

const executable = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))

test('with a stdout that nobody reads all requests are answered, and later the log says how many lines it lacks', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const child = spawn(
    process.execPath,
    [executable, upstream.url, '-p', '0', '--admin', 'off', '--cache', 'off', '--log', 'json'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const exited = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  let said = ''
  child.stderr.on('data', (chunk) => {
    said += chunk
  })
  const until = async (found: () => boolean): Promise<void> => {
    for (const deadline = performance.now() + 20_000; !found(); ) {
      if (performance.now() > deadline) throw new Error(`not within 20 s: ${found}\n${said}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  await until(() => /listening\s+http:\S+\n[\s\S]*\n\n/.test(said))
  const url = /listening\s+(http:\S+)/.exec(said)![1]!.replace('localhost', '127.0.0.1')

  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.after(() => agent.destroy())
  const dropped = async (): Promise<number> => {
    const { text } = await get(`${url}/metrics`)
    return Number(/^revproxy_log_lines_dropped_total (\d+)$/m.exec(text)?.[1])
  }
  let asked = 0
  const ask = async (): Promise<void> => {
    const { status } = await get(`${url}/${asked++}?${'x'.repeat(12_000)}`, { agent })
    assert.equal(status, 200)
  }
  // The pipe and the buffer of 4 MB have to be full first.
  while ((await dropped()) === 0) {
    assert.ok(asked < 3000, 'something is dropped in the end')
    await Promise.all(Array.from({ length: 40 }, ask))
  }
  const lost = await dropped()

  let out = ''
  child.stdout.on('data', (chunk) => {
    out += chunk
  })
  await until(() => /lines-dropped/.test(out))
  await ask()
  await until(() => out.includes(`"/${asked - 1}?`))
  child.kill('SIGINT')
  await exited
  const lines = out.split('\n').filter((line) => line.includes('"event":"request"')).length
  const [, told] = /"event":"lines-dropped","lines":(\d+)\}/.exec(out) ?? []
  assert.equal(Number(told), lost)
  for (const line of out.trimEnd().split('\n')) JSON.parse(line)
  assert.equal(lines + lost, asked, 'every request is in the log or counted')
})
