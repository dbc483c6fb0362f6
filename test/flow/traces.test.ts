import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { TraceView } from '../../src/observe/trace-view.ts'
import { get } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { attribute, bytes, fixed64, int } from '../support/protobuf.ts'
import { startProxy, type TestProxy, type TextOptions } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

/** The trace and parent that the proxy told the upstream. */
const parentOf = (req: { headers: IncomingMessage['headers'] }): { traceId: string; spanId: string } => {
  const [, traceId = '', spanId = ''] = String(req.headers.traceparent).split('-')
  return { traceId, spanId }
}

const proxyWith = async (t: TestContext, options: TextOptions): Promise<TestProxy> =>
  startProxy(t, { admin: '0', ...options })

const viewOf = async (proxy: TestProxy, what: string | number): Promise<TraceView> => {
  const response = await fetch(`${proxy.adminUrl}/traces/${what}`)
  assert.equal(response.status, 200)
  return (await response.json()) as TraceView
}

/** A collector that keeps what it is sent. */
const collector = async (t: TestContext, status = 200) => {
  const taken: Array<{ url: string; headers: IncomingMessage['headers']; body: Buffer }> = []
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    taken.push({ url: req.url!, headers: req.headers, body: Buffer.concat(chunks) })
    res.writeHead(status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, taken }
}

