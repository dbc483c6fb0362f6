/** A worker is killed in the middle of its work: what was its alone has failed, all else goes on, and the numbers agree. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { checkHar } from '../ci/har-reader.ts'
import { folder, runs } from '../ci/support.ts'
import { type Ask, type Got, gate, get } from '../support/client.ts'
import type { Program } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'
import {
  cacheStatus,
  lines,
  loggedLines,
  startWorkers,
  twoClients,
  until,
  workerOf,
  workersOf,
} from './support.ts'

const failed = (): string => 'failed'

/** Whether the metrics of a program have such a line. */
const shows = async (program: Program, line: RegExp): Promise<boolean> =>
  line.test((await get(`${program.adminUrl}/metrics`)).text)

interface Victim {
  /** Asks it over a connection that stays, one request after the other. */
  readonly ask: (url: string, ask?: Ask) => Promise<Got>
  /** As many of these as were wanted. */
  readonly asks: ReadonlyArray<Victim['ask']>
  readonly pid: number
  readonly kill: (signal?: NodeJS.Signals) => void
}

/** Both workers with clients of their own, and what kills them. To be called while both are the first ones. */
const victims = async (t: TestContext, program: Program, clientsOfEach = 1): Promise<[Victim, Victim]> => {
  // The first one was started first.
  const pids = workersOf(program).sort((one, other) => one - other)
  const clients: Array<Array<Victim['ask']>> = [[], []]
  for (let tries = 1; clients.some(({ length }) => length < clientsOfEach); tries++) {
    const [ask] = twoClients(t) as [Victim['ask']]
    await ask(`${program.url}/who`, { headers: { 'cache-control': 'no-store' } })
    const logged = await loggedLines(program, tries)
    clients[workerOf(logged.at(-1)!) - 1]!.push(ask)
  }
  const victim = (place: 0 | 1): Victim => ({
    ask: clients[place]![0]!,
    asks: clients[place]!.slice(0, clientsOfEach),
    pid: pids[place]!,
    kill: (signal = 'SIGKILL') => void process.kill(pids[place]!, signal),
  })
  return [victim(0), victim(1)]
}

/** Answers at once, but for paths that begin with /held. */
const holding =
  (hold: { promise: Promise<void> }, headers = {}): Parameters<typeof startUpstream>[1] =>
  async (req, res) => {
    if (req.url!.startsWith('/held')) await hold.promise
    res.writeHead(200, headers).end('hello')
  }

test('log, summary, HAR and expectations tell of the same requests, each once', async (t) => {
  const hold = gate()
  t.after(() => hold.open())
  const upstream = await startUpstream(t, holding(hold))
  const har = join(folder(t), 'traffic.har')
  const expected = ['--expect', 'errors==3', '--expect', 'requests==60', '--expect', '5xx==0']
  const program = await startWorkers(t, [upstream.url, '--har', har, '--max-requests', '60', ...expected])
  const [one, other] = await victims(t, program, 3)
  for (let i = 0; i < 10; i++)
    await Promise.all([one.ask(`${program.url}/a${i}`), other.ask(`${program.url}/b${i}`)])
  // All that ended before is known.
  const before = upstream.requests.length
  await loggedLines(program, before)
  const held = [...one.asks, ...other.asks].map((ask) =>
    ask(`${program.url}/held`, { method: 'POST' }).then(({ text }) => text, failed),
  )
  await until('all have come', () => upstream.requests.length === before + 6)
  await until('and are told of', () => shows(program, /^http_server_active_requests\{[^}]*POST[^}]*\} 6$/m))
  one.kill()
  await until('another one is started', () => shows(program, /^revproxy_worker_restarts_total 1$/m))
  hold.open()
  const texts = await Promise.all(held)
  assert.deepEqual(texts, ['failed', 'failed', 'failed', 'hello', 'hello', 'hello'])
  for (let i = before + 6; i < 60; i++) assert.equal((await other.ask(`${program.url}/c${i}`)).text, 'hello')
  await loggedLines(program, 60)
  const { code, stderr } = await program.ended
  assert.equal(code, 0, stderr)
  assert.match(stderr, /60 requests in .*3 errors/s)
  const logged = lines(program)
  assert.equal(logged.length, 60)
  assert.equal(new Set(logged.map(({ id }) => id)).size, 60)
  assert.equal(logged.filter(({ status, error }) => status === 0 && error === 'internal').length, 3)
  const entries = checkHar(JSON.parse(readFileSync(har, 'utf8')))
  assert.equal(entries.length, 60)
  assert.equal(entries.filter(({ response }) => response.status === 0).length, 3)
})

test('whoever waits for what the killed worker fetches fetches it themselves', async (t) => {
  const hold = gate()
  t.after(() => hold.open())
  const upstream = await startUpstream(t, holding(hold, { 'cache-control': 'max-age=60' }))
  const program = await startWorkers(t, [upstream.url])
  const [one, other] = await victims(t, program)
  const before = upstream.requests.length
  const lost = one.ask(`${program.url}/held`).then(({ text }) => text, failed)
  await until('it is on its way', () => upstream.requests.length === before + 1)
  const waiting = other.ask(`${program.url}/held`)
  // It has asked whose turn it is before it tells of the request.
  await until('the other one waits', () =>
    shows(program, /^http_server_active_requests\{[^}]*GET[^}]*\} 2$/m),
  )
  assert.equal(upstream.requests.length, before + 1)
  one.kill()
  assert.equal(await lost, 'failed')
  await until('the other one asks', () => upstream.requests.length === before + 2)
  hold.open()
  assert.equal((await waiting).text, 'hello')
  // What was stored is there for the one that takes its place, too.
  await until('two workers serve again', () => shows(program, /^revproxy_worker_restarts_total 1$/m))
  for (let i = 0; i < 4; i++)
    await until('both have it', async () => /; hit/.test(cacheStatus(await get(`${program.url}/held`))))
  assert.equal(upstream.requests.length, before + 2)
})

