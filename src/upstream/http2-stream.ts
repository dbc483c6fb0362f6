/**
 * One request on an HTTP/2 connection to the upstream, told to an attempt as undici tells its own.
 *
 * - Whole is what ended with END_STREAM. node also ends a stream in an orderly way that was reset with NO_ERROR or
 *   CANCEL, or whose connection was lost: that is told as an error.
 * - The upload is piped; when it fails, the stream is reset and the upstream never takes the part for the whole.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2'
import type { Readable } from 'node:stream'
import type { Fields, RequestBody } from '../core/types.ts'
import { toHttp2 } from '../http/http2-fields.ts'
import type { Attempt } from './attempt.ts'
import { http2Codes } from './errors.ts'

/** What is to be sent. */
export interface Http2Request {
  readonly method: string
  readonly path: string
  /** `Host` among them. */
  readonly headers: Fields
  readonly body: RequestBody | null
  /** The client wants trailers (`te: trailers`, RFC 9110 §10.1.4), which gRPC insists upon. */
  readonly acceptsTrailers: boolean
}

const codeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(constants).flatMap(
    ([name, value]): Array<[number, string]> =>
      /^NGHTTP2_(?:NO_ERROR|[A-Z]+_ERROR|SETTINGS_TIMEOUT|STREAM_CLOSED|REFUSED_STREAM|CANCEL|ENHANCE_YOUR_CALM|INADEQUATE_SECURITY|HTTP_1_1_REQUIRED)$/.test(
        name,
      ) && typeof value === 'number'
        ? [[value, name.slice('NGHTTP2_'.length)]]
        : [],
  ),
)

/** Why a stream ended before its answer was whole. */
const errorOf = (rstCode: number): Error => {
  if (rstCode === constants.NGHTTP2_REFUSED_STREAM)
    return Object.assign(new Error('REFUSED_STREAM'), { code: http2Codes.unprocessed })
  if (rstCode === constants.NGHTTP2_HTTP_1_1_REQUIRED)
    return Object.assign(new Error('HTTP_1_1_REQUIRED'), { code: http2Codes.http1Required })
  const name = codeNames.get(rstCode) ?? `error ${rstCode}`
  return Object.assign(new Error(name), { code: http2Codes.reset })
}

/** The same where the whole connection is gone: by what was no HTTP/2, by a GOAWAY with an error, or just so. */
const lostBy = (cause: Error | undefined): Error => {
  const { code = '', message = '' } = (cause ?? {}) as NodeJS.ErrnoException
  if (code === 'ERR_HTTP2_ERROR')
    return Object.assign(new Error('PROTOCOL_ERROR', { cause }), { code: http2Codes.reset })
  if (code === 'ERR_HTTP2_SESSION_ERROR') return Object.assign(new Error(message), { code: http2Codes.reset })
  return cause ?? Object.assign(new Error('other side closed'), { code: 'ECONNRESET' })
}

const withoutPseudo = (raw: readonly string[]): string[] => {
  const fields: string[] = []
  for (let i = 0; i < raw.length; i += 2) if (!raw[i]!.startsWith(':')) fields.push(raw[i]!, raw[i + 1]!)
  return fields
}

/** Where it is sent. */
export interface Http2Way {
  readonly session: ClientHttp2Session
  readonly scheme: string
  /** Why the session was lost, once it is. */
  readonly lost: () => Error | undefined
}

/** Sends a request on a session. `closed` is called once nothing of it is left there. Throws where node refuses a field. */
export const sendOn = (
  { lost, scheme, session }: Http2Way,
  request: Http2Request,
  attempt: Attempt,
  closed: (abandoned: Error | undefined) => void,
): void => {
  const { acceptsTrailers, body, method, path } = request
  const { host, ...headers } = toHttp2(request.headers)
  if (acceptsTrailers) headers.te = 'trailers'
  let over = false
  let abandoned: Error | undefined
  let stream: ClientHttp2Stream | undefined
  attempt.onConnect((error) => {
    abandoned = error ?? new Error('abandoned')
    over = true
    body?.unpipe()
    stream?.close(constants.NGHTTP2_CANCEL)
  })
  if (over) {
    closed(undefined)
    return
  }
  stream = session.request(
    { ...headers, ':method': method, ':path': path, ':scheme': scheme, ':authority': host as string },
    { endStream: body === null },
  )
  const fail = (error: Error): void => {
    if (over) return
    over = true
    attempt.onError(error)
  }
  const complete = (trailers: string[] | null): void => {
    if (over) return
    over = true
    attempt.onComplete(trailers)
  }
  listen(stream, attempt, complete)
  stream.on('close', () => {
    // A stream that was refused says so, whatever became of the connection afterwards.
    const refused = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM
    fail(session.destroyed && !refused ? lostBy(lost()) : errorOf(stream.rstCode))
    body?.unpipe()
    closed(abandoned)
  })
  if (body === null) attempt.onRequestSent()
  else upload(body, stream, attempt, fail)
}

const listen = (
  stream: ClientHttp2Stream,
  attempt: Attempt,
  complete: (trailers: string[] | null) => void,
): void => {
  let whole = false
  let trailers: string[] | null = null
  const { push } = stream
  stream.push = (chunk, encoding): boolean => {
    // What came before the stream is closed is END_STREAM; null behind that is node's.
    if (chunk === null && !stream.closed) whole = true
    return push.call(stream, chunk, encoding)
  }
  stream.on('error', () => {
    // `close` follows, and has the code.
  })
  stream.on('headers', (headers, _flags, raw?: string[]) => {
    attempt.onResponseStarted()
    const status = Number(headers[':status'])
    if (status !== 100) attempt.onHeaders(status, withoutPseudo(raw ?? []), () => {})
  })
  stream.on('response', (headers, flags, raw?: string[]) => {
    attempt.onResponseStarted()
    attempt.onHeaders(Number(headers[':status']), withoutPseudo(raw ?? []), () => stream.resume())
    // At once: an answer of nothing but a head stays one (gRPC: Trailers-Only).
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) complete(null)
  })
  stream.on('trailers', (_headers, _flags, raw?: string[]) => {
    trailers = withoutPseudo(raw ?? [])
  })
  stream.on('data', (chunk: Buffer) => {
    if (!attempt.onData(chunk)) stream.pause()
  })
  stream.on('end', () => {
    if (whole) complete(trailers)
  })
}

const upload = (
  body: Readable,
  stream: ClientHttp2Stream,
  attempt: Attempt,
  fail: (error: Error) => void,
): void => {
  body.on('data', (chunk: Buffer) => attempt.onBodySent(chunk))
  body.on('end', () => attempt.onRequestSent())
  const broken = (error: Error | null | undefined): void => {
    if (stream.closed || body.readableEnded) return
    fail(error ?? new Error('the upload broke off'))
    stream.close(constants.NGHTTP2_CANCEL)
  }
  body.on('error', broken)
  body.on('close', () => broken(body.errored))
  if (body.destroyed && !body.readableEnded) broken(body.errored)
  else body.pipe(stream)
}
