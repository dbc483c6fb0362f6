/**
 * The edge: node's request → ProxyRequest, ProxyResponse → bytes, error → status, end of the exchange. Every exchange
 * that it opens it ends, whatever became of it.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type Duplex, Readable } from 'node:stream'
import { Cancel } from './core/cancel.ts'
import type { Clock } from './core/clock.ts'
import { type ErrorCode, ProxyError } from './core/errors.ts'
import type { Exchange, TraceFacts } from './core/exchange.ts'
import type { Exchanges } from './core/exchanges.ts'
import type { Fields, Handler, ProxyRequest, ProxyResponse } from './core/types.ts'
import { hasField } from './http/fields.ts'

/** Largest head of a request; beyond it 431. */
const MAX_HEAD_BYTES = 64 * 1024
/** Most field lines of a request; node drops what is over, so one more is let in and refused by us. */
const MAX_FIELD_LINES = 1000

/** A path answered by the edge itself, outside the chain (the metrics page). */
export interface LocalPage {
  readonly path: string
  readonly answer: (accept: string | undefined) => Promise<{ contentType: string; body: string }>
}

/** An upgrade that the client asks for, before anything was answered. */
export interface UpgradeCall {
  readonly exchange: Exchange
  readonly url: string
  readonly message: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
}

/** What the edge is made of. */
export interface EdgeOptions {
  /** Addresses to listen on; one that this machine does not have is passed over while another is left. */
  readonly hosts: readonly string[]
  readonly port: number
  readonly handler: Handler
  readonly exchanges: Exchanges
  readonly clock: Clock
  readonly continueTrace?: ((headers: Fields) => TraceFacts) | undefined
  readonly page?: LocalPage | undefined
  /** Takes over sockets that ask for another protocol; resolves when the tunnel has ended. Never rejects. */
  readonly upgrade?:
    | ((call: UpgradeCall) => Promise<{
        status: number
        bytes: number
        error?: { code: ErrorCode; message: string } | undefined
      }>)
    | undefined
  /** Told about errors that are ours. */
  readonly onInternalError: (error: unknown) => void
}

/** A running edge. */
export interface Edge {
  readonly port: number
  readonly addresses: readonly string[]
  /** Exchanges under way. */
  active(): number
  /** No new connections; idle ones end now, running requests have `graceMs`, then all is destroyed. */
  close(graceMs: number): Promise<void>
}

/** The client's body: reads the message only when asked, and leaves the connection alone when it is destroyed. */
class RequestBody extends Readable {
  readonly #message: IncomingMessage
  readonly #exchange: Exchange
  #beforeFirstRead: (() => void) | undefined

  constructor(message: IncomingMessage, exchange: Exchange, beforeFirstRead: (() => void) | undefined) {
    super({ highWaterMark: 64 * 1024 })
    this.#message = message
    this.#exchange = exchange
    this.#beforeFirstRead = beforeFirstRead
    message.on('data', (chunk: Buffer) => {
      exchange.requestBytes += chunk.length
      if (!this.destroyed && !this.push(chunk)) message.pause()
    })
    message.on('end', () => {
      if (!this.destroyed) this.push(null)
    })
    message.on('error', (error) => this.destroy(error))
    message.on('close', () => {
      if (!message.complete)
        this.destroy(new ProxyError(499, 'client-gone', 'the client left while it sent the body'))
    })
    message.pause()
  }

  get bytes(): number {
    return this.#exchange.requestBytes
  }

  override _read(): void {
    const before = this.#beforeFirstRead
    if (before !== undefined) {
      this.#beforeFirstRead = undefined
      before()
    }
    this.#message.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    // What is still coming is read and dropped; the edge closes the connection after its answer.
    this.#message.resume()
    done(error)
  }
}

const plain = (status: number, message: string, extra: readonly string[] = []): ProxyResponse => ({
  status,
  headers: ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store', ...extra],
  body: Buffer.from(`${message}\n`),
})

