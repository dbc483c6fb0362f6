/** The field lines that the upstream gets for a request. */
import type { Fields, ProxyRequest } from '../core/types.ts'
import { editFields, isConnectionLevel, nominated } from '../http/fields.ts'

/** What decides over the outgoing field lines. */
export interface RequestFieldOptions {
  /** `target`, `client`, or the host to send. */
  readonly hostHeader: string
  /** The target's `host[:port]`. */
  readonly targetAuthority: string
  readonly edits: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>
}

/** `Forwarded` wants IPv6 in brackets and quotes (RFC 7239 §6). */
const forwardedNode = (address: string): string => (address.includes(':') ? `"[${address}]"` : address)
const forwardedHost = (host: string): string =>
  /^[\w.-]+$/.test(host) ? host : `"${host.replace(/["\\]/g, '\\$&')}"`

const hostFor = ({ hostHeader, targetAuthority }: RequestFieldOptions, clients: string): string => {
  if (hostHeader === 'target') return targetAuthority
  if (hostHeader !== 'client') return hostHeader
  return clients === '' ? targetAuthority : clients
}

/**
 * The request's fields without connection-level ones and without what a client may have forged about itself; with
 * Host, Via and the forwarding fields of ours, then the user's edits. Trace fields are left as they are.
 */
export const requestFields = (req: ProxyRequest, options: RequestFieldOptions): Fields => {
  const { exchange } = req
  const named = nominated(req.headers)
  const out: string[] = ['Host', hostFor(options, exchange.host)]
  let via: string | undefined
  const { headers } = req
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    const value = headers[i + 1]!
    switch (name) {
      case 'host':
      case 'forwarded':
      case 'x-real-ip':
      case 'expect': // answered by the edge (RFC 9110 §10.1.1)
        continue
      case 'via':
        via = via === undefined ? value : `${via}, ${value}`
        continue
    }
    if (name.startsWith('x-forwarded-')) continue
    if (isConnectionLevel(name) || named?.has(name) === true) continue
    out.push(headers[i]!, value)
  }
  const { clientAddress, host, scheme } = exchange
  const ours = `${exchange.httpVersion} revproxy`
  out.push(
    'Via', // RFC 9110 §7.6.3
    via === undefined ? ours : `${via}, ${ours}`,
    'X-Forwarded-For',
    clientAddress,
    'X-Forwarded-Proto',
    scheme,
  )
  // HTTP/1.0 need not name a host.
  if (host !== '') out.push('X-Forwarded-Host', host)
  out.push(
    'X-Real-IP',
    clientAddress,
    'Forwarded', // RFC 7239 §4
    host === ''
      ? `for=${forwardedNode(clientAddress)};proto=${scheme}`
      : `for=${forwardedNode(clientAddress)};host=${forwardedHost(host)};proto=${scheme}`,
  )
  return editFields(out, options.edits)
}

/** The path and query to ask the upstream for: the target's own in front. */
export const upstreamPath = (url: string, basePath: string, baseQuery: string): string => {
  if (basePath === '' && baseQuery === '') return url
  if (baseQuery === '') return basePath + url
  return basePath + url + (url.includes('?') ? '&' : '?') + baseQuery
}
