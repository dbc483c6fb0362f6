import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { Exchange } from '../../src/core/exchange.ts'
import type { TraceEndpoint } from '../../src/core/values.ts'
import type { SpanRecord } from '../../src/observe/spans.ts'
import { continueTrace } from '../../src/trace/context.ts'
import { type Delivery, QUEUE_SPANS } from '../../src/trace/exporter.ts'
import { type TraceExporterOptions, traceExporters } from '../../src/trace/exporters.ts'
import { gate } from '../support/client.ts'
import { decodeMessage, decodeStruct, type JaegerBatch, jaegerBatch, type Struct } from '../support/thrift.ts'

const T = '4bf92f3577b34da6a3ce929d0e0e4736'
const PARENT = 'f0f067aa0ba902b7'
const AT = 1_700_000_000_000
/** Representable to the last bit, so that every digit of a nanosecond can be asked for. */
const STARTED = AT + 123.4560546875

let nextId = 1
/** An exchange of two spans that has ended. */
const exchange = (change: { url?: string; sampled?: boolean } = {}): Exchange => {
  const made = new Exchange({
    id: nextId++,
    cause: 'client',
    method: 'GET',
    url: change.url ?? '/api/echo?echo=test',
    host: 'localhost:8080',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: STARTED,
    requestHeaders: [
      'traceparent',
      `00-${T}-${PARENT}-${change.sampled === false ? '00' : '01'}`,
      'tracestate',
      'a=1',
    ],
  })
  made.trace = continueTrace(made.requestHeaders, { sample: 1 })
  made.upstream = {
    startedAt: STARTED + 1,
    sentAt: STARTED + 2,
    endedAt: STARTED + 3.25,
    status: 503,
    sentBytes: 0,
    receivedBytes: 4,
    address: 'localhost:3000',
  }
  made.ended = { at: STARTED + 4.5, status: 503, bytes: 4, error: 'upstream-reset', errorMessage: 'it broke' }
  return made
}
const SPANS = 2

interface Running extends ReturnType<typeof traceExporters> {
  readonly problems: string[]
  end(exchange?: Exchange): void
}

const start = (
  t: TestContext,
  endpoints: readonly TraceEndpoint[],
  more: Partial<TraceExporterOptions> = {},
): Running => {
  const problems: string[] = []
  const exporters = traceExporters({
    endpoints,
    serviceName: 'shop',
    route: () => '/api/echo',
    redactUrl: (url) => url,
    onProblem: (sentence) => problems.push(sentence),
    ...more,
  })
  t.after(() => exporters.close(0))
  return { ...exporters, problems, end: (given = exchange()) => exporters.observer.ended!(given) }
}

interface Received {
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** A real HTTP endpoint; `answer` comes once the whole request is there. */
const endpoint = async (t: TestContext, answer: (res: ServerResponse, received: Received) => void) => {
  const requests: Received[] = []
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    const received = { url: req.url!, headers: req.headers, body: Buffer.concat(chunks) }
    requests.push(received)
    answer(res, received)
  })
  await listening(t, server)
  t.after(() => server.closeAllConnections())
  return { port: (server.address() as AddressInfo).port, requests }
}

/** A port whose connections are given to `take` and nothing else. */
const raw = async (t: TestContext, take: (socket: Socket) => void): Promise<number> => {
  const sockets = new Set<Socket>()
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    take(socket)
  })
  await listening(t, server)
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  return (server.address() as AddressInfo).port
}

const listening = async (t: TestContext, server: ReturnType<typeof createTcpServer>): Promise<void> => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
}

