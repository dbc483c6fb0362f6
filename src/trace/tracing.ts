/** All that tracing is made of: ids for exchanges, exporters of our spans, and what is received of the upstream's. */
import type { TraceFacts } from '../core/exchange.ts'
import type { Fields, Observer } from '../core/types.ts'
import type { TraceEndpoint } from '../core/values.ts'
import type { SpanOptions } from '../observe/spans.ts'
import { continueTrace } from './context.ts'
import { shownEndpoint, traceExporters } from './exporters.ts'
import type { ReceivedSpan } from './otlp-decode.ts'
import type { Redaction } from './received.ts'

/** What tracing is started with. */
export interface TracingOptions {
  readonly endpoints: readonly TraceEndpoint[]
  /** Port for the spans of the upstream; undefined: none are received. */
  readonly receivePort: number | undefined
  /** Another process listens there. */
  readonly receiveElsewhere?: boolean
  /** Gives exchanges ids though nobody is sent any span. */
  readonly idsWanted: boolean
  readonly serviceName: string
  /** Share of new traces that are recorded. */
  readonly sample: number
  readonly route: SpanOptions['route']
  readonly redact: Redaction
  readonly upstreamUrl: string
  /** Told a sentence. Must not throw. */
  readonly onProblem: (sentence: string) => void
}

/** How long the last spans may take when a run ends, ms: a second with all that ends beside and behind them. */
export const FLUSH_MS = 900

/** Running tracing. */
export interface Tracing {
  readonly observers: readonly Observer[]
  readonly continueTrace: (headers: Fields) => TraceFacts
  /** The spans received of a trace; undefined when none are received at all. */
  readonly received: ((traceId: string) => readonly ReceivedSpan[]) | undefined
  /** Where the upstream may send its spans. */
  readonly receiverUrl: string | undefined
  /** Spans that an endpoint did not get, ours and others. */
  dropped(): number
  receivedTotal(): number
  /** Sends what is waiting, for at most `deadlineMs`. Never rejects. */
  close(deadlineMs: number): Promise<void>
}

/** Starts what is asked for; undefined when nothing is. Rejects with a sentence when the receiver has no port. */
export const startTracing = async (options: TracingOptions): Promise<Tracing | undefined> => {
  const { receivePort, sample } = options
  // OTEL_EXPORTER_OTLP_ENDPOINT may be meant for the target: what we sent to ourselves we would pass on for ever.
  const endpoints = options.endpoints.filter((endpoint) => !isOurs(endpoint, receivePort))
  if (endpoints.length === 0 && receivePort === undefined && !options.idsWanted) return undefined
  const receiving =
    receivePort === undefined || options.receiveElsewhere === true
      ? undefined
      : await startReceiving(receivePort, { ...options, endpoints })
  const exporters =
    endpoints.length === 0
      ? undefined
      : traceExporters({ ...options, endpoints, redactUrl: options.redact.url })
  return {
    observers: exporters === undefined ? [] : [exporters.observer],
    continueTrace: (headers) => continueTrace(headers, { sample }),
    received: receiving?.of,
    receiverUrl: receiving?.url,
    dropped: () => (exporters?.dropped() ?? 0) + (receiving?.dropped() ?? 0),
    receivedTotal: () => receiving?.total() ?? 0,
    async close(deadlineMs) {
      await Promise.all([exporters?.close(deadlineMs), receiving?.close(deadlineMs)])
    },
  }
}

/** Whether an endpoint is our own receiver. */
const isOurs = (endpoint: TraceEndpoint, receivePort: number | undefined): boolean => {
  if (endpoint.kind !== 'otlp' || receivePort === undefined) return false
  const { hostname, port } = new URL(endpoint.url)
  return Number(port) === receivePort && /^(?:localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0)$/.test(hostname)
}

const startReceiving = async (port: number, { endpoints, redact, onProblem }: TracingOptions) => {
  const [{ startReceiver }, { receivedSpans }, { relay }] = await Promise.all([
    import('./receive.ts'),
    import('./received.ts'),
    import('./relay.ts'),
  ])
  const spans = receivedSpans({ redact })
  const onwards = relay({
    urls: endpoints.flatMap((endpoint) => (endpoint.kind === 'otlp' ? [endpoint.url] : [])),
    onProblem,
  })
  const others = endpoints.filter(({ kind }) => kind !== 'otlp')
  if (others.length > 0)
    onProblem(
      `the spans of the target are shown, but not passed on to ${others.map(shownEndpoint).join(' and ')}: ` +
        'no OTLP is taken there. Jaeger takes it on port 4318: --trace http://host:4318.',
    )
  const receiver = await startReceiver({ port, onSpans: spans.add, onMessage: onwards.pass })
  return {
    url: receiver.url,
    of: spans.of,
    total: spans.total,
    dropped: onwards.dropped,
    async close(deadlineMs: number) {
      await receiver.close()
      await onwards.close(deadlineMs)
    },
  }
}
