/**
 * Upgraded connections (RFC 9110 §7.8), WebSocket above all, through http-proxy's `ws()`. It dials and joins the two
 * sockets; what it does not do, or does wrongly, is done here:
 *
 * - It gets a stand-in for the request, and its `proxyReqWs` hook puts the exact target and field lines on the
 *   request before anything is written: on its own it joins repeated fields and folds `//` in paths.
 * - Answers other than 101 are kept from it (it would send de-chunked bodies under chunked heads) and sent by node.
 * - Each socket's end ends the other, with time to flush; a half-closed tunnel with nothing moving ends too.
 * - Until the upstream's head is here, every failure is answered: 502, or 504 when it took too long.
 * - A tunnel settles exactly once, after the client's socket is closed and the upstream's connection given up.
 */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  ServerResponse,
  STATUS_CODES,
} from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { isIP, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { rootCertificates } from 'node:tls'
import util from 'node:util'
import type ProxyServer from 'http-proxy'
import { Cancel } from '../core/cancel.ts'
import type { Clock } from '../core/clock.ts'
import { type ErrorCode, isOfUpstream, ProxyError } from '../core/errors.ts'
import type { Exchange, UpstreamFacts } from '../core/exchange.ts'
import type { Fields, ProxyRequest } from '../core/types.ts'
import type { HeaderEdit, Target } from '../core/values.ts'
import { editFields, endToEnd, firstValue } from '../http/fields.ts'
import { MAX_HEAD_KB, upstreamError } from './errors.ts'
import { lookupLocalhost } from './lookup.ts'

/** Where and how upgrades are forwarded. */
export interface UpgradeOptions {
  readonly target: Target
  /** The field lines to send, Host among them; Connection and Upgrade are added here. */
  readonly prepare: (req: ProxyRequest) => Fields
  readonly responseEdits?: readonly HeaderEdit[]
  /** Field lines of answers that are made of errors. */
  readonly extraFields?: ((exchange: Exchange) => Fields) | undefined
  /** Silence of the upstream before its head, and within the body of a refusal; 0 waits for ever. */
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** `ca`: PEM of further certificates to trust. */
  readonly tls: { readonly rejectUnauthorized: boolean; readonly ca?: string | undefined }
  readonly clock: Clock
  /** How long a tunnel of which one side has ended may be still, and how long its last bytes may take. */
  readonly lingerMs?: number
}

/** A request to change the protocol, as node's `upgrade` event gives it. */
export interface UpgradeRequest {
  readonly message: IncomingMessage
  readonly socket: Duplex
  /** What the client sent behind the head of its request. */
  readonly head: Buffer
  readonly exchange: Exchange
  /** Path and query to ask the upstream for. */
  readonly url: string
}

/** How an upgrade ended. */
export interface UpgradeEnd {
  /** Status given to the client; 0 when it left before one was known. */
  readonly status: number
  /** Bytes given to the client after the head. */
  readonly bytes: number
  readonly error?: { readonly code: ErrorCode; readonly message: string }
}

/** Serves upgrades. */
export interface Upgrades {
  /** Resolves when the tunnel has ended or the request was refused; never rejects. Answers in every case. */
  handle(request: UpgradeRequest): Promise<UpgradeEnd>
  /** Destroys all tunnels; their promises settle. */
  closeAll(): void
  /** Tunnels that are open or being opened. */
  count(): number
}

const LINGER_MS = 30_000
/** How long a client may take to close its side once everything was sent to it. */
const LAST_WORDS_MS = 2000

/** Fields that would give an upgrade request a body, or ask for an interim answer. */
const unfit = new Set([
  'connection',
  'upgrade',
  'content-length',
  'transfer-encoding',
  'te',
  'trailer',
  'expect',
])

/** What http-proxy sees of the request: enough to pass its checks. */
interface StandIn {
  readonly method: 'GET'
  readonly url: '/'
  readonly headers: Record<string, string>
}

/** The `http-proxy` server and who asked it for what. */
interface Tunneler {
  readonly server: ProxyServer
  readonly byRequest: WeakMap<object, Tunnel>
  readonly bySocket: WeakMap<object, Tunnel>
}

const loadTunneler = async (): Promise<Tunneler> => {
  // http-proxy takes util._extend when it is loaded; node ≥ 22 prints DEP0060 when that is called.
  const legacy = util as unknown as { _extend: unknown }
  const before = legacy._extend
  legacy._extend = Object.assign
  const { default: httpProxy } = await import('http-proxy')
  legacy._extend = before
  const byRequest = new WeakMap<object, Tunnel>()
  const bySocket = new WeakMap<object, Tunnel>()
  const server = httpProxy.createProxyServer({})
  server.on('proxyReqWs', (request, standIn) => byRequest.get(standIn)?.begin(request))
  server.on('open', (socket) => bySocket.get(socket)?.joined())
  server.on('error', () => {
    // Each call has its own callback, which reports; without this listener a stray error would be thrown.
  })
  return { server, byRequest, bySocket }
}

const agentFor = (target: Target, tls: UpgradeOptions['tls']): HttpAgent => {
  // Agents' options win over those http-proxy sets on the request.
  const dial = {
    keepAlive: false,
    autoSelectFamily: true,
    ...(target.hostname === 'localhost' ? { lookup: lookupLocalhost } : {}),
  }
  if (target.protocol === 'http:') return new HttpAgent(dial)
  return new HttpsAgent({
    ...dial,
    rejectUnauthorized: tls.rejectUnauthorized,
    // Otherwise node takes the name from the Host field, which need not be the target's.
    servername: isIP(target.hostname) === 0 ? target.hostname : '',
    ALPNProtocols: ['http/1.1'],
    ...(tls.ca === undefined ? {} : { ca: [...rootCertificates, tls.ca] }),
  })
}

/** What all tunnels of one `upgrades()` share. */
interface Shared {
  readonly options: UpgradeOptions
  readonly agent: HttpAgent
  readonly lingerMs: number
}

/** One upgrade from the request to the last byte. */
class Tunnel {
  readonly #shared: Shared
  readonly #request: UpgradeRequest
  readonly #cancel = new Cancel()
  readonly #facts: UpstreamFacts
  /** Settles when all is over. */
  readonly ended: Promise<UpgradeEnd>
  #settle: (end: UpgradeEnd) => void = () => {}
  #tunneler: Tunneler | undefined
  #outgoing: ClientRequest | undefined
  #upstream: Duplex | undefined
  #answered: ServerResponse | undefined
  #timer: NodeJS.Timeout | undefined
  /** `waiting` for the upstream's head, `answering` with a status other than 101, `open`, or `over`. */
  #state: 'waiting' | 'answering' | 'open' | 'over' = 'waiting'
  #status = 0
  #bytes = 0
  #error: ProxyError | undefined

  constructor(shared: Shared, request: UpgradeRequest) {
    this.#shared = shared
    this.#request = request
    const { target, clock } = shared.options
    this.#facts = {
      startedAt: clock.now(),
      sentBytes: 0,
      receivedBytes: 0,
      address: target.socketPath ?? target.authority,
    }
    this.ended = new Promise((resolve) => {
      this.#settle = resolve
    })
    const { socket } = request
    socket.on('error', () => {
      // `close` follows and tells all there is to do.
    })
    socket.on('close', () => this.#clientClosed())
    socket.on('end', () => this.#clientEnded())
    if (socket.destroyed) this.#clientClosed()
  }

  /** Hands the request to http-proxy. */
  open(tunneler: Tunneler): void {
    if (this.#state !== 'waiting') return
    const { exchange, head, socket, url } = this.#request
    const { target, tls } = this.#shared.options
    this.#tunneler = tunneler
    exchange.upstream = this.#facts
    // What node would refuse in a path; set past its check below.
    if (!/^[\x21-\xff]+$/.test(url)) {
      this.fail(
        new ProxyError(
          400,
          'bad-request',
          'the path of this request has characters that cannot be forwarded.',
        ),
      )
      return
    }
    const standIn: StandIn = {
      method: 'GET',
      url: '/',
      headers: { connection: 'Upgrade', upgrade: 'websocket' },
    }
    tunneler.byRequest.set(standIn, this)
    const { hostname, port, protocol, socketPath } = target
    try {
      tunneler.server.ws(
        standIn as unknown as IncomingMessage,
        socket as Socket,
        head,
        {
          target: {
            protocol,
            host: hostname,
            hostname,
            port,
            ...(socketPath === undefined ? {} : { socketPath }),
          },
          agent: this.#shared.agent,
          secure: tls.rejectUnauthorized,
          // Its own parsing of URLs is not wanted: the path is set below.
          toProxy: true,
        },
        (error) => this.fail(error),
      )
    } catch (error) {
      this.#outgoing?.destroy()
      const { message } = error as Error
      this.fail(
        new ProxyError(400, 'bad-request', `this request cannot be forwarded: ${message}.`, { cause: error }),
      )
      return
    }
    // Instead of http-proxy's listener. (To mark the answer as upgraded, which it leaves alone, confuses node.)
    this.#outgoing?.removeAllListeners('response')
    this.#outgoing?.on('response', (response) => this.#refused(response))
  }

  /** http-proxy has made the upstream request; nothing of it is written yet. Runs within `open`. */
  begin(outgoing: ClientRequest): void {
    this.#outgoing = outgoing
    outgoing.on('error', () => {
      // http-proxy listens too, and calls back; this one is for an error before it does.
    })
    outgoing.maxHeadersCount = 0
    // Read when the socket is assigned; http-proxy does not pass it on.
    ;(outgoing as { maxHeaderSize?: number }).maxHeaderSize = MAX_HEAD_KB * 1024
    outgoing.path = this.#request.url
    for (const name of outgoing.getHeaderNames()) outgoing.removeHeader(name)
    const fields = this.#shared.options.prepare(this.#proxyRequest())
    for (let i = 0; i < fields.length; i += 2) {
      if (!unfit.has(fields[i]!.toLowerCase())) outgoing.appendHeader(fields[i]!, fields[i + 1]!)
    }
    outgoing.setHeader('Connection', 'Upgrade')
    outgoing.setHeader('Upgrade', this.#request.message.headers.upgrade ?? 'websocket')
    outgoing.on('socket', (socket) => this.#dialling(socket))
    outgoing.on('upgrade', (response, socket) => this.#switched(response, socket))
    this.#within(this.#shared.options.connectTimeoutMs, 'UND_ERR_CONNECT_TIMEOUT')
  }

  /** http-proxy has joined the two sockets. Only now may anybody else listen to their data: it put bytes back. */
  joined(): void {
    const { exchange, socket } = this.#request
    this.#upstream?.on('data', (chunk: Buffer) => {
      if (!socket.destroyed) this.#bytes += chunk.length
      this.#facts.receivedBytes += chunk.length
      this.#timer?.refresh()
    })
    socket.on('data', (chunk: Buffer) => {
      exchange.requestBytes += chunk.length
      this.#facts.sentBytes += chunk.length
      this.#timer?.refresh()
    })
  }

  /** There will be no answer, or the tunnel broke. */
  fail(cause: unknown): void {
    const { clock, connectTimeoutMs, target, timeoutMs } = this.#shared.options
    switch (this.#state) {
      case 'waiting':
        this.#answer(upstreamError(cause, { target: target.display, timeoutMs, connectTimeoutMs }))
        return
      case 'open':
        this.#error ??= new ProxyError(
          502,
          'upstream-aborted',
          `${target.display} broke the connection off.`,
          { cause },
        )
        this.#facts.endedAt ??= clock.now()
        return
      default:
        // The refusal's own body reports; after the end nobody cares.
        return
    }
  }

  /** Ends everything at once. */
  destroy(): void {
    this.#error ??= new ProxyError(503, 'shutting-down', 'the proxy is shutting down.')
    this.#upstream?.destroy()
    this.#request.socket.destroy()
    // A socket that was closed before says nothing any more.
    this.#clientClosed()
  }

  #proxyRequest(): ProxyRequest {
    const { exchange, message, url } = this.#request
    return {
      method: message.method ?? 'GET',
      url,
      headers: message.rawHeaders,
      body: undefined,
      cancel: this.#cancel,
      exchange,
    }
  }

  #within(ms: number, code: string): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (ms > 0) this.#timer = setTimeout(() => this.#tooLate(code), ms)
  }

  #tooLate(code: string): void {
    this.fail({ code })
    this.#outgoing?.destroy()
  }

  #dialling(socket: Socket): void {
    const { clock, target, timeoutMs } = this.#shared.options
    const connected = (): void => {
      if (this.#state !== 'waiting') return
      this.#facts.sentAt = clock.now()
      this.#within(timeoutMs, 'UND_ERR_HEADERS_TIMEOUT')
    }
    socket.once(target.protocol === 'https:' ? 'secureConnect' : 'connect', connected)
  }

  #headArrived(response: IncomingMessage): void {
    this.#facts.headAt = this.#shared.options.clock.now()
    this.#facts.status = response.statusCode ?? 0
    this.#within(0, '')
  }

  #fieldsOf(response: IncomingMessage): Fields {
    return editFields(endToEnd(response.rawHeaders), this.#shared.options.responseEdits ?? [])
  }

  /** The upstream answered, but with another status than 101. */
  #refused(response: IncomingMessage): void {
    if (this.#state !== 'waiting') {
      response.destroy()
      return
    }
    this.#headArrived(response)
    const { timeoutMs } = this.#shared.options
    const answer = this.#beginAnswer(
      response.statusCode ?? 502,
      response.statusMessage,
      this.#fieldsOf(response),
    )
    if (answer === undefined) {
      response.destroy()
      return
    }
    const watch = (): void => {
      clearTimeout(this.#timer)
      if (timeoutMs > 0) this.#timer = setTimeout(silent, timeoutMs)
    }
    const silent = (): void => {
      // The client, not the upstream, holds things up.
      if (answer.writableNeedDrain) watch()
      else response.destroy(Object.assign(new Error('silent'), { code: 'UND_ERR_BODY_TIMEOUT' }))
    }
    watch()
    response.on('data', (chunk: Buffer) => {
      this.#bytes += chunk.length
      this.#facts.receivedBytes += chunk.length
      this.#timer?.refresh()
    })
    response.on('error', (error) => this.#cutOff(error))
    response.on('close', () => {
      this.#within(0, '')
      this.#facts.endedAt ??= this.#shared.options.clock.now()
      if (!response.complete) this.#cutOff(new Error('the body was cut off'))
    })
    response.pipe(answer)
  }

  /** The head of an answer is with the client, and its body will never be whole. */
  #cutOff(cause: Error): void {
    const { connectTimeoutMs, target, timeoutMs } = this.#shared.options
    if (this.#state === 'over') return
    this.#error ??=
      (cause as NodeJS.ErrnoException).code === 'UND_ERR_BODY_TIMEOUT'
        ? upstreamError(cause, { target: target.display, timeoutMs, connectTimeoutMs })
        : new ProxyError(502, 'upstream-aborted', `${target.display} broke its answer off.`, { cause })
    this.#request.socket.destroy()
  }

  /** An answer of ours instead of the upstream's. */
  #answer(error: ProxyError): void {
    this.#error = error
    const body = Buffer.from(`${error.status} - ${STATUS_CODES[error.status] ?? ''}\n${error.message}\n`)
    const answer = this.#beginAnswer(error.status, undefined, [
      'Content-Type',
      'text/plain; charset=utf-8',
      'Content-Length',
      String(body.length),
      ...(this.#shared.options.extraFields?.(this.#request.exchange) ?? []),
    ])
    this.#facts.endedAt ??= this.#shared.options.clock.now()
    if (answer === undefined) return
    this.#bytes = body.length
    answer.end(body)
  }

  /** Writes a head other than 101; node frames what follows. Undefined when nobody can be answered. */
  #beginAnswer(status: number, statusText: string | undefined, fields: Fields): ServerResponse | undefined {
    const { exchange, message, socket } = this.#request
    this.#within(0, '')
    this.#state = 'answering'
    const answer = new ServerResponse(message)
    this.#answered = answer
    answer.on('error', () => {
      // The client left while there was more to write; its socket's `close` tells.
    })
    answer.shouldKeepAlive = false
    try {
      answer.assignSocket(socket as Socket)
      answer.writeHead(status, statusText ?? STATUS_CODES[status] ?? '', fields as string[])
    } catch {
      // A head that node will not write; the socket's `close` settles.
      socket.destroy()
      return undefined
    }
    this.#status = status
    exchange.headAt = this.#shared.options.clock.now()
    exchange.responseHeaders = fields
    // Only a server's connection does this, and with the upgrade the socket stopped being one.
    socket.on('drain', () => answer.emit('drain'))
    answer.once('finish', () => {
      answer.detachSocket(socket as Socket)
      this.#closeSoon(socket)
    })
    return answer
  }

  /** The upstream agreed. http-proxy's listener comes after this one, writes the head and joins the sockets. */
  #switched(response: IncomingMessage, upstream: Duplex): void {
    this.#upstream = upstream
    upstream.on('error', (error) => this.fail(error))
    upstream.on('close', () => this.#upstreamClosed())
    const { exchange, socket } = this.#request
    if (this.#state !== 'waiting') {
      upstream.destroy()
      return
    }
    this.#headArrived(response)
    this.#state = 'open'
    this.#status = 101
    const protocol = firstValue(response.rawHeaders, 'upgrade') ?? 'websocket'
    const fields = ['Upgrade', protocol, 'Connection', 'Upgrade', ...withoutFraming(this.#fieldsOf(response))]
    response.headers = joinLines(fields)
    exchange.upgraded = protocol.toLowerCase()
    exchange.headAt = this.#shared.options.clock.now()
    exchange.responseHeaders = fields
    // The head is written as a string, whose bytes are Latin-1 (RFC 9110 §5.5).
    socket.setDefaultEncoding('latin1')
    this.#tunneler?.bySocket.set(upstream, this)
    upstream.on('end', () => this.#halfClosed())
    if (socket.readableEnded) this.#halfClosed()
  }

  #clientEnded(): void {
    if (this.#state === 'waiting') this.#request.socket.destroy()
    else if (this.#state === 'open') this.#halfClosed()
  }

  /** One side has nothing more to say; the other may, for as long as it does. */
  #halfClosed(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#request.socket.destroy()
      this.#upstream?.destroy()
    }, this.#shared.lingerMs)
  }

  #upstreamClosed(): void {
    this.#facts.endedAt ??= this.#shared.options.clock.now()
    if (this.#request.socket.destroyed) this.#over()
    else this.#closeSoon(this.#request.socket)
  }

  #clientClosed(): void {
    if (this.#state === 'over') return
    this.#cancel.fire()
    if (
      this.#state === 'waiting' ||
      (this.#state === 'answering' && this.#answered?.writableFinished !== true)
    ) {
      this.#error ??= new ProxyError(499, 'client-gone', 'the client left before it had its answer')
    }
    if (this.#state === 'open' && this.#upstream?.destroyed === false) {
      this.#closeSoon(this.#upstream)
      return
    }
    this.#outgoing?.destroy()
    this.#over()
  }

  /** Lets what is written reach the other end, then destroys. */
  #closeSoon(stream: Duplex): void {
    if (stream.destroyed) return
    const giveUp = (): void => {
      stream.destroy()
    }
    let timer = setTimeout(giveUp, this.#shared.lingerMs)
    stream.once('close', () => clearTimeout(timer))
    stream.end(() => {
      clearTimeout(timer)
      // To close with unread bytes would reset the connection, and the last ones sent could be lost.
      timer = setTimeout(giveUp, Math.min(LAST_WORDS_MS, this.#shared.lingerMs))
    })
    stream.resume()
  }

  #over(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    clearTimeout(this.#timer)
    this.#facts.endedAt ??= this.#shared.options.clock.now()
    const { code, message } = this.#error ?? {}
    if (code !== undefined && isOfUpstream(code)) this.#facts.error = code
    this.#settle({
      status: this.#status,
      bytes: this.#bytes,
      ...(code === undefined ? {} : { error: { code, message: message ?? '' } }),
    })
  }
}

const withoutFraming = (fields: Fields): string[] => {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2) {
    // RFC 9110 §8.6, RFC 9112 §6.1: none with a 101.
    if (!unfit.has(fields[i]!.toLowerCase())) kept.push(fields[i]!, fields[i + 1]!)
  }
  return kept
}