const refusing = async (t: TestContext): Promise<number> => {
  const server = createTcpServer()
  await listening(t, server)
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

const otlp = (port: number): TraceEndpoint => ({ kind: 'otlp', url: `http://127.0.0.1:${port}/v1/traces` })
const jaeger = (port: number): TraceEndpoint => ({
  kind: 'jaeger-collector',
  url: `http://127.0.0.1:${port}/api/traces`,
})

const timed = async (work: Promise<unknown>): Promise<number> => {
  const startedAt = performance.now()
  await work
  return performance.now() - startedAt
}

// --- What arrives ---------------------------------------------------------------------------------------------------

interface OtlpSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: OtlpAttribute[]
  readonly events: Array<{ name: string; timeUnixNano: string; attributes: OtlpAttribute[] }>
  readonly status: { code: number; message?: string }
  readonly flags: number
}
interface OtlpAttribute {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

const otlpBatch = (body: Buffer) => {
  const { resourceSpans } = JSON.parse(body.toString())
  assert.equal(resourceSpans.length, 1)
  return {
    resource: otlpAttributes(resourceSpans[0].resource.attributes),
    scope: resourceSpans[0].scopeSpans[0].scope.name as string,
    spans: resourceSpans[0].scopeSpans[0].spans as OtlpSpan[],
  }
}
const otlpAttributes = (list: readonly OtlpAttribute[]): Record<string, unknown> =>
  Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]))

test('an OTLP endpoint gets the spans, exact to the nanosecond', async (t) => {
  const collector = await endpoint(t, (res) => res.end('{}'))
  const exporters = start(t, [otlp(collector.port)])
  const ended = exchange()
  exporters.end(ended)
  exporters.end(exchange({ sampled: false }))
  await exporters.close(1000)

  assert.equal(collector.requests.length, 1)
  const { url, headers, body } = collector.requests[0]!
  assert.equal(url, '/v1/traces')
  assert.equal(headers['content-type'], 'application/json')
  const { resource, scope, spans } = otlpBatch(body)
  assert.equal(resource['service.name'], 'shop')
  assert.equal(resource['telemetry.sdk.language'], 'nodejs')
  assert.equal(scope, 'revproxy')
  const [server, client] = spans as [OtlpSpan, OtlpSpan]
  assert.equal(spans.length, SPANS)
  assert.deepEqual(
    [server.traceId, server.spanId, server.parentSpanId, server.traceState, server.name, server.kind],
    [T, ended.trace!.spanId, PARENT, 'a=1', 'GET /api/echo', 2],
  )
  // Sampled, and a parent known to be remote.
  assert.equal(server.flags, 0x301)
  assert.equal(server.startTimeUnixNano, '1700000000123456055')
  assert.equal(server.endTimeUnixNano, '1700000000127956055')
  assert.deepEqual(server.status, { code: 2, message: 'it broke' })
  assert.deepEqual(
    server.events.map(({ name, timeUnixNano }) => [name, timeUnixNano]),
    [['exception', '1700000000127956055']],
  )
  assert.equal(otlpAttributes(server.attributes)['http.response.status_code'], 503)
  assert.deepEqual(
    [client.spanId, client.parentSpanId, client.kind],
    [ended.trace!.upstreamSpanId, server.spanId, 3],
  )
  assert.deepEqual([exporters.exported(), exporters.dropped(), exporters.problems], [SPANS, 0, []])
})

test('an OTLP endpoint gets what the OTEL_ names in the environment ask for', async (t) => {
  const env = {
    OTEL_EXPORTER_OTLP_HEADERS: 'x-team=blue%20sky',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment=ci',
  }
  Object.assign(process.env, env)
  t.after(() => {
    for (const name of Object.keys(env)) delete process.env[name]
  })
  const collector = await endpoint(t, (res) => res.end())
  const exporters = start(t, [otlp(collector.port)])
  exporters.end()
  await exporters.close(1000)
  const { headers, body } = collector.requests[0]!
  assert.equal(headers['x-team'], 'blue sky')
  assert.equal(headers['content-encoding'], 'gzip')
  const { resource } = otlpBatch(gunzipSync(body))
  assert.equal(resource['deployment.environment'], 'ci')
  assert.equal(resource['service.name'], 'shop')
})

