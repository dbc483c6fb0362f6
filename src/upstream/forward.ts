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
import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import type { Clock } from '../core/clock.ts'
import { isOfUpstream, ProxyError } from '../core/errors.ts'
import type { UpstreamFacts } from '../core/exchange.ts'
import type { Handler } from '../core/types.ts'
import { hasMember } from '../http/fields.ts'
import { Attempt, type AttemptContext } from './attempt.ts'
import { isReset, isUnprocessed, upstreamError, wantsHttp1 } from './errors.ts'
import { requestFields, upstreamPath } from './request-fields.ts'
import { SilenceWatch } from './silence.ts'
import { type TransportOptions, transport, type UpstreamRequest } from './transport.ts'

/** Where and how requests are forwarded. */
export interface ForwardOptions {
  readonly target: TransportOptions['target'] & {
    readonly basePath: string
    readonly baseQuery: string
    readonly display: string
  }
  /** TLS of the target is asked for HTTP/2 too; so it is unless this is false. */
  readonly http2?: boolean | undefined
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
  const { socket } = message as { socket: Socket }
  writing.onReusedConnection = usedBefore.has(socket)
  writing.connection = socket
  usedBefore.add(socket)
  writing = undefined
}

/** How often a request is sent again that the upstream says it has not begun with. */
const MAX_REFUSALS = 3

const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'

/** Forwards requests to the target. The handler rejects with a ProxyError when there is no answer. */
export const forward = (options: ForwardOptions): Forward => {
  const { target, clock, timeoutMs, connectTimeoutMs } = options
  const way = transport({ ...options, http2: options.http2 !== false })
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
      if (!attempt.sentByUs) writing = attempt
    },
  }
  const address = target.socketPath ?? target.authority
  let open = true
  subscribe('undici:client:sendHeaders', onSendHeaders)

  const handle: Handler = (req) =>
    new Promise((resolve, reject) => {
      const facts: UpstreamFacts = { startedAt: clock.now(), sentBytes: 0, receivedBytes: 0, address }
      req.exchange.upstream = facts
      const dispatch: UpstreamRequest = {
        path: upstreamPath(req.url, target.basePath, target.baseQuery),
        method: req.method as Dispatcher.HttpMethod,
        headers: requestFields(req, fieldOptions) as string[],
        body: req.body ?? null,
        trailers: req.trailers,
        // The same for all, or undici gives up the connection whenever it changes.
        servername: target.hostname,
        acceptsTrailers: way.mayBeHttp2 && hasMember(req.headers, 'te', 'trailers'),
      }
      let refusals = 0
      const fail = (error: unknown, attempt: Attempt): void => {
        if (req.cancel.fired) {
          reject(new ProxyError(499, 'client-gone', 'the client left before the answer', { cause: error }))
        } else if (
          req.body === undefined &&
          req.retry !== false &&
          open &&
          (isUnprocessed(error)
            ? ++refusals <= MAX_REFUSALS
            : attempt.mayHaveMissed && isSafe(req.method) && isReset(error))
        ) {
          if (wantsHttp1(error)) way.useHttp1()
          send()
        } else {
          const failure = upstreamError(error, errorFacts)
          if (isOfUpstream(failure.code)) facts.error = failure.code
          reject(failure)
        }
      }
      const send = (): void => {
        const attempt = new Attempt(req, facts, context, resolve, fail)
        way.dispatch(dispatch, attempt)
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
      await way.close()
    },
  }
}
