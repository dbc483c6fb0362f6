/** A real upstream on a free port that answers as the test says and remembers what it saw. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** A request as the upstream saw it. */
export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: string[]
}

/** A running upstream. */
export interface Upstream {
  readonly url: string
  readonly port: number
  readonly requests: Seen[]
  readonly server: Server
  /** Open connections. */
  readonly sockets: Set<Socket>
  /** Answers otherwise from now on. */
  answer(handler: Answer): void
  /** Stops listening and destroys all connections. */
  stop(): Promise<void>
}

export type Answer = (req: IncomingMessage, res: ServerResponse) => void | Promise<void>

/** Starts an upstream; it ends with the test. */
export const startUpstream = async (
  t: TestContext,
  answer: Answer,
  port = 0,
  host = '127.0.0.1',
): Promise<Upstream> => {
  const requests: Seen[] = []
  const sockets = new Set<Socket>()
  let current = answer
  const server = createServer({ keepAliveTimeout: 60_000 }, (req, res) => {
    requests.push({ method: req.method!, url: req.url!, headers: req.headers, rawHeaders: req.rawHeaders })
    // A test that ends before its answer does must not fail in the server.
    req.on('error', () => {})
    res.on('error', () => {})
    // The proxy's clock is moved in tests; a Date of the real clock would look like an age.
    res.sendDate = false
    Promise.resolve(current(req, res)).catch((error: unknown) => {
      res.destroy()
      throw error
    })
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const bound = (server.address() as AddressInfo).port
  const stop = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  }
  t.after(stop)
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}`,
    port: bound,
    requests,
    server,
    sockets,
    answer(handler) {
      current = handler
    },
    stop,
  }
}
