/**
 * The last handler of the chain: one request to the upstream over undici, its answer streamed back.
 *
 * - The promise settles with the head. A body that arrived whole with its head is given as a Buffer: the wait for the
 *   end of the tick costs nothing and spares a stream for most answers.
 * - Back-pressure runs through undici's `resume` and the `false` that `onData` returns.
 * - A GET, HEAD or OPTIONS without body is sent again when the upstream closed the kept-alive connection before any
 *   byte of an answer (it had closed it while it was idle), until a connection is new; nothing else is sent twice.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { isIP } from 'node:net'
import { rootCertificates } from 'node:tls'
import type { buildConnector, Dispatcher } from 'undici'
import makeConnector from 'undici/lib/core/connect.js'
import Pool from 'undici/lib/dispatcher/pool.js'
import type { Clock } from '../core/clock.ts'
import { isOfUpstream, ProxyError } from '../core/errors.ts'
import type { UpstreamFacts } from '../core/exchange.ts'
import type { Handler } from '../core/types.ts'
import { Attempt, type AttemptContext } from './attempt.ts'
import { isReset, MAX_HEAD_KB, upstreamError } from './errors.ts'
import { lookupLocalhost } from './lookup.ts'
import { requestFields, upstreamPath } from './request-fields.ts'
import { SilenceWatch } from './silence.ts'

/** Where and how requests are forwarded. */
export interface ForwardOptions {
  readonly target: {
    readonly origin: string
    readonly protocol: string
    readonly hostname: string
    readonly authority: string
    readonly basePath: string
    readonly baseQuery: string
    readonly socketPath: string | undefined
    readonly display: string
  }
  /** `target`, `client`, or the host to send. */
  readonly hostHeader: string
  readonly requestEdits: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>
  readonly responseEdits: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>
  /** Silence of the upstream, before the head or within the body; 0 waits for ever. */
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** Any certificate of the upstream will do. */
  readonly insecure: boolean
  /** PEM of further certificates to trust. */
  readonly ca: string | undefined
  readonly clock: Clock
}

/** The forwarding handler and what ends its connections. */
export interface Forward {
  readonly handle: Handler
  /** Destroys all connections; requests under way fail. */
  close(): Promise<void>
}

/** The attempt that undici is writing at this moment; `undici:client:sendHeaders` follows in the same call. */
let writing: Attempt | undefined
const usedBefore = new WeakSet<object>()
const onSendHeaders = (message: unknown): void => {
  if (writing === undefined) return
  const { socket } = message as { socket: object }
  writing.onReusedConnection = usedBefore.has(socket)
  usedBefore.add(socket)
  writing = undefined
}

/** Dials the target. undici's own deadline is up to a second late. */
const connector = (options: ForwardOptions): buildConnector.connector => {
  const { target, connectTimeoutMs } = options
  const dial = makeConnector({
    timeout: 0,
    autoSelectFamily: true,
    ...(target.hostname === 'localhost' ? { lookup: lookupLocalhost } : {}),
    ...(target.socketPath === undefined ? {} : { socketPath: target.socketPath }),
    rejectUnauthorized: !options.insecure,
    ...(options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] }),
  } as buildConnector.BuildOptions)
  // RFC 6066 §3: no address. Never the client's Host, which need not be the target's.
  const servername = isIP(target.hostname) === 0 ? target.hostname : undefined
  return (asked, callback) => {
    let timer: NodeJS.Timeout | undefined
    const socket = dial({ ...asked, servername: servername as string }, (...result) => {
      clearTimeout(timer)
      callback(...result)
    }) as unknown as { destroy(error: Error): void }
    if (connectTimeoutMs > 0) {
      const late = Object.assign(new Error('connect timeout'), { code: 'UND_ERR_CONNECT_TIMEOUT' })
      timer = setTimeout(() => socket.destroy(late), connectTimeoutMs)
    }
  }
}

const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'

/** Forwards requests to the target. The handler rejects with a ProxyError when there is no answer. */
export const forward = (options: ForwardOptions): Forward => {
  const { target, clock, timeoutMs, connectTimeoutMs } = options
  const pool = new Pool(target.origin, {
    connections: null,
    pipelining: 1,
    // Ours instead: undici's run for event streams too, while the reader is the slow one, and up to a second late.
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEAD_KB * 1024,
    connect: connector(options),
  })
  const silence = new SilenceWatch(timeoutMs, clock)
  const fieldOptions = {
    hostHeader: options.hostHeader,
    targetAuthority: target.authority,
    edits: options.requestEdits,
  }
  const errorFacts = { target: target.display, timeoutMs, connectTimeoutMs }
  const context: AttemptContext = {
    clock,
    silence,
    errorFacts,
    responseEdits: options.responseEdits,
    onWriting(attempt) {
      writing = attempt
    },
  }
  const address = target.socketPath ?? target.authority
  let open = true
  subscribe('undici:client:sendHeaders', onSendHeaders)

  const handle: Handler = (req) =>
    new Promise((resolve, reject) => {
      const facts: UpstreamFacts = { startedAt: clock.now(), sentBytes: 0, receivedBytes: 0, address }
      req.exchange.upstream = facts
      const dispatch: Dispatcher.DispatchOptions & { servername: string } = {
        path: upstreamPath(req.url, target.basePath, target.baseQuery),
        method: req.method as Dispatcher.HttpMethod,
        headers: requestFields(req, fieldOptions) as string[],
        body: req.body ?? null,
        // The same for all, or undici gives up the connection whenever it changes.
        servername: target.hostname,
      }
      const fail = (error: unknown, attempt: Attempt): void => {
        if (req.cancel.fired) {
          reject(new ProxyError(499, 'client-gone', 'the client left before the answer', { cause: error }))
        } else if (
          attempt.mayHaveMissed &&
          req.retry !== false &&
          req.body === undefined &&
          isSafe(req.method) &&
          isReset(error) &&
          open
        ) {
          send()
        } else {
          const failure = upstreamError(error, errorFacts)
          if (isOfUpstream(failure.code)) facts.error = failure.code
          reject(failure)
        }
      }
      const send = (): void => {
        const attempt = new Attempt(req, facts, context, resolve, fail)
        pool.dispatch(dispatch, attempt as unknown as Dispatcher.DispatchHandler)
      }
      send()
    })

  return {
    handle,
    async close() {
      if (!open) return
      open = false
      unsubscribe('undici:client:sendHeaders', onSendHeaders)
      silence.stop()
      await pool.destroy()
    },
  }
}
