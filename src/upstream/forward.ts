/**
 * The last handler of the chain: one request to the upstream over undici, its answer streamed back.
 *
 * - The promise settles with the head. A body that arrived whole with its head is given as a Buffer: the wait for the
 *   end of the tick costs nothing and spares a stream for most answers.
 * - Back-pressure runs through undici's `resume` and the `false` that `onData` returns.
 * - A GET or HEAD whose kept-alive connection closed before any byte of an answer is sent once more (the upstream
 *   closed it while it was idle); nothing else is ever sent twice.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { isIP } from 'node:net'
import { Readable } from 'node:stream'
import type { Dispatcher } from 'undici'
import Pool from 'undici/lib/dispatcher/pool.js'
import type { Clock } from '../core/clock.ts'
import { ProxyError } from '../core/errors.ts'
import type { Exchange, UpstreamFacts } from '../core/exchange.ts'
import type { Fields, Handler, ProxyRequest, ProxyResponse } from '../core/types.ts'
import { editFields, endToEnd, firstValue, hasField } from '../http/fields.ts'
import { MAX_HEAD_KB, upstreamError } from './errors.ts'
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

type RawHeaders = Array<Buffer | string>

const text = (raw: Buffer | string): string => (typeof raw === 'string' ? raw : raw.toString('latin1'))
const toFields = (raw: RawHeaders): string[] => {
  const fields = new Array<string>(raw.length)
  for (let i = 0; i < raw.length; i++) fields[i] = text(raw[i]!)
  return fields
}

/** The attempt whose request undici is writing at this moment; `undici:client:sendHeaders` follows in the same call. */
let writing: Attempt | undefined
const usedBefore = new WeakSet<object>()
const onSendHeaders = (message: unknown): void => {
  const { socket } = message as { socket: object }
  if (writing === undefined) return
  writing.onReusedConnection = usedBefore.has(socket)
  usedBefore.add(socket)
  writing = undefined
}

/** The upstream's body as it arrives; destroying it ends the upstream request. */
class UpstreamBody extends Readable {
  readonly #attempt: Attempt

  constructor(attempt: Attempt) {
    super({ highWaterMark: 64 * 1024 })
    this.#attempt = attempt
  }

  override _read(): void {
    this.#attempt.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#attempt.abandon()
    done(error)
  }
}

/** One request as undici sees it (its legacy handler: raw field lists, no parsing into objects). */
class Attempt {
  onReusedConnection = false
  #abort: ((error?: Error) => void) | undefined
  #resume: (() => void) | undefined
  #chunks: Buffer[] = []
  #body: UpstreamBody | undefined
  #complete = false
  #failed: Error | undefined
  #headGiven = false
  #trailers: Fields = []
  #status = 0
  #headers: string[] = []
  #letGo: (() => void) | undefined
  lastByteAt = 0
  readonly #req: ProxyRequest
  readonly #facts: UpstreamFacts
  readonly #options: ForwardOptions
  readonly #silence: SilenceWatch
  readonly #settle: (response: ProxyResponse) => void
  readonly #fail: (error: unknown, attempt: Attempt) => void

  constructor(
    req: ProxyRequest,
    facts: UpstreamFacts,
    shared: { options: ForwardOptions; silence: SilenceWatch },
    settle: (response: ProxyResponse) => void,
    fail: (error: unknown, attempt: Attempt) => void,
  ) {
    this.#req = req
    this.#facts = facts
    this.#options = shared.options
    this.#silence = shared.silence
    this.#settle = settle
    this.#fail = fail
    this.#letGo = req.cancel.onFire(() => this.abandon())
  }

  get headSeen(): boolean {
    return this.#status !== 0
  }

  resume(): void {
    this.lastByteAt = this.#options.clock.now()
    this.#resume?.()
  }