const until = async (condition: () => boolean | Promise<boolean>): Promise<void> => {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 250) throw new Error('it did not come to that within 5 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A span as an SDK has it. */
const sdkSpan = (traceId: string, parentId: string, spanId: string, name: string): ReadableSpan => {
  const now = Date.now() / 1000
  const time = (at: number): [number, number] => [Math.floor(at), Math.round((at % 1) * 1e9)]
  return {
    name,
    kind: 1,
    spanContext: () => ({ traceId, spanId, traceFlags: 1 }),
    parentSpanContext: { traceId, spanId: parentId, traceFlags: 1 },
    startTime: time(now - 0.01),
    endTime: time(now),
    duration: [0, 1e7],
    status: { code: 0 },
    attributes: { 'db.query.text': 'SELECT 1', 'app.token': 'secret' },
    links: [],
    events: [],
    ended: true,
    resource: resourceFromAttributes({ 'service.name': 'shop' }),
    instrumentationScope: { name: 'test' },
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

test("the upstream's spans, sent by a real OpenTelemetry exporter, stand below ours", async (t) => {
  let receiver = ''
  const upstream = await startUpstream(t, async (req, res) => {
    const { traceId, spanId } = parentOf(req)
    const exporter = new OTLPTraceExporter({ url: `${receiver}/v1/traces` })
    const spans = [
      sdkSpan(traceId, spanId, 'a'.repeat(16), 'GET /users'),
      sdkSpan(traceId, 'a'.repeat(16), 'b'.repeat(16), 'SELECT'),
    ]
    await new Promise<void>((resolve, reject) =>
      exporter.export(spans, ({ code, error }) => (code === 0 ? resolve() : reject(error))),
    )
    await exporter.shutdown()
    res.end('hello')
  })
  const sink = await collector(t)
  const proxy = await proxyWith(t, { target: upstream.url, 'trace-receive': '0', trace: sink.url })
  receiver = proxy.traceReceiverUrl!
  await get(`${proxy.url}/users`)
  await proxy.until((ended) => ended.length === 1)
  const view = await viewOf(proxy, 'last')
  const byId = new Map(view.spans.map((span) => [span.spanId, span]))
  const [own, client] = [view.spans[0]!, view.spans.find(({ kind }) => kind === 'client')!]
  assert.equal(client.parentSpanId, own.spanId)
  assert.equal(byId.get('a'.repeat(16))!.parentSpanId, client.spanId)
  assert.equal(byId.get('b'.repeat(16))!.parentSpanId, 'a'.repeat(16))
  assert.equal(byId.get('b'.repeat(16))!.service, 'shop')
  assert.equal(byId.get('b'.repeat(16))!.attributes['db.query.text'], 'SELECT 1')
  assert.equal(byId.get('b'.repeat(16))!.attributes['app.token'], '***')
  assert.deepEqual(view.notes, [])

  // Passed on as it came, beside our own spans.
  await until(() => sink.taken.some(({ body }) => body.includes('"shop"')))
  const passed = sink.taken.find(({ body }) => body.includes('"shop"'))!
  assert.equal(passed.headers['content-type'], 'application/json')
  assert.match(passed.body.toString(), /"app.token","value":\{"stringValue":"secret"\}/)
  const metrics = await (await fetch(`${proxy.adminUrl}/metrics`)).text()
  assert.match(metrics, /^revproxy_trace_spans_received_total 2$/m)
})

const protobufOf = (traceId: string, parentId: string): Buffer => {
  const now = BigInt(Date.now()) * 1_000_000n
  return bytes(1, [
    bytes(1, [attribute(1, 'service.name', 'shop')]),
    bytes(2, [
      bytes(2, [
        bytes(1, Buffer.from(traceId, 'hex')),
        bytes(2, Buffer.from('c'.repeat(16), 'hex')),
        bytes(4, Buffer.from(parentId, 'hex')),
        bytes(5, 'GET /proto'),
        int(6, 2),
        fixed64(7, now - 1_000_000n),
        fixed64(8, now),
      ]),
    ]),
  ])
}

test('protobuf, gzipped, is read, and passed on byte for byte to every endpoint', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const sinks = [await collector(t), await collector(t)]
  const proxy = await proxyWith(t, {
    target: upstream.url,
    'trace-receive': '0',
    trace: sinks.map(({ url }) => url),
  })
  await get(proxy.url)
  const { traceId, spanId } = parentOf(upstream.requests[0]!)
  const body = gzipSync(protobufOf(traceId, spanId))
  const response = await fetch(`${proxy.traceReceiverUrl}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' },
    body: new Uint8Array(body),
  })
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'application/x-protobuf')
  assert.equal((await response.arrayBuffer()).byteLength, 0)
  assert.equal((await viewOf(proxy, traceId)).spans.at(-1)!.name, 'GET /proto')
  for (const { taken } of sinks) {
    const isOthers = (one: { headers: IncomingMessage['headers'] }) =>
      one.headers['content-type'] === 'application/x-protobuf'
    await until(() => taken.some(isOthers))
    const passed = taken.find(isOthers)!
    assert.deepEqual(passed.body, body)
    assert.equal(passed.headers['content-encoding'], 'gzip')
    assert.equal(passed.url, '/v1/traces')
  }
  // What SDKs send beside spans goes the same way.
  await fetch(`${proxy.traceReceiverUrl}/v1/metrics`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{"resourceMetrics":[]}',
  })
  await until(() => sinks.every(({ taken }) => taken.some(({ url }) => url === '/v1/metrics')))
})

test('where no OTLP is taken, it is told that the spans of the target do not go there', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const trace = ['jaeger://127.0.0.1:6832', 'http://127.0.0.1:4318']
  const told = async (more: object) =>
    (await proxyWith(t, { target: upstream.url, ...more })).notices.filter((one) => /passed on/.test(one))
  assert.deepEqual(await told({ trace }), [])
  assert.deepEqual(await told({ trace: trace.slice(1), 'trace-receive': '0' }), [])
  const [sentence, ...others] = await told({ trace, 'trace-receive': '0' })
  assert.match(sentence!, /not passed on to jaeger:\/\/127\.0\.0\.1:6832: no OTLP is taken there\./)
  assert.deepEqual(others, [])
})

test('what is no OTLP is refused, whatever it is, and the requests go on', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await proxyWith(t, { target: upstream.url, 'trace-receive': '0' })
  const post = async (path: string, type: string, body: string | Uint8Array<ArrayBuffer>, more = {}) => {
    const response = await fetch(proxy.traceReceiverUrl + path, {
      method: 'POST',
      headers: { 'content-type': type, ...more },
      body,
    })
    await response.text()
    return response.status
  }
  const [json, protobuf] = ['application/json', 'application/x-protobuf']
  const bomb = new Uint8Array(gzipSync(Buffer.alloc(20 * 1024 * 1024)))
  const big = new Uint8Array(5 * 1024 * 1024)
  assert.equal(await post('/v1/traces', json, '{}'), 200)
  assert.equal(await post('/v1/traces', `${json}; charset=utf-8`, '{}'), 200)
  assert.equal(await post('/v1/traces', json, '{'), 400)
  assert.equal(await post('/v1/traces', json, '[]'), 400)
  assert.equal(await post('/v1/traces', protobuf, new Uint8Array([0xff])), 400)
  assert.equal(await post('/v1/traces', 'text/plain', '{}'), 415)
  assert.equal(await post('/v1/traces', json, '{}', { 'content-encoding': 'br' }), 415)
  assert.equal(await post('/v1/traces', json, '{}', { 'content-encoding': 'gzip' }), 400)
  assert.equal(await post('/v1/traces', json, bomb, { 'content-encoding': 'gzip' }), 413)
  assert.equal(await post('/v1/traces', protobuf, big).catch(() => 413), 413)
  assert.equal(await post('/other', json, '{}'), 404)
  assert.equal((await fetch(`${proxy.traceReceiverUrl}/v1/traces`)).status, 405)
  assert.equal((await get(proxy.url)).text, 'hello')
  assert.deepEqual(proxy.notices, [])
})

test('an endpoint that does not take what is passed on is told once, and its spans are counted', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const sink = await collector(t, 503)
  const proxy = await proxyWith(t, { target: upstream.url, 'trace-receive': '0', trace: sink.url })
  for (let i = 0; i < 3; i++) {
    const response = await fetch(`${proxy.traceReceiverUrl}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-protobuf' },
      body: new Uint8Array(protobufOf('a'.repeat(32), 'b'.repeat(16))),
    })
    assert.equal(response.status, 200)
  }
  await until(async () =>
    /^revproxy_trace_spans_dropped_total 3$/m.test(await (await fetch(`${proxy.adminUrl}/metrics`)).text()),
  )
  assert.deepEqual(
    proxy.notices.filter((notice) => notice.includes('passed on')).length,
    1,
    proxy.notices.join('\n'),
  )
})

