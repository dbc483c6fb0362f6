/** HTTP/2 connections of clients (RFC 9113): their sessions and the streams within them. */
import {
  constants,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { ProxyResponse } from '../core/types.ts'
import { firstValue } from '../http/fields.ts'
import { readHead, toHttp2 } from '../http/http2-fields.ts'
import { type Http2Context, Http2Conversation } from './http2-conversation.ts'
import { LINGER_MS } from './refusals.ts'
import { MAX_FIELD_LINES, requestTarget } from './target.ts'

/** What of a request opens its exchange. */
interface Opening {
  readonly method: string
  readonly httpVersion: string
  readonly rawHeaders: string[]
  readonly socket: Socket
}

type PageAnswer = Promise<ProxyResponse & { readonly body: Buffer }>

/** What HTTP/2 connections are served with. */
export interface Http2Options extends Omit<Http2Context, 'onEnded'> {
  /** Opens the exchange of a request. */
  readonly open: (message: Opening, url: string, host: string) => Exchange
  /** Answers paths of the edge itself, outside the chain; undefined for all others. */
  readonly page: (url: string, method: string, accept: string | undefined) => PageAnswer | undefined
  readonly maxHeadBytes: number
  readonly keepAliveMs: number
  /** Whether as many requests are under way as there may be: one more would take what other connections need. */
  readonly isFull: () => boolean
  /** Called when an exchange has ended. */
  readonly onEnded: () => void
}

/** The HTTP/2 part of an edge. */
export interface Http2Edge {
  /** Takes over a connection on which nothing was read yet. */
  accept(socket: Socket): void
  /** Exchanges under way. */
  active(): number
  /** No new streams (GOAWAY); connections end with their last one. */
  drain(): void
  /** Ends everything at once. */
  destroy(): void
}

/** Requests of one client at once on one connection. */
const MAX_STREAMS = 250
/** More than that many, each costing us a request and the client next to nothing, are an attack; nghttp2's own bound is 1000. */
const MAX_RESETS = 500
const RESETS_MS = 10_000
/** What all streams of a connection may hold; beyond it new ones are refused. Each may hold its window, and an answer. */
const SESSION_MB = 128
/** What a stream may send before it is read; the default of 64 kB has uploads wait for each round trip. */
const WINDOW_BYTES = 256 * 1024

const servePage = (answer: PageAnswer, stream: ServerHttp2Stream): void => {
  stream.on('error', () => stream.destroy())
  stream.resume()
  answer.then(({ status, headers, body }) => {
    if (stream.destroyed || stream.closed) return
    stream.respond({ ...toHttp2(headers), ':status': status })
    stream.end(body)
  })
}

/** Streams that a client takes back before they are answered, on one connection (CVE-2023-44487). */
class Resets {
  #since = 0
  #count = 0

  tooMany(now: number): boolean {
    if (now - this.#since > RESETS_MS) {
      this.#since = now
      this.#count = 0
    }
    return ++this.#count > MAX_RESETS
  }
}

/** Serves HTTP/2 on connections that it is given. */
export const http2Edge = (options: Http2Options): Http2Edge => {
  const sessions = new Set<ServerHttp2Session>()
  const conversations = new Set<Http2Conversation>()
  let draining = false
  const context: Http2Context = {
    ...options,
    onEnded(conversation) {
      conversations.delete(conversation)
      options.onEnded()
    },
  }

  const onStream = (
    stream: ServerHttp2Stream,
    flags: number,
    raw: readonly string[],
    socket: Socket,
  ): void => {
    const head = readHead(raw)
    const { method, path, fields } = head
    const page = options.page(path, method, firstValue(fields, 'accept'))
    if (page !== undefined) {
      servePage(page, stream)
      return
    }
    const rawHeaders = fields as string[]
    const refusal = refusalOf(method, head.twoHosts) ?? (options.isFull() ? tooMany() : undefined)
    const target =
      refusal === undefined
        ? requestTarget({ method, url: path, rawHeaders, httpVersionMajor: 1, httpVersionMinor: 1 })
        : { url: path, host: '', refusal }
    const message = { method, httpVersion: '2', rawHeaders, socket }
    const conversation = new Http2Conversation(
      stream,
      head,
      options.open(message, target.url, target.host),
      context,
    )
    conversations.add(conversation)
    try {
      conversation.begin(target, (flags & constants.NGHTTP2_FLAG_END_STREAM) === 0)
    } catch (thrown) {
      conversation.refuse(thrown)
    }
  }

  return {
    accept(socket) {
      const session = performServerHandshake(socket, {
        // Lists of fields beyond these end with ENHANCE_YOUR_CALM before they are kept.
        maxHeaderListPairs: 2 * MAX_FIELD_LINES,
        maxSessionMemory: SESSION_MB,
        settings: {
          maxConcurrentStreams: MAX_STREAMS,
          maxHeaderListSize: options.maxHeadBytes,
          initialWindowSize: WINDOW_BYTES,
        },
      })
      sessions.add(session)
      session.on('close', () => {
        sessions.delete(session)
        // A client that does not close its side would keep the connection for ever.
        const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
        socket.once('close', () => clearTimeout(timer))
      })
      session.on('error', () => {
        // Its streams are closed with it, and each tells for itself.
      })
      let open = 0
      const resets = new Resets()
      session.on('stream', (stream, _headers, flags, raw?: string[]) => {
        open++
        stream.on('close', () => {
          open--
          if (stream.aborted && resets.tooMany(options.clock.now()))
            session.destroy(undefined, constants.NGHTTP2_ENHANCE_YOUR_CALM)
        })
        try {
          onStream(stream, flags, raw!, socket)
        } catch (thrown) {
          // A fault of ours costs the stream it happened on.
          options.onInternalError(thrown)
          stream.close(constants.NGHTTP2_INTERNAL_ERROR)
        }
      })
      session.setTimeout(options.keepAliveMs, () => {
        if (open === 0) session.close()
      })
      if (draining) session.close()
    },
    active: () => conversations.size,
    drain() {
      draining = true
      for (const session of sessions) session.close()
    },
    destroy() {
      for (const conversation of [...conversations]) conversation.drop()
      for (const session of sessions) session.destroy()
    },
  }
}

const tooMany = (): ProxyError =>
  new ProxyError(
    503,
    'queue-full',
    'as many requests are under way as there are files for (ulimit -n); try again later.',
    { fields: ['Retry-After', '1'] },
  )

const refusalOf = (method: string, twoHosts: boolean): ProxyError | undefined => {
  if (method === 'CONNECT')
    return new ProxyError(501, 'bad-request', 'CONNECT is not served: this is a reverse proxy.')
  return twoHosts
    ? new ProxyError(400, 'bad-request', ':authority and Host differ (RFC 9113 §8.3.1).')
    : undefined
}
