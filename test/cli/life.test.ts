/** The life of the process: signals, faults of its own, files that run out, a log that nobody takes. */
import assert from 'node:assert/strict'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { eventually, talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const injected = (fault: string) => ({
  NODE_OPTIONS: `--import=${new URL('../support/inject-fault.js', import.meta.url)}`,
  FAULT: fault,
})
const quietly = ['-p', '0', '--admin', 'off']
const GET = 'GET /api/echo?echo=x HTTP/1.1\r\nHost: a\r\n\r\n'
const portOf = (url: string): number => Number(new URL(url).port)

test('SIGTERM: /healthz says draining at once, nothing new is accepted, what runs ends', async (t) => {
  const arrived = gate()
  const release = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    arrived.open()
    await release.promise
    res.end('done')
  })
  const program = await startProgram(t, [upstream.url, '-p', '0', '--admin', '0', '--drain', '1m'])
  assert.equal((await get(`${program.adminUrl}/healthz`)).status, 200)
  const answer = get(program.url)
  await arrived.promise
  program.kill('SIGTERM')
  await program.until('stopping: 1 request is on the way')
  const health = await get(`${program.adminUrl}/healthz`)
  assert.deepEqual([health.status, health.text], [503, 'draining\n'])
  await assert.rejects(get(program.url), { code: 'ECONNREFUSED' })
  release.open()
  const { text, headers } = await answer
  assert.deepEqual([text, headers.connection], ['done', 'close'])
  assert.equal((await program.ended).code, 143)
})

test('--drain bounds the wait, and 0 does not wait', async (t) => {
  const upstream = await startUpstream(t, () => {})
  for (const drain of ['0', '200ms']) {
    const program = await startProgram(t, [upstream.url, ...quietly, '--drain', drain])
    const seen = upstream.requests.length
    const lost = assert.rejects(get(program.url), { code: 'ECONNRESET' })
    await eventually(() => upstream.requests.length > seen)
    program.kill('SIGTERM')
    await lost
    const { code, stdout } = await program.ended
    assert.equal(code, 143)
    assert.match(stdout, /shutting-down/)
  }
})

test('a second signal ends a long --drain at once', async (t) => {
  const upstream = await startUpstream(t, () => {})
  const program = await startProgram(t, [upstream.url, ...quietly, '--drain', '10m'])
  const lost = assert.rejects(get(program.url))
  await eventually(() => upstream.requests.length === 1)
  program.kill('SIGTERM')
  await program.until('stopping')
  program.kill('SIGTERM')
  assert.equal((await program.ended).code, 143)
  await lost
})

test('a fault that nobody caught is told with its stack, and requests under way and to come are served', async (t) => {
  const release = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    await release.promise
    res.end('done')
  })
  const program = await startProgram(t, [upstream.url, ...quietly], injected('running'))
  const answer = get(program.url)
  await eventually(() => upstream.requests.length === 1)
  program.kill('SIGUSR2')
  await program.until(/unexpected: TypeError: injected: nobody (?:catches|waits for) this\n +at /)
  release.open()
  assert.equal((await answer).text, 'done')
  assert.equal((await get(program.url)).status, 200)
  program.kill('SIGTERM')
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.match(stderr, /nobody catches this/)
  assert.match(stderr, /nobody waits for this/)
})

for (const fault of ['start', 'start, uncaught'])
  test(`a fault of its own ends the start with 8 and a stack (${fault})`, async (t) => {
    const { code, stderr } = await runProgram(t, ['http://127.0.0.1:9', ...quietly], injected(fault))
    assert.match(stderr, /revproxy: .*TypeError: injected: (?:at|behind) the start\n +at /)
    assert.equal(code, 8)
  })

test('few open files: more clients than these allow for get 503, which is told, and it serves on', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const program = await startProgram(t, [upstream.url, ...quietly], {}, { openFiles: 128 })
  const port = portOf(program.url)
  const flood = Array.from({ length: 200 }, () => talk(t, port))
  for (const one of flood) one.send(GET)
  await eventually(() => flood.every((one) => one.text() !== '' || one.ending() !== undefined))
  const served = flood.filter((one) => one.text().startsWith('HTTP/1.1 200')).length
  assert.equal(served, 24)
  await program.until(/24 connections of clients are open, as many as --max-connections lets in/)
  for (const one of flood) one.socket.destroy()
  await eventually(() => flood.every((one) => one.socket.closed))
  let status = 0
  while (status !== 200)
    status = await get(program.url).then(
      ({ status }) => status,
      () => 0,
    )
})

test('EMFILE: more clients than there are files, let in by --max-connections; it survives and serves on', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const args = [upstream.url, ...quietly, '--max-connections', '5000']
  const program = await startProgram(t, args, {}, { openFiles: 128 })
  await program.until('--max-connections 5000 is more than the 24 that there are files for. Raise ulimit -n')
  const port = portOf(program.url)
  const flood = Array.from({ length: 300 }, () => talk(t, port))
  for (const one of flood) one.send(GET)
  await eventually(() => flood.every((one) => one.text() !== '' || one.ending() !== undefined))
  for (const one of flood) {
    if (one.text() === '') continue
    assert.match(one.text(), /^HTTP\/1\.1 (?:200 OK|503 Service Unavailable)\r\n/)
  }
  for (const one of flood) one.socket.destroy()
  let status = 0
  while (status !== 200)
    status = await get(program.url).then(
      ({ status }) => status,
      () => 0,
    )
  program.kill('SIGTERM')
  assert.equal((await program.ended).code, 143)
})

