/** The spans of real requests as three endpoints receive them, each decoded by a reader of its own wire format. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Got, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { eventually } from '../support/sockets.ts'
import { decodeMessage, decodeStruct, jaegerBatch, type Struct } from '../support/thrift.ts'
import { startUpstream } from '../support/upstream.ts'

/** What all formats can say of a span. */
interface Told {
  readonly traceId: string
  readonly spanId: string
  readonly parent: string
  readonly name: string
  readonly kind: string
  readonly startUs: bigint
  readonly error: boolean
  readonly attributes: Readonly<Record<string, unknown>>
}

const KINDS = ['', 'internal', 'server', 'client']

/** An OpenTelemetry collector and a Jaeger collector on one port, and a Jaeger agent on another. */
const endpoints = async (t: TestContext) => {
  const otlp: Told[] = []
  const collector: Told[] = []
  const agent: Told[] = []
  const fromThrift = (batch: Struct): Told[] =>
    jaegerBatch(batch).spans.map(({ parentSpanId, tags, ...span }) => {
      const { 'span.kind': kind = 'internal', error = false, ...attributes } = tags
      return { ...span, parent: parentSpanId, kind: String(kind), error: error === true, attributes }
    })
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    if (req.url === '/api/traces') collector.push(...fromThrift(decodeStruct(body)))
    else otlp.push(...fromOtlp(JSON.parse(body.toString())))
    res.end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = createSocket('udp4')
  socket.on('message', (packet) => agent.push(...fromThrift(decodeMessage(packet).body[1] as Struct)))
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
    socket.close()
  })
  const { port } = server.address() as AddressInfo
  const urls = [
    `http://127.0.0.1:${port}`,
    `http://127.0.0.1:${port}/api/traces`,
    `jaeger://127.0.0.1:${socket.address().port}`,
  ]
  return { urls, otlp, collector, agent }
}

interface OtlpMessage {
  readonly resourceSpans: ReadonlyArray<{
    readonly scopeSpans: ReadonlyArray<{
      readonly spans: ReadonlyArray<{
        readonly traceId: string
        readonly spanId: string
        readonly parentSpanId?: string
        readonly name: string
        readonly kind: number
        readonly startTimeUnixNano: string
        readonly status: { readonly code: number }
        readonly attributes: ReadonlyArray<{ key: string; value: Readonly<Record<string, unknown>> }>
      }>
    }>
  }>
}

const fromOtlp = ({ resourceSpans }: OtlpMessage): Told[] =>
  resourceSpans.flatMap(({ scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        traceId: span.traceId,
        spanId: span.spanId,
        parent: span.parentSpanId ?? '0'.repeat(16),
        name: span.name,
        kind: KINDS[span.kind]!,
        startUs: BigInt(span.startTimeUnixNano) / 1000n,
        error: span.status.code === 2,
        attributes: Object.fromEntries(
          span.attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
        ),
      })),
    ),
  )

/** `name kind status verdict`, indented below its parent. */
const drawn = (spans: readonly Told[], traceId: string): string[] => {
  const ours = spans.filter((span) => span.traceId === traceId)
  const ids = new Set(ours.map(({ spanId }) => spanId))
  const below = (parent: string | undefined, indent: string): string[] =>
    ours
      .filter((span) => (parent === undefined ? !ids.has(span.parent) : span.parent === parent))
      .sort((a, b) => Number(a.startUs - b.startUs))
      .flatMap(({ name, kind, error, attributes, spanId }) => [
        [
          indent + name,
          kind,
          attributes['http.response.status_code'],
          attributes['revproxy.cache.status'],
          attributes['revproxy.cache.reason'],
          attributes['error.type'],
          error ? 'error' : undefined,
        ]
          .filter((part) => part !== undefined)
          .join(' '),
        ...below(spanId, `${indent}  `),
      ])
  return below(undefined, '')
}