const checkJaeger = (batch: JaegerBatch, ended: Exchange): void => {
  assert.equal(batch.serviceName, 'shop')
  assert.equal(batch.processTags['process.pid'], BigInt(process.pid))
  const [server, client] = batch.spans
  assert.equal(batch.spans.length, SPANS)
  assert.deepEqual(
    [server!.traceId, server!.spanId, server!.parentSpanId, server!.name, server!.flags],
    [T, ended.trace!.spanId, PARENT, 'GET /api/echo', 1],
  )
  assert.deepEqual([server!.startUs, server!.durationUs], [1_700_000_000_123_456n, 4500n])
  assert.deepEqual([client!.startUs, client!.durationUs], [1_700_000_000_124_456n, 2250n])
  assert.equal(client!.parentSpanId, server!.spanId)
  assert.equal(server!.tags['span.kind'], 'server')
  assert.equal(server!.tags.error, true)
  assert.equal(server!.tags['http.response.status_code'], 503n)
  assert.equal(server!.tags['w3c.tracestate'], 'a=1')
  assert.deepEqual(server!.logs, [
    {
      atUs: 1_700_000_000_127_956n,
      fields: { event: 'exception', 'exception.type': 'upstream-reset', 'exception.message': 'it broke' },
    },
  ])
}

const agent = async (t: TestContext, family: 'udp4' | 'udp6' = 'udp4') => {
  const socket = createSocket(family)
  const batches: JaegerBatch[] = []
  let arrived = gate()
  socket.on('message', (packet) => {
    const { name, body } = decodeMessage(packet)
    assert.equal(name, 'emitBatch')
    batches.push(jaegerBatch(body[1] as Struct))
    arrived.open()
    arrived = gate()
  })
  socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1')
  await once(socket, 'listening')
  t.after(() => socket.close())
  const spans = () => batches.flatMap((batch) => batch.spans)
  return {
    port: socket.address().port,
    batches,
    spans,
    /** Resolves once that many spans have arrived. */
    async until(count: number) {
      while (spans().length < count) await arrived.promise
    },
  }
}

for (const [family, host] of [
  ['udp4', '127.0.0.1'],
  ['udp4', 'localhost'],
  ['udp6', '::1'],
] as const) {
  test(`a Jaeger agent at ${host} gets the spans over UDP, exact to the microsecond`, async (t) => {
    const receiver = await agent(t, family)
    const exporters = start(t, [{ kind: 'jaeger-agent', host, port: receiver.port }])
    const ended = exchange()
    exporters.end(ended)
    await exporters.close(1000)
    await receiver.until(SPANS)
    checkJaeger(receiver.batches[0]!, ended)
    assert.deepEqual([exporters.exported(), exporters.dropped(), exporters.problems], [SPANS, 0, []])
  })
}

test('a Jaeger collector gets the spans over HTTP, exact to the microsecond', async (t) => {
  const collector = await endpoint(t, (res) => res.writeHead(202).end())
  const url = `http://me:s%40crt@127.0.0.1:${collector.port}/api/traces?format=jaeger.thrift`
  const exporters = start(t, [{ kind: 'jaeger-collector', url }])
  const ended = exchange()
  exporters.end(ended)
  await exporters.close(1000)
  const received = collector.requests[0]!
  assert.equal(received.url, '/api/traces?format=jaeger.thrift')
  assert.equal(received.headers['content-type'], 'application/x-thrift')
  assert.equal(received.headers.authorization, `Basic ${btoa('me:s@crt')}`)
  checkJaeger(jaegerBatch(decodeStruct(received.body)), ended)
  assert.deepEqual([exporters.exported(), exporters.dropped(), exporters.problems], [SPANS, 0, []])
})

test('whole microseconds survive: no time is off by one', async (t) => {
  const receiver = await agent(t)
  const exporters = start(t, [{ kind: 'jaeger-agent', host: '127.0.0.1', port: receiver.port }])
  // 1.001 · 1000 is 1000.9999999999999 in doubles, and so on.
  const wanted = new Map<string, bigint>()
  for (let us = 1; us <= 200; us++) {
    const ended = exchange()
    Object.assign(ended, { startedAt: AT + us / 1000, upstream: undefined })
    wanted.set(ended.trace!.spanId, BigInt(AT) * 1000n + BigInt(us))
    exporters.end(ended)
  }
  await exporters.close(1000)
  await receiver.until(200)
  for (const { spanId, startUs } of receiver.spans()) assert.equal(startUs, wanted.get(spanId))
})