test('a full disk for the log costs its lines, is told once, and no request', async (t) => {
  const full = openSync('/dev/full', 'w')
  t.after(() => closeSync(full))
  const program = await startProgram(t, ['demo', ...quietly], {}, { stdout: full })
  for (let i = 0; i < 20; i++) assert.equal((await get(`${program.url}/api/echo?echo=${i}`)).status, 200)
  await program.until('the log cannot be written (ENOSPC); serving on, its lines are lost meanwhile.')
  assert.match((await get(`${program.url}/metrics`)).text, /^revproxy_log_lines_dropped_total (?:19|20)$/m)
  program.kill('SIGTERM')
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.equal(stderr.match(/cannot be written/g)?.length, 1)
})

test('revproxy | head -1: the log ends, told once, the proxy does not', async (t) => {
  const program = await startProgram(t, ['demo', ...quietly])
  await get(`${program.url}/api/echo?echo=1`)
  await program.until('/api/echo?echo=1')
  program.child.stdout!.destroy()
  for (let i = 2; i < 20; i++) assert.equal((await get(`${program.url}/api/echo?echo=${i}`)).status, 200)
  await program.until('nobody reads the log any more; serving on without it.')
  program.kill('SIGTERM')
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.equal(stderr.match(/nobody reads/g)?.length, 1)
})

test('both outputs closed: it serves on', async (t) => {
  const program = await startProgram(t, ['demo', ...quietly])
  program.child.stdout!.destroy()
  program.child.stderr!.destroy()
  for (let i = 0; i < 10; i++) assert.equal((await get(`${program.url}/api/echo?echo=${i}`)).status, 200)
  const client = talk(t, portOf(program.url))
  client.send('garbage\r\n\r\n')
  await client.closed()
  assert.equal((await get(`${program.url}/api/echo?echo=x`)).status, 200)
  program.kill('SIGTERM')
  assert.equal((await program.ended).code, 143)
})

test('a log that nobody takes out of its pipe holds no request up', async (t) => {
  const program = await startProgram(t, ['demo', ...quietly, '-v'])
  program.child.stdout!.pause()
  const long = 'x'.repeat(8000)
  // A pipe takes 64 kB and the program keeps 4 MB.
  for (let i = 0; i < 60; i++) assert.equal((await get(`${program.url}/api/echo?echo=${long}`)).status, 200)
  program.child.stdout!.resume()
  await program.until(/\/api\/echo/)
  await get(`${program.url}/api/echo?echo=afterwards`)
  await program.until('afterwards')
})

test('a head that is too large is HTTP all the same, and told as what it is', async (t) => {
  const program = await startProgram(t, ['demo', ...quietly])
  const large = talk(t, portOf(program.url))
  large.send(`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(70_000)}\r\n\r\n`)
  await large.closed()
  await program.until('sent a request line and fields that are too large: answered 431.')
  assert.doesNotMatch(program.stderr(), /not HTTP/)
})

test('what a client sends that is no HTTP is told, folded, and without its bytes', async (t) => {
  const program = await startProgram(t, ['demo', ...quietly])
  const port = portOf(program.url)
  const garbage = talk(t, port)
  garbage.send('\x1b[31mBREW / HTTP/1.1\r\n\r\n')
  await garbage.closed()
  await program.until(
    /a client at 127\.0\.0\.1 sent something that is not HTTP \(HPE_INVALID_METHOD\): answered 400\./,
  )
  for (let i = 0; i < 50; i++) {
    const one = talk(t, port)
    one.send('\x16\x03\x01\x02\x00\x01\x00')
    await one.closed()
  }
  program.kill('SIGTERM')
  const { stderr } = await program.ended
  assert.match(
    stderr,
    /a client at 127\.0\.0\.1 speaks TLS to the plain port\. Is it https: rather than http:\? \(\d+ more like it\)/,
  )
  assert.ok(stderr.match(/speaks TLS/g)!.length <= 10)
  assert.doesNotMatch(stderr, /\x1b/)
})

for (const [flag, args, says] of [
  [
    '-p',
    (port: number) => ['-p', String(port), '--admin', 'off'],
    /port \d+ is in use\. Use -p 0 for a free one\./,
  ],
  [
    '--admin',
    (port: number) => ['-p', '0', '--admin', String(port)],
    /admin port \d+ is in use\. Use --admin 0/,
  ],
  ['--trace-receive', (port: number) => [...quietly, '--trace-receive', String(port)], /--trace-receive/],
] as const)
  test(`a port in use names its flag: ${flag}`, async (t) => {
    const taken = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => taken.once('listening', resolve))
    t.after(() => taken.close())
    const { port } = taken.address() as { port: number }
    const { code, stderr } = await runProgram(t, ['demo', ...args(port)])
    assert.equal(code, 3)
    assert.match(stderr, says)
  })
