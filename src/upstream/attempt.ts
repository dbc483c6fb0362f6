/**
 * One request as undici sees it (its legacy handler: raw field lists, no parsing into objects), and the body of its
 * answer.
 *
 * - It settles once: with the head, at the end of the tick in which that came, or with the error before one.
 * - After that the body tells everything: its end, or the error that broke it off.
 * - Nothing comes from undici any more once it is `over`.
 */
import { Readable } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { isOfUpstream, ProxyError } from '../core/errors.ts'
import type { UpstreamFacts } from '../core/exchange.ts'
import type { Fields, ProxyRequest, ProxyResponse } from '../core/types.ts'
import { editFields, endToEnd, firstValue, joinedValue, trimOws, withoutFields } from '../http/fields.ts'
import { brokenOff, type UpstreamErrorFacts, upstreamError } from './errors.ts'
import { type SilenceWatch, Watched } from './silence.ts'
import { breakOf } from './write-errors.ts'

type RawHeaders = Array<Buffer | string>

/** What all attempts of a forwarder share. */
export interface AttemptContext {
  readonly clock: Clock
  readonly silence: SilenceWatch
  readonly errorFacts: UpstreamErrorFacts
  readonly responseEdits: ReadonlyArray<{ readonly name: string; readonly value: string | undefined }>
  /** The attempt's request is written next, in the same call. */
  readonly onWriting: (attempt: Attempt) => void
}

/** Interim answers to one request; more are no answer at all. */
const MAX_INTERIM = 256

const EMPTY = Buffer.alloc(0)
const afterThis = Promise.resolve()
const ignore = (): void => {}

/** Trailer fields that would change how the message is read (RFC 9110 §6.5.1). */
const notInTrailers: ReadonlySet<string> = new Set([
  'content-length',
  'content-encoding',
  'content-range',
  'content-type',
  'host',
])

const text = (raw: Buffer | string): string => (typeof raw === 'string' ? raw : raw.toString('latin1'))
/** undici leaves the blanks behind a value, which are no part of it (RFC 9112 §5.1): no client of HTTP/2 would take them. */
const toFields = (raw: RawHeaders): string[] => {
  const fields = new Array<string>(raw.length)
  for (let i = 0; i < raw.length; i++) fields[i] = trimOws(text(raw[i]!))
  return fields
}
const length: ReadonlySet<string> = new Set(['content-length'])
/** Some say one in answers that never have a body, where it must not be (RFC 9110 §8.6): who believes it waits for a body. */
const withoutLength = (status: number, fields: string[]): string[] =>
  status < 200 || status === 204 ? withoutFields(fields, length) : fields

const toTrailers = (raw: RawHeaders): Fields => {
  const fields = endToEnd(toFields(raw))
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2)
    if (!notInTrailers.has(fields[i]!.toLowerCase())) kept.push(fields[i]!, fields[i + 1]!)
  return kept
}

/** The upstream's body as it arrives; destroying it ends the upstream request. */
class UpstreamBody extends Readable {
  readonly #attempt: Attempt

  constructor(attempt: Attempt) {
    super({ highWaterMark: 64 * 1024 })
    this.#attempt = attempt
    // It may break off while a stage holds it and nobody listens yet; `errored` tells whoever comes later.
    this.on('error', ignore)
  }

  override _read(): void {
    this.#attempt.resume()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#attempt.abandon()
    done(error)
  }
}

/** Transfer codings that change the bytes, and chunked where another one was put around it. */
const changing = /(?:^|[,\s])(?:x-)?(?:gzip|compress|deflate)(?:[,;\s]|$)|chunked\s*,/i

export class Attempt extends Watched {
  /** The request was written on a connection that had carried one before. */
  onReusedConnection = false
  /** Sent by us, not by undici. */
  sentByUs = false
  /** The connection on which undici reads the answer. */
  connection: { readonly errored: Error | null } | undefined
  readonly #req: ProxyRequest
  readonly #facts: UpstreamFacts
  readonly #context: AttemptContext
  readonly #settle: (response: ProxyResponse) => void
  readonly #fail: (error: unknown, attempt: Attempt) => void
  readonly #letGo: () => void
  #abort: ((error?: Error) => void) | undefined
  #resume: (() => void) | undefined
  /** Bytes of an answer have come, if only of an interim one. */
  #answered = false
  #interims = 0
  #status = 0
  #headers: Fields = []
  /** What came in the tick of the head. */
  #chunks: Buffer[] = []
  #body: UpstreamBody | undefined
  #trailers: Fields | undefined
  #over = false
  #error: unknown