/** The one place where an error becomes an answer. */
export const errorResponse = (error: unknown): ProxyResponse => {
  if (error instanceof ProxyError)
    return plain(error.status, `revproxy: ${error.message}`, ['Proxy-Status', proxyStatus(error)])
  return plain(500, 'revproxy: something went wrong in the proxy itself; its log has the details.')
}

/** RFC 9209: what this proxy ran into, for clients that read it. */
const proxyStatus = (error: ProxyError): string => {
  const type: Partial<Record<ErrorCode, string>> = {
    'upstream-refused': 'connection_refused',
    'upstream-unresolved': 'dns_error',
    'upstream-unreachable': 'destination_ip_unroutable',
    'upstream-reset': 'connection_terminated',
    'upstream-tls': 'tls_protocol_error',
    'upstream-protocol': 'http_protocol_error',
    'upstream-timeout': 'http_response_timeout',
    'connect-timeout': 'connection_timeout',
    'bad-request': 'http_request_error',
    internal: 'proxy_internal_error',
  }
  const word = type[error.code]
  return word === undefined ? 'revproxy' : `revproxy; error=${word}`
}

const reasonPhrases: Record<number, string> = {
  400: 'Bad Request',
  408: 'Request Timeout',
  413: 'Content Too Large',
  421: 'Misdirected Request',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
}