  /** Nobody wants the answer any more. */
  abandon(): void {
    if (this.#complete || this.#failed !== undefined) return
    this.#failed = new ProxyError(499, 'client-gone', 'the client left')
    if (this.#abort !== undefined) this.#abort(this.#failed)
    else if (!this.#headGiven) this.#end(this.#failed)
  }

  /** The upstream was silent for too long in the middle of its body. */
  silent(): void {
    const error = upstreamError({ code: 'UND_ERR_BODY_TIMEOUT' }, this.#errorFacts())
    this.#abort?.(error)
  }

  onConnect(abort: (error?: Error) => void): void {
    if (this.#failed !== undefined) {
      abort(this.#failed)
      return
    }
    this.#abort = abort
    this.#facts.sentAt = this.#options.clock.now()
    writing = this
  }

  onHeaders(status: number, raw: RawHeaders, resume: () => void): boolean {
    if (status < 200) {
      // 101 answers nothing we asked for: Upgrade is never forwarded here.
      if (status === 101)
        this.#abort?.(
          new ProxyError(
            502,
            'upstream-protocol',
            `${this.#options.target.display} switched protocols unasked.`,
          ),
        )
      else this.#req.onInformation?.(status, endToEnd(toFields(raw)))
      return true
    }
    const now = this.#options.clock.now()
    this.#facts.headAt = now
    this.#facts.status = status
    this.#status = status
    this.#headers = toFields(raw)
    this.#resume = resume
    this.lastByteAt = now
    queueMicrotask(() => this.#giveHead())
    return true
  }

  onBodySent(chunk: Buffer | string): void {
    this.#facts.sentBytes += chunk.length
  }

  onData(chunk: Buffer): boolean {
    this.#facts.receivedBytes += chunk.length
    this.lastByteAt = this.#options.clock.now()
    if (this.#body !== undefined) return this.#body.push(chunk)
    this.#chunks.push(chunk)
    return true
  }

  onComplete(trailers: RawHeaders | null): void {
    this.#complete = true
    if (trailers !== null && trailers.length > 0) this.#trailers = toFields(trailers)
    this.#end(undefined)
    this.#body?.push(null)
  }

  onError(error: Error): void {
    this.#failed ??= error
    this.#end(this.#failed)
  }

  #errorFacts() {
    return {
      target: this.#options.target.display,
      timeoutMs: this.#options.timeoutMs,
      connectTimeoutMs: this.#options.connectTimeoutMs,
    }
  }

  #end(error: Error | undefined): void {
    this.#letGo?.()
    this.#letGo = undefined
    this.#silence.forget(this)
    this.#facts.endedAt = this.#options.clock.now()
    if (error === undefined) return
    if (this.#body !== undefined) this.#body.destroy(error)
    // After a head that nobody has seen yet, giveHead reports the error.
    else if (!this.headSeen) this.#fail(error, this)
  }

  /** At the end of the tick in which the head came: whatever came with it is here. */
  #giveHead(): void {
    this.#headGiven = true
    const headers = editFields(endToEnd(this.#headers), this.#options.responseEdits)
    const { status } = this
    if (this.#complete) {
      const chunks = this.#chunks
      const body = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      this.#settle(
        this.#trailers.length === 0
          ? { status, headers, body }
          : { status, headers, body, trailers: () => this.#trailers },
      )
      return
    }
    if (this.#failed !== undefined) {
      this.#fail(this.#failed, this)
      return
    }
    const body = new UpstreamBody(this)
    this.#body = body
    for (const chunk of this.#chunks) body.push(chunk)
    this.#chunks = []
    const endless = /^text\/event-stream/i.test(firstValue(this.#headers, 'content-type') ?? '')
    if (!endless) this.#silence.watch(this)
    this.#settle({ status, headers, body, trailers: () => this.#trailers })
  }

  get status(): number {
    return this.#status
  }

  /** Whether undici waits for the reader rather than for the upstream. */
  get readerIsSlow(): boolean {
    return this.#body !== undefined && this.#body.readableLength >= this.#body.readableHighWaterMark
  }
}

const isSafe = (method: string): boolean => method === 'GET' || method === 'HEAD' || method === 'OPTIONS'

/** Forwards requests to the target. The handler rejects with a ProxyError when there is no answer. */
export const forward = (options: ForwardOptions): Forward => {
  const { target, clock } = options
  const tls =
    target.protocol === 'https:'
      ? { rejectUnauthorized: !options.insecure, ...(options.ca === undefined ? {} : { ca: options.ca }) }
      : {}
  const pool = new Pool(target.origin, {
    connections: null,
    pipelining: 1,
    headersTimeout: options.timeoutMs,
    // Ours instead: undici's runs for event streams too, and while the reader is the slow one.
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEAD_KB * 1024,
    connect: {
      timeout: options.connectTimeoutMs,
      autoSelectFamily: true,
      ...(target.socketPath === undefined ? {} : { socketPath: target.socketPath }),
      ...tls,
    },
  })
  const silence = new SilenceWatch(options.timeoutMs, clock)
  subscribe('undici:client:sendHeaders', onSendHeaders)
  const servername = target.protocol === 'https:' && isIP(target.hostname) === 0 ? target.hostname : undefined
  const fieldOptions = {
    hostHeader: options.hostHeader,
    targetAuthority: target.authority,
    edits: options.requestEdits,
  }
  const errorFacts = {
    target: target.display,
    timeoutMs: options.timeoutMs,
    connectTimeoutMs: options.connectTimeoutMs,
  }
  const shared = { options, silence }

  const handle: Handler = (req) =>
    new Promise((resolve, reject) => {
      const facts = begin(req.exchange, clock.now(), target.socketPath ?? target.authority)
      const dispatch: Dispatcher.DispatchOptions = {
        path: upstreamPath(req.url, target.basePath, target.baseQuery),
        method: req.method as Dispatcher.HttpMethod,
        headers: requestFields(req, fieldOptions) as string[],
        body: req.body ?? null,
        ...(servername === undefined ? {} : { servername }),
      }
      const fail = (error: unknown, attempt: Attempt): void => {
        if (req.cancel.fired) {
          reject(new ProxyError(499, 'client-gone', 'the client left before the answer', { cause: error }))
        } else if (
          !attempt.headSeen &&
          attempt.onReusedConnection &&
          isReset(error) &&
          req.body === undefined &&
          isSafe(req.method)
        ) {
          send()
        } else {
          reject(upstreamError(error, errorFacts))
        }
      }
      const send = (): void => {
        const attempt = new Attempt(req, facts, shared, resolve, fail)
        try {
          pool.dispatch(dispatch, attempt as unknown as Dispatcher.DispatchHandler)
        } catch (error) {
          reject(
            new ProxyError(
              400,
              'bad-request',
              `this request cannot be forwarded: ${(error as Error).message}.`,
              { cause: error },
            ),
          )
        }
      }
      send()
    })

  return {
    handle,
    async close() {
      unsubscribe('undici:client:sendHeaders', onSendHeaders)
      silence.stop()
      await pool.destroy()
    },
  }
}

const begin = (exchange: Exchange, startedAt: number, address: string): UpstreamFacts => {
  const facts: UpstreamFacts = { startedAt, sentBytes: 0, receivedBytes: 0, address }
  exchange.upstream = facts
  return facts
}

const isReset = (error: unknown): boolean => {
  const { code } = error as NodeJS.ErrnoException
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE'
}

/** Whether a request has a body, by its framing (RFC 9112 §6). */
export const hasBody = (headers: Fields): boolean =>
  hasField(headers, 'transfer-encoding') || Number(firstValue(headers, 'content-length') ?? 0) > 0