/** Field lines as http-proxy writes them: one property a name, with a list for repeated ones. */
const joinLines = (fields: Fields): Record<string, string[]> => {
  const joined: Record<string, string[]> = Object.create(null)
  const spelling = new Map<string, string>()
  for (let i = 0; i < fields.length; i += 2) {
    const lower = fields[i]!.toLowerCase()
    const name = spelling.get(lower) ?? fields[i]!
    spelling.set(lower, name)
    joined[name] ??= []
    joined[name].push(fields[i + 1]!)
  }
  return joined
}

/** Forwards upgrades to the target. http-proxy is loaded with the first one. */
export const upgrades = (options: UpgradeOptions): Upgrades => {
  const shared: Shared = {
    options,
    agent: agentFor(options.target, options.tls),
    lingerMs: options.lingerMs ?? LINGER_MS,
  }
  const active = new Set<Tunnel>()
  let loading: Promise<Tunneler> | undefined
  return {
    async handle(request) {
      const tunnel = new Tunnel(shared, request)
      active.add(tunnel)
      try {
        loading ??= loadTunneler()
        tunnel.open(await loading)
      } catch (error) {
        tunnel.fail(new ProxyError(500, 'internal', 'the proxy failed.', { cause: error }))
      }
      const end = await tunnel.ended
      active.delete(tunnel)
      return end
    },
    closeAll() {
      for (const tunnel of active) tunnel.destroy()
      shared.agent.destroy()
    },
    count: () => active.size,
  }
}
