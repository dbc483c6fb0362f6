/** Field lines of HTTP/2 (RFC 9113 §8.2, §8.3) from and to those that the rest of the proxy knows. */
import type { OutgoingHttpHeaders } from 'node:http'
import type { Fields } from '../core/types.ts'
import { isConnectionLevel } from './fields.ts'

/** A request's head. */
export interface Http2Head {
  readonly method: string
  readonly path: string
  /** `Host` first, made of `:authority`; cookies in one line. */
  readonly fields: Fields
  /** `:authority` and `Host` name different hosts (RFC 9113 §8.3.1). */
  readonly twoHosts: boolean
}

/** Reads the field lines of a request as node gives them, pseudo fields first. */
export const readHead = (raw: readonly string[]): Http2Head => {
  let method = ''
  let path = ''
  let authority: string | undefined
  let cookies: string | undefined
  let twoHosts = false
  const rest: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i]!
    const value = raw[i + 1]!
    if (name === ':method') method = value
    else if (name === ':path') path = value
    else if (name === ':authority') authority = value
    else if (name === 'host' && authority !== undefined)
      twoHosts ||= value.toLowerCase() !== authority.toLowerCase()
    // RFC 9113 §8.2.3: split for compression only.
    else if (name === 'cookie') cookies = cookies === undefined ? value : `${cookies}; ${value}`
    else if (!name.startsWith(':')) rest.push(name, value)
  }
  const fields = authority === undefined ? rest : ['host', authority, ...rest]
  if (cookies !== undefined) fields.push('cookie', cookies)
  return { method, path, fields, twoHosts }
}

/** Names of which node takes one line only; of more the first counts, as most readers have it. */
const single: ReadonlySet<string> = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'access-control-request-method',
  'age',
  'authorization',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'dnt',
  'etag',
  'expires',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-modified',
  'location',
  'max-forwards',
  'proxy-authorization',
  'range',
  'referer',
  'retry-after',
  'tk',
  'upgrade-insecure-requests',
  'user-agent',
  'x-content-type-options',
])

/**
 * Field lines as node's HTTP/2 takes them: lower-case, one property a name with a list for repeated ones, and without
 * connection-level ones, which would make the message malformed (RFC 9113 §8.2.2).
 */
export const toHttp2 = (fields: Fields): OutgoingHttpHeaders => {
  const headers: OutgoingHttpHeaders = Object.create(null)
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!.toLowerCase()
    if (isConnectionLevel(name)) continue
    const value = fields[i + 1]!
    const before = headers[name]
    if (before === undefined) headers[name] = value
    else if (single.has(name)) continue
    else if (Array.isArray(before)) before.push(value)
    else headers[name] = [before as string, value]
  }
  return headers
}
