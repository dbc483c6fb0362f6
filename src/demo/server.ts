import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Duplex } from 'node:stream'
import { BadRequest } from './query.ts'
import { routes, send } from './routes.ts'
import { acceptEcho, type EchoSession, wantsWebSocket } from './websocket.ts'

/** Where the demo backend listens. */
export interface DemoOptions {
  /** 0, the default, takes a free one. */
  readonly port?: number
  /** 127.0.0.1 when not given. */
  readonly host?: string
}

/** A demo backend that listens. */
export interface Demo {
  /** Reaches it from this machine; without a slash at the end. */
  readonly url: string
  readonly port: number
  /** Ends every connection, unfinished answers and WebSockets too; resolves once nothing is open. May be called again. */
  close(): Promise<void>
}

/** How long a WebSocket may take over its goodbye when we close. */
const GOODBYE_MS = 200

/** Longer than any proxy keeps an idle connection, so that it is never us who closes under a request on its way. */
const KEEP_ALIVE_MS = 120_000

/** Path and query as sent; the authority of an absolute target (RFC 9112 §3.2.2) is passed over. */
const split = (target: string): { path: string; query: string } => {
  const local = target.replace(/^https?:\/\/[^/?#]*/i, '')
  const mark = local.indexOf('?')
  return mark < 0
    ? { path: local || '/', query: '' }
    : { path: local.slice(0, mark) || '/', query: local.slice(mark + 1) }
}

/** Answers one plain request; never rejects. */
const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
  // Whoever left cannot be told; the routes stop their work on the answer's close.
  req.on('error', () => {})
  res.on('error', () => {})
  try {
    const { path, query } = split(req.url ?? '/')
    const route = routes.find((candidate) => candidate.matches(path))
    const method = req.method ?? ''
    if (route === undefined) {
      send(res, 404, 'there is nothing here. / lists what there is.\n')
    } else if (!route.methods.includes(method)) {
      const allow = route.methods.join(', ')
      send(res, 405, `${method} is not for this path, which takes ${allow}.\n`, { Allow: allow })
    } else {
      await route.answer({ req, res, path, query })
    }
  } catch (error) {
    if (res.headersSent) res.destroy()
    else if (error instanceof BadRequest) send(res, 400, `${error.message}\n`)
    else send(res, 500, `the demo backend failed: ${error}\n`)
  }
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0

/** The head of a request as it was sent, without the wish to upgrade. */
const withoutUpgrade = (req: IncomingMessage): Buffer => {
  const lines = [`${req.method} ${req.url} HTTP/${req.httpVersion}`]
  for (let i = 0; i < req.rawHeaders.length; i += 2) {
    const name = req.rawHeaders[i]!
    let value = req.rawHeaders[i + 1]!
    if (name.toLowerCase() === 'upgrade') continue
    if (name.toLowerCase() === 'connection') {
      value = value
        .split(',')
        .filter((token) => token.trim().toLowerCase() !== 'upgrade')
        .join(',')
      if (value.trim() === '') continue
    }
    lines.push(`${name}: ${value}`)
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

/**
 * Starts the backend that `revproxy demo` proxies: fast, slow, streaming, failing and cacheable answers and a WebSocket
 * echo; `/` lists them. Logs nothing. Rejects with node's error when it cannot listen.
 */
export const startDemo = async ({ port = 0, host = '127.0.0.1' }: DemoOptions = {}): Promise<Demo> => {
  const sockets = new Set<Duplex>()
  const sessions = new Map<Duplex, EchoSession>()
  const answering = new Map<Duplex, number>()

  // An upload to /api/echo may take as long as it likes, so there is no bound on the whole request.
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      requestTimeout: 0,
      headersTimeout: 60_000,
      // Node >= 26 lets go of a connection only behind the body of a request that asks for an upgrade.
      ...{ shouldUpgradeCallback: (req: IncomingMessage) => !hasBody(req) },
    },
    (req, res) => {
      const { socket } = req
      // Then node loses what came right behind the body.
      if (req.headers.upgrade !== undefined && hasBody(req)) res.shouldKeepAlive = false
      answering.set(socket, (answering.get(socket) ?? 0) + 1)
      res.on('close', () => {
        const left = answering.get(socket)! - 1
        if (left === 0) answering.delete(socket)
        else answering.set(socket, left)
      })
      void answer(req, res)
    },
  )

  server.on('connection', (socket) => {
    // A connection whose upgrade was ignored comes a second time.
    if (sockets.has(socket)) return
    sockets.add(socket)
    // Node takes its own listener away when a connection upgrades; a reset must not end the program.
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      sessions.delete(socket)
    })
  })

  server.on('upgrade', (req, socket, head) => {
    // Pipelined behind an answer that is not out yet: the two would mix on the wire.
    if (answering.has(socket)) {
      socket.destroy()
      return
    }
    if (wantsWebSocket(req) && split(req.url ?? '').path === '/ws') {
      const session = acceptEcho(req, head)
      if (session !== undefined) sessions.set(socket, session)
      return
    }
    // RFC 9110 §7.8: an Upgrade may be ignored. Node would need an answer by hand, so it reads the request again.
    socket.unshift(Buffer.concat([withoutUpgrade(req), head]))
    server.emit('connection', socket)
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  // A connection that could not be accepted (out of file descriptors, say) is the client's to notice.
  server.on('error', () => {})

  const { address, family, port: boundPort } = server.address() as AddressInfo
  const reachable = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address
  let closing: Promise<void> | undefined
  return {
    url: `http://${family === 'IPv6' ? `[${reachable}]` : reachable}:${boundPort}`,
    port: boundPort,
    close() {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) {
          const session = sessions.get(socket)
          if (session === undefined) {
            socket.destroy()
          } else {
            session.goAway()
            setTimeout(() => socket.destroy(), GOODBYE_MS).unref()
          }
        }
      })
      return closing
    },
  }
}
