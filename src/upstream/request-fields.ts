/** The field lines that the upstream gets for a request. */
import type { Fields, ProxyRequest } from '../core/types.ts'
import { asVariable, editFields, endToEnd, isConnectionLevel, nominated } from '../http/fields.ts'
import { forwardingFields } from '../http/forwarded.ts'

/** What decides over the outgoing field lines. */
export interface RequestFieldOptions {
  /** `target`, `client`, or the host to send. */
  readonly hostHeader: string
  /** The target's `host[:port]`. */
  readonly targetAuthority: string
  readonly edits: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>
}

/** Written anew; the others of that name are a trusted proxy's to say. */
const replaced: ReadonlySet<string> = new Set(['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'])

const hostFor = ({ hostHeader, targetAuthority }: RequestFieldOptions, clients: string): string => {
  if (hostHeader === 'target') return targetAuthority
  if (hostHeader !== 'client') return hostHeader
  return clients === '' ? targetAuthority : clients
}

/**
 * The request's fields without connection-level ones and without what a client may have forged about itself; with
 * Host, Via and the forwarding fields (ours alone, or added to those of a trusted proxy), then the user's edits. Trace
 * fields are left as they are.
 */
export const requestFields = (req: ProxyRequest, options: RequestFieldOptions): Fields => {
  const { exchange } = req
  const named = nominated(req.headers)
  const out: string[] = ['Host', hostFor(options, exchange.host)]
  let via: string | undefined
  const { headers } = req
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    const read = asVariable(name)
    const value = headers[i + 1]!
    switch (read) {
      case 'host':
      case 'forwarded':
      case 'x-real-ip':
      case 'expect': // answered by the edge (RFC 9110 §10.1.1)
        continue
      case 'via':
        via = via === undefined ? value : `${via}, ${value}`
        continue
    }
    if (read.startsWith('x-forwarded-') && (exchange.forwardedBy === undefined || replaced.has(read)))
      continue
    if (isConnectionLevel(name) || named?.has(name) === true) continue
    out.push(headers[i]!, value)
  }
  const ours = `${exchange.httpVersion} revproxy`
  out.push(
    'Via', // RFC 9110 §7.6.3
    via === undefined ? ours : `${via}, ${ours}`,
    ...forwardingFields(headers, exchange),
  )
  return editFields(out, options.edits)
}

/** What a trailer must not say (RFC 9110 §6.5.1): servers that merge trailers into the head would believe it. */
const notInTrailers: ReadonlySet<string> = new Set([
  'host',
  'forwarded',
  'via',
  'x-real-ip',
  'authorization',
  'cookie',
  'cache-control',
  'pragma',
  'expect',
  'max-forwards',
  'range',
  'origin',
  'referer',
])
const KINDS_NOT_IN_TRAILERS = /^(?:x-forwarded-|content-|if-|sec-|proxy-|access-control-)/

/** The trailers of a request that the upstream gets. */
export const requestTrailers = (trailers: Fields): Fields => {
  if (trailers.length === 0) return trailers
  const fields = endToEnd(trailers)
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase()
    if (!notInTrailers.has(name) && !KINDS_NOT_IN_TRAILERS.test(name)) kept.push(fields[i]!, fields[i + 1]!)
  }
  return kept
}

/** The path and query to ask the upstream for: the target's own in front. */
export const upstreamPath = (url: string, basePath: string, baseQuery: string): string => {
  if (basePath === '' && baseQuery === '') return url
  if (baseQuery === '') return basePath + url
  return basePath + url + (url.includes('?') ? '&' : '?') + baseQuery
}
