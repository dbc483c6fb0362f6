/**
 * How requests travel to the target: plain ones over our own connections (upstream/plain-connection.ts), other HTTP/1.1
 * and all of it under TLS over undici's pool, or HTTP/2 where the target is `h2c:` or its TLS offers it. undici's own HTTP/2 is not used: it sends no two uploads at once on a connection, breaks off what runs when GOAWAY
 * comes, and writes field values anew as UTF-8.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Dispatcher } from 'undici'
import Pool from 'undici/lib/dispatcher/pool.js'
import type { Fields } from '../core/types.ts'
import type { Attempt } from './attempt.ts'
import { type ConnectOptions, connector } from './connector.ts'
import { isHttp2Only, MAX_HEAD_KB } from './errors.ts'
import type { Http2Pool } from './http2-pool.ts'
import type { Http2Request } from './http2-stream.ts'
import { endPausedAnswers } from './paused-end.ts'
import { PlainPool } from './plain-pool.ts'
import { plainRequest } from './plain-request.ts'
import { wholeOf } from './upload.ts'

/** Where requests travel to. */
export interface TransportOptions extends ConnectOptions {
  readonly target: ConnectOptions['target'] & {
    readonly origin: string
    readonly authority: string
    readonly port: number
    /** Cleartext HTTP/2 with prior knowledge. */
    readonly h2c?: boolean | undefined
  }
  /** TLS is asked for HTTP/2 too. */
  readonly http2: boolean
}

/** A request as undici takes it, and what HTTP/2 has to know beside. */
export interface UpstreamRequest extends Http2Request {
  readonly method: Dispatcher.HttpMethod
  readonly headers: string[]
  /** Known once the body has ended; told over HTTP/1.1 where the body goes in chunks. */
  readonly trailers: (() => Fields) | undefined
  readonly servername: string
}

/** A way to the target. */
export interface Transport {
  /** Requests may be sent over HTTP/2. */
  readonly mayBeHttp2: boolean
  dispatch(request: UpstreamRequest, attempt: Attempt): void
  /** This target wants HTTP/1.1. */
  useHttp1(): void
  /** Destroys all connections. */
  close(): Promise<void>
}

/** The way to a target. */
export const transport = (options: TransportOptions): Transport => {
  const { target } = options
  const mayBeHttp2 = target.h2c === true || (target.protocol === 'https:' && options.http2)
  /** Connections dialled for HTTP/2 whose TLS then said HTTP/1.1. */
  const spare: TLSSocket[] = []
  let http1 = !mayBeHttp2
  const dialHttp1 = connector(options)
  const dialForUndici: typeof dialHttp1 = (asked, callback) =>
    dialHttp1(asked, (...result) => {
      if (result[0] === null) endPausedAnswers(result[1])
      callback(...result)
    })
  const pool = new Pool(target.origin, {
    connections: null,
    pipelining: 1,
    // Ours instead: undici's run for event streams too, while the reader is the slow one, and up to a second late.
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEAD_KB * 1024,
    connect: !mayBeHttp2
      ? dialForUndici
      : (asked, callback) => {
          const socket = spare.pop()
          // Not at once: undici would not notice that it can go on.
          if (socket !== undefined && !socket.destroyed) queueMicrotask(() => callback(null, socket))
          else
            dialForUndici(asked, (...result) => {
              // It has learned HTTP/2 since, and nothing else.
              if (isHttp2Only(result[0])) http1 = !options.http2
              callback(...result)
            })
        },
  })
  const { hostname, port, protocol } = target
  const asked = { hostname, host: target.authority, protocol, port: String(port) }
  const plain =
    protocol === 'http:'
      ? new PlainPool({
          origin: target.origin,
          dial: (done) =>
            dialHttp1(asked, (...[error, socket]) => (error ? done(error) : done(null, socket as Socket))),
        })
      : undefined
  const overHttp1: Transport['dispatch'] = (request, attempt) => {
    if (plain !== undefined && !plain.isOdd) {
      const written = plainRequest(request)
      if (written !== undefined) {
        plain.dispatch(written, attempt)
        return
      }
    }
    // undici keeps what is long done reachable for the collector where a body is a stream.
    const body = request.body === null ? null : (wholeOf(request.body) ?? request.body)
    pool.dispatch({ ...request, body }, attempt as unknown as Dispatcher.DispatchHandler)
  }
  const useHttp1 = (): void => {
    http1 = target.h2c !== true
  }

  let loading: Promise<Http2Pool> | undefined
  const load = async (): Promise<Http2Pool> => {
    const { http2Pool } = await import('./http2-pool.ts')
    const dial = connector(options, true)
    return http2Pool({
      scheme: protocol.slice(0, -1),
      authority: target.authority,
      dial: (done) => dial(asked, (...[error, socket]) => done(error, socket as Socket | null)),
      onHttp1(socket, waiting) {
        useHttp1()
        socket.on('error', () => {})
        endPausedAnswers(socket)
        spare.push(socket)
        for (const send of waiting) send()
      },
    })
  }
  let http2: Http2Pool | undefined
  return {
    mayBeHttp2,
    dispatch(request, attempt) {
      if (http1) {
        overHttp1(request, attempt)
        return
      }
      const send = (connections: Http2Pool): void =>
        connections.dispatch(request, attempt, () => overHttp1(request, attempt))
      if (http2 !== undefined) {
        send(http2)
        return
      }
      loading ??= load()
      loading.then(
        (loaded) => {
          http2 = loaded
          send(loaded)
        },
        (error: Error) => attempt.onError(error),
      )
    },
    useHttp1,
    async close() {
      const loaded = await loading?.catch(() => undefined)
      loaded?.destroy()
      for (const socket of spare) socket.destroy()
      await plain?.close()
      await pool.destroy()
    },
  }
}
