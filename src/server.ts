/**
 * The edge: connections and their requests. Each request becomes an exchange, and every exchange opened here is ended
 * here, whatever became of it. What happens within one is in edge/conversation.ts.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Server as NetServer, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from './core/clock.ts'
import { type ErrorCode, ProxyError } from './core/errors.ts'
import type { Exchange, TraceFacts } from './core/exchange.ts'
import type { Exchanges } from './core/exchanges.ts'
import type { Fields, Handler } from './core/types.ts'
import { admission } from './edge/admission.ts'
import { Conversation, type ConversationContext } from './edge/conversation.ts'
import { isDeclinedByNode, mayUpgrade, serveWithoutUpgrade, wantsWebSocket } from './edge/decline.ts'
import type { Http2Edge } from './edge/http2.ts'
import { type Lanes, lanes, type PlainRequest } from './edge/lane.ts'
import { listenAll } from './edge/listen.ts'
import { MAX_HEAD_BYTES, malformed } from './edge/malformed.ts'
import { isPage, type LocalPage, pageAnswer } from './edge/page.ts'
import type { PlainAnswer } from './edge/plain-answer.ts'
import { isPreface, type ParserStop, takeOver } from './edge/prior-knowledge.ts'
import { answerRaw, internalError } from './edge/refusals.ts'
import { type RequestTarget, requestTarget } from './edge/target.ts'
import type { TlsCredentials } from './edge/tls.ts'
import type { Trusted } from './http/forwarded.ts'

export type { LocalPage } from './edge/page.ts'

/** How long the head of a request may take to come, unless the options say. */
const HEAD_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 65_000

/** An upgrade that the client asks for, before anything was answered. */
export interface UpgradeCall {
  readonly exchange: Exchange
  readonly url: string
  readonly message: IncomingMessage
  readonly socket: Duplex
  readonly head: Buffer
}

/** How a tunnel ended. */
interface UpgradeEnd {
  readonly status: number
  readonly bytes: number
  readonly error?: { readonly code: ErrorCode; readonly message: string } | undefined
}

