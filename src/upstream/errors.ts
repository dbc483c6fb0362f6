/** From what the transport reports to the one error the edge answers with. */
import { ProxyError } from '../core/errors.ts'

const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`)

/** What the sentences name. */
export interface UpstreamErrorFacts {
  /** As the user wrote the target. */
  readonly target: string
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
}

/** The ProxyError for a transport error met before the head of an answer. */
export const upstreamError = (
  error: unknown,
  { target, timeoutMs, connectTimeoutMs }: UpstreamErrorFacts,
): ProxyError => {
  if (error instanceof ProxyError) return error
  const cause = error as NodeJS.ErrnoException & { errors?: NodeJS.ErrnoException[] }
  // Dialling several addresses of a name fails with one error that holds theirs.
  const first = Array.isArray(cause.errors)
    ? (cause.errors.find(({ code }) => code !== undefined) ?? cause)
    : cause
  const code = String(first.code ?? '')
  const of = (status: number, name: ProxyError['code'], message: string) =>
    new ProxyError(status, name, message, { cause: error })
  switch (code) {
    case 'ECONNREFUSED': {
      const tried = [cause, ...(cause.errors ?? [])].flatMap((each) => {
        const { address, port } = each as { address?: string; port?: number }
        return address === undefined ? [] : [`${address.includes(':') ? `[${address}]` : address}:${port}`]
      })
      const where = tried.length === 0 ? '' : ` on ${[...new Set(tried)].join(' and ')}`
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
      return of(502, 'upstream-unreachable', `${target} cannot be reached (${code}).`)
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
  }
  if (/^(?:ERR_TLS|CERT_|UNABLE_TO|SELF_SIGNED|DEPTH_ZERO|ERR_SSL|EPROTO)/.test(code)) {
    return of(
      502,
      'upstream-tls',
      `TLS with ${target} failed: ${first.message}. -k accepts any certificate, --ca trusts yours.`,
    )
  }
  if (
    code.startsWith('HPE_') ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' ||
    code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE'
  ) {
    return of(502, 'upstream-protocol', `${target} sent something that is not valid HTTP (${first.message}).`)
  }
  return of(502, 'upstream-reset', `${target} closed the connection before it answered (${first.message}).`)
}

/** Largest head of an upstream's answer. */
export const MAX_HEAD_KB = 64