test('a miss, a hit, a 429, a 502 and traces continued in each format arrive alike in OTLP and both of Jaeger’s protocols', async (t) => {
  const received = await endpoints(t)
  const upstream = await startUpstream(t, (req, res) => {
    if (req.url === '/broken') req.socket.destroy()
    else
      res
        .writeHead(200, {
          'cache-control': req.url === '/denied' ? 'no-store' : 'max-age=60',
          'server-timing': 'db;dur=0.5',
        })
        .end(`hello ${req.headers.traceparent}`)
  })
  const proxy = await startProxy(t, {
    target: upstream.url,
    trace: received.urls,
    hold: '0',
    rate: '1/h',
    'rate-by': 'header:x-client',
    'trace-header': 'true',
    'trace-propagate': 'w3c,jaeger,b3',
  })
  let clients = 0
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Got> =>
    get(proxy.url + path, { headers: { 'x-client': String(++clients), ...headers } })
  const traceOf = (got: Got): string => String(got.headers['x-trace-id'])

  const miss = traceOf(await ask('/api/echo'))
  const hit = traceOf(await ask('/api/echo'))
  await ask('/api/echo', { 'x-client': 'greedy' })
  const limited = traceOf(await ask('/api/echo', { 'x-client': 'greedy' }))
  const broken = traceOf(await ask('/broken'))

  const T = 'ab'.repeat(16)
  const S = 'cd'.repeat(8)
  const parents: Record<string, Record<string, string>> = {
    [T]: { traceparent: `00-${T}-${S}-01`, tracestate: 'a=1' },
    [`${'0'.repeat(16)}${'12'.repeat(8)}`]: { 'uber-trace-id': `${'12'.repeat(8)}:${S}:0:1` },
    ['34'.repeat(16)]: { b3: `${'34'.repeat(16)}-${S}-1` },
    ['56'.repeat(16)]: { 'x-b3-traceid': '56'.repeat(16), 'x-b3-spanid': S, 'x-b3-sampled': '1' },
  }
  for (const headers of Object.values(parents)) await ask('/api/echo', headers)
  const denied = [
    { traceparent: `00-${'e1'.repeat(16)}-${S}-00` },
    { 'uber-trace-id': `${'e2'.repeat(16)}:${S}:0:0` },
    { b3: `${'e3'.repeat(16)}-${S}-0` },
    { 'x-b3-traceid': 'e4'.repeat(16), 'x-b3-spanid': S, 'x-b3-sampled': '0' },
  ]
  for (const headers of denied) await ask('/denied', headers as unknown as Record<string, string>)
  assert.deepEqual(
    upstream.requests
      .filter(({ url }) => url === '/denied')
      .map(({ headers }) => [
        String(headers.traceparent).slice(-2),
        String(headers['uber-trace-id']).slice(-1),
        String(headers.b3).split('-')[2],
      ]),
    denied.map(() => ['00', '0', '0']),
    'the decision is told to the upstream in each format',
  )
  await proxy.until((ended) => ended.length === clients)
  await proxy.close(1000)
  const wanted = received.otlp.length
  await eventually(() => received.agent.length === wanted)
  assert.equal(received.collector.length, wanted)

  for (const [format, spans] of [
    ['OTLP', received.otlp],
    ['Jaeger collector', received.collector],
    ['Jaeger agent', received.agent],
  ] as const) {
    assert.deepEqual(
      drawn(spans, miss),
      [
        'GET /api/echo server 200 miss uri-miss',
        '  rate limit internal',
        '  cache get internal miss uri-miss',
        '  GET client 200',
        '    db internal',
        '  cache set internal',
      ],
      format,
    )
    assert.deepEqual(drawn(spans, hit), [
      'GET /api/echo server 200 hit hit',
      '  rate limit internal',
      '  cache get internal hit hit',
    ])
    assert.deepEqual(drawn(spans, limited), ['GET /api/echo server 429', '  rate limit internal'])
    assert.deepEqual(drawn(spans, broken), [
      'GET /broken server 502 miss uri-miss upstream-reset error',
      '  rate limit internal',
      '  cache get internal miss uri-miss',
      '  GET client upstream-reset error',
    ])
    for (const traceId of Object.keys(parents)) {
      assert.equal(drawn(spans, traceId)[0], 'GET /api/echo server 200 hit hit', `${format} ${traceId}`)
      assert.ok(
        spans.some((span) => span.traceId === traceId && span.parent === S),
        'below the span of the client',
      )
    }
    assert.ok(!spans.some(({ name }) => name === 'GET /denied'), 'whoever denied is not recorded')
    const ids = spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`)
    assert.deepEqual(ids.sort(), received.otlp.map(({ traceId, spanId }) => `${traceId} ${spanId}`).sort())
  }
  t.diagnostic(drawn(received.otlp, miss).join('\n'))
})
