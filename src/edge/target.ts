/** What a request is addressed to, or why it is refused (RFC 9112 §3.2). */
import type { IncomingMessage } from 'node:http'
import { ProxyError } from '../core/errors.ts'

/** Most field lines of a request. */
export const MAX_FIELD_LINES = 1000

/** Path and host, and the refusal where there is one. */
export interface RequestTarget {
  /** Path and query byte for byte, without what an absolute-form puts in front. */
  readonly url: string
  /** The `Host` the client addressed; empty where HTTP/1.0 names none. */
  readonly host: string
  readonly refusal?: ProxyError
}

/** RFC 9110 §7.2: uri-host [ ":" port ]. */
const HOST = /^(?:[\w.~!$&'()*+,;=%-]+|\[[\da-fA-F:.]+\])(?::\d{0,5})?$/

/** What of a request says where it is addressed to. */
export type Addressed = Pick<
  IncomingMessage,
  'method' | 'url' | 'rawHeaders' | 'httpVersionMajor' | 'httpVersionMinor'
>

/** Reads target and Host of a request, and whether it is one that can be forwarded. */
export const requestTarget = (message: Addressed): RequestTarget => {
  const { rawHeaders } = message
  const url = message.url!
  let host: string | undefined
  let hosts = 0
  let codings: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4 && name.toLowerCase() === 'host') {
      hosts++
      host = rawHeaders[i + 1]!
    } else if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') {
      codings = codings === undefined ? rawHeaders[i + 1]! : `${codings}, ${rawHeaders[i + 1]}`
    }
  }
  const refuse = (text: string, status = 400): RequestTarget => ({
    url,
    host: host ?? '',
    refusal: new ProxyError(status, 'bad-request', text),
  })
  if (message.httpVersionMajor !== 1) return refuse('only HTTP/1 is spoken on this connection.', 505)
  if (hosts > 1) return refuse('several Host fields (RFC 9112 §3.2).')
  if (host === undefined && message.httpVersionMinor > 0) return refuse('no Host field (RFC 9112 §3.2).')
  if (rawHeaders.length > MAX_FIELD_LINES * 2) return refuse(`more than ${MAX_FIELD_LINES} field lines.`, 431)
  if (host !== undefined && host !== '' && !HOST.test(host))
    return refuse('the Host field is not a host (RFC 9110 §7.2).')
  // RFC 9112 §6.1: what is coded otherwise would be passed on as if it were not.
  if (codings !== undefined && codings.toLowerCase() !== 'chunked')
    return refuse('the only transfer coding served is chunked.', 501)
  if (url.charCodeAt(0) === 47 /* / */) return { url, host: host ?? '' }
  if (url === '*')
    return message.method === 'OPTIONS'
      ? refuse('OPTIONS * asks about the proxy itself; name a path.', 501)
      : refuse('the target * is for OPTIONS.')
  // The host of an absolute-form wins over the field (RFC 9112 §3.2.2).
  const absolute = /^https?:\/\/([^/?#]+)([^#]*)$/i.exec(url)
  if (absolute === null || !HOST.test(absolute[1]!))
    return refuse('the request target is neither a path nor a URL (RFC 9112 §3.2).')
  const rest = absolute[2]!
  return { url: rest.startsWith('/') ? rest : `/${rest}`, host: absolute[1]! }
}