/** What the edge is made of. */
export interface EdgeOptions {
  /** Addresses to listen on; one that this machine does not have is passed over while another is left. */
  readonly hosts: readonly string[]
  readonly port: number
  /** Speaks TLS, and HTTP/2 where the client does; plain HTTP when absent. */
  readonly tls?: TlsCredentials | undefined
  readonly handler: Handler
  readonly exchanges: Exchanges
  readonly clock: Clock
  readonly continueTrace?: ((headers: Fields) => TraceFacts) | undefined
  /** Whose word about the client is taken; nobody's when absent. */
  readonly trusted?: Trusted | undefined
  readonly page?: LocalPage | undefined
  /** Takes over sockets that ask for a WebSocket; resolves when the tunnel has ended. Never rejects. */
  readonly upgrade?: ((call: UpgradeCall) => Promise<UpgradeEnd>) | undefined
  /** Larger request bodies get 413. */
  readonly maxBodyBytes?: number | undefined
  /** Field lines of answers that the edge makes of errors, beside those of the error. */
  readonly extraFields?: ((exchange: Exchange) => Fields) | undefined
  /** How long the head of a request may take; then 408. 0 waits for ever. */
  readonly headTimeoutMs?: number | undefined
  /** Silence of a client in the middle of its body, before anything is answered; then 408. 0 waits for ever. */
  readonly bodyTimeoutMs?: number | undefined
  /** Connections of clients at once; one more gets 503. */
  readonly maxConnections?: number | undefined
  /** Requests at once; HTTP/2 has many on a connection, and one more gets 503. */
  readonly maxRequests?: number | undefined
  /** Told of each connection that is refused for being one too many. */
  readonly onFull?: ((clientAddress: string, max: number) => void) | undefined
  /** Told about errors that are ours. */
  readonly onInternalError: (error: unknown) => void
  /** Told about bytes that are no HTTP request, which open no exchange. */
  readonly onMalformed?: ((clientAddress: string, error: ProxyError) => void) | undefined
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

/** What is known of one connection. */
class Connection {
  /** Conversations that have not ended. */
  readonly open: Conversation[] = []
  /**
   * Requests behind the one that is being answered, when the client pipelines: one at a time, since only safe ones may
   * be processed together (RFC 9112 §9.3.2), and each would take a connection to the upstream from other clients.
   */
  readonly waiting: Array<{ readonly message?: IncomingMessage; readonly begin: () => void }> = []
  /** A request on it was refused: whatever follows is not read. */
  refused = false
  /** The last one that was answered before its body had come. */
  early: Conversation | undefined
}
const connection = Symbol('connection')
type Known = { [connection]?: Connection }

/** What opens an exchange. */
type Opening = Pick<IncomingMessage | PlainRequest, 'method' | 'rawHeaders' | 'httpVersion' | 'socket'>
/** What listens: for plain HTTP the server itself. */
type Listener = NetServer & Pick<Server, 'closeIdleConnections'>

/** Starts listening. Rejects with the error of node's `listen` (EADDRINUSE, EACCES …). */
export const startEdge = async (options: EdgeOptions): Promise<Edge> => {
  const { clock, exchanges, page, tls } = options
  const scheme = tls === undefined ? 'http' : 'https'
  const sockets = new Set<Socket>()
  let conversations = 0
  const tunnels = new Set<Duplex>()
  let draining = false
  let onIdle: (() => void) | undefined

  let http2: Http2Edge | undefined
  const active = (): number => conversations + tunnels.size + (http2?.active() ?? 0)
  const lookIdle = (): void => {
    if (active() === 0) onIdle?.()
  }
  const open = (message: Opening, url: string, host: string): Exchange => {
    const peer = addressOf(message.socket)
    const named = options.trusted?.(peer, message.rawHeaders)
    const exchange = exchanges.open({
      cause: 'client',
      method: message.method!,
      url,
      host: named?.host ?? host,
      scheme: named?.scheme ?? scheme,
      clientAddress: named?.address ?? peer,
      forwardedBy: named === undefined ? undefined : peer,
      httpVersion: message.httpVersion,
      requestHeaders: message.rawHeaders,
    })
    if (options.continueTrace !== undefined) exchange.trace = options.continueTrace(message.rawHeaders)
    return exchange
  }

  const context: ConversationContext = {
    handler: options.handler,
    exchanges,
    clock,
    maxBodyBytes: options.maxBodyBytes,
    extraFields: options.extraFields,
    bodyTimeoutMs: options.bodyTimeoutMs,
    draining: () => draining,
    onInternalError: options.onInternalError,
    onEnded(conversation) {
      conversations--
      const known = (conversation.socket as Known)[connection]!
      known.open.splice(known.open.indexOf(conversation), 1)
      if (conversation.isUnread) known.early = conversation
      // Once its exchange has ended.
      if (known.waiting.length > 0) queueMicrotask(() => serveNext(conversation.socket))
      if (draining) setImmediate(lookIdle) // once its exchange has ended too
    },
  }
  /** A fault of ours where there is no conversation to end costs the connection it happened on, and no other. */
  const fault = (socket: Duplex, thrown: unknown): void => {
    options.onInternalError(thrown)
    if ((socket as Known)[connection]?.open.length === 0) answerRaw(socket, internalError(thrown))
    else socket.destroy()
  }
  const guarded = (socket: Duplex, work: () => void): void => {
    try {
      work()
    } catch (thrown) {
      fault(socket, thrown)
    }
  }
  const serveNext = (socket: Socket): void => {
    const next = (socket as Known)[connection]!.waiting.shift()
    if (next !== undefined && !socket.destroyed) guarded(socket, next.begin)
  }
  const onRequest = (
    message: IncomingMessage,
    res: ServerResponse,
    wantsContinue: boolean,
    refusal?: ProxyError,
  ): void => {
    const known = (message.socket as Known)[connection]!
    // The connection ends with the answer that was a refusal.
    if (known.refused) return
    if (known.open.length === 0) {
      serve(message, res, wantsContinue, refusal)
      return
    }
    const release = holdBack(res, message.socket)
    known.waiting.push({
      message,
      begin() {
        release()
        serve(message, res, wantsContinue, refusal)
      },
    })
  }
  const serve = (
    message: IncomingMessage,
    res: ServerResponse,
    wantsContinue: boolean,
    refusal: ProxyError | undefined,
  ): void => {
    if (isDeclinedByNode(message)) res.shouldKeepAlive = false
    let target: RequestTarget
    try {
      target = requestTarget(message)
    } catch (thrown) {
      fault(message.socket, thrown)
      return
    }
    converse(message, res, refusal === undefined ? target : { ...target, refusal }, wantsContinue)
  }
  /** Opens the exchange of a request and its conversation; undefined where not even that could be done. */
  const converse = (
    message: IncomingMessage | PlainRequest,
    res: ServerResponse | PlainAnswer,
    target: RequestTarget,
    wantsContinue: boolean,
  ): Conversation | undefined => {
    let exchange: Exchange
    try {
      exchange = open(message, target.url, target.host)
    } catch (thrown) {
      fault(message.socket, thrown)
      return undefined
    }
    const conversation = new Conversation(message, res, exchange, context)
    const known = (message.socket as Known)[connection]!
    conversations++
    known.open.push(conversation)
    if (target.refusal !== undefined) {
      // Where one request ends and the next begins is open to doubt after this one (RFC 9112 §11.2).
      known.refused = true
      known.waiting.length = 0
      res.shouldKeepAlive = false
    }
    try {
      conversation.begin(target, wantsContinue)
    } catch (thrown) {
      conversation.refuse(thrown)
    }
    return conversation
  }

  const servePage = (page: LocalPage, { method, headers }: IncomingMessage, res: ServerResponse): void =>
    void pageAnswer(page, { method, accept: headers.accept }, options.onInternalError).then((answer) => {
      res.writeHead(answer.status, answer.headers as string[])
      res.end(answer.body)
    })
  const listener = (message: IncomingMessage, res: ServerResponse): void => {
    if (page !== undefined && isPage(page, message.url!)) servePage(page, message, res)
    else onRequest(message, res, false)
  }

  const refuseOnSocket = (message: IncomingMessage, socket: Duplex, url: string, error: ProxyError): void => {
    const exchange = open(message, url, message.headers.host ?? '')
    const bytes = answerRaw(socket, error, options.extraFields?.(exchange))
    exchanges.end(exchange, error.status, bytes, error)
  }
  /** What follows on a connection is no request: those before it are answered, and then it ends. */
  const endBehind = (socket: Socket, { open: [current], waiting }: Connection, error: ProxyError): void => {
    if (waiting.length === 0) {
      current?.malformed(error)
      return
    }
    // What is no HTTP may be the body of the last of them.
    if (waiting.at(-1)!.message?.complete === false) waiting.pop()
    waiting.push({ begin: () => socket.destroySoon() })
  }
  /** Whether answers to earlier requests are still to come on this connection: then it can become nothing else. */
  const isBusy = (socket: Duplex): boolean => {
    const known = (socket as Known)[connection]
    if (known === undefined || known.open.length === 0) return false
    const changed = badRequest(400, 'the protocol of a connection that is in use cannot be changed.')
    endBehind(socket as Socket, known, changed)
    return true
  }
  const onUpgrade = (server: Server, message: IncomingMessage, socket: Duplex, head: Buffer): void => {
    if (isBusy(socket)) return
    if (options.upgrade === undefined || !wantsWebSocket(message)) {
      serveWithoutUpgrade(message, socket, head, (again) => server.emit('connection', again))
      return
    }
    const target = requestTarget(message)
    if (target.refusal !== undefined) {
      refuseOnSocket(message, socket, target.url, target.refusal)
      return
    }
    const exchange = open(message, target.url, target.host)
    tunnels.add(socket)
    const end = ({ status, bytes, error }: UpgradeEnd): void => {
      tunnels.delete(socket)
      exchanges.end(exchange, status, bytes, error)
      lookIdle()
    }
    options.upgrade({ exchange, url: target.url, message, socket, head }).then(end, (thrown: unknown) => {
      options.onInternalError(thrown)
      socket.destroy()
      end({ status: 0, bytes: 0, error: internalError(thrown) })
    })
  }

  const onClientError = (error: ParserStop, socket: Socket): void => {
    const known = (socket as Known)[connection]
    if (known?.refused === true) return
    if (isPreface(error) && tls === undefined && known?.open.length === 0) {
      const handOver = takeOver(socket, error)
      loadHttp2().then((edge) => {
        if (socket.destroyed) return
        handOver()
        edge.accept(socket)
      }, options.onInternalError)
      return
    }
    const refusal = malformed(error)
    const isOpen = known !== undefined && known.open.length > 0
    const isAmid = isOpen || known?.early?.isUnread === true
    const gone = error.code === 'HPE_INVALID_EOF_STATE' && isAmid
    if (refusal === undefined || gone || !socket.writable) {
      socket.destroy()
      return
    }
    if (known !== undefined) known.refused = true
    // To answer out of turn would make this the answer to another request.
    if (isOpen) endBehind(socket, known, refusal)
    else {
      options.onMalformed?.(addressOf(socket), refusal)
      answerRaw(socket, refusal)
    }
  }
  const onConnection = (socket: Socket): void => {
    const known = new Connection()
    // A connection whose upgrade was declined comes a second time.
    if (!sockets.has(socket)) {
      sockets.add(socket)
      socket.once('close', () => {
        sockets.delete(socket)
        // node tells only the response whose turn it is.
        for (const conversation of [...(socket as Known)[connection]!.open]) conversation.closed()
      })
    }
    ;(socket as Known)[connection] = known
  }

  const { maxConnections } = options
  const door =
    maxConnections === undefined || tls !== undefined
      ? undefined
      : admission({
          max: maxConnections,
          open: () => sockets.size,
          onRefused: (socket) => options.onFull?.(addressOf(socket), maxConnections),
        })
  const drains: Lanes[] = []
  const create = (): Server => {
    const headTimeoutMs = options.headTimeoutMs ?? HEAD_TIMEOUT_MS
    const server = createServer({
      maxHeaderSize: MAX_HEAD_BYTES,
      // Long uploads are fine; a slow head is not.
      requestTimeout: 0,
      headersTimeout: headTimeoutMs,
      connectionsCheckingInterval: Math.min(Math.max(headTimeoutMs / 4, 50), 5000),
      keepAliveTimeout: KEEP_ALIVE_MS,
      // Refused by us, in an exchange.
      requireHostHeader: false,
      noDelay: true,
      ...{ shouldUpgradeCallback: mayUpgrade },
    })
    // Refused by us as well: some versions of node drop what is over, others say that the head is too large.
    server.maxHeadersCount = 0
    const [accept] = server.listeners('connection')
    server.removeAllListeners('connection')
    const short = lanes({
      serve: (request, answer) => converse(request, answer, request, false),
      isElsewhere: (url) => page !== undefined && isPage(page, url),
      leave: (socket) => accept!.call(server, socket),
      onSilent: (socket) =>
        onClientError(Object.assign(new Error(), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), socket),
      headTimeoutMs,
      keepAliveMs: KEEP_ALIVE_MS,
    })
    drains.push(short)
    server.on('connection', (socket: Socket) => {
      onConnection(socket)
      short.take(socket)
    })
    server.on('request', listener)
    server.on('checkContinue', (message, res) => onRequest(message, res, true))
    server.on('checkExpectation', (message, res) => onRequest(message, res, false, unknownExpectation()))
    server.on('upgrade', (message: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on('error', () => socket.destroy())
      guarded(socket, () => onUpgrade(server, message, socket, head))
    })
    server.on('connect', (message, socket: Duplex) => {
      socket.on('error', () => socket.destroy())
      guarded(socket, () => {
        if (!isBusy(socket)) refuseOnSocket(message, socket, message.url!, connectRefused())
      })
    })
    server.on('clientError', (error, socket) => guarded(socket, () => onClientError(error, socket as Socket)))
    door?.guard(server)
    return server
  }

  /** Takes over a connection that speaks HTTP/2. Loaded with the first one. */
  const loadHttp2 = async (): Promise<Http2Edge> => {
    const { http2Edge } = await import('./edge/http2.ts')
    http2 ??= http2Edge({
      ...context,
      open,
      page: (url, method, accept) =>
        page !== undefined && isPage(page, url)
          ? pageAnswer(page, { method, accept }, options.onInternalError)
          : undefined,
      maxHeadBytes: MAX_HEAD_BYTES,
      keepAliveMs: KEEP_ALIVE_MS,
      isFull: () => active() >= (options.maxRequests ?? Number.POSITIVE_INFINITY),
      onEnded() {
        if (draining) setImmediate(lookIdle)
      },
    })
    if (draining) http2.drain()
    return http2
  }
  /** Connections that TLS runs on. */
  const below = new Set<Socket>()
  const secure = tls === undefined ? undefined : await import('./edge/tls.ts')
  if (secure !== undefined) await loadHttp2()
  const createListener =
    secure === undefined
      ? create
      : () =>
          secure.secureListener({
            credentials: tls!,
            http1: create(),
            onHttp2: (socket) => http2!.accept(socket),
            admit(socket) {
              if (below.size >= (maxConnections ?? Number.POSITIVE_INFINITY)) {
                options.onFull?.(addressOf(socket), maxConnections!)
                return false
              }
              below.add(socket)
              socket.once('close', () => below.delete(socket))
              return true
            },
            timeoutMs: options.headTimeoutMs ?? HEAD_TIMEOUT_MS,
          })
  const servers = await listenAll<Listener>(createListener, options.hosts, options.port)
  return {
    port: (servers[0]!.address() as AddressInfo).port,
    addresses: servers.map((server) => (server.address() as AddressInfo).address),
    active,
    async close(graceMs) {
      draining = true
      const closed = servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())))
      for (const server of servers) server.closeIdleConnections()
      door?.close()
      for (const each of drains) each.drain()
      http2?.drain()
      if (graceMs > 0 && active() > 0) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, graceMs)
          onIdle = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
      http2?.destroy()
      for (const socket of sockets) {
        for (const conversation of [...((socket as Known)[connection]?.open ?? [])]) conversation.drop()
        socket.destroy()
      }
      for (const socket of below) socket.destroy()
      await Promise.all(closed)
    },
  }
}

/** IPv4 clients of a dual-stack socket look like `::ffff:127.0.0.1`. */
const addressOf = (socket: Socket): string => {
  const address = socket.remoteAddress ?? ''
  return address.startsWith('::ffff:') ? address.slice(7) : address
}

/** Has node read no further requests of a connection until it is told that this one need not wait any more. */
const holdBack = (res: ServerResponse, socket: Socket): (() => void) => {
  // As if answers that may not be sent yet had filled what node keeps of them.
  const { _onPendingData: pending = () => {} } = res as unknown as {
    _onPendingData?: (bytes: number) => void
  }
  let bytes = 0
  // Not at once: what the lane left to node is not read from the connection, and could not be stopped there.
  process.nextTick(() => {
    if (Number.isNaN(bytes)) return
    bytes = socket.writableHighWaterMark + 1
    pending(bytes)
  })
  return () => {
    if (bytes > 0) pending(-bytes)
    bytes = Number.NaN
  }
}

const badRequest = (status: number, message: string): ProxyError =>
  new ProxyError(status, 'bad-request', message)
const unknownExpectation = () => badRequest(417, 'the only expectation there is is 100-continue.')
const connectRefused = () => badRequest(501, 'CONNECT is not served: this is a reverse proxy.')
