/** The process that tells of it all is stopped for a while: its workers serve on, and what is not told is counted. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Got, get } from '../support/client.ts'
import { startUpstream } from '../support/upstream.ts'
import { cacheStatus, lines, loggedLines, startWorkers, twoClients, until } from './support.ts'

test('while the primary is stopped requests are served; those that nobody tells of are counted, and none seems to go on', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'no-store' }).end('hello')
  })
  const program = await startWorkers(t, [upstream.url, '--expect', 'errors==0'])
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.after(() => agent.destroy())
  let asked = 0
  const ask = async (): Promise<void> => {
    const { text } = await get(`${program.url}/long?${'x'.repeat(12_000)}`, { agent })
    assert.equal(text, 'hello')
    asked++
  }
  await Promise.all(Array.from({ length: 40 }, ask))
  await loggedLines(program, 40)

  program.kill('SIGSTOP')
  // 16 MB wait in each worker.
  for (let round = 0; round < 60; round++) await Promise.all(Array.from({ length: 50 }, ask))
  program.kill('SIGCONT')

  const numbers = async () => {
    const { text } = await get(`${program.adminUrl}/metrics`)
    const of = (pattern: RegExp): number => Number(pattern.exec(text)?.[1])
    return {
      lost: of(/^revproxy_worker_requests_lost_total (\d+)$/m),
      lines: of(/^revproxy_log_lines_dropped_total (\d+)$/m),
      counted: of(/^http_server_request_duration_seconds_count\{[^}]*"\/long"[^}]*\} (\d+)$/m),
      active: of(/^http_server_active_requests\{[^}]*"GET"[^}]*\} (\d+)$/m),
    }
  }
  await until('each is counted, as told of or as lost', async () => {
    const { counted, lost } = await numbers()
    return counted + lost === asked
  })
  const { active, lost } = await numbers()
  assert.ok(lost > 0, 'more than may wait')
  assert.equal(active, 0)
  const told = (): number =>
    [...program.stdout().matchAll(/"event":"lines-dropped","lines":(\d+)\}/g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    )
  // So many at once may be too many for the log as well.
  await until('the log says how many lines it lacks', async () => {
    const { lines: dropped } = await numbers()
    return dropped >= lost && told() === dropped && lines(program).length + dropped === asked
  })
  assert.match(program.stderr(), /this process was held up: of \d+ requests/)
  program.kill('SIGINT')
  assert.match(
    (await program.ended).stderr,
    new RegExp(`no number counts, .* held up: ${lost}\\. Expectations`),
  )
})

test('while the primary is stopped all comes from the upstream, and nobody waits anew each time', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end(`${req.method} ${req.url}`)
  })
  const program = await startWorkers(t, [upstream.url])
  const [a] = twoClients(t) as [typeof get, typeof get]
  await until('it is stored', async () => /; hit/.test(cacheStatus(await a(`${program.url}/stored`))))
  // It is known nearby that nothing is stored: only its lease has to be asked for.
  await a(`${program.url}/leased`, { headers: { 'cache-control': 'only-if-cached' } })
  program.kill('SIGSTOP')
  const late = Symbol('late')
  const leased = await Promise.race([a(`${program.url}/leased`), sleep(30_000, late, { ref: false })])
  assert.ok(leased !== late)
  assert.equal((leased as Got).text, 'GET /leased')
  const first = await a(`${program.url}/new`)
  assert.equal(first.text, 'GET /new')
  assert.match(cacheStatus(first), /fwd=bypass; .*store-down/)
  for (let i = 0; i < 20; i++) assert.equal((await a(`${program.url}/new${i}`)).text, `GET /new${i}`)
  // Somebody else may have dropped it meanwhile.
  assert.match(cacheStatus(await a(`${program.url}/stored`)), /fwd=bypass; .*store-down/)
  // What it drops meanwhile is gone for itself at once, and later for all.
  await a(`${program.url}/stored`, { method: 'PUT' })
  assert.doesNotMatch(cacheStatus(await a(`${program.url}/stored`)), /; hit/)
  program.kill('SIGCONT')
  await until('it stores again', async () => /; hit/.test(cacheStatus(await a(`${program.url}/new`))))
})

test('what a worker drops while the primary is stopped is served by no other, and by none once it goes on', async (t) => {
  let version = 1
  const upstream = await startUpstream(t, (req, res) => {
    if (req.method === 'PUT') version++
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end(`v${version}`)
  })
  const program = await startWorkers(t, [upstream.url])
  const [a, b] = twoClients(t) as [typeof get, typeof get]
  const url = `${program.url}/thing`
  await until('both have it', async () => {
    return [await a(url), await b(url)].every((got) => /; hit/.test(cacheStatus(got)))
  })
  program.kill('SIGSTOP')
  assert.equal((await b(url, { method: 'PUT' })).text, 'v2')
  assert.equal((await a(url)).text, 'v2')
  program.kill('SIGCONT')
  // Nobody asks the one that dropped it any more: it says so by itself.
  await until('the other one knows', async () => {
    const got = await a(url)
    return /; hit/.test(cacheStatus(got)) && got.text === 'v2'
  })
  assert.equal((await b(url)).text, 'v2')
})

test('while the primary is stopped a rate is kept to: what it has to count waits, and comes once it goes on', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url, '--cache', 'off', '--rate', '4/h'])
  const clients = twoClients(t)
  for (const ask of clients) assert.equal((await ask(program.url)).status, 200)
  program.kill('SIGSTOP')
  const answers = Promise.all(Array.from({ length: 6 }, (_, i) => clients[i % 2]!(program.url)))
  // Longer than it takes to call the primary silent.
  await sleep(3000)
  assert.equal(upstream.requests.length, 2)
  program.kill('SIGCONT')
  const statuses = (await answers).map(({ status }) => status)
  assert.equal(statuses.filter((status) => status === 200).length, 2)
  assert.equal(upstream.requests.length, 4)
})
