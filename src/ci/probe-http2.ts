/** The question of ci/probe.ts over HTTP/2, for targets that speak nothing else. */
import { connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'

/** Where and what to ask. */
export interface Http2Question {
  /** Undefined without TLS. */
  readonly tls: ConnectionOptions | undefined
  readonly host: string | undefined
  readonly port: number
  readonly headers: OutgoingHttpHeaders
  readonly path: string
  readonly authority: string
  readonly signal: AbortSignal
}

/** Asks once, with GET; reads nothing of the body. Rejects with the error of the connection or the stream. */
export const askHttp2 = (question: Http2Question): Promise<{ status: number; fields: IncomingHttpHeaders }> =>
  new Promise((resolve, reject) => {
    const { authority, headers, path, port, signal, tls } = question
    const host = question.host ?? 'localhost'
    const scheme = tls === undefined ? 'http' : 'https'
    const session = connect(`${scheme}://${authority}`, {
      createConnection: () =>
        tls === undefined
          ? connectTcp({ host, port })
          : connectTls({ ...tls, host, port, ALPNProtocols: ['h2'] }),
    })
    const fail = (error: Error): void => {
      session.destroy()
      reject(error)
    }
    signal.addEventListener('abort', () => fail(signal.reason as Error), { once: true })
    session.on('error', fail)
    session.on('close', () => fail(Object.assign(new Error('no answer'), { code: 'ECONNRESET' })))
    const stream = session.request({ ...headers, ':path': path, ':authority': authority })
    // Where the connection was the reason, that is the cause.
    stream.on('error', (error) => fail((error.cause as Error | undefined) ?? error))
    stream.on('response', (fields) => {
      resolve({ status: Number(fields[':status']), fields })
      session.destroy()
    })
  })
