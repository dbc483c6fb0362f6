/** Workers that end by accident, and the end of all. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runs } from '../ci/support.ts'
import { gate, get } from '../support/client.ts'
import { startUpstream } from '../support/upstream.ts'
import { lines, startWorkers, twoClients, until, workersOf } from './support.ts'

/** Whether anybody accepts connections there. */
const accepts = (url: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })

test('a worker that is killed is told of once and replaced; only its own requests fail', async (t) => {
  const hold = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.url!.startsWith('/held')) await hold.promise
    res.end('hello')
  })
  t.after(() => hold.open())
  const program = await startWorkers(t, [upstream.url, '--concurrency', '2', '--rate-max-wait', '60s'])
  const [a, b] = twoClients(t) as [typeof get, typeof get]
  const outcomes = [a, b].map((ask, i) =>
    ask(`${program.url}/held${i}`).then(
      ({ text }) => text,
      () => 'failed',
    ),
  )
  await until('both are on their way', () => upstream.requests.length === 2)
  const before = workersOf(program)
  assert.equal(before.length, 2)
  process.kill(before[0]!, 'SIGKILL')
  // Its turn is free again, though its request never ended there.
  // (A connection that was on its way to the worker when it ended is closed.)
  const after = (): Promise<boolean> =>
    get(`${program.url}/after`).then(
      ({ text }) => text === 'hello',
      () => false,
    )
  await until('somebody serves', after)
  hold.open()
  assert.deepEqual((await Promise.all(outcomes)).sort(), ['failed', 'hello'])
  await until('two workers serve again', async () => {
    const { text } = await get(`${program.adminUrl}/metrics`)
    return /^revproxy_workers 2$/m.test(text) && /^revproxy_worker_restarts_total 1$/m.test(text)
  })
  assert.notDeepEqual(workersOf(program).sort(), before.sort())
  for (let i = 0; i < 4; i++) assert.equal((await get(`${program.url}/more`)).text, 'hello')
  await until('the lost request is logged as a failure', () =>
    lines(program).some(
      ({ url, status, error }) => url.startsWith('/held') && status === 0 && error === 'internal',
    ),
  )
  const { text } = await get(`${program.adminUrl}/metrics`)
  assert.match(text, /^http_server_active_requests\{[^}]*GET[^}]*\} 0$/m)
  assert.equal(program.stderr().match(/is gone/g)?.length, 1, program.stderr())
  assert.match(program.stderr(), /worker \d is gone, it was ended by SIGKILL/)
})

test('a connection that comes when its worker has just ended is served or closed, never left waiting', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url])
  await get(program.url)
  for (let round = 0; round < 3; round++) {
    await until('two workers serve', async () => {
      const { text } = await get(`${program.adminUrl}/metrics`)
      return /^revproxy_workers 2$/m.test(text)
    })
    process.kill(workersOf(program)[0]!, 'SIGKILL')
    const all = Array.from({ length: 10 }, () =>
      get(program.url).then(
        ({ text }) => text,
        () => 'closed',
      ),
    )
    const outcomes = await Promise.all(all)
    assert.ok(outcomes.includes('hello'), outcomes.join())
    assert.ok(outcomes.filter((each) => each === 'closed').length <= 2, outcomes.join())
  }
})

test('workers that cannot start any more end the program with 3 and the reason', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-ca-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'ca.pem')
  const request = [
    ...'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -keyout'.split(' '),
    join(folder, 'key.pem'),
    '-out',
    file,
  ]
  execFileSync('openssl', request, { stdio: 'ignore' })
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url, '--ca', file])
  // Each new worker reads the options again.
  rmSync(file)
  process.kill(workersOf(program)[0]!, 'SIGKILL')
  const { code, stderr } = await program.ended
  assert.equal(code, 3, stderr)
  assert.match(stderr, /worker \d could not be started 3 times in a row: --ca .*can be read \(ENOENT\)/s)
})

test('no worker outlives the process that started it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url])
  const pids = workersOf(program)
  assert.equal(pids.length, 2)
  program.kill('SIGKILL')
  await program.ended
  await until('they are gone', () => !pids.some(runs))
})

test('SIGTERM lets running requests end and leaves no process; a second signal does not wait', async (t) => {
  const hold = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    await hold.promise
    res.end('in the end')
  })
  t.after(() => hold.open())
  const program = await startWorkers(t, [upstream.url])
  const [a, b] = twoClients(t) as [typeof get, typeof get]
  const answers = Promise.all([a(`${program.url}/1`), b(`${program.url}/2`)])
  await until('they are on their way', () => upstream.requests.length === 2)
  const pids = workersOf(program)
  program.kill('SIGTERM')
  await until('it says what it waits for', () => /stopping: 2 requests/.test(program.stderr()))
  await until('nobody is let in any more', async () => !(await accepts(program.url)))
  hold.open()
  assert.deepEqual(
    (await answers).map(({ text }) => text),
    ['in the end', 'in the end'],
  )
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.match(stderr, /2 requests in /)
  assert.equal(pids.some(runs), false)

  const never = gate()
  t.after(() => never.open())
  upstream.answer(() => never.promise)
  const impatient = await startWorkers(t, [upstream.url])
  const lost = get(`${impatient.url}/lost`).catch(() => 'lost')
  await until('it is on its way', () => upstream.requests.length === 3)
  const theirs = workersOf(impatient)
  impatient.kill('SIGTERM')
  await until('it drains', () => /stopping: 1 request/.test(impatient.stderr()))
  impatient.kill('SIGINT')
  assert.equal((await impatient.ended).code, 130)
  assert.equal(await lost, 'lost')
  await until('its workers are gone too', () => !theirs.some(runs))
})
