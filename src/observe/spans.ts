/**
 * Spans as a projection of a finished exchange: every time and fact stands on it already, so nothing is measured
 * or kept while the request runs. Attribute names are those of the OpenTelemetry semantic conventions for HTTP
 * (stable since 1.23), and `revproxy.*` for what only we know.
 */
import { isOfUpstream } from '../core/errors.ts'
import type { Exchange, TraceFacts, UpstreamFacts } from '../core/exchange.ts'
import { readServerTiming } from '../http/server-timing.ts'
import { addClient, addOurs, addServer, addUrl, exceptionOf, nameOf, withMethod } from './span-attributes.ts'

/** What an attribute can hold. */
export type AttributeValue = string | number | boolean

/** Attributes by name. */
export type Attributes = Readonly<Record<string, AttributeValue>>

/** Something that happened within a span. */
export interface SpanEvent {
  readonly name: string
  /** Ms since the epoch, with fractions. */
  readonly atMs: number
  readonly attributes: Attributes
}

/** A finished span, of no exporter's kind. */
export interface SpanRecord {
  /** 32 lower-case hex digits. */
  readonly traceId: string
  /** 16 lower-case hex digits. */
  readonly spanId: string
  readonly parentSpanId: string | undefined
  /** Whether the parent is another program's span. */
  readonly remoteParent: boolean
  readonly name: string
  readonly kind: 'server' | 'client' | 'internal'
  /** Ms since the epoch, with fractions. */
  readonly startMs: number
  /** Never before `startMs`. */
  readonly endMs: number
  readonly attributes: Attributes
  readonly status: 'unset' | 'error'
  readonly statusMessage: string | undefined
  readonly events: readonly SpanEvent[]
  readonly sampled: boolean
  readonly traceState: string | undefined
}

/** What the projection needs beside the exchange. */
export interface SpanOptions {
  /** The template of the path, of bounded variety, such as `/users/:id`. */
  readonly route: (exchange: Readonly<Exchange>) => string
  /** A path and query without secrets. */
  readonly redactUrl: (url: string) => string
  /** 16 random hex digits, for the spans that nobody else needs to know by id. */
  readonly spanId: () => string
  /** Scheme, authority and base path of the upstream, such as `http://localhost:3000/v1`. */
  readonly upstreamUrl?: string | undefined
}

/** The spans of an exchange that has ended: its own first, then its parts in order. None when it has no trace. */
export const spansOf = (exchange: Readonly<Exchange>, options: SpanOptions): SpanRecord[] =>
  exchange.trace === undefined ? [] : spansIn(exchange, exchange.trace, options)

/** The same for the eye alone, without secrets and with or without a trace: ids mean nothing where there is none. */
export const localSpans = (
  exchange: Readonly<Exchange>,
  options: Pick<SpanOptions, 'route' | 'redactUrl' | 'upstreamUrl'>,
): SpanRecord[] => {
  let last = 0
  const trace = exchange.trace ?? { traceId: '', spanId: 'own', upstreamSpanId: 'upstream', sampled: false }
  return spansIn(exchange, trace, { ...options, spanId: () => `part ${++last}` })
}

