/** What to answer to bytes that node's parser could not read as HTTP/1. */
import { ProxyError } from '../core/errors.ts'

/** Largest head of a request; beyond it 431. */
export const MAX_HEAD_BYTES = 64 * 1024

/** The code of the cause when a client began with TLS. */
const TLS_HELLO = 'TLS_HELLO'

type ParserError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer }

/** A TLS record that begins a handshake (RFC 8446 §5.1). */
const isTlsHello = (bytes: Buffer | undefined): boolean => bytes?.[0] === 0x16 && bytes[1] === 0x03

/** The refusal, its cause an error with the parser's `code` (or TLS_HELLO); undefined when it was the connection that failed. */
export const malformed = (cause: ParserError): ProxyError | undefined => {
  const { code = '', message } = cause
  const refusal = (status: number, text: string) => new ProxyError(status, 'bad-request', text, { cause })
  if (code === 'HPE_HEADER_OVERFLOW')
    return refusal(431, `the head of this request is larger than ${MAX_HEAD_BYTES / 1024} kB.`)
  if (code === 'HPE_CHUNK_EXTENSIONS_OVERFLOW')
    return refusal(413, 'the chunk extensions of this body are too large.')
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return refusal(408, 'the head of this request did not come in time (--head-timeout).')
  if (isTlsHello(cause.rawPacket))
    return new ProxyError(
      400,
      'bad-request',
      'this port speaks plain HTTP, not TLS: use http: rather than https:.',
      { cause: Object.assign(new Error('a TLS hello'), { code: TLS_HELLO }) },
    )
  return code.startsWith('HPE_') ? refusal(400, `this is not valid HTTP (${message}).`) : undefined
}