/** Writes an answer on a socket that has no ServerResponse, and closes it. */
const answerRaw = (socket: Duplex, status: number, message: string): void => {
  if (!socket.writable) {
    socket.destroy()
    return
  }
  const body = `revproxy: ${message}\n`
  socket.end(
    `HTTP/1.1 ${status} ${reasonPhrases[status] ?? 'Error'}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    () => socket.destroy(),
  )
}

/** Starts listening. Rejects with the error of node's `listen` (EADDRINUSE, EACCES …). */
export const startEdge = async (options: EdgeOptions): Promise<Edge> => {
  const { clock, exchanges, handler } = options
  const running = new Map<Exchange, () => void>()
  const sockets = new Set<Socket>()
  let servers: Server[] = []
  let draining = false
  let idle: (() => void) | undefined

  const open = (message: IncomingMessage, url: string, host: string): Exchange => {
    const exchange = exchanges.open({
      cause: 'client',
      method: message.method!,
      url,
      host,
      scheme: 'http',
      clientAddress: clientAddress(message.socket),
      httpVersion: message.httpVersion,
      requestHeaders: message.rawHeaders,
    })
    if (options.continueTrace !== undefined) exchange.trace = options.continueTrace(message.rawHeaders)
    return exchange
  }
  const end = (
    exchange: Exchange,
    status: number,
    bytes: number,
    error?: { code: ErrorCode; message: string },
  ): void => {
    running.delete(exchange)
    exchanges.end(exchange, status, bytes, error)
    if (running.size === 0) idle?.()
  }

  const onRequest = (message: IncomingMessage, res: ServerResponse, wantsContinue = false): void => {
    const target = requestTarget(message)
    const exchange = open(message, target.url, target.host)
    const cancel = new Cancel()
    let bytes = 0
    let error: ProxyError | undefined
    running.set(exchange, () => res.destroy())
    res.on('close', () => {
      if (res.writableFinished) end(exchange, res.statusCode, bytes, error)
      else {
        cancel.fire()
        const gone =
          error ?? new ProxyError(499, 'client-gone', 'the client left before the answer was complete')
        end(exchange, res.headersSent ? res.statusCode : 0, bytes, gone)
      }
    })
    let body: RequestBody | undefined
    if (
      Number(message.headers['content-length'] ?? 0) > 0 ||
      message.headers['transfer-encoding'] !== undefined
    ) {
      body = new RequestBody(message, exchange, wantsContinue ? () => res.writeContinue() : undefined)
    }
    const give = (answer: ProxyResponse): void => {
      if (res.destroyed || res.headersSent) {
        if (answer.body instanceof Readable) answer.body.destroy()
        return
      }
      if (draining || (body !== undefined && !message.complete && error !== undefined))
        res.shouldKeepAlive = false
      exchange.headAt = clock.now()
      exchange.responseHeaders = answer.headers
      bytes = send(answer, res, message, (n) => {
        bytes += n
      })
    }
    const refuse = (reason: unknown): void => {
      error =
        reason instanceof ProxyError
          ? reason
          : new ProxyError(500, 'internal', 'something went wrong in the proxy itself')
      if (!(reason instanceof ProxyError)) options.onInternalError(reason)
      if (error.code === 'client-gone') res.destroy()
      else give(errorResponse(error))
    }
    if (target.refusal !== undefined) {
      refuse(target.refusal)
      return
    }
    const req: ProxyRequest = {
      method: message.method!,
      url: target.url,
      headers: message.rawHeaders,
      body,
      cancel,
      exchange,
      onInformation: (status, headers) => informational(res, status, headers),
    }
    let answer: Promise<ProxyResponse>
    try {
      answer = handler(req)
    } catch (thrown) {
      refuse(thrown)
      return
    }
    answer.then(give, refuse)
  }

  const servePage = (page: LocalPage, message: IncomingMessage, res: ServerResponse): void => {
    if (message.method !== 'GET' && message.method !== 'HEAD') {
      res.writeHead(405, { allow: 'GET, HEAD' }).end()
      return
    }
    page.answer(message.headers.accept).then(
      ({ contentType, body }) => {
        res.writeHead(200, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) })
        res.end(message.method === 'HEAD' ? undefined : body)
      },
      (error: unknown) => {
        options.onInternalError(error)
        res.writeHead(500).end()
      },
    )
  }
  const { page } = options
  const listener = (message: IncomingMessage, res: ServerResponse): void => {
    if (
      page !== undefined &&
      message.url!.startsWith(page.path) &&
      message.url!.split('?', 1)[0] === page.path
    ) {
      servePage(page, message, res)
    } else onRequest(message, res)
  }

  const onUpgrade = (message: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on('error', () => socket.destroy())
    if (!/^websocket$/i.test(message.headers.upgrade ?? '') && message.method !== undefined) {
      // Any other protocol (curl's h2c) may be declined by answering as if it had not been asked for (RFC 9110 §7.8).
      servePlainly(message, socket, head)
      return
    }
    const target = requestTarget(message)
    if (target.refusal !== undefined || options.upgrade === undefined) {
      answerRaw(socket, 400, target.refusal?.message ?? 'upgrades are not served.')
      return
    }
    const exchange = open(message, target.url, target.host)
    running.set(exchange, () => socket.destroy())
    options.upgrade({ exchange, url: target.url, message, socket, head }).then(
      ({ status, bytes, error }) => end(exchange, status, bytes, error),
      (error: unknown) => {
        options.onInternalError(error)
        socket.destroy()
        end(exchange, 0, 0, new ProxyError(500, 'internal', 'something went wrong in the proxy itself'))
      },
    )
  }

  /** node lets go of a connection that asks for an upgrade: its request is put back without that, and read anew. */
  const servePlainly = (message: IncomingMessage, socket: Duplex, head: Buffer): void => {
    const { rawHeaders } = message
    let text = `${message.method} ${message.url} HTTP/${message.httpVersion}\r\n`
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const name = rawHeaders[i]!.toLowerCase()
      if (name === 'upgrade' || name === 'http2-settings') continue
      const value =
        name === 'connection'
          ? rawHeaders[i + 1]!.replace(/\b(?:upgrade|http2-settings)\b/gi, '')
          : rawHeaders[i + 1]!
      text += `${rawHeaders[i]}: ${value}\r\n`
    }
    socket.unshift(Buffer.concat([Buffer.from(`${text}\r\n`, 'latin1'), head]))
    servers.find((server) => server.address() !== null)?.emit('connection', socket)
  }

  const create = (): Server => {
    const server = createServer({
      maxHeaderSize: MAX_HEAD_BYTES,
      // Long uploads are fine; a slow head is not.
      requestTimeout: 0,
      headersTimeout: 30_000,
      keepAliveTimeout: 65_000,
      noDelay: true,
    })
    server.maxHeadersCount = MAX_FIELD_LINES + 1
    server.on('request', listener)
    server.on('checkContinue', (message, res) => onRequest(message, res, true))
    server.on('checkExpectation', (_message, res) => {
      res.writeHead(417, { 'content-type': 'text/plain', connection: 'close' })
      res.end('revproxy: the only expectation there is is 100-continue.\n')
    })
    server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
      onUpgrade(message, socket, head)
    })
    server.on('connect', (_message, socket: Duplex) => {
      socket.on('error', () => socket.destroy())
      answerRaw(socket, 501, 'CONNECT is not served: this is a reverse proxy.')
    })
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (error.code === 'ECONNRESET' || !socket.writable) {
        socket.destroy()
        return
      }
      if (error.code === 'HPE_HEADER_OVERFLOW') {
        answerRaw(socket, 431, `the head of this request is larger than ${MAX_HEAD_BYTES / 1024} kB.`)
      } else if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
        answerRaw(socket, 408, 'the head of this request did not come in time.')
      } else answerRaw(socket, 400, `this is not valid HTTP (${error.message}).`)
    })
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    return server
  }

  servers = await listenAll(create, options.hosts, options.port)
  return {
    port: (servers[0]!.address() as AddressInfo).port,
    addresses: servers.map((server) => (server.address() as AddressInfo).address),
    active: () => running.size,
    async close(graceMs) {
      draining = true
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
      for (const server of servers) server.closeIdleConnections()
      if (running.size > 0 && graceMs > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, graceMs)
          idle = () => {
            clearTimeout(timer)
            // The last bytes are with the kernel only after this turn.
            setImmediate(resolve)
          }
        })
      }
      for (const drop of running.values()) drop()
      for (const socket of sockets) socket.destroy()
      await Promise.all(closed)
    },
  }
}

/** IPv4 clients of a dual-stack socket look like `::ffff:127.0.0.1`. */
const clientAddress = (socket: Socket): string => {
  const address = socket.remoteAddress ?? ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

/** Path and host of a request, or why it is refused (RFC 9112 §3.2). */
const requestTarget = (message: IncomingMessage): { url: string; host: string; refusal?: ProxyError } => {
  const url = message.url!
  const host = message.headers.host ?? ''
  const refuse = (text: string, status = 400) => ({
    url,
    host,
    refusal: new ProxyError(status, 'bad-request', text),
  })
  let hosts = 0
  for (let i = 0; i < message.rawHeaders.length; i += 2)
    if (message.rawHeaders[i]!.length === 4 && message.rawHeaders[i]!.toLowerCase() === 'host') hosts++
  if (hosts > 1) return refuse('several Host fields (RFC 9112 §3.2).')
  if (message.rawHeaders.length > MAX_FIELD_LINES * 2)
    return refuse(`more than ${MAX_FIELD_LINES} field lines.`, 431)
  if (host !== '' && !/^(?:[\w.~!$&'()*+,;=%-]+|\[[\da-fA-F:.]+\])(?::\d{0,5})?$/.test(host))
    return refuse('the Host field is not a host (RFC 9110 §7.2).')
  if (url.charCodeAt(0) === 47 /* / */) return { url, host }
  if (url === '*')
    return message.method === 'OPTIONS'
      ? refuse('OPTIONS * asks about the proxy itself; name a path.', 501)
      : refuse('the target * is for OPTIONS.')
  const absolute = /^https?:\/\/([^/?#]*)([^#]*)$/i.exec(url)
  if (absolute === null) return refuse('the request target is neither a path nor a URL (RFC 9112 §3.2).')
  const rest = absolute[2]!
  return { url: rest.startsWith('/') ? rest : `/${rest}`, host: absolute[1]! }
}

/** Passes a 1xx on where the client can understand it (RFC 9110 §15.2). */
const informational = (res: ServerResponse, status: number, headers: Fields): void => {
  if (res.headersSent || res.destroyed || res.req.httpVersion !== '1.1') return
  const socket = res.socket
  if (socket === null) return
  let head = `HTTP/1.1 ${status} ${status === 103 ? 'Early Hints' : 'Processing'}\r\n`
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`
  socket.write(`${head}\r\n`, 'latin1')
}

/** Writes an answer; gives the body bytes if they are known now, else 0 and counts them through `count`. */
const send = (
  answer: ProxyResponse,
  res: ServerResponse,
  message: IncomingMessage,
  count: (bytes: number) => void,
): number => {
  const { status, body } = answer
  const { headers } = answer
  const bodiless = message.method === 'HEAD' || status === 204 || status === 304
  if (hasField(headers, 'date')) res.sendDate = false
  if (Buffer.isBuffer(body)) {
    const trailers = answer.trailers?.()
    let out = headers
    if (trailers !== undefined && trailers.length > 0 && !bodiless) {
      writeWithTrailers(res, status, headers, trailers)
      res.end(body)
      return body.length
    }
    if (!bodiless && !hasField(headers, 'content-length'))
      out = [...headers, 'Content-Length', String(body.length)]
    res.writeHead(status, out as string[])
    if (bodiless) {
      res.end()
      return 0
    }
    res.end(body)
    return body.length
  }
  res.writeHead(status, headers as string[])
  if (bodiless) {
    body.destroy()
    res.end()
    return 0
  }
  body.on('data', (chunk: Buffer) => count(chunk.length))
  body.on('error', () => res.destroy())
  res.on('close', () => body.destroy())
  if (answer.trailers !== undefined) {
    // Trailers are known at the end only; node sends them where the framing is chunked.
    body.on('end', () => {
      const trailers = answer.trailers!()
      if (trailers.length > 0 && !hasField(headers, 'content-length')) res.addTrailers(pairs(trailers))
    })
  }
  body.pipe(res)
  // writeHead waits for the first byte of the body, which may be long in coming.
  if (body.readableLength === 0) res.flushHeaders()
  return 0
}

const writeWithTrailers = (res: ServerResponse, status: number, headers: Fields, trailers: Fields): void => {
  const framed = headers.filter((_, i) => headers[i - (i % 2)]!.toLowerCase() !== 'content-length')
  res.writeHead(status, [...framed, 'Transfer-Encoding', 'chunked'])
  res.addTrailers(pairs(trailers))
}

const pairs = (fields: Fields): Array<[string, string]> => {
  const out: Array<[string, string]> = []
  for (let i = 0; i < fields.length; i += 2) out.push([fields[i]!, fields[i + 1]!])
  return out
}

/** Listens on all the addresses, on one port. */
const listenAll = async (create: () => Server, hosts: readonly string[], port: number): Promise<Server[]> => {
  for (let attempt = 0; ; attempt++) {
    const servers: Server[] = []
    let chosen = port
    let missing: NodeJS.ErrnoException | undefined
    try {
      for (const host of hosts) {
        const server = create()
        try {
          await listen(server, host, chosen)
        } catch (error) {
          const { code } = error as NodeJS.ErrnoException
          // A machine without IPv6 (or IPv4) serves on what it has.
          if (hosts.length > 1 && (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT')) {
            missing = error as NodeJS.ErrnoException
            continue
          }
          throw error
        }
        servers.push(server)
        chosen = (server.address() as AddressInfo).port
      }
      if (servers.length === 0) throw missing!
      return servers
    } catch (error) {
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
      // A free port of one family may be taken in the other.
      if (port === 0 && attempt < 20 && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue
      throw error
    }
  }
}

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: false, ipv6Only: host.includes(':') && host !== '::' }, () => {
      server.off('error', reject)
      // Accepting can fail (EMFILE) and must not end the process.
      server.on('error', () => {})
      resolve()
    })
  })
