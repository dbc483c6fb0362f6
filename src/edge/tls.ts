/**
 * Connections that speak TLS, on one port: HTTP/2 where the client takes it (ALPN), else HTTP/1.1; and a word to those
 * that speak plain HTTP there. The first byte tells them apart: a TLS record that opens a handshake begins with 22.
 */
import type { Server } from 'node:http'
import { createServer as createListener, type Server as Listener, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { ProxyError } from '../core/errors.ts'
import { answerRaw } from './refusals.ts'

/** PEM of the certificate, with those in between it and a CA, and its key. */
export interface TlsCredentials {
  readonly cert: string
  readonly key: string
}

const HANDSHAKE = 22
const HOST = /^host:[ \t]*([\w.-]+|\[[\da-f:.]+\])(?::\d+)?[ \t]*\r?$/im
const PATH = /^\S+ (\/[\x21-\x7e]*) HTTP\//

/** A listener that hands connections on once it is known what they speak. */
export const secureListener = (options: {
  readonly credentials: TlsCredentials
  readonly http1: Server
  readonly onHttp2: (socket: TLSSocket) => void
  /** Asked about every connection as it comes; whoever lets it in ends it when all end. */
  readonly admit: (socket: Socket) => boolean
  /** How long the first byte and then the handshake may take; 0 for ever. */
  readonly timeoutMs: number
}): Listener & { closeIdleConnections(): void } => {
  const { credentials, http1, onHttp2, admit, timeoutMs } = options
  const tls = createTlsServer({
    ...credentials,
    // RFC 7301
    ALPNProtocols: ['h2', 'http/1.1'],
    // Of 0, node makes a handshake that is late at once.
    ...(timeoutMs > 0 ? { handshakeTimeout: timeoutMs } : {}),
  })
  tls.on('secureConnection', (socket) => {
    if (socket.alpnProtocol === 'h2') onHttp2(socket)
    else http1.emit('connection', socket)
  })
  tls.on('tlsClientError', (_error, socket) => {
    // A client that does not trust the certificate hangs up just so: nothing to tell anybody.
    socket.destroy()
  })
  const listener = createListener({ noDelay: true }, (socket) => {
    socket.on('error', () => socket.destroy())
    // To tell it why would take a handshake.
    if (!admit(socket)) {
      socket.destroy()
      return
    }
    const timer = timeoutMs > 0 ? setTimeout(() => socket.destroy(), timeoutMs) : undefined
    socket.once('close', () => clearTimeout(timer))
    socket.once('readable', () => {
      clearTimeout(timer)
      const first = socket.read() as Buffer | null
      if (first === null) {
        socket.destroy()
        return
      }
      if (first[0] !== HANDSHAKE) {
        answerRaw(socket, speaksHttps(first.toString('latin1'), socket.localPort ?? 0))
        return
      }
      socket.unshift(first)
      tls.emit('connection', socket)
    })
  })
  // It never listens itself, so nothing else has it watch over slow heads and idle connections.
  http1.emit('listening')
  listener.on('close', () => http1.close())
  return Object.assign(listener, {
    closeIdleConnections() {
      http1.closeIdleConnections()
    },
  })
}

/** What to say to a client that speaks plain HTTP: where it meant to go. */
const speaksHttps = (head: string, port: number): ProxyError => {
  const host = HOST.exec(head)?.[1] ?? 'localhost'
  const path = PATH.exec(head)?.[1] ?? '/'
  return new ProxyError(400, 'bad-request', `this port speaks HTTPS: https://${host}:${port}${path}`)
}
