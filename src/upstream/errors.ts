/** From what the transport reports to the one error the edge answers with. */
import { type ErrorCode, ProxyError } from '../core/errors.ts'

/** Largest head of an upstream's answer. */
export const MAX_HEAD_KB = 64

/** What the sentences name. */
export interface UpstreamErrorFacts {
  /** As the user wrote the target. */
  readonly target: string
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
}

type Cause = NodeJS.ErrnoException & {
  readonly errors?: readonly NodeJS.ErrnoException[]
  /** What undici's parser could not read. */
  readonly data?: string
}

const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`)

/** `host:port` of every address that was tried. */
const addresses = (cause: Cause): string[] => [
  ...new Set(
    [cause, ...(cause.errors ?? [])].flatMap((each) => {
      const { address, port } = each as { address?: string; port?: number }
      if (address === undefined || port === undefined) return []
      return [`${address.includes(':') ? `[${address}]` : address}:${port}`]
    }),
  ),
]

/** Bytes that were no HTTP answer. */
const isUnreadable = ({ name, code = '' }: Cause): boolean =>
  name === 'HTTPParserError' ||
  code.startsWith('HPE_') ||
  code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' ||
  code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE'

/** undici's words for a 100 or 101 that it had not asked for; by its code such an error looks like a reset. */
const isUnasked = ({ message }: Cause): boolean => message === 'bad response' || message === 'bad upgrade'

/** Whether the connection ended, whatever was or was not sent on it. */
export const isReset = (error: unknown): boolean => {
  const cause = error as Cause
  return (
    (cause.code === 'UND_ERR_SOCKET' && !isUnasked(cause)) ||
    cause.code === 'ECONNRESET' ||
    cause.code === 'EPIPE'
  )
}

/** Codes that the HTTP/2 transport gives its errors: which reset ended a stream, and what the upstream says by it. */
export const http2Codes = {
  reset: 'ERR_HTTP2_STREAM_ERROR',
  unprocessed: 'HTTP2_UNPROCESSED',
  http1Required: 'HTTP2_HTTP1_REQUIRED',
  /** The connection ended before anything of HTTP/2 came. */
  notSpoken: 'HTTP2_NOT_SPOKEN',
} as const

/** Whether the upstream says that it has not begun with the request (RFC 9113 §8.7): it may be sent again. */
export const isUnprocessed = (error: unknown): boolean => {
  const { code } = error as Cause
  return code === http2Codes.unprocessed || code === http2Codes.http1Required
}

/** Whether the upstream wants the request over HTTP/1.1 (RFC 9113 §7). */
export const wantsHttp1 = (error: unknown): boolean => (error as Cause).code === http2Codes.http1Required

/** Resets by which either side says that the other broke the protocol. */
const isViolation = (name: string): boolean =>
  /^(?:PROTOCOL|FLOW_CONTROL|FRAME_SIZE|COMPRESSION)_ERROR$/.test(name)

/** Whether TLS failed since HTTP/1.1 was offered and the upstream speaks nothing of it (RFC 7301 §3.2). */
export const isHttp2Only = (error: unknown): boolean => {
  const { code = '', message = '' } = (error ?? {}) as Cause
  return /no.application.protocol/i.test(`${code} ${message}`)
}

/** The ProxyError for a transport error met before the head of an answer. */
export const upstreamError = (
  error: unknown,
  { target, timeoutMs, connectTimeoutMs }: UpstreamErrorFacts,
): ProxyError => {
  if (error instanceof ProxyError) return error
  const cause = error as Cause
  // Dialling several addresses of a name fails with one error that holds theirs.
  const first: Cause = cause.errors?.find(({ code }) => code !== undefined) ?? cause
  const code = String(first.code ?? '')
  const of = (status: number, name: ErrorCode, message: string) =>
    new ProxyError(status, name, message, { cause: error })
  switch (code) {
    case 'ECONNREFUSED': {
      const tried = addresses(cause)
      const where = tried.length === 0 ? '' : ` on ${tried.join(' and ')}`
      return of(502, 'upstream-refused', `${target} refused the connection${where}. Is it running?`)
    }
    case 'ENOENT':
      return of(502, 'upstream-refused', `${target} is not there. Is it running?`)
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return of(502, 'upstream-unresolved', `the name of ${target} cannot be resolved (${code}).`)
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
    case 'EACCES':
    case 'EPERM':
      return of(502, 'upstream-unreachable', `${target} cannot be reached (${code}).`)
    case 'EMFILE':
    case 'ENFILE':
      return of(
        503,
        'upstream-unreachable',
        `this proxy has as many files and connections open as the system lets it (${code}). Raise ulimit -n, or lower --max-connections.`,
      )
    case 'UND_ERR_CONNECT_TIMEOUT':
    case 'ETIMEDOUT':
      return of(
        504,
        'connect-timeout',
        `no connection to ${target} within ${seconds(connectTimeoutMs)} (--connect-timeout).`,
      )
    case 'UND_ERR_HEADERS_TIMEOUT':
    case 'UND_ERR_BODY_TIMEOUT':
      return of(504, 'upstream-timeout', `${target} was silent for ${seconds(timeoutMs)} (--timeout).`)
    case 'UND_ERR_HEADERS_OVERFLOW':
      return of(502, 'upstream-protocol', `${target} sent a head larger than ${MAX_HEAD_KB} kB.`)
    case 'UND_ERR_INVALID_ARG':
    case 'UND_ERR_NOT_SUPPORTED':
    case 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH':
      return of(400, 'bad-request', `this request cannot be forwarded: ${first.message}.`)
    case 'UND_ERR_DESTROYED':
    case 'UND_ERR_CLOSED':
      return of(503, 'shutting-down', 'the proxy is shutting down.')
    case http2Codes.reset:
      return isViolation(first.message)
        ? of(502, 'upstream-protocol', `${target} and this proxy do not agree on HTTP/2 (${first.message}).`)
        : of(502, 'upstream-reset', `${target} reset the request before it answered (${first.message}).`)
    case http2Codes.notSpoken: {
      const hint = target.startsWith('h2c:') ? ' Is it http: rather than h2c:?' : ''
      return of(502, 'upstream-protocol', `${target} closed the connection without a word of HTTP/2.${hint}`)
    }
    case http2Codes.unprocessed:
    case http2Codes.http1Required:
      return of(503, 'upstream-reset', `${target} refused the request (${first.message}).`)
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return of(502, 'upstream-tls', `${target} does not speak TLS. Is it http: rather than https:?`)
  }
  if (isHttp2Only(first))
    return of(502, 'upstream-tls', `${target} does not speak HTTP/1.1 over TLS. Does it speak HTTP/2 only?`)
  if (/^(?:ERR_TLS|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|ERR_SSL|EPROTO|HOSTNAME_MISMATCH)/.test(code)) {
    // Newer versions of node add what to give to node, which nobody here starts.
    const said = first.message.replace(/; if the root CA is installed locally.*$/, '')
    return of(
      502,
      'upstream-tls',
      `TLS with ${target} failed: ${said}. -k accepts any certificate, --ca trusts yours.`,
    )
  }
  if (isUnreadable(first)) {
    // A TLS alert begins with byte 21.
    const hint = first.data?.charCodeAt(0) === 21 ? ' Is it https: rather than http:?' : ''
    return of(
      502,
      'upstream-protocol',
      `${target} sent something that is not valid HTTP (${first.message}).${hint}`,
    )
  }
  if (isUnasked(first))
    return of(502, 'upstream-protocol', `${target} sent a 100 or 101 that nobody had asked for.`)
  return of(502, 'upstream-reset', `${target} closed the connection before it answered (${first.message}).`)
}

/** The ProxyError for what broke an answer off after its head. */
export const brokenOff = (error: unknown, { target }: UpstreamErrorFacts): ProxyError => {
  if (error instanceof ProxyError) return error
  const cause = error as Cause
  const why = isUnreadable(cause)
    ? 'what followed is not valid HTTP'
    : cause.code === http2Codes.reset
      ? 'it reset the request'
      : 'the connection was closed'
  return new ProxyError(
    502,
    'upstream-aborted',
    `${target} broke off in the middle of its answer: ${why} (${cause.message}).`,
    { cause: error },
  )
}