test('every endpoint gets the same spans', async (t) => {
  const collector = await endpoint(t, (res) => res.end())
  const receiver = await agent(t)
  const exporters = start(t, [
    otlp(collector.port),
    jaeger(collector.port),
    { kind: 'jaeger-agent', host: '127.0.0.1', port: receiver.port },
  ])
  const ended = exchange()
  exporters.end(ended)
  await exporters.close(1000)
  await receiver.until(SPANS)
  const thrift = collector.requests.find(({ url }) => url === '/api/traces')!
  const json = collector.requests.find(({ url }) => url === '/v1/traces')!
  const ids = [ended.trace!.spanId, ended.trace!.upstreamSpanId]
  assert.deepEqual(
    otlpBatch(json.body).spans.map(({ spanId }) => spanId),
    ids,
  )
  assert.deepEqual(
    jaegerBatch(decodeStruct(thrift.body)).spans.map(({ spanId }) => spanId),
    ids,
  )
  assert.deepEqual(
    receiver.spans().map(({ spanId }) => spanId),
    ids,
  )
  assert.equal(exporters.exported(), 3 * SPANS)
})

test('spans go out by themselves, without a close', async (t) => {
  const arrived = [gate(), gate()]
  const collector = await endpoint(t, (res, { url }) => {
    res.end()
    arrived[url === '/v1/traces' ? 0 : 1]!.open()
  })
  const receiver = await agent(t)
  const exporters = start(t, [
    otlp(collector.port),
    jaeger(collector.port),
    { kind: 'jaeger-agent', host: '127.0.0.1', port: receiver.port },
  ])
  exporters.end()
  await Promise.all([...arrived.map(({ promise }) => promise), receiver.until(SPANS)])
})

// --- Endpoints that misbehave ---------------------------------------------------------------------------------------

const swallow = (): void => {}
const bad: ReadonlyArray<{
  name: string
  open: (t: TestContext) => Promise<number>
  why: RegExp
  taken?: boolean
}> = [
  { name: 'refuses', open: refusing, why: /refused, is it running\?/ },
  {
    name: 'hangs before it reads',
    open: (t) => raw(t, (socket) => socket.pause()),
    why: /when the program ended/,
  },
  {
    name: 'hangs after the request',
    open: async (t) => (await endpoint(t, swallow)).port,
    why: /when the program ended/,
  },
  {
    name: 'hangs in its answer',
    open: (t) => raw(t, (socket) => socket.once('data', () => socket.write('HTTP/1.1 '))),
    why: /when the program ended/,
  },
  {
    name: 'resets',
    open: (t) => raw(t, (socket) => socket.once('data', () => socket.resetAndDestroy())),
    why: /closes the connection/,
  },
  { name: 'closes at once', open: (t) => raw(t, (socket) => socket.end()), why: /closes the connection/ },
  {
    name: 'talks garbage',
    open: (t) => raw(t, (socket) => socket.once('data', () => socket.end('\x00\x01garbage\r\n\r\n'))),
    why: /not HTTP/,
  },
  {
    name: 'answers 400',
    open: async (t) => (await endpoint(t, (res) => res.writeHead(400).end('{"message":"no"}'))).port,
    why: /answers 400/,
  },
  {
    name: 'answers 401',
    open: async (t) => (await endpoint(t, (res) => res.writeHead(401).end())).port,
    why: /answers 401, credentials/,
  },
  {
    name: 'answers 404',
    open: async (t) => (await endpoint(t, (res) => res.writeHead(404).end())).port,
    why: /answers 404, is the path right\?/,
  },
  {
    name: 'answers 429',
    open: async (t) => (await endpoint(t, (res) => res.writeHead(429, { 'retry-after': '3' }).end())).port,
    why: /429/,
  },
  {
    name: 'answers 503',
    open: async (t) => (await endpoint(t, (res) => res.writeHead(503).end('away'))).port,
    why: /503/,
  },
  {
    name: 'redirects',
    open: async (t) => (await endpoint(t, (res) => res.writeHead(307, { location: '/' }).end())).port,
    why: /answers 307/,
  },
  {
    name: 'answers 200 with garbage',
    open: async (t) => (await endpoint(t, (res) => res.end(Buffer.alloc(100_000, 0xff)))).port,
    why: /./,
    taken: true,
  },
]