test('a port of --trace-receive that is taken is said in a sentence', async (t) => {
  const sink = await collector(t)
  const { port } = new URL(sink.url)
  await assert.rejects(
    startProxy(t, { target: 'http://127.0.0.1:1', 'trace-receive': port }),
    new RegExp(`port ${port} of --trace-receive is in use`),
  )
})

test('a receiver that is named as endpoint too does not pass on to itself for ever', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const free = String(await freePort())
  const proxy = await proxyWith(t, {
    target: upstream.url,
    'trace-receive': free,
    trace: `http://localhost:${free}`,
  })
  await get(proxy.url)
  await fetch(`${proxy.traceReceiverUrl}/v1/traces`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-protobuf' },
    body: new Uint8Array(protobufOf('a'.repeat(32), 'b'.repeat(16))),
  })
  await new Promise((resolve) => setTimeout(resolve, 700))
  assert.match(
    await (await fetch(`${proxy.adminUrl}/metrics`)).text(),
    /^revproxy_trace_spans_received_total 1$/m,
  )
})

test('answers name their trace when asked, with or without anybody who is sent spans', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await proxyWith(t, { target: upstream.url, 'trace-header': 'true' })
  const answer = await get(proxy.url)
  assert.equal(answer.headers['x-trace-id'], parentOf(upstream.requests[0]!).traceId)
  const continued = await get(proxy.url, {
    headers: { traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01` },
  })
  assert.equal(continued.headers['x-trace-id'], 'ab'.repeat(16))
  const without = await proxyWith(t, { target: upstream.url })
  assert.equal((await get(without.url)).headers['x-trace-id'], undefined)
})

test('Server-Timing says what the cache did and where the time went, beside what the upstream says', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60', 'server-timing': 'db;dur=0.2;desc="two queries"' })
    res.end('hello')
  })
  const proxy = await proxyWith(t, { target: upstream.url })
  const timing = async () => String((await get(`${proxy.url}/x`)).headers['server-timing'])
  assert.match(
    await timing(),
    /^db;dur=0\.2;desc="two queries", cache;desc="miss uri-miss", upstream;dur=[\d.]+, total;dur=[\d.]+$/,
  )
  assert.match(await timing(), /, cache;desc=hit, total;dur=[\d.]+$/)
  await proxy.until((ended) => ended.length === 2)
  const spansOf = async (id: number) => (await viewOf(proxy, id)).spans.map(({ name }) => name)
  assert.deepEqual(await spansOf(proxy.exchanges[0]!.id), ['GET /x', 'cache get', 'GET', 'db', 'cache set'])
  // What the stored answer says was true of another request.
  assert.deepEqual(await spansOf(proxy.exchanges[1]!.id), ['GET /x', 'cache get'])

  const without = await proxyWith(t, { target: upstream.url, 'no-server-timing': 'true' })
  assert.equal((await get(`${without.url}/x`)).headers['server-timing'], 'db;dur=0.2;desc="two queries"')
})

test('the last requests are found by number and by trace, secrets taken out', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await proxyWith(t, { target: upstream.url, 'trace-header': 'true' })
  await get(`${proxy.url}/a?token=secret`)
  await get(`${proxy.url}/b`)
  await proxy.until((ended) => ended.length === 2)
  const [first, second] = proxy.exchanges.map(({ id, trace }) => ({ id, traceId: trace!.traceId }))
  assert.equal((await viewOf(proxy, 'last')).id, second!.id)
  assert.equal((await viewOf(proxy, first!.id)).url, '/a?token=***')
  assert.equal((await viewOf(proxy, first!.traceId)).id, first!.id)
  assert.equal((await viewOf(proxy, first!.traceId.slice(0, 12))).id, first!.id)
  const { traces } = (await (await fetch(`${proxy.adminUrl}/traces?limit=1`)).json()) as {
    traces: Array<{ id: number }>
  }
  assert.deepEqual(
    traces.map(({ id }) => id),
    [second!.id],
  )
  for (const what of ['nothing', '999', 'f'.repeat(32), '%ff'])
    assert.equal((await fetch(`${proxy.adminUrl}/traces/${what}`)).status, 404, what)
  assert.equal((await fetch(`${proxy.adminUrl}/traces?limit=x`)).status, 400)
  const all = await (await fetch(`${proxy.adminUrl}/traces/${first!.id}`)).text()
  assert.doesNotMatch(all, /secret/)
})

test('a refresh stands below the stale answer that caused it', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=1, stale-while-revalidate=60' })
    res.end('hello')
  })
  const proxy = await proxyWith(t, { target: upstream.url })
  await get(proxy.url)
  proxy.advance(5000)
  await get(proxy.url)
  await proxy.until((ended) => ended.some(({ cause }) => cause === 'refresh'))
  const view = await viewOf(proxy, 'last')
  assert.equal(view.cache, 'stale')
  const refresh = view.spans.find(({ name }) => name.startsWith('refresh'))!
  assert.equal(refresh.parentSpanId, view.spans[0]!.spanId)
  assert.ok(view.spans.some(({ kind, parentSpanId }) => kind === 'client' && parentSpanId === refresh.spanId))
  assert.equal(new Set(view.spans.map(({ spanId }) => spanId)).size, view.spans.length)
})

test('a target that sends no spans is said plainly', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await proxyWith(t, { target: upstream.url, 'trace-receive': '0' })
  await get(proxy.url)
  await proxy.until((ended) => ended.length === 1)
  assert.match((await viewOf(proxy, 'last')).notes.join(), /No spans of the target have come for this trace/)
})
