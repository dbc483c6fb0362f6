/** Connections to the target. */
import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { buildConnector } from 'undici'
import makeConnector from 'undici/lib/core/connect.js'
import { lookupLocalhost } from './lookup.ts'
import { readBeforeWriteErrors } from './write-errors.ts'

/** Where to, and what is trusted there. */
export interface ConnectOptions {
  readonly target: {
    readonly protocol: string
    readonly hostname: string
    readonly socketPath: string | undefined
  }
  readonly connectTimeoutMs: number
  /** Any certificate of the upstream will do. */
  readonly insecure: boolean
  /** PEM of further certificates to trust. */
  readonly ca: string | undefined
}

/**
 * Dials the target, in the time that is given for it (undici's own deadline is up to a second late). With `offerHttp2`
 * TLS is asked for HTTP/2 as well; the socket's `alpnProtocol` says what came of it.
 */
export const connector = (options: ConnectOptions, offerHttp2 = false): buildConnector.connector => {
  const { target, connectTimeoutMs } = options
  const dial = makeConnector({
    timeout: 0,
    autoSelectFamily: true,
    allowH2: offerHttp2,
    ...(target.hostname === 'localhost' ? { lookup: lookupLocalhost } : {}),
    ...(target.socketPath === undefined ? {} : { socketPath: target.socketPath }),
    rejectUnauthorized: !options.insecure,
    ...(options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] }),
  } as buildConnector.BuildOptions)
  // RFC 6066 §3: no address. Never the client's Host, which need not be the target's.
  const servername = isIP(target.hostname) === 0 ? target.hostname : undefined
  return (asked, callback) => {
    let timer: NodeJS.Timeout | undefined
    const socket = dial({ ...asked, servername: servername as string }, (...result) => {
      clearTimeout(timer)
      if (result[0] === null) readBeforeWriteErrors(result[1])
      callback(...result)
    }) as unknown as { destroy(error: Error): void }
    if (connectTimeoutMs > 0) {
      const late = Object.assign(new Error('connect timeout'), { code: 'UND_ERR_CONNECT_TIMEOUT' })
      timer = setTimeout(() => socket.destroy(late), connectTimeoutMs)
    }
  }
}
