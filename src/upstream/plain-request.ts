/** Requests that we write ourselves; what cannot be written plainly is left to undici, and to its errors. */
import type { RequestBody } from '../core/types.ts'
import { isPlainValue, NameKinds } from '../http/plain-lines.ts'
import type { UpstreamRequest } from './transport.ts'

/** A request, ready to be written. */
export interface PlainRequest {
  /** What it was made of. */
  readonly asked: UpstreamRequest
  /** Up to and with the empty line. */
  readonly head: string
  readonly body: RequestBody | null
  /** Bytes of the body; undefined where it goes in chunks. */
  readonly length: number | undefined
}

/** What undici has its own rules or refusals for is `not-here`. */
const kinds = new NameKinds({
  host: 'host',
  'content-length': 'length',
  'transfer-encoding': 'not-here',
  connection: 'not-here',
  'keep-alive': 'not-here',
  'proxy-connection': 'not-here',
  upgrade: 'not-here',
  expect: 'not-here',
})

/** Methods for which a body is common (RFC 9110 §9.3); behind others it is left to undici, which keeps no connection then. */
const hasContent = (method: string): boolean => method === 'POST' || method === 'PUT' || method === 'PATCH'
/**
 * Those that are often asked without one. Whatever goes to undici needs a connection beside ours, and an upstream that
 * takes one at a time would let it wait until ours ends. (undici closes behind HEAD, lest a body follows all the same.)
 */
const hasNone = (method: string): boolean => method === 'GET' || method === 'OPTIONS' || method === 'DELETE'

const PATH = /^\/[!-~\x80-\xff]*$/
const LENGTH = /^\d{1,15}$/

/** The request as we write it; undefined where it is for undici. */
export const plainRequest = (asked: UpstreamRequest): PlainRequest | undefined => {
  const { body, headers, method, path } = asked
  if (!(hasContent(method) || (body === null && hasNone(method))) || !PATH.test(path)) return undefined
  let host: string | undefined
  let length: number | undefined
  let lines = ''
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!
    const value = headers[i + 1]!
    if (!isPlainValue(value)) return undefined
    const { kind } = kinds.of(name)
    if (kind === 'plain') lines += `${name}: ${value}\r\n`
    else if (kind === 'host' && host === undefined) host = value
    else if (kind === 'length' && length === undefined && LENGTH.test(value)) length = Number(value)
    else return undefined
  }
  if (host === undefined) return undefined
  if (body === null && (length ?? 0) > 0) return undefined
  // RFC 9110 §8.6: without a body these methods say so.
  const framing = !hasContent(method)
    ? ''
    : body !== null && length === undefined
      ? 'transfer-encoding: chunked\r\n'
      : `content-length: ${length ?? 0}\r\n`
  const head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n${lines}${framing}\r\n`
  return { asked, head, body, length }
}
