/**
 * Spans as a projection of a finished exchange: every time and fact stands on it already, so nothing is measured
 * or kept while the request runs. Attribute names are those of the OpenTelemetry semantic conventions for HTTP
 * (stable since 1.23), and `revproxy.*` for what only we know.
 */
import type { Exchange, TraceFacts, UpstreamFacts } from '../core/exchange.ts'
import { firstValue } from '../http/fields.ts'

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
export const spansOf = (exchange: Readonly<Exchange>, options: SpanOptions): SpanRecord[] => {
  const { trace, ended, limit, cache, upstream } = exchange
  if (trace === undefined || ended === undefined) return []
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
  if (upstream !== undefined) spans.push(clientSpan(exchange.method, trace, ended, upstream, url, options))
  if (cache?.storeAt !== undefined) {
    const { storage } = cache
    const attributes: Attributes = storage === undefined ? {} : { 'revproxy.cache.storage': storage }
    part('cache set', cache.storeAt, cache.storedAt, attributes)
  }
  return spans
}

type Ended = NonNullable<Exchange['ended']>

/** HTTP spans, `http.request.method`: what is not known becomes `_OTHER`, so that the variety is bounded. */
const knownMethods: ReadonlySet<string> = new Set([
  'CONNECT',
  'DELETE',
  'GET',
  'HEAD',
  'OPTIONS',
  'PATCH',
  'POST',
  'PUT',
  'QUERY',
  'TRACE',
])

/** `HTTP` in names where the method is not known. */
const nameOf = (method: string): string => (knownMethods.has(method) ? method : 'HTTP')

// Objects are written out and filled, never spread and then filled: that costs 5 to 10 µs each in V8.
const withMethod = (method: string): Record<string, AttributeValue> =>
  knownMethods.has(method)
    ? { 'http.request.method': method }
    : { 'http.request.method': '_OTHER', 'http.request.method_original': method }

/** A part of the exchange's own span. */
const below = (
  trace: TraceFacts,
  spanId: string,
  facts: Pick<SpanRecord, 'name' | 'startMs' | 'endMs' | 'attributes'> &
    Partial<Pick<SpanRecord, 'kind' | 'status' | 'statusMessage' | 'events'>>,
): SpanRecord => ({
  traceId: trace.traceId,
  spanId,
  parentSpanId: trace.spanId,
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
  if (fromClient) addClient(attributes, exchange)
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
    events: exceptionOf(ended),
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
  if (failed) attributes['error.type'] = ended.error ?? '_OTHER'
  else if (status !== undefined && status >= 400) attributes['error.type'] = String(status)
  const events: SpanEvent[] = []
  if (upstream.sentAt !== undefined)
    events.push({ name: 'request sent', atMs: upstream.sentAt, attributes: {} })
  if (upstream.headAt !== undefined)
    events.push({ name: 'response head', atMs: upstream.headAt, attributes: {} })
  if (failed) events.push(...exceptionOf(ended))
  return below(trace, trace.upstreamSpanId, {
    name: nameOf(method),
    kind: 'client',
    startMs: upstream.startedAt,
    endMs: upstream.endedAt ?? ended.at,
    attributes,
    // HTTP spans, "Status": a client's span fails with 4xx, too.
    status: attributes['error.type'] === undefined ? 'unset' : 'error',
    statusMessage: failed ? ended.errorMessage : undefined,
    events,
  })
}

/** An error belongs to the upstream request when it says so, or when no answer came whatever the reason. */
const isUpstreamFailure = (ended: Ended, upstream: UpstreamFacts): boolean =>
  upstream.status === undefined ||
  ended.error?.startsWith('upstream-') === true ||
  ended.error === 'connect-timeout'

/** Exceptions on spans: an event named `exception` with type and message. */
const exceptionOf = ({ at, error, errorMessage }: Ended): readonly SpanEvent[] => {
  if (error === undefined) return []
  const attributes: Record<string, AttributeValue> = { 'exception.type': error }
  if (errorMessage !== undefined) attributes['exception.message'] = errorMessage
  return [{ name: 'exception', atMs: at, attributes }]
}

const addUrl = (attributes: Record<string, AttributeValue>, url: string): void => {
  const queryAt = url.indexOf('?')
  attributes['url.path'] = queryAt === -1 ? url : url.slice(0, queryAt)
  if (queryAt !== -1 && queryAt < url.length - 1) attributes['url.query'] = url.slice(queryAt + 1)
}

/** `server.address` and `server.port` of `host`, `host:port`, `[v6]:port` or the path of a socket (which has no port). */
const addServer = (
  attributes: Record<string, AttributeValue>,
  address: string,
  defaultPort: number | undefined,
): void => {
  const match = /^(?:\[([^\]]+)\]|([^:/]+))(?::(\d{1,5}))?$/.exec(address)
  const host = match?.[1] ?? match?.[2] ?? address
  if (host === '') return
  attributes['server.address'] = host
  const port = match === null ? undefined : match[3] === undefined ? defaultPort : Number(match[3])
  if (port !== undefined) attributes['server.port'] = port
}

const addClient = (attributes: Record<string, AttributeValue>, exchange: Readonly<Exchange>): void => {
  attributes['client.address'] = exchange.clientAddress
  attributes['network.protocol.version'] = exchange.httpVersion
  const agent = firstValue(exchange.requestHeaders, 'user-agent')
  if (agent !== undefined) attributes['user_agent.original'] = agent
}

/** What only we know, in the one vocabulary. */
const addOurs = (attributes: Record<string, AttributeValue>, exchange: Readonly<Exchange>): void => {
  const { cache, limit } = exchange
  attributes['revproxy.exchange'] = exchange.id
  if (limit !== undefined) attributes['revproxy.rate_limited'] = !limit.allowed
  if (exchange.queuedMs !== undefined) attributes['revproxy.queued_ms'] = exchange.queuedMs
  if (exchange.upgraded !== undefined) attributes['revproxy.upgraded'] = exchange.upgraded
  if (cache === undefined) return
  attributes['revproxy.cache.status'] = cache.status
  attributes['revproxy.cache.reason'] = cache.reason
  if (cache.detail !== undefined) attributes['revproxy.cache.detail'] = cache.detail
  if (cache.storage !== undefined) attributes['revproxy.cache.storage'] = cache.storage
  if (cache.ageSeconds !== undefined) attributes['revproxy.cache.age_seconds'] = cache.ageSeconds
  if (cache.leader !== undefined) attributes['revproxy.cache.leader'] = cache.leader
}