const spansIn = (exchange: Readonly<Exchange>, trace: TraceFacts, options: SpanOptions): SpanRecord[] => {
  const { ended, limit, cache, upstream } = exchange
  if (ended === undefined) return []
  const url = options.redactUrl(exchange.url)
  const spans = [ownSpan(exchange, trace, ended, url, options)]
  const part = (name: string, startMs: number, endMs: number | undefined, attributes: Attributes): void => {
    const facts = { name, startMs, endMs: endMs ?? Math.max(startMs, ended.at), attributes }
    spans.push(below(trace, options.spanId(), facts))
  }
  if (limit !== undefined) {
    part('rate limit', limit.startedAt, limit.endedAt, {
      'revproxy.rate_limited': !limit.allowed,
      'revproxy.rate_limit.limit': limit.limit,
      'revproxy.rate_limit.remaining': limit.remaining,
    })
  }
  if (cache?.lookupAt !== undefined) {
    part('cache get', cache.lookupAt, cache.lookedUpAt, {
      'revproxy.cache.status': cache.status,
      'revproxy.cache.reason': cache.reason,
    })
  }
  for (const [name, startMs, endMs] of waits(exchange, ended)) part(name, startMs, endMs, {})
  if (upstream !== undefined) {
    spans.push(clientSpan(exchange.method, trace, ended, upstream, url, options))
    if (upstream.serverTiming !== undefined) spans.push(...timingSpans(trace, upstream, options))
  }
  if (cache?.storeAt !== undefined) {
    const { storage } = cache
    const attributes: Attributes = storage === undefined ? {} : { 'revproxy.cache.storage': storage }
    part('cache set', cache.storeAt, cache.storedAt, attributes)
  }
  return spans
}

/** Waits shorter than that are the cost of asking, not waits. */
const SHORTEST_WAIT_MS = 0.1

/** Waits before the upstream of which only the length is known: they lie directly before it. */
const waits = (exchange: Readonly<Exchange>, ended: Ended): Array<[string, number, number]> => {
  const { queuedMs = 0, heldMs = 0, limit, upstream } = exchange
  const found: Array<[string, number, number]> = []
  const end = upstream?.startedAt ?? ended.at
  // In delay mode the limit's own span is the wait.
  const ms = queuedMs - (limit === undefined ? 0 : limit.endedAt - limit.startedAt)
  const queueAt = ms >= SHORTEST_WAIT_MS ? end - ms : end
  if (heldMs >= SHORTEST_WAIT_MS) found.push(['hold', queueAt - heldMs, queueAt])
  if (queueAt < end) found.push(['queue', queueAt, end])
  return found
}

/**
 * The upstream's own `Server-Timing` as spans below ours. It says how long things took, not when: they are put one
 * after the other from the start of the wait, or each at its start where they cannot have been so.
 */
const timingSpans = (trace: TraceFacts, upstream: UpstreamFacts, { spanId }: SpanOptions): SpanRecord[] => {
  const from = upstream.sentAt ?? upstream.startedAt
  const end = upstream.headAt ?? upstream.endedAt ?? from
  const metrics = readServerTiming(upstream.serverTiming ?? '')
  const whole = metrics.reduce((sum, { durationMs = 0 }) => sum + durationMs, 0)
  let at = from
  return metrics.map(({ name, durationMs = 0, description }) => {
    const attributes: Record<string, AttributeValue> = { 'revproxy.source': 'server-timing' }
    if (description !== undefined) attributes['revproxy.server_timing.description'] = description
    const startMs = at
    if (whole <= end - from) at += durationMs
    return below(trace, spanId(), {
      name,
      parentSpanId: trace.upstreamSpanId,
      startMs,
      endMs: Math.min(startMs + durationMs, Math.max(end, startMs)),
      attributes,
    })
  })
}

type Ended = NonNullable<Exchange['ended']>

/** A part of the exchange's own span. */
const below = (
  trace: TraceFacts,
  spanId: string,
  facts: Pick<SpanRecord, 'name' | 'startMs' | 'endMs' | 'attributes'> &
    Partial<Pick<SpanRecord, 'parentSpanId' | 'kind' | 'status' | 'statusMessage' | 'events'>>,
): SpanRecord => ({
  traceId: trace.traceId,
  spanId,
  parentSpanId: facts.parentSpanId ?? trace.spanId,
  remoteParent: false,
  name: facts.name,
  kind: facts.kind ?? 'internal',
  startMs: facts.startMs,
  endMs: Math.max(facts.startMs, facts.endMs),
  attributes: facts.attributes,
  status: facts.status ?? 'unset',
  statusMessage: facts.statusMessage,
  events: facts.events ?? [],
  sampled: trace.sampled,
  traceState: trace.traceState,
})

