/** An exchange with all spans that belong to it, ours and those received of the upstream, without secrets. */
import type { Exchange } from '../core/exchange.ts'
import type { Recent } from './recent.ts'
import type { Redactor } from './redact.ts'
import { type AttributeValue, localSpans, type SpanRecord } from './spans.ts'
import type { DrawnSpan } from './waterfall.ts'

/** A span as it is shown. */
export interface ViewedSpan extends DrawnSpan {
  readonly attributes: Readonly<Record<string, AttributeValue>>
}

/** An exchange in a list. Times in ms. */
export interface TraceLine {
  readonly id: number
  readonly traceId?: string
  readonly cause: 'client' | 'refresh'
  readonly method: string
  readonly url: string
  readonly status: number
  readonly startedAt: number
  readonly durationMs: number
  readonly cache?: string
  readonly reason?: string
  readonly error?: string
  /** Over the rate limit. */
  readonly limited?: true
}

/** An exchange and its spans. */
export interface TraceView extends TraceLine {
  /** Whether the spans are sent to the endpoints of `--trace`; absent without a trace. */
  readonly sampled?: boolean
  readonly spans: readonly ViewedSpan[]
  /** What else there is to know, in sentences. */
  readonly notes: readonly string[]
}

/** A span of another program, as it was received. */
type OtherSpan = Omit<ViewedSpan, 'service'> & { readonly service: string }

/** What views are made of. */
export interface TraceViewOptions {
  readonly recent: Recent
  readonly route: (exchange: Readonly<Exchange>) => string
  readonly redact: Redactor
  readonly upstreamUrl: string
  /** The spans received of a trace; undefined when none are received at all. */
  readonly received?: ((traceId: string) => readonly OtherSpan[]) | undefined
}

/** One line of the list. */
export const traceLine = (exchange: Readonly<Exchange>, redact: Redactor): TraceLine => {
  const { id, trace, cause, method, url, startedAt, ended, cache, limit } = exchange
  return {
    id,
    ...(trace === undefined ? {} : { traceId: trace.traceId }),
    cause,
    method,
    url: redact.url(url),
    status: ended?.status ?? 0,
    startedAt,
    durationMs: Math.max(0, (ended?.at ?? startedAt) - startedAt),
    ...(cache === undefined ? {} : { cache: cache.status, reason: cache.reason }),
    ...(ended?.error === undefined ? {} : { error: ended.error }),
    ...(limit?.allowed === false ? { limited: true } : {}),
  }
}

/** Everything about one exchange, with the refreshes that it caused. */
export const traceView = (exchange: Readonly<Exchange>, options: TraceViewOptions): TraceView => {
  const { recent, redact, received } = options
  const { trace } = exchange
  const refreshes = recent.all().filter(({ parent }) => parent === exchange.id)
  const own = [exchange, ...refreshes].flatMap((one, i) => spansWithin(one, exchange, i, options))
  const others = trace === undefined ? [] : belonging(received?.(trace.traceId) ?? [], own)
  return {
    ...traceLine(exchange, redact),
    ...(trace === undefined ? {} : { sampled: trace.sampled }),
    spans: [...own, ...others],
    notes: notesOf(exchange, { receives: received !== undefined, others: others.length }),
  }
}

/** The spans of the exchange, or of a refresh it caused: whose ids count only where there is a trace. */
const spansWithin = (
  one: Readonly<Exchange>,
  asked: Readonly<Exchange>,
  at: number,
  options: TraceViewOptions,
): ViewedSpan[] => {
  const spans: readonly SpanRecord[] = localSpans(one, { ...options, redactUrl: options.redact.url })
  // Parts have made-up ids, and without a trace all have: those of a refresh must not be those of the exchange.
  const renamed = (id: string): string => (at === 0 || /^[\da-f]{16}$/.test(id) ? id : `${at} ${id}`)
  const own = asked.trace?.spanId ?? 'own'
  return spans.map((span, i) => ({
    spanId: renamed(span.spanId),
    // A parent beyond us is not drawn; a refresh stands below what caused it.
    parentSpanId: i > 0 ? renamed(span.parentSpanId!) : at > 0 ? own : undefined,
    name: span.name,
    kind: span.kind,
    startMs: span.startMs,
    endMs: span.endMs,
    status: span.status,
    events: span.events,
    attributes: span.attributes,
  }))
}

/** Those below our spans; a trace may hold many exchanges, and spans whose parent has not come (yet). */
const belonging = (spans: readonly OtherSpan[], own: readonly ViewedSpan[]): OtherSpan[] => {
  const byId = new Map(spans.map((span) => [span.spanId, span]))
  const ours = new Set(own.map(({ spanId }) => spanId))
  const [start, end] = [
    Math.min(...own.map(({ startMs }) => startMs)),
    Math.max(...own.map(({ endMs }) => endMs)),
  ]
  const belongs = (span: OtherSpan): boolean => {
    let at: OtherSpan | undefined = span
    for (let steps = 0; at !== undefined && steps < 100; steps++) {
      if (at.parentSpanId === undefined) return false
      if (ours.has(at.parentSpanId)) return true
      const parent = byId.get(at.parentSpanId)
      if (parent === undefined) return at.startMs >= start && at.startMs <= end
      at = parent
    }
    return false
  }
  return spans.filter(belongs)
}

const notesOf = (
  { cache, upstream, trace }: Readonly<Exchange>,
  { receives, others }: { receives: boolean; others: number },
): string[] => {
  const notes: string[] = []
  if (cache?.leader !== undefined)
    notes.push(`It waited for request ${cache.leader}, whose answer it got: revproxy trace ${cache.leader}.`)
  if (receives && upstream !== undefined && others === 0)
    notes.push(
      'No spans of the target have come for this trace. It sends them in batches, some seconds later; ' +
        'or it does not continue the trace, or sends them elsewhere (OTEL_EXPORTER_OTLP_ENDPOINT).',
    )
  if (trace !== undefined && !trace.sampled)
    notes.push('The trace is not sampled: nothing of it is sent to --trace.')
  return notes
}
