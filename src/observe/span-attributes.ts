/** Attributes of spans, by the names of OpenTelemetry's semantic conventions for HTTP. */
import type { Exchange } from '../core/exchange.ts'
import { firstValue } from '../http/fields.ts'
import type { AttributeValue, SpanEvent } from './spans.ts'

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
export const nameOf = (method: string): string => (knownMethods.has(method) ? method : 'HTTP')

// Objects are written out and filled, never spread and then filled: that costs 5 to 10 µs each in V8.
/** Attributes to fill, begun with the method. */
export const withMethod = (method: string): Record<string, AttributeValue> =>
  knownMethods.has(method)
    ? { 'http.request.method': method }
    : { 'http.request.method': '_OTHER', 'http.request.method_original': method }

/** Exceptions on spans: an event named `exception` with type and message. */
export const exceptionOf = (
  atMs: number,
  error: string | undefined,
  message: string | undefined,
): readonly SpanEvent[] => {
  if (error === undefined) return []
  const attributes: Record<string, AttributeValue> = { 'exception.type': error }
  if (message !== undefined) attributes['exception.message'] = message
  return [{ name: 'exception', atMs, attributes }]
}

/** `url.path` and `url.query`. */
export const addUrl = (attributes: Record<string, AttributeValue>, url: string): void => {
  const queryAt = url.indexOf('?')
  attributes['url.path'] = queryAt === -1 ? url : url.slice(0, queryAt)
  if (queryAt !== -1 && queryAt < url.length - 1) attributes['url.query'] = url.slice(queryAt + 1)
}

/** `server.address` and `server.port` of `host`, `host:port`, `[v6]:port` or the path of a socket (which has no port). */
export const addServer = (
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

/** Who asked; `redact` takes secrets out of a text with URLs in it. */
export const addClient = (
  attributes: Record<string, AttributeValue>,
  exchange: Readonly<Exchange>,
  redact: (text: string) => string,
): void => {
  attributes['client.address'] = exchange.clientAddress
  attributes['network.protocol.version'] = exchange.httpVersion
  const agent = firstValue(exchange.requestHeaders, 'user-agent')
  if (agent !== undefined) attributes['user_agent.original'] = redact(agent)
}

/** What only we know, in the one vocabulary. */
export const addOurs = (attributes: Record<string, AttributeValue>, exchange: Readonly<Exchange>): void => {
  const { cache, limit } = exchange
  attributes['revproxy.exchange'] = exchange.id
  if (limit !== undefined) attributes['revproxy.rate_limited'] = !limit.allowed
  if (exchange.queuedMs !== undefined) attributes['revproxy.queued_ms'] = exchange.queuedMs
  if (exchange.heldMs !== undefined) attributes['revproxy.held_ms'] = exchange.heldMs
  if (exchange.upgraded !== undefined) attributes['revproxy.upgraded'] = exchange.upgraded
  if (cache === undefined) return
  attributes['revproxy.cache.status'] = cache.status
  attributes['revproxy.cache.reason'] = cache.reason
  if (cache.detail !== undefined) attributes['revproxy.cache.detail'] = cache.detail
  if (cache.storage !== undefined) attributes['revproxy.cache.storage'] = cache.storage
  if (cache.ageSeconds !== undefined) attributes['revproxy.cache.age_seconds'] = cache.ageSeconds
  if (cache.leader !== undefined) attributes['revproxy.cache.leader'] = cache.leader
}
