/**
 * OTLP over HTTP. OpenTelemetry's batch processor and exporter do the work; around them: a bound that counts what it
 * drops, a deadline for every batch, and an end that leaves neither socket nor timer behind. Loaded only with
 * `--trace` (100 ms).
 */
import { setMaxListeners } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import type { HrTime, SpanContext, TraceState } from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import type { SpanExporter as OtelExporter, ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { SpanRecord } from '../observe/spans.ts'
import { within } from './deadline.ts'
import {
  ANSWER_MS,
  BATCH_MS,
  BATCH_SPANS,
  closedFirst,
  type Delivery,
  QUEUE_SPANS,
  queueFull,
  type SpanExporter,
} from './exporter.ts'
import { failureReason } from './failure.ts'

/** Codes of OpenTelemetry's ExportResultCode, which its API does not export as a value. */
const SUCCESS = 0
const FAILED = 1

/** Accepted spans that are not told yet: sent or lost. */
interface Ledger {
  waiting: number
  inFlight: number
  /** Everything has been told; late answers change nothing. */
  closed: boolean
}

/**
 * Sends to `url`. Headers, compression and certificates come from the usual OTEL_EXPORTER_OTLP_* names, further
 * resource attributes from OTEL_RESOURCE_ATTRIBUTES (OpenTelemetry, "Protocol Exporter" and "Resource SDK").
 */
export const otlpExporter = async (
  url: string,
  {
    serviceName,
    delivery,
    env = process.env,
  }: { serviceName: string; delivery: Delivery; env?: NodeJS.ProcessEnv },
): Promise<SpanExporter> => {
  const [{ BatchSpanProcessor }, { OTLPTraceExporter }, resources] = await Promise.all([
    import('@opentelemetry/sdk-trace-base'),
    import('@opentelemetry/exporter-trace-otlp-http'),
    import('@opentelemetry/resources'),
  ])
  const resource = resources
    .defaultResource()
    .merge(resources.detectResources({ detectors: [resources.envDetector] }))
    .merge(resources.resourceFromAttributes({ 'service.name': serviceName, 'process.pid': process.pid }))
  const ledger: Ledger = { waiting: 0, inFlight: 0, closed: false }
  const ending = new AbortController()
  const exporter = new OTLPTraceExporter({
    url,
    timeoutMillis: ANSWER_MS - 500,
    concurrencyLimit: Math.ceil(QUEUE_SPANS / BATCH_SPANS) + 1,
    httpAgentOptions: agentOptions(ending.signal, env),
  })
  const retrying = new AbortController()
  endRetriesWith(exporter, retrying.signal)
  const processor = new BatchSpanProcessor(
    watched(exporter, ledger, { delivery, refused: refusals(exporter) }),
    {
      maxQueueSize: QUEUE_SPANS,
      maxExportBatchSize: BATCH_SPANS,
      scheduledDelayMillis: BATCH_MS,
      exportTimeoutMillis: ANSWER_MS + 1000,
    },
  )
  return {
    add(spans) {
      if (ledger.closed) return delivery.lost(spans.length, closedFirst)
      const taken = Math.min(spans.length, QUEUE_SPANS - ledger.waiting)
      ledger.waiting += taken
      for (let i = 0; i < taken; i++) processor.onEnd(readableSpan(spans[i]!, resource))
      if (taken < spans.length) delivery.lost(spans.length - taken, queueFull)
    },
    async close(deadlineMs) {
      retrying.abort()
      // A batch that fails ends the shutdown while others are still on their way: the second wait is for those.
      const flushed = processor.shutdown().catch(() => exporter.forceFlush())
      await within(deadlineMs, flushed)
      ledger.closed = true
      const rest = ledger.waiting + ledger.inFlight
      if (rest > 0) delivery.lost(rest, closedFirst)
      ending.abort()
    },
  }
}

/** The exporter with books kept and a deadline, since its own begins anew with every byte of an answer. */
const watched = (
  exporter: OtelExporter,
  ledger: Ledger,
  { delivery, refused }: { delivery: Delivery; refused: () => Refused },
): OtelExporter => ({
  export(spans, done) {
    ledger.waiting -= spans.length
    ledger.inFlight += spans.length
    let over = false
    const finish: typeof done = (result) => {
      if (over) return
      over = true
      clearTimeout(timer)
      ledger.inFlight -= spans.length
      if (!ledger.closed) {
        if (result.code === SUCCESS) told(spans.length, refused(), delivery)
        else delivery.lost(spans.length, exportReason(result.error))
      }
      done(result)
    }
    const timer = setTimeout(() => finish({ code: FAILED, error: new Error('Request timed out') }), ANSWER_MS)
    timer.unref()
    exporter.export(spans, finish)
  },
  shutdown: () => exporter.shutdown(),
})

const told = (spans: number, { count, why }: Refused, delivery: Delivery): void => {
  const lost = Math.min(spans, count)
  if (lost < spans) delivery.sent(spans - lost)
  if (lost > 0) delivery.refused(lost, why)
}

/** Spans that an answer of 200 says were refused all the same. */
interface Refused {
  readonly count: number
  readonly why: string
}
const NONE: Refused = { count: 0, why: '' }

/**
 * OTLP, "Partial Success": the library logs it, for which nobody listens. It does so right before it tells of the
 * export, where its inside is as we know it; the answer of that moment is given and forgotten.
 */
const refusals = (exporter: object): (() => Refused) => {
  const handler = (exporter as { _delegate?: { _responseHandler?: { handleResponse?: unknown } } })._delegate
    ?._responseHandler
  let last = NONE
  if (typeof handler?.handleResponse === 'function') {
    handler.handleResponse = (response: unknown): void => {
      const { rejectedSpans, errorMessage } =
        (response as { partialSuccess?: Record<string, unknown> } | null)?.partialSuccess ?? {}
      const count = Math.trunc(Number(rejectedSpans ?? 0))
      const why =
        typeof errorMessage === 'string' && errorMessage !== '' ? errorMessage : 'for no given reason'
      if (count > 0) last = { count, why: failureReason(new Error(why)) }
    }
  }
  return () => {
    const given = last
    last = NONE
    return given
  }
}

/** The library's words for what has no code. */
const exportReason = (error: unknown): string => {
  const message = error instanceof Error ? error.message : ''
  if (message === 'Request timed out') return `it does not answer within ${ANSWER_MS / 1000} s`
  if (message === 'Export failed with retryable status')
    return 'it answers 429, 502, 503 or 504, overloaded or away'
  if (message === 'Concurrent export limit reached') return 'it leaves too many requests unanswered'
  return failureReason(error)
}

/** What the library's transport looks like inside. */
interface Transport {
  send(data: Uint8Array, timeoutMs: number): Promise<{ status: string; retryInMillis?: number }>
}

const TRIES = 6
const FIRST_RETRY_MS = 1000

/**
 * The library waits between two tries on timers that keep the process up and that nothing stops. Where its inside is
 * as we know it, its tries are made here, alike but for that, and an end stops them; otherwise it may take 5 s more.
 */
const endRetriesWith = (exporter: object, signal: AbortSignal): void => {
  const retrying = (
    exporter as { _delegate?: { _transport?: Partial<Transport> & { _transport?: Transport } } }
  )._delegate?._transport
  const direct = retrying?._transport
  if (typeof retrying?.send !== 'function' || typeof direct?.send !== 'function') return
  retrying.send = async (data, timeoutMs) => {
    const deadline = performance.now() + timeoutMs
    for (let tries = 1, inMs = FIRST_RETRY_MS; ; tries++, inMs *= 1.5) {
      const result = await direct.send(data, Math.max(1, deadline - performance.now()))
      if (result.status !== 'retryable' || tries === TRIES) return result
      // OTLP, "OTLP/HTTP Throttling": Retry-After is to be honoured.
      const waitMs = result.retryInMillis ?? inMs * (0.8 + 0.4 * Math.random())
      if (waitMs > deadline - performance.now()) return result
      try {
        await pause(Math.max(0, waitMs), undefined, { ref: false, signal })
      } catch {
        return result
      }
    }
  }
}

/**
 * `timeout` bounds a connection attempt, too, which the library's own does not. The signal reaches every socket
 * (net.connect's option, which an agent passes on though its type does not say so) and destroys it, connected or not.
 */
const agentOptions = (signal: AbortSignal, env: NodeJS.ProcessEnv) => {
  const options = { keepAlive: true, timeout: ANSWER_MS, signal, ...certificates(env) }
  setMaxListeners(0, signal)
  return options
}

/** OpenTelemetry, "Protocol Exporter": certificate files. Read here since agent options of ours turn off the library's reading. */
const certificates = (env: NodeJS.ProcessEnv): { ca?: Buffer; cert?: Buffer; key?: Buffer } => {
  const found: { ca?: Buffer; cert?: Buffer; key?: Buffer } = {}
  for (const [option, name] of [
    ['ca', 'CERTIFICATE'],
    ['cert', 'CLIENT_CERTIFICATE'],
    ['key', 'CLIENT_KEY'],
  ] as const) {
    const path = env[`OTEL_EXPORTER_OTLP_TRACES_${name}`] || env[`OTEL_EXPORTER_OTLP_${name}`]
    if (path) found[option] = readFileSync(path)
  }
  return found
}

/** Numbers of OpenTelemetry's SpanKind and SpanStatusCode. */
const KIND = { internal: 0, server: 1, client: 2 } as const
const STATUS = { unset: 0, error: 2 } as const
const SCOPE = { name: 'revproxy' }

/** The span as the processor takes it; nothing of a tracer is needed for that. */
const readableSpan = (record: SpanRecord, resource: Resource): ReadableSpan => {
  const { traceId, spanId, parentSpanId, remoteParent, statusMessage: message } = record
  const traceFlags = record.sampled ? 1 : 0
  const context: SpanContext = { traceId, spanId, traceFlags }
  if (record.traceState !== undefined) context.traceState = stateAsItCame(record.traceState)
  const code = STATUS[record.status]
  const span: Writable<ReadableSpan> = {
    name: record.name,
    kind: KIND[record.kind],
    spanContext: () => context,
    startTime: hrTime(record.startMs),
    endTime: hrTime(record.endMs),
    duration: hrTime(record.endMs - record.startMs),
    status: message === undefined ? { code } : { code, message },
    attributes: record.attributes,
    links: [],
    events: record.events.map(({ name, atMs, attributes }) => ({ name, time: hrTime(atMs), attributes })),
    ended: true,
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
  if (parentSpanId !== undefined) {
    span.parentSpanContext = { traceId, spanId: parentSpanId, traceFlags, isRemote: remoteParent }
  }
  return span
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Seconds and nanoseconds of ms with fractions, to the last bit of the double. */
const hrTime = (ms: number): HrTime => {
  const seconds = Math.floor(ms / 1000)
  const nanos = Math.round((ms - seconds * 1000) * 1e6)
  return nanos === 1e9 ? [seconds + 1, 0] : [seconds, nanos]
}

const stateAsItCame = (raw: string): TraceState => {
  const state: TraceState = {
    get: () => undefined,
    set: () => state,
    unset: () => state,
    serialize: () => raw,
  }
  return state
}