test('a rate is kept to: what was taken stays taken, and whoever waited there waits no more', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url, '--cache', 'off', '--rate', '10/h'])
  const [one, other] = await victims(t, program)
  while (upstream.requests.length < 6) assert.equal((await one.ask(program.url)).status, 200)
  one.kill()
  await until('two workers serve again', () => shows(program, /^revproxy_worker_restarts_total 1$/m))
  const statuses: number[] = []
  for (let i = 0; i < 10; i++) statuses.push((await (i % 2 === 0 ? other.ask : get)(program.url)).status)
  assert.equal(statuses.filter((status) => status === 200).length, 4)
  assert.equal(upstream.requests.length, 10)

  const delayed = await startWorkers(t, [
    ...[upstream.url, '--cache', 'off'],
    ...['--rate', '10/h', '--rate-mode', 'delay', '--rate-max-wait', '10h'],
  ])
  const [first, second] = await victims(t, delayed)
  while (upstream.requests.length < 20) assert.equal((await first.ask(delayed.url)).status, 200)
  const lost = first.ask(delayed.url).then(({ text }) => text, failed)
  await until('it waits', () => shows(delayed, /^revproxy_waiting_requests\{queue="rate"\} 1$/m))
  void second.ask(delayed.url).catch(failed)
  await until('so does another', () => shows(delayed, /^revproxy_waiting_requests\{queue="rate"\} 2$/m))
  first.kill()
  assert.equal(await lost, 'failed')
  await until('one waits', () => shows(delayed, /^revproxy_waiting_requests\{queue="rate"\} 1$/m))
})

test('all of them at once: others take their place, at the same port', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('hello')
  })
  const program = await startWorkers(t, [upstream.url])
  await until('it is stored', async () => /; hit/.test(cacheStatus(await get(`${program.url}/stored`))))
  for (const pid of workersOf(program)) process.kill(pid, 'SIGKILL')
  await until('two workers serve again', () => shows(program, /^revproxy_worker_restarts_total 2$/m))
  await until('and are there', () => shows(program, /^revproxy_workers 2$/m))
  const asked = upstream.requests.length
  for (let i = 0; i < 4; i++) assert.match(cacheStatus(await get(`${program.url}/stored`)), /; hit/)
  assert.equal(upstream.requests.length, asked)
  assert.equal(program.stderr().match(/is gone/g)?.length, 2, program.stderr())
})

test('while the run ends: its requests have failed, the others end, and so does the program', async (t) => {
  const hold = gate()
  t.after(() => hold.open())
  const upstream = await startUpstream(t, holding(hold))
  const program = await startWorkers(t, [upstream.url, '--drain', '60s'])
  const [one, other] = await victims(t, program)
  const pids = workersOf(program)
  const before = upstream.requests.length
  const lost = one.ask(`${program.url}/held1`).then(({ text }) => text, failed)
  const kept = other.ask(`${program.url}/held2`)
  await until('they are on their way', () => upstream.requests.length === before + 2)
  program.kill('SIGTERM')
  await until('it drains', () => /stopping: 2 requests/.test(program.stderr()))
  one.kill()
  assert.equal(await lost, 'failed')
  hold.open()
  assert.equal((await kept).text, 'hello')
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.match(stderr, new RegExp(`${before + 2} requests in .*1 error`, 's'))
  assert.equal(pids.some(runs), false)
  assert.doesNotMatch(stderr, /takes its place/)
})

test('a run that ends while a worker starts ends at once, and by no fault', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url])
  process.kill(workersOf(program)[0]!, 'SIGKILL')
  await until('another one is started', () => shows(program, /^revproxy_worker_restarts_total 1$/m))
  const pids = workersOf(program)
  program.kill('SIGTERM')
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.doesNotMatch(stderr, /fault/)
  assert.equal(pids.some(runs), false)
})

test('a worker that was stopped while it fetched keeps nobody waiting at the other one', async (t) => {
  const hold = gate()
  t.after(() => hold.open())
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.url === '/held') await hold.promise
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('hello')
  })
  const program = await startWorkers(t, [upstream.url])
  const [one, other] = await victims(t, program)
  const first = one.ask(`${program.url}/held`)
  await until('it came', () => upstream.requests.some(({ url }) => url === '/held'))
  t.after(() => {
    // It would outlive the program that is killed.
    if (runs(one.pid)) one.kill('SIGCONT')
  })
  one.kill('SIGSTOP')
  const second = other.ask(`${program.url}/held`)
  await until('the other one asks for itself', () => {
    return upstream.requests.filter(({ url }) => url === '/held').length === 2
  })
  hold.open()
  assert.equal((await second).text, 'hello')
  one.kill('SIGCONT')
  assert.equal((await first).text, 'hello')
})
