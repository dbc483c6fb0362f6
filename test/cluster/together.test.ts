/** One log, one /metrics, one rate: two workers look like one proxy. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { gate, get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'
import { lines, loggedLines, startWorkers, twoClients, until, workerOf } from './support.ts'

test('both loopback families have one port, and both workers serve it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url])
  const { port } = new URL(program.url)
  for (const host of ['127.0.0.1', '[::1]', '127.0.0.1', '[::1]'])
    assert.equal((await get(`http://${host}:${port}/`)).text, 'hello')
  assert.deepEqual([...new Set((await loggedLines(program, 4)).map(workerOf))].sort(), [1, 2])
})

test('--https: all workers have one certificate', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-config-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url, '--https'], { XDG_CONFIG_HOME: folder })
  const seen = new Set<string>()
  for (let i = 0; i < 4; i++) {
    const socket = connect({
      host: '127.0.0.1',
      port: Number(new URL(program.url).port),
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: false,
    })
    await once(socket, 'secureConnect')
    seen.add(socket.getPeerX509Certificate()!.fingerprint256)
    socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    const chunks: Buffer[] = []
    for await (const chunk of socket) chunks.push(chunk as Buffer)
    assert.match(Buffer.concat(chunks).toString(), /^HTTP\/1\.1 200 .*hello/s)
  }
  assert.equal(seen.size, 1)
  assert.deepEqual([...new Set((await loggedLines(program, 4)).map(workerOf))].sort(), [1, 2])
})

test('a rate is one for all workers, in each mode', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const program = await startWorkers(t, [upstream.url, '--rate', '10/h'])
  const statuses = (await Promise.all(Array.from({ length: 30 }, () => get(program.url)))).map(
    ({ status }) => status,
  )
  assert.equal(statuses.filter((status) => status === 200).length, 10)
  assert.equal(statuses.filter((status) => status === 429).length, 20)
  const logged = await loggedLines(program, 30)
  assert.deepEqual([...new Set(logged.map(workerOf))].sort(), [1, 2])

  // One connection, so one worker, has the whole rate.
  const single = await startWorkers(t, [upstream.url, '--rate', '10/h'])
  const [ask] = twoClients(t) as [typeof get]
  for (let i = 0; i < 10; i++) assert.equal((await ask(single.url)).status, 200)
  assert.equal((await ask(single.url)).status, 429)

  const delayed = await startWorkers(t, [
    upstream.url,
    '--rate',
    '5/h',
    '--rate-mode',
    'delay',
    '--rate-max-wait',
    '100ms',
  ])
  const late = (await Promise.all(Array.from({ length: 12 }, () => get(delayed.url)))).map(
    ({ status }) => status,
  )
  assert.equal(late.filter((status) => status === 200).length, 5)
})

test('--concurrency counts the requests of all workers', async (t) => {
  const hold = gate()
  let now = 0
  let most = 0
  const upstream = await startUpstream(t, async (_, res) => {
    most = Math.max(most, ++now)
    await hold.promise
    now--
    res.setHeader('cache-control', 'no-store')
    res.end('hello')
  })
  t.after(() => hold.open())
  const program = await startWorkers(t, [
    upstream.url,
    '--concurrency',
    '3',
    '--cache',
    'off',
    '--rate-max-wait',
    '60s',
  ])
  const all = Array.from({ length: 9 }, (_, i) =>
    get(`${program.url}/${i}`).then(
      ({ status }) => status,
      () => 0,
    ),
  )
  await until('three are on their way', () => upstream.requests.length === 3)
  assert.equal(most, 3)
  hold.open()
  assert.deepEqual(
    await Promise.all(all),
    Array.from({ length: 9 }, () => 200),
  )
  assert.equal(most, 3)
})

test('the log has whole lines of all workers, and the summary counts them all', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(req.url === '/bad' ? 500 : 200).end('x'.repeat(200))
  })
  const program = await startWorkers(t, [upstream.url])
  const agent = new Agent({ keepAlive: true, maxSockets: 8 })
  t.after(() => agent.destroy())
  const long = 'y'.repeat(3000)
  await Promise.all(Array.from({ length: 400 }, (_, i) => get(`${program.url}/${i}?${long}`, { agent })))
  await Promise.all(Array.from({ length: 5 }, () => get(`${program.url}/bad`, { agent })))
  const logged = await loggedLines(program, 405)
  assert.equal(logged.length, 405)
  assert.equal(new Set(logged.map(({ id }) => id)).size, 405)
  assert.deepEqual([...new Set(logged.map(workerOf))].sort(), [1, 2])
  program.kill('SIGINT')
  const { code, stderr } = await program.ended
  assert.equal(code, 130)
  assert.match(stderr, /405 requests in /)
  assert.match(stderr, /p50 [\d.]+m?s p99 /)
  assert.match(stderr, /500 ×5/)
})

test('lines for people fold what repeats itself over all workers, and --filter and -q hold', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const broken = (flags: string[]) =>
    startProgram(t, ['-p', '0', '--admin', '0', '--workers', '2', '--hold', '0', ...flags])
  const down = upstream.url
  await upstream.stop()
  const folded = await broken([down])
  for (let i = 0; i < 6; i++) assert.equal((await get(`${folded.url}/same`)).status, 502)
  folded.kill('SIGINT')
  const { stdout } = await folded.ended
  assert.equal(stdout.match(/\/same/g)?.length, 1, stdout)
  assert.match(stdout, /… 5 more like it/)

  const working = await startUpstream(t, (_, res) => void res.end('hello'))
  const filtered = await broken([working.url, '--log', 'logfmt', '--filter', 'path=/b'])
  for (const path of ['/a', '/b', '/a', '/b']) await get(filtered.url + path)
  filtered.kill('SIGINT')
  const lines = (await filtered.ended).stdout.trim().split('\n')
  assert.equal(lines.length, 2)
  assert.ok(
    lines.every((line) => line.includes('/b')),
    lines.join('\n'),
  )

  const quiet = await runProgram(t, [
    working.url,
    '-p',
    '0',
    '--admin',
    '0',
    '--workers',
    '2',
    '-q',
    '--exit-after',
    '1s',
  ])
  assert.equal(quiet.stdout, '')
})

test('/metrics is one: the same at both ports, counters that never fall, each process beside the others', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('hello')
  })
  const program = await startWorkers(t, [upstream.url])
  for (let i = 0; i < 20; i++) await get(`${program.url}/counted`)
  await loggedLines(program, 20)
  const count = (text: string): number =>
    [
      ...text.matchAll(
        /^http_server_request_duration_seconds_count\{[^}]*http_route="\/counted"[^}]*\} (\d+)/gm,
      ),
    ].reduce((sum, [, n]) => sum + Number(n), 0)
  const [admin, own] = await Promise.all([get(`${program.adminUrl}/metrics`), get(`${program.url}/metrics`)])
  for (const { text } of [admin, own]) {
    assert.equal(count(text), 20)
    assert.match(text, /^revproxy_requests_latency_ms_count\{path="\/counted"\} 20$/m)
    assert.match(text, /^revproxy_workers 2$/m)
    for (const worker of ['primary', '1', '2'])
      assert.match(text, new RegExp(`^process_resident_memory_bytes\\{worker="${worker}"\\} \\d`, 'm'))
  }
  const stats = JSON.parse((await get(`${program.adminUrl}/stats`)).text)
  assert.equal(stats.requests, 20)
  const traces = JSON.parse((await get(`${program.adminUrl}/traces?limit=100`)).text).traces
  assert.equal(traces.length, 20)
  const explained = JSON.parse((await get(`${program.adminUrl}/cache/explain?url=/counted`)).text)
  assert.equal(explained.verdict, 'hit')
  await until('the hits of both workers are known', async () => {
    const { entries } = JSON.parse((await get(`${program.adminUrl}/cache/entries`)).text)
    return entries.length === 1 && entries[0].hits === 19
  })
  const openMetrics = await get(`${program.url}/metrics`, {
    headers: { accept: 'application/openmetrics-text' },
  })
  assert.match(openMetrics.text, /# EOF\n$/)
  assert.equal(count(openMetrics.text), 20)
})

test('expectations, --max-requests and a command see the traffic of all workers', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end('hello')
  })
  const asks = `(async () => { for (let i = 0; i < 12; i++) await (await fetch(process.env.REVPROXY_URL + '/x', { headers: { connection: 'close' } })).text() })()`
  const run = (...expectations: string[]) =>
    runProgram(t, [
      upstream.url,
      '--admin',
      'off',
      '--workers',
      '2',
      ...expectations.flatMap((text) => ['--expect', text]),
      '--',
      process.execPath,
      '-e',
      asks,
    ])
  const good = await run('requests==12', 'hit-ratio>=0.9', 'upstream-requests==1', '5xx==0')
  assert.equal(good.code, 0, good.stderr)
  const bad = await run('requests==13')
  assert.equal(bad.code, 5, bad.stderr)

  const counted = await startWorkers(t, [upstream.url, '--max-requests', '6', '--expect', 'requests>=6'])
  for (let i = 0; i < 6; i++) await get(`${counted.url}/y`)
  const { code } = await counted.ended
  assert.equal(code, 0)
  assert.ok(lines(counted).length >= 6)
})

test('a number of workers that cannot be is refused', async (t) => {
  for (const workers of ['0', 'many', '1.5', '1000']) {
    const { code, stderr } = await runProgram(t, [':1', '--workers', workers])
    assert.equal(code, 2)
    assert.match(stderr, /--workers.*a whole number from 1 to 256, or auto/)
  }
})

test('a port in use is told as with one process', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const { code, stderr } = await runProgram(t, [
    ':1',
    '-p',
    String(upstream.port),
    '--workers',
    '2',
    '--admin',
    'off',
  ])
  assert.equal(code, 3)
  assert.match(stderr, /port \d+ is in use/)
})