const ownSpan = (
  exchange: Readonly<Exchange>,
  trace: TraceFacts,
  ended: Ended,
  url: string,
  options: SpanOptions,
): SpanRecord => {
  const route = options.route(exchange)
  const fromClient = exchange.cause === 'client'
  const attributes = withMethod(exchange.method)
  attributes['http.route'] = route
  addUrl(attributes, url)
  attributes['url.scheme'] = exchange.scheme
  addServer(attributes, exchange.host, exchange.scheme === 'https' ? 443 : 80)
  if (fromClient) addClient(attributes, exchange, options.redactUrl)
  if (ended.status !== 0) attributes['http.response.status_code'] = ended.status
  if (exchange.requestBytes > 0) attributes['http.request.body.size'] = exchange.requestBytes
  attributes['http.response.body.size'] = ended.bytes
  if (ended.error !== undefined) attributes['error.type'] = ended.error
  else if (ended.status >= 500) attributes['error.type'] = String(ended.status)
  addOurs(attributes, exchange)
  return {
    traceId: trace.traceId,
    spanId: trace.spanId,
    parentSpanId: trace.parentSpanId,
    remoteParent: fromClient && trace.parentSpanId !== undefined,
    name: `${fromClient ? '' : 'refresh '}${nameOf(exchange.method)} ${route}`,
    kind: fromClient ? 'server' : 'internal',
    startMs: exchange.startedAt,
    endMs: Math.max(exchange.startedAt, ended.at),
    attributes,
    // HTTP spans, "Status": for a server only 5xx is its own failure.
    status: ended.status >= 500 ? 'error' : 'unset',
    statusMessage: ended.status >= 500 ? ended.errorMessage : undefined,
    events: exceptionOf(ended.at, ended.error, ended.errorMessage),
    sampled: trace.sampled,
    traceState: trace.traceState,
  }
}

const clientSpan = (
  method: string,
  trace: TraceFacts,
  ended: Ended,
  upstream: UpstreamFacts,
  url: string,
  { upstreamUrl }: SpanOptions,
): SpanRecord => {
  const { status } = upstream
  const attributes = withMethod(method)
  if (upstreamUrl !== undefined) attributes['url.full'] = upstreamUrl + (url === '*' ? '' : url)
  addServer(attributes, upstream.address, undefined)
  if (status !== undefined) attributes['http.response.status_code'] = status
  if (upstream.sentBytes > 0) attributes['http.request.body.size'] = upstream.sentBytes
  attributes['http.response.body.size'] = upstream.receivedBytes
  const failed = isUpstreamFailure(ended, upstream)
  // What the upstream failed with may be other than what the client got: a stale answer, or that it had left.
  const error = upstream.error ?? ended.error
  const message = error === ended.error ? ended.errorMessage : undefined
  if (failed) attributes['error.type'] = error ?? '_OTHER'
  else if (status !== undefined && status >= 400) attributes['error.type'] = String(status)
  const events: SpanEvent[] = []
  if (upstream.sentAt !== undefined)
    events.push({ name: 'request sent', atMs: upstream.sentAt, attributes: {} })
  if (upstream.headAt !== undefined)
    events.push({ name: 'response head', atMs: upstream.headAt, attributes: {} })
  if (failed) events.push(...exceptionOf(upstream.endedAt ?? ended.at, error, message))
  return below(trace, trace.upstreamSpanId, {
    name: nameOf(method),
    kind: 'client',
    startMs: upstream.startedAt,
    endMs: upstream.endedAt ?? ended.at,
    attributes,
    // HTTP spans, "Status": a client's span fails with 4xx, too.
    status: attributes['error.type'] === undefined ? 'unset' : 'error',
    statusMessage: failed ? message : undefined,
    events,
  })
}

/** An error belongs to the upstream request when it says so, or when no answer came whatever the reason. */
const isUpstreamFailure = (ended: Ended, upstream: UpstreamFacts): boolean =>
  upstream.error !== undefined ||
  upstream.status === undefined ||
  (ended.error !== undefined && isOfUpstream(ended.error))
