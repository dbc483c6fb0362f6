/** --workers beside what else a run may be asked for: a command, reports, HAR, the spans of the target. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkHar } from '../ci/har-reader.ts'
import { folder } from '../ci/support.ts'
import { gate, get } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { runProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'
import { loggedLines, startWorkers, twoClients, until, workerOf } from './support.ts'

test('a command with --har, --junit and --expect: all is told of once, whole, and nothing seems to be on its way', async (t) => {
  const answer = 'hellö'.repeat(1000)
  const upstream = await startUpstream(t, async (req, res) => {
    // So long that its beginning is told before its end.
    await sleep(30)
    res.writeHead(req.url === '/bad' ? 500 : 200, { 'content-type': 'text/plain' }).end(answer)
  })
  const file = (name: string): string => join(into, name)
  const into = folder(t)
  const run = await runProgram(t, [
    ...[upstream.url, '--admin', 'off', '--workers', '2', '--expect', '5xx==0', '--expect', 'requests==5'],
    ...['--har', file('traffic.har'), '--junit', file('junit.xml')],
    '--',
    // It ends as soon as it has the last answer.
    ...['sh', '-c', 'for path in a b c d bad; do curl -s -d sent=$path $REVPROXY_URL/$path; done'],
  ])
  assert.equal(run.code, 5, run.stderr)
  assert.doesNotMatch(run.stderr, /on the way/)
  // What broke the rule can be asked for again as it was.
  assert.match(run.stderr, /curl -i -X POST .*\/bad/)
  const entries = checkHar(JSON.parse(readFileSync(file('traffic.har'), 'utf8')))
  assert.deepEqual(entries.map(({ request }) => new URL(request.url).pathname).sort(), [
    '/a',
    '/b',
    '/bad',
    '/c',
    '/d',
  ])
  for (const { request, response } of entries) {
    assert.ok(request.headers.some(({ name }) => name.toLowerCase() === 'host'))
    assert.equal(request.postData!.text, `sent=${new URL(request.url).pathname.slice(1)}`)
    assert.deepEqual([response.content.text, response.content.comment], [answer, undefined])
  }
  assert.match(readFileSync(file('junit.xml'), 'utf8'), /tests="3" failures="1"/)
})

test('-vv shows field lines and bodies of both workers', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    req.resume()
    res.writeHead(200, { 'content-type': 'text/plain', 'x-answer': 'yes' }).end('hello')
  })
  const program = await startWorkers(t, [upstream.url, '-vv'])
  for (const ask of twoClients(t))
    await ask(program.url, {
      method: 'POST',
      headers: { 'content-type': 'text/plain', 'x-question': 'why' },
      body: 'sent',
    })
  const logged = (await loggedLines(program, 2)) as unknown as Array<Record<string, unknown> & { id: number }>
  assert.deepEqual(logged.map((line) => workerOf(line as never)).sort(), [1, 2])
  for (const line of logged) {
    assert.match(JSON.stringify(line.requestHeaders), /x-question.*why/)
    assert.match(JSON.stringify(line.responseHeaders), /x-answer.*yes/)
    assert.deepEqual([line.requestBody, line.responseBody], ['sent', 'hello'])
  }
})

test('--trace-receive: the spans that the target sends stand with those of whichever worker asked it', async (t) => {
  let receiver = ''
  const upstream = await startUpstream(t, async (req, res) => {
    const [, traceId, parentSpanId] = String(req.headers.traceparent).split('-')
    const now = BigInt(Date.now()) * 1_000_000n
    const span = {
      ...{ traceId, parentSpanId, spanId: 'c'.repeat(16), name: 'SELECT', kind: 1 },
      ...{ startTimeUnixNano: String(now - 1_000_000n), endTimeUnixNano: String(now) },
    }
    const response = await fetch(`${receiver}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }),
    })
    res.writeHead(response.status, { 'cache-control': 'no-store' }).end('hello')
  })
  const program = await startWorkers(t, [upstream.url, '--trace-receive', String(await freePort())])
  receiver = /OTEL_EXPORTER_OTLP_ENDPOINT=(http\S+)/.exec(program.stderr())![1]!
  for (const ask of twoClients(t)) assert.equal((await ask(program.url)).status, 200)
  const logged = await loggedLines(program, 2)
  assert.deepEqual(logged.map(workerOf).sort(), [1, 2])
  interface Span {
    readonly name: string
    readonly kind: string
    readonly spanId: string
    readonly parentSpanId?: string
  }
  for (const { id } of logged) {
    const { spans } = JSON.parse((await get(`${program.adminUrl}/traces/${id}`)).text) as { spans: Span[] }
    const client = spans.find(({ kind }) => kind === 'client')!
    assert.equal(spans.find(({ name }) => name === 'SELECT')?.parentSpanId, client.spanId)
  }
  const { text } = await get(`${program.adminUrl}/metrics`)
  assert.match(text, /^revproxy_trace_spans_received_total 2$/m)
})

test('a request that came a moment ago is told of when the program is told to end', async (t) => {
  const hold = gate()
  t.after(() => hold.open())
  const upstream = await startUpstream(t, async (_, res) => {
    // Sooner than its beginning is told of.
    program.kill('SIGTERM')
    await hold.promise
    res.end('in the end')
  })
  const program = await startWorkers(t, [upstream.url])
  const answer = get(program.url)
  await until('it says what it waits for', () => /stopping: 1 request is on the way/.test(program.stderr()))
  hold.open()
  assert.equal((await answer).text, 'in the end')
})
