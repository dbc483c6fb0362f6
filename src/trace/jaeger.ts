/**
 * Jaeger's own protocols over `jaeger-client`: its Thrift definitions, and its sender for the agent. Its tracer, span
 * and HTTP sender are left alone: they cut times to whole or wrong microseconds, send every tag with all five value
 * fields, and never let go of a collector that does not answer. It reads its .thrift files, so it is never bundled.
 */
import { setMaxListeners } from 'node:events'
import { hostname } from 'node:os'
import type { TraceEndpoint } from '../core/values.ts'
import type { Attributes, AttributeValue, SpanRecord } from '../observe/spans.ts'
import { batching, type Outcome } from './batching.ts'
import { ANSWER_MS, type Delivery, type SpanExporter } from './exporter.ts'
import { answerReason, failureReason } from './failure.ts'

/** An agent (UDP) or a collector (HTTP) of Jaeger. */
export type JaegerEndpoint = Exclude<TraceEndpoint, { kind: 'otlp' }>

interface JaegerOptions {
  readonly serviceName: string
  readonly delivery: Delivery
  readonly env?: NodeJS.ProcessEnv
  /** Loads the package, which may not be there. */
  readonly load?: () => Promise<JaegerClient>
}

/** Sends to an agent or a collector. Rejects with a sentence that says what to do when that cannot be. */
export const jaegerExporter = async (
  endpoint: JaegerEndpoint,
  { serviceName, delivery, env = process.env, load = loadJaegerClient }: JaegerOptions,
): Promise<SpanExporter> => {
  // Jaeger docs, "Agent ports": 6831 takes the compact protocol, which jaeger-client does not speak; it would be lost unseen.
  if (endpoint.kind === 'jaeger-agent' && endpoint.port === 6831) {
    throw new Error('port 6831 of an agent takes the compact protocol, which is not sent here; use port 6832')
  }
  const client = await load()
  return endpoint.kind === 'jaeger-agent'
    ? agentExporter(endpoint, { client, serviceName, delivery })
    : collectorExporter(endpoint.url, { client, serviceName, delivery, env })
}

type Thrift = typeof import('jaeger-client/dist/src/thrift.js')['default']['default']['_thrift']
type UDPSender = typeof import('jaeger-client/dist/src/reporters/udp_sender.js')['default']['default']

/** The parts of `jaeger-client` in use. */
interface JaegerClient {
  readonly thrift: Thrift
  readonly UDPSender: UDPSender
}

const loadJaegerClient = async (): Promise<JaegerClient> => {
  try {
    const [{ default: thrift }, { default: sender }] = await Promise.all([
      import('jaeger-client/dist/src/thrift.js'),
      import('jaeger-client/dist/src/reporters/udp_sender.js'),
    ])
    return { thrift: thrift.default._thrift, UDPSender: sender.default }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    const hint = 'npm install jaeger-client@3.19 adds it, or use OTLP, which Jaeger takes on port 4318'
    throw new Error(`the package jaeger-client is not installed; ${hint}`, { cause: error })
  }
}

/** Largest packet that systems let through: macOS stops at net.inet.udp.maxdgram. */
const PACKET_BYTES = process.platform === 'darwin' ? 9216 : 65_000

/** Binary Thrift in UDP packets. What an agent makes of them, or whether there is one, cannot be known. */
const agentExporter = (
  { host, port }: { host: string; port: number },
  { client, serviceName, delivery }: { client: JaegerClient; serviceName: string; delivery: Delivery },
): SpanExporter => {
  const socketType = host.includes(':') ? 'udp6' : 'udp4'
  const sender = new client.UDPSender({ host, port, socketType, maxPacketSize: PACKET_BYTES })
  sender._client?.unref?.()
  sender.setProcess({ serviceName, tags: processTags() })
  return batching({
    delivery,
    async send(spans) {
      const outcome: Outcome = { sent: 0, lost: 0, why: undefined }
      const told = (call: (told: (spans: number, error?: unknown) => void) => void): Promise<void> =>
        new Promise((resolve) => {
          call((count, error) => {
            if (error === undefined || error === null) outcome.sent += count
            else {
              outcome.lost += count
              outcome.why = failureReason(error)
            }
            // A packet has gone: let others have the thread, an agent its time to read.
            if (count > 0) setImmediate(resolve)
            else resolve()
          })
        })
      // One after the other: appending to a sender that is sending overfills its next packet.
      for (const span of spans) await told((done) => sender.append(thriftSpan(span), done))
      await told((done) => sender.flush(done))
      return outcome
    },
    release: () => sender.close(),
  })
}