for (const { name, open, why, taken } of bad) {
  for (const [kind, of] of [
    ['OTLP', otlp],
    ['Jaeger', jaeger],
  ] as const) {
    test(`an endpoint (${kind}) that ${name} costs its spans and nothing else`, async (t) => {
      const exporters = start(t, [of(await open(t))])
      for (let i = 0; i < 10; i++) exporters.end()
      const took = await timed(exporters.close(300))
      assert.ok(took < 800, `${took} ms`)
      const counts = [exporters.exported(), exporters.dropped()]
      assert.deepEqual(counts, taken ? [10 * SPANS, 0] : [0, 10 * SPANS])
      assert.equal(exporters.problems.length, taken ? 0 : 1, exporters.problems.join('\n'))
      if (!taken) assert.match(exporters.problems[0]!, why)
      exporters.end()
      assert.equal(exporters.exported() + exporters.dropped(), 11 * SPANS)
    })
  }
}

for (const [kind, of] of [
  ['OTLP', otlp],
  ['Jaeger', jaeger],
] as const) {
  test(`what waits for a hanging ${kind} endpoint is bounded, and the rest counted`, async (t) => {
    const reached = gate()
    const { port } = await endpoint(t, () => reached.open())
    const exporters = start(t, [of(port)])
    exporters.end()
    await reached.promise
    for (let i = 0; i < 5000; i++) exporters.end()
    assert.equal(exporters.dropped(), 5000 * SPANS - QUEUE_SPANS)
    assert.equal(exporters.problems.length, 1)
    assert.match(
      exporters.problems[0]!,
      /takes no spans: more than 2048 were waiting for it\. \d+ spans? lost so far\./,
    )
    assert.ok((await timed(exporters.close(300))) < 800)
    assert.equal(exporters.dropped(), 5001 * SPANS)
  })
}

test('an OTLP endpoint that asks to try again is tried again', async (t) => {
  const done = gate()
  let asked = 0
  const collector = await endpoint(t, (res) => {
    asked++
    if (asked === 1) return res.writeHead(503, { 'retry-after': '0' }).end()
    res.end()
    return done.open()
  })
  const exporters = start(t, [otlp(collector.port)])
  exporters.end()
  await done.promise
  await exporters.close(1000)
  assert.equal(asked, 2)
  assert.deepEqual(collector.requests[0]!.body, collector.requests[1]!.body)
  assert.deepEqual([exporters.exported(), exporters.dropped(), exporters.problems], [SPANS, 0, []])
})

