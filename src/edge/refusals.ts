/** Answers of the edge itself, for requests that get none from the chain. */
import { STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { type ErrorCode, ProxyError } from '../core/errors.ts'
import type { Fields, ProxyResponse } from '../core/types.ts'

/** How long a client may go on sending after its answer, before the connection is closed under it. */
export const LINGER_MS = 3000

const errorTypes: Partial<Record<ErrorCode, string>> = {
  'upstream-refused': 'connection_refused',
  'upstream-unresolved': 'dns_error',
  'upstream-unreachable': 'destination_ip_unroutable',
  'upstream-reset': 'connection_terminated',
  'upstream-tls': 'tls_protocol_error',
  'upstream-protocol': 'http_protocol_error',
  'upstream-timeout': 'http_response_timeout',
  'connect-timeout': 'connection_timeout',
  'bad-request': 'http_request_error',
  'body-too-large': 'http_request_error',
  internal: 'proxy_internal_error',
}

/** What this proxy ran into, for clients that read it (RFC 9209 §2.1.1). */
const proxyStatus = ({ code }: ProxyError): string => {
  const type = errorTypes[code]
  return type === undefined ? 'revproxy' : `revproxy; error=${type}`
}

/** The error for a fault of ours; what it was is for the log, not for the client. */
export const internalError = (cause: unknown): ProxyError =>
  new ProxyError(500, 'internal', 'something went wrong in the proxy itself; its log has the details.', {
    cause,
  })

/** The one place where an error becomes an answer; `extra` are field lines beside those of the error. */
export const errorResponse = (
  error: ProxyError,
  extra: Fields = [],
): ProxyResponse & { readonly body: Buffer } => {
  const body = Buffer.from(`revproxy: ${error.message}\n`)
  return {
    status: error.status,
    headers: [
      'Content-Type',
      'text/plain; charset=utf-8',
      'Cache-Control',
      'no-store',
      'Proxy-Status',
      proxyStatus(error),
      'Content-Length',
      String(body.length),
      ...(error.fields ?? []),
      ...extra,
    ],
    body,
  }
}

/**
 * Closes a connection after what is being written on it: to close it with bytes of the client unread would reset it,
 * and the client could lose its answer (RFC 9112 §9.6).
 */
export const closeGently = (socket: Duplex): void => {
  socket.end()
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
  socket.once('end', () => socket.destroy())
  socket.once('close', () => clearTimeout(timer))
}

/** Writes an error's answer on a socket that has no ServerResponse, and closes it. Gives the bytes of the body. */
export const answerRaw = (socket: Duplex, error: ProxyError, extra?: Fields): number => {
  if (!socket.writable) {
    socket.destroy()
    return 0
  }
  const { status, headers, body } = errorResponse(error, extra)
  socket.write(rawHead(status, headers, ['Connection', 'close']), 'latin1')
  socket.write(body)
  closeGently(socket)
  return body.length
}

const rawHead = (status: number, ...lists: readonly Fields[]): string => {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`
  for (const fields of lists)
    for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  return `${head}\r\n`
}

/** An interim answer (RFC 9110 §15.2) as it goes on the wire. */
export const interimHead = (status: number, fields: Fields): string => rawHead(status, fields)