/** A binary Thrift batch as the body of a POST (Jaeger docs, "Collector: Thrift over HTTP"). */
const collectorExporter = async (
  endpoint: string,
  options: { client: JaegerClient; serviceName: string; delivery: Delivery; env: NodeJS.ProcessEnv },
): Promise<SpanExporter> => {
  const { thrift } = options.client
  const { Pool } = await import('undici')
  const url = new URL(endpoint)
  const sender = new thrift.Process({ serviceName: options.serviceName, tags: processTags() })
  const ending = new AbortController()
  setMaxListeners(0, ending.signal)
  // The signal is net.connect's and destroys sockets that are still connecting, which Pool.destroy does not.
  const connect = { timeout: ANSWER_MS, signal: ending.signal }
  const pool = new Pool(url.origin, { connections: 1, connect })
  const headers = { 'content-type': 'application/x-thrift', ...authorization(url, options.env) }
  return batching({
    delivery: options.delivery,
    async send(spans) {
      const batch = new thrift.Batch({
        process: sender,
        spans: spans.map((span) => new thrift.Span(thriftSpan(span))),
      })
      const { err, value } = thrift.Batch.rw.toBuffer(batch)
      if (err !== null) throw err
      const { statusCode, body } = await pool.request({
        method: 'POST',
        path: url.pathname + url.search,
        headers,
        body: value,
        signal: AbortSignal.timeout(ANSWER_MS),
      })
      await body.dump({ limit: 65_536 }).catch(() => {}) // the status has told already
      return statusCode < 300
        ? { sent: spans.length, lost: 0, why: undefined }
        : { sent: 0, lost: spans.length, why: answerReason(statusCode) }
    },
    release() {
      ending.abort()
      void pool.destroy()
    },
  })
}

/** User and password of the URL, or of the names that Jaeger's clients read (Jaeger docs, "Client environment variables"). */
const authorization = (url: URL, env: NodeJS.ProcessEnv): { authorization?: string } => {
  const user = decodeURIComponent(url.username) || env.JAEGER_USER
  const password = decodeURIComponent(url.password) || env.JAEGER_PASSWORD
  if (!user || !password) return {}
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

const NO_ID = Buffer.alloc(8)

/** `jaeger.thrift`, struct Span. */
const thriftSpan = (span: SpanRecord): object => {
  const startUs = micros(span.startMs)
  return {
    traceIdLow: Buffer.from(span.traceId.slice(16), 'hex'),
    traceIdHigh: Buffer.from(span.traceId.slice(0, 16), 'hex'),
    spanId: Buffer.from(span.spanId, 'hex'),
    parentSpanId: span.parentSpanId === undefined ? NO_ID : Buffer.from(span.parentSpanId, 'hex'),
    operationName: span.name,
    references: [],
    flags: span.sampled ? 1 : 0,
    startTime: int64(startUs),
    duration: int64(micros(span.endMs) - startUs),
    tags: spanTags(span),
    logs: span.events.map(({ name, atMs, attributes }) => ({
      timestamp: int64(micros(atMs)),
      fields: [thriftTag('event', name), ...thriftTags(attributes)],
    })),
  }
}

/** OpenTelemetry, "OpenTelemetry to Jaeger Transformation": what is no attribute there is a tag here. */
const spanTags = (span: SpanRecord): object[] => {
  const tags = thriftTags(span.attributes)
  tags.push(thriftTag('span.kind', span.kind))
  if (span.status === 'error') tags.push(thriftTag('error', true), thriftTag('otel.status_code', 'ERROR'))
  if (span.statusMessage !== undefined) tags.push(thriftTag('otel.status_description', span.statusMessage))
  if (span.traceState !== undefined) tags.push(thriftTag('w3c.tracestate', span.traceState))
  return tags
}

const processTags = (): object[] => [thriftTag('hostname', hostname()), thriftTag('process.pid', process.pid)]

const thriftTags = (attributes: Attributes): object[] =>
  Object.entries(attributes).map(([key, value]) => thriftTag(key, value))

/** `jaeger.thrift`, struct Tag, with the one value that belongs to its type. */
const thriftTag = (key: string, value: AttributeValue): object => {
  if (typeof value === 'string') return { key, vType: 'STRING', vStr: value }
  if (typeof value === 'boolean') return { key, vType: 'BOOL', vBool: value }
  return Number.isSafeInteger(value)
    ? { key, vType: 'LONG', vLong: int64(value) }
    : { key, vType: 'DOUBLE', vDouble: value }
}

/** Whole microseconds. Multiplying all of the ms at once would round twice and be off by one now and then. */
const micros = (ms: number): number => {
  const whole = Math.floor(ms)
  return whole * 1000 + Math.round((ms - whole) * 1000)
}

const int64 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigInt64BE(BigInt(value))
  return bytes
}