test('spans that an OTLP endpoint refuses while it takes others are counted and told', async (t) => {
  const answers = ['{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too\\u001b[1m old"}}', '{}']
  const collector = await endpoint(t, (res) =>
    res.writeHead(200, { 'content-type': 'application/json' }).end(answers.shift()),
  )
  const exporters = start(t, [otlp(collector.port)])
  for (const count of [1, 2]) {
    exporters.end()
    while (exporters.exported() + exporters.dropped() < count * SPANS)
      await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await exporters.close(1000)
  assert.deepEqual([exporters.exported(), exporters.dropped()], [2 * SPANS - 1, 1])
  assert.equal(exporters.problems.length, 1)
  assert.match(exporters.problems[0]!, /^http:\S+ refuses spans: too \[1m old\. 1 span lost so far\.$/)
})

test('a span too large for a packet is dropped and counted, the others arrive', async (t) => {
  const receiver = await agent(t)
  const exporters = start(t, [{ kind: 'jaeger-agent', host: '127.0.0.1', port: receiver.port }])
  const large = exchange({ url: `/${'x'.repeat(70_000)}` })
  exporters.end()
  exporters.end(large)
  exporters.end()
  await exporters.close(1000)
  await receiver.until(3 * SPANS - 1)
  assert.ok(!receiver.spans().some(({ spanId }) => spanId === large.trace!.spanId))
  assert.deepEqual([exporters.exported(), exporters.dropped()], [3 * SPANS - 1, 1])
  assert.match(exporters.problems[0]!, /span size \d+ is larger/)
})

test('many spans over UDP are cut into packets that each fit', async (t) => {
  const receiver = await agent(t)
  const exporters = start(t, [{ kind: 'jaeger-agent', host: '127.0.0.1', port: receiver.port }])
  for (let i = 0; i < 20; i++) exporters.end(exchange({ url: `/${'x'.repeat(9000)}` }))
  await exporters.close(1000)
  await receiver.until(20 * SPANS)
  assert.ok(receiver.batches.length > 2)
})

test('an agent whose name does not resolve costs its spans and nothing else', async (t) => {
  const exporters = start(t, [{ kind: 'jaeger-agent', host: 'agent.invalid', port: 6832 }])
  for (let i = 0; i < 10; i++) exporters.end()
  assert.ok((await timed(exporters.close(700))) < 1200)
  assert.deepEqual([exporters.exported(), exporters.dropped()], [0, 10 * SPANS])
  assert.equal(exporters.problems.length, 1)
})

test('an agent port that takes another protocol is refused with a sentence', async (t) => {
  const exporters = start(t, [{ kind: 'jaeger-agent', host: '127.0.0.1', port: 6831 }])
  exporters.end()
  await exporters.close(700)
  assert.match(exporters.problems.join(), /^jaeger:\/\/127\.0\.0\.1:6831 takes no spans: .* use port 6832\.$/)
  assert.equal(exporters.dropped(), SPANS)
})

// --- The books, with an exporter in hand ------------------------------------------------------------------------------

/** An endpoint that is opened and fed by hand. */
const byHand = (t: TestContext) => {
  let delivery: Delivery | undefined
  const given: SpanRecord[] = []
  const loaded = gate()
  const clock = { now: 0 }
  const exporters = start(t, [{ kind: 'otlp', url: 'http://me:secret@collector:4318/v1/traces?key=1' }], {
    now: () => clock.now,
    open: async (_endpoint, _service, told) => {
      delivery = told
      await loaded.promise
      return { add: (spans) => void given.push(...spans), close: async () => {} }
    },
  })
  return { exporters, given, loaded, clock, delivery: delivery! }
}

test('spans that end while the exporter loads are kept, up to the bound', async (t) => {
  const { exporters, given, loaded } = byHand(t)
  for (let i = 0; i < 2000; i++) exporters.end()
  assert.equal(given.length, 0)
  assert.equal(exporters.dropped(), 2000 * SPANS - QUEUE_SPANS)
  loaded.open()
  await exporters.close(100)
  assert.equal(given.length, QUEUE_SPANS)
})

test('an exporter that never loads ends in time, and its spans are counted', async (t) => {
  const { exporters } = byHand(t)
  exporters.end()
  assert.ok((await timed(exporters.close(50))) < 500)
  assert.equal(exporters.dropped(), SPANS)
})

test('an exporter that cannot load is told once with the reason, and its spans are counted', async (t) => {
  const exporters = start(t, [otlp(1)], {
    open: async () => {
      throw new Error('the package is not there; install it')
    },
  })
  exporters.end()
  await exporters.close(100)
  exporters.end()
  assert.deepEqual(exporters.problems, [
    'http://127.0.0.1:1/v1/traces takes no spans: the package is not there; install it.',
  ])
  assert.equal(exporters.dropped(), 2 * SPANS)
})

test('a problem is told once a minute, and once when it is over', async (t) => {
  const { exporters, clock, delivery } = byHand(t)
  const { problems } = exporters
  delivery.sent(1)
  delivery.lost(2, 'it answers 503')
  delivery.lost(3, 'it answers 503')
  assert.deepEqual(problems.splice(0), [
    'http://collector:4318/v1/traces takes no spans: it answers 503. 2 spans lost so far.',
  ])
  clock.now = 59_999
  delivery.lost(1, 'it answers 503')
  assert.deepEqual(problems, [])
  clock.now = 60_000
  delivery.lost(1, 'is it running?')
  assert.deepEqual(problems.splice(0), [
    'http://collector:4318/v1/traces takes no spans: is it running? 7 spans lost so far.',
  ])
  delivery.sent(5)
  delivery.sent(5)
  assert.deepEqual(problems.splice(0), ['http://collector:4318/v1/traces takes spans again. 7 spans lost.'])
  clock.now = 61_000
  delivery.lost(1, 'it answers 503')
  delivery.sent(1)
  assert.deepEqual(problems, [])
  assert.deepEqual([exporters.exported(), exporters.dropped()], [12, 8])
})

test('a route that throws harms nobody', (t) => {
  const exporters = start(t, [], {
    route: () => {
      throw new Error('no')
    },
  })
  exporters.end()
})

// --- The process ------------------------------------------------------------------------------------------------------

/** Sends exchanges from a process of its own, closes, and gives the ms from the close to the exit, and what was told. */
const exitAfterClose = async (
  endpoints: readonly TraceEndpoint[],
  before = '',
): Promise<{ exitMs: number; problems: string[]; noise: string }> => {
  const at = (path: string) => JSON.stringify(new URL(path, import.meta.url).href)
  const script = `${before}
    const { traceExporters } = await import(${at('../../src/trace/exporters.js')})
    const { continueTrace } = await import(${at('../../src/trace/context.js')})
    const { Exchange } = await import(${at('../../src/core/exchange.js')})
    const problems = []
    const exporters = traceExporters({ endpoints: ${JSON.stringify(endpoints)}, serviceName: 's', route: () => '/',
      redactUrl: (url) => url, onProblem: (sentence) => problems.push(sentence) })
    const exchange = new Exchange({ id: 1, cause: 'client', method: 'GET', url: '/', host: 'a', scheme: 'http',
      clientAddress: '::1', httpVersion: '1.1', startedAt: 0, requestHeaders: [] })
    exchange.trace = continueTrace([], { sample: 1 })
    exchange.ended = { at: 1, status: 200, bytes: 0 }
    exporters.observer.ended(exchange)
    await new Promise((resolve) => setTimeout(resolve, 800)) // past the batch delay: the export is under way
    exporters.observer.ended(exchange)
    const closedAt = performance.now()
    await exporters.close(500)
    process.on('exit', () => console.log(JSON.stringify({ exitMs: performance.now() - closedAt, problems })))`
  const child = spawn(process.execPath, ['--disable-warning=DEP0205', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let out = ''
  let noise = ''
  child.stdout.on('data', (chunk) => (out += chunk))
  child.stderr.on('data', (chunk) => (noise += chunk))
  const [code] = await once(child, 'close')
  assert.equal(code, 0, noise)
  return { ...JSON.parse(out), noise }
}

const exits: ReadonlyArray<{ name: string; open: (t: TestContext) => Promise<TraceEndpoint[]> }> = [
  {
    name: 'no endpoint answers',
    open: async (t) => {
      const port = (await endpoint(t, swallow)).port
      return [otlp(port), jaeger(port)]
    },
  },
  {
    name: 'no endpoint reads',
    open: async (t) => {
      const port = await raw(t, (socket) => socket.pause())
      return [otlp(port), jaeger(port)]
    },
  },
  {
    name: 'no endpoint listens',
    open: async (t) => {
      const port = await refusing(t)
      return [otlp(port), jaeger(port), { kind: 'jaeger-agent', host: '127.0.0.1', port }]
    },
  },
  {
    name: 'the endpoints ask to come back later',
    open: async (t) => {
      const { port } = await endpoint(t, (res) => res.writeHead(503, { 'retry-after': '4' }).end())
      return [otlp(port), jaeger(port)]
    },
  },
  {
    name: 'all is well',
    open: async (t) => {
      const { port } = await endpoint(t, (res) => res.end())
      return [otlp(port), jaeger(port)]
    },
  },
]

for (const { name, open } of exits) {
  test(`the process exits in time and prints nothing when ${name}`, async (t) => {
    const { exitMs, noise } = await exitAfterClose(await open(t))
    assert.ok(exitMs < 1200, `${exitMs} ms`)
    assert.equal(noise, '')
  })
}

test('without jaeger-client installed, a sentence says how to get it', async () => {
  const hook = `export const resolve = async (name, context, next) => {
    if (!name.startsWith('jaeger-client')) return next(name, context)
    throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' })
  }`
  const before = `import { register } from 'node:module'
    register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}))`
  const { problems, noise } = await exitAfterClose(
    [{ kind: 'jaeger-agent', host: '127.0.0.1', port: 6832 }],
    before,
  )
  assert.match(problems.join(), /jaeger-client is not installed; npm install jaeger-client@3\.19 adds it/)
  assert.equal(noise, '')
})
