/** The soak, short. `npm run soak` is the long one. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

test('30 seconds of mixed load while backend, Redis and the log come and go', {
  timeout: 240_000,
}, async (t) => {
  const run = fileURLToPath(new URL('run.js', import.meta.url))
  const child = spawn(process.execPath, [run, '--seconds', '30'], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.after(() => child.kill('SIGTERM'))
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += chunk
    })
  const code = await new Promise((resolve) => child.once('close', resolve))
  t.diagnostic(said)
  assert.equal(code, 0, said)
  assert.match(said, /nothing failed/)
  // It was worth it: each kind of fault at least once, and requests of all kinds.
  assert.match(said, /backend killed and started again ×[\s\S]*Redis frozen and thawed ×/)
})