  constructor(
    req: ProxyRequest,
    facts: UpstreamFacts,
    context: AttemptContext,
    settle: (response: ProxyResponse) => void,
    fail: (error: unknown, attempt: Attempt) => void,
  ) {
    super()
    this.#req = req
    this.#facts = facts
    this.#context = context
    this.#settle = settle
    this.#fail = fail
    this.#letGo = req.cancel.onFire(() => this.abandon())
  }

  /** Whether a connection that the upstream had closed already may be all that went wrong (RFC 9112 §9.3.1). */
  get mayHaveMissed(): boolean {
    return this.onReusedConnection && !this.#answered
  }

  /** The client holds things up: it does not read, or it is still sending and the upstream would take more. */
  override get waitsForClient(): boolean {
    const upload = this.#req.body
    if (
      upload?.whole === undefined &&
      upload !== undefined &&
      !upload.readableEnded &&
      !upload.destroyed &&
      !upload.isPaused()
    )
      return true
    return this.#body !== undefined && this.#body.readableLength >= this.#body.readableHighWaterMark
  }

  /** Whether there is nothing left to do for it. */
  get isOver(): boolean {
    return this.#over
  }

  /** The reader wants more. */
  resume(): void {
    if (this.#over) return
    this.lastByteAt = this.#context.clock.now()
    this.#resume?.()
  }

  /** Nobody wants the answer any more. */
  abandon(): void {
    if (this.#over) return
    this.#stop(new ProxyError(499, 'client-gone', 'the client left'))
  }

  /** The upstream was silent for too long. */
  override silent(): void {
    this.#stop(upstreamError({ code: 'UND_ERR_HEADERS_TIMEOUT' }, this.#context.errorFacts))
  }

  onConnect(abort: (error?: Error) => void): void {
    if (this.#over) {
      abort(new ProxyError(499, 'client-gone', 'the client left'))
      return
    }
    this.#abort = abort
    this.lastByteAt = this.#context.clock.now()
    this.#facts.sentAt = this.lastByteAt
    this.#context.silence.watch(this)
    this.#context.onWriting(this)
  }

  /** It goes on elsewhere, and is ended there. */
  abortedBy(abort: (error?: Error) => void): void {
    if (this.#over) abort(new ProxyError(499, 'client-gone', 'the client left'))
    else this.#abort = abort
  }

  onResponseStarted(): void {
    this.#answered = true
  }

  onHeaders(status: number, raw: RawHeaders, resume: () => void): boolean {
    if (!this.#over) this.onHead(status, toFields(raw), resume)
    return true
  }

  /** The same with the field lines as we have them. */
  onHead(status: number, headers: string[], resume: () => void): void {
    if (this.#over) return
    this.lastByteAt = this.#context.clock.now()
    if (status < 200) {
      this.#interim(status, headers)
      return
    }
    // RFC 9112 §6.1, §7: a coding that changes the bytes is not undone by undici, and its name would be lost. A name that
    // nobody registered says nothing: the body is what comes up to the end of the connection (RFC 9112 §6.3).
    const codings = joinedValue(headers, 'transfer-encoding')
    if (codings !== undefined && changing.test(codings)) {
      this.#stop(this.#invalid('a transfer coding other than chunked'))
      return
    }
    this.#facts.headAt = this.lastByteAt
    this.#facts.status = status
    this.#status = status
    this.#headers = headers
    this.#resume = resume
    // Costs half of a queueMicrotask, which makes an AsyncResource for each.
    void afterThis.then(() => this.#giveHead())
    // RFC 9110 §6.4.1. (undici takes a Content-Length in a 304 for a body that did not come.)
    if (status === 204 || status === 304 || this.#req.method === 'HEAD') this.#finish(undefined)
  }

  onBodySent(chunk: Buffer | string): void {
    this.#facts.sentBytes += chunk.length
    this.lastByteAt = this.#context.clock.now()
  }

  onData(chunk: Buffer): boolean {
    if (this.#over) return true
    this.#facts.receivedBytes += chunk.length
    this.lastByteAt = this.#context.clock.now()
    if (this.#body !== undefined) return this.#body.push(chunk)
    this.#chunks.push(chunk)
    return true
  }

  onComplete(trailers: RawHeaders | null): void {
    if (this.#over) return
    const broke = this.connection && breakOf(this.connection)
    if (broke && this.#endsWithConnection()) {
      this.#fall(broke)
      return
    }
    if (trailers !== null && trailers.length > 0) this.#trailers = toTrailers(trailers)
    this.#finish(undefined)
    this.#body?.push(null)
  }

  /** RFC 9112 §6.3, §8: such a body is not whole where the connection broke. (undici takes a reset for the end.) */
  #endsWithConnection(): boolean {
    const codings = joinedValue(this.#headers, 'transfer-encoding') ?? ''
    return firstValue(this.#headers, 'content-length') === undefined && !/chunked\s*$/i.test(codings)
  }

  onError(error: Error): void {
    this.#fall(error)
  }

  /** The upload is complete: from now on it is the upstream's turn. */
  onRequestSent(): void {
    this.lastByteAt = this.#context.clock.now()
  }

  #interim(status: number, headers: Fields): void {
    // 101 answers nothing we asked for: Upgrade is never forwarded here.
    if (status < 100 || status === 101) this.#stop(this.#invalid(`the status ${status} unasked`))
    else if (++this.#interims > MAX_INTERIM) this.#stop(this.#invalid('interim answers without end'))
    else this.#req.onInformation?.(status, withoutLength(status, endToEnd(headers)))
  }

  #invalid(what: string): ProxyError {
    return new ProxyError(502, 'upstream-protocol', `${this.#context.errorFacts.target} sent ${what}.`)
  }

  /** Ends the upstream request from our side. */
  #stop(error: ProxyError): void {
    const abort = this.#abort
    this.#fall(error)
    abort?.(error)
  }

  #fall(error: unknown): void {
    if (this.#over) return
    this.#error = error ?? new Error('aborted')
    this.#finish(this.#error)
    if (this.#body !== undefined) {
      const failure = brokenOff(this.#error, this.#context.errorFacts)
      if (isOfUpstream(failure.code)) this.#facts.error = failure.code
      this.#body.destroy(failure)
    }
    // After a head that nobody has seen yet, giveHead reports the error.
    else if (this.#status === 0) this.#fail(this.#error, this)
  }

  #finish(error: unknown): void {
    this.#over = true
    this.#error = error
    this.#resume = undefined
    this.#letGo()
    this.#context.silence.forget(this)
    this.#facts.endedAt = this.#context.clock.now()
  }

  /** At the end of the tick in which the head came: whatever came with it is here. */
  #giveHead(): void {
    const status = this.#status
    const headers = editFields(withoutLength(status, endToEnd(this.#headers)), this.#context.responseEdits)
    const chunks = this.#chunks
    if (this.#error !== undefined) {
      this.#fail(brokenOff(this.#error, this.#context.errorFacts), this)
    } else if (this.#over) {
      const body = chunks.length === 0 ? EMPTY : chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
      const trailers = this.#trailers
      this.#settle(
        trailers === undefined
          ? { status, headers, body }
          : { status, headers, body, trailers: () => trailers },
      )
    } else {
      const body = new UpstreamBody(this)
      this.#body = body
      for (const chunk of chunks) body.push(chunk)
      this.#chunks = []
      // Silence is what such streams are made of.
      if (/^text\/event-stream/i.test(firstValue(this.#headers, 'content-type') ?? ''))
        this.#context.silence.forget(this)
      this.#settle({ status, headers, body, trailers: () => this.#trailers ?? [] })
    }
  }
}
