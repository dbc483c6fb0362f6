/** A real upstream that speaks HTTP/2, without TLS (h2c) or with, and perhaps HTTP/1.1 beside. */
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type Settings,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { certificate } from './certificate.ts'

/** A request as the upstream saw it. */
export interface Http2Seen {
  readonly headers: IncomingHttpHeaders
  readonly raw: readonly string[]
}

/** A running upstream. */
export interface Http2Upstream {
  /** `h2c://…` or `https://…`. */
  readonly url: string
  readonly port: number
  readonly requests: Http2Seen[]
  readonly sessions: Set<ServerHttp2Session>
  /** Connections that ever came. */
  connections(): number
  answer(handler: Http2Answer): void
}

export type Http2Answer = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void | Promise<void>

/** Starts it; it ends with the test. */
export const startHttp2Upstream = async (
  t: TestContext,
  answer: Http2Answer,
  options: { readonly tls?: boolean; readonly settings?: Settings; readonly port?: number } = {},
): Promise<Http2Upstream> => {
  const { settings = {}, tls = false } = options
  const requests: Http2Seen[] = []
  const sessions = new Set<ServerHttp2Session>()
  const sockets = new Set<Socket>()
  let connections = 0
  let current = answer
  const server: Http2Server | Http2SecureServer = tls
    ? createSecureServer({ settings, ...(await certificate()) })
    : createServer({ settings })
  server.on('session', (session) => {
    sessions.add(session)
    session.on('close', () => sessions.delete(session))
    session.on('error', () => {})
  })
  server.on('connection', (socket: Socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.on('stream', (stream, headers, _flags, raw?: string[]) => {
    requests.push({ headers, raw: raw ?? [] })
    stream.on('error', () => {})
    Promise.resolve(current(stream, headers)).catch((error: unknown) => {
      stream.close(2)
      throw error
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return {
    url: `${tls ? 'https' : 'h2c'}://localhost:${port}`,
    port,
    requests,
    sessions,
    connections: () => connections,
    answer(handler) {
      current = handler
    },
  }
}
