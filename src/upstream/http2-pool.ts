/**
 * HTTP/2 connections to the upstream: requests share one as far as it lets them, and more are dialled as they are
 * needed.
 *
 * - A connection takes new requests until it says GOAWAY or is lost; those on their way end as they can.
 * - Requests wait only for a connection that is being dialled; each dial that fails fails those that wait.
 */
import { type ClientHttp2Session, connect } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { ProxyError } from '../core/errors.ts'
import type { Attempt } from './attempt.ts'
import { http2Codes, MAX_HEAD_KB } from './errors.ts'
import { type Http2Request, sendOn } from './http2-stream.ts'

/** What connections are made of. */
export interface Http2PoolOptions {
  /** `http` or `https`, and the target's `host[:port]`. */
  readonly scheme: string
  readonly authority: string
  readonly dial: (done: (error: Error | null, socket: Socket | TLSSocket | null) => void) => void
  /** Given the connection where the target speaks HTTP/1.1 only, and the requests that waited for it. */
  readonly onHttp1: (socket: TLSSocket, waiting: ReadonlyArray<() => void>) => void
}

/** The connections of one target. */
export interface Http2Pool {
  /** Sends the request; `elsewhere` is called instead where the target turns out to speak HTTP/1.1 only. */
  dispatch(request: Http2Request, attempt: Attempt, elsewhere: () => void): void
  /** Destroys all connections. */
  destroy(): void
}

const IDLE_MS = 60_000
/** How long an upstream that was silent for too long has to answer a PING, before its connection is given up. */
const PING_MS = 2000
/** Requests at once, as long as the upstream has not said. */
const DEFAULT_STREAMS = 100
const WINDOW_BYTES = 1024 * 1024
const CONNECTION_WINDOW_BYTES = 16 * WINDOW_BYTES
const MAX_FIELD_LINES = 2000
/** Of all streams of a connection; node would refuse to send more beyond 10. */
const SESSION_MB = 256

interface Waiting {
  readonly request: Http2Request
  readonly attempt: Attempt
  readonly elsewhere: () => void
}

const notSpoken = (): Error => Object.assign(new Error('no SETTINGS'), { code: http2Codes.notSpoken })

class Connection {
  readonly session: ClientHttp2Session
  open = 0
  used = false
  /** Why it was lost, where that is known. Until its SETTINGS came, nobody knows that it is HTTP/2 at all. */
  error: Error | undefined = notSpoken()

  constructor(session: ClientHttp2Session) {
    this.session = session
  }

  get hasRoom(): boolean {
    const { session } = this
    if (session.closed || session.destroyed) return false
    // Before its SETTINGS came, node has none to show.
    const { maxConcurrentStreams = DEFAULT_STREAMS } = session.remoteSettings ?? {}
    return this.open < maxConcurrentStreams
  }
}

/** Makes the connections of a target; nothing is dialled before the first request. */
export const http2Pool = (options: Http2PoolOptions): Http2Pool => {
  const { authority, scheme } = options
  const connections = new Set<Connection>()
  let waiting: Waiting[] = []
  let dialling = false
  let over = false

  const send = (connection: Connection, { request, attempt }: Waiting): void => {
    const { session } = connection
    attempt.sentByUs = true
    attempt.onReusedConnection = connection.used
    connection.used = true
    connection.open++
    const closed = (abandoned: Error | undefined): void => {
      connection.open--
      if (abandoned instanceof ProxyError && abandoned.code === 'upstream-timeout') look(session)
      serve()
    }
    try {
      sendOn({ session, scheme, lost: () => connection.error }, request, attempt, closed)
    } catch (error) {
      connection.open--
      attempt.onError(error as Error)
    }
  }
  const serve = (): void => {
    while (waiting.length > 0) {
      const connection = [...connections].find(({ hasRoom }) => hasRoom)
      if (connection === undefined) break
      send(connection, waiting.shift()!)
    }
    if (waiting.length > 0 && !dialling && !over) dial()
  }
  const dial = (): void => {
    dialling = true
    options.dial((error, socket) => {
      dialling = false
      if (over) socket?.destroy()
      else if (error !== null || socket === null) {
        const failed = waiting
        waiting = []
        for (const { attempt } of failed) attempt.onError(error ?? new Error('no connection'))
      } else if (scheme === 'https' && (socket as TLSSocket).alpnProtocol !== 'h2') {
        const moved = waiting
        waiting = []
        options.onHttp1(
          socket as TLSSocket,
          moved.map(({ elsewhere }) => elsewhere),
        )
      } else {
        open(socket)
        serve()
      }
    })
  }
  const open = (socket: Socket): void => {
    const session = connect(`${scheme}://${authority}`, {
      createConnection: () => socket,
      maxHeaderListPairs: MAX_FIELD_LINES,
      maxSessionMemory: SESSION_MB,
      settings: {
        enablePush: false,
        initialWindowSize: WINDOW_BYTES,
        maxHeaderListSize: MAX_HEAD_KB * 1024,
      },
    })
    const connection = new Connection(session)
    connections.add(connection)
    session.on('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES))
    session.on('error', (error: Error) => {
      connection.error ??= error
    })
    session.on('goaway', () => connections.delete(connection))
    session.on('close', () => {
      connections.delete(connection)
      // node would wait for the upstream to close it too.
      socket.destroy()
      serve()
    })
    session.on('remoteSettings', () => {
      connection.error = undefined
      serve()
    })
    session.setTimeout(IDLE_MS, () => {
      if (connection.open === 0) session.close()
    })
  }
  /** A connection that swallows what is sent would have every further request wait for nothing. */
  const look = (session: ClientHttp2Session): void => {
    if (session.closed || session.destroyed) return
    const timer = setTimeout(() => session.destroy(), PING_MS).unref()
    session.ping(() => clearTimeout(timer))
  }

  return {
    dispatch(request, attempt, elsewhere) {
      waiting.push({ request, attempt, elsewhere })
      serve()
    },
    destroy() {
      over = true
      for (const { session } of connections) session.destroy()
      const left = waiting
      waiting = []
      for (const { attempt } of left)
        attempt.onError(Object.assign(new Error('destroyed'), { code: 'UND_ERR_DESTROYED' }))
    },
  }
}
