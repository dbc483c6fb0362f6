/**
 * One request and its answer, from the head of the one to the last byte of the other.
 *
 * - Its exchange ends exactly once: when the last byte was given to the connection, or when the connection is closed,
 *   whichever comes first.
 * - `cancel` fires when the answer can no longer be given.
 * - At most one answer is given; what comes after it, an error or another answer, is let go.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Readable } from 'node:stream'
import { Cancel } from '../core/cancel.ts'
import type { Clock } from '../core/clock.ts'
import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Exchanges } from '../core/exchanges.ts'
import type { Fields, Handler, ProxyRequest, ProxyResponse } from '../core/types.ts'
import { bodyTooLarge, bodyTooSlow, hasBody, RequestBody, WholeBody } from './body.ts'
import { PlainRequest } from './lane.ts'
import { PlainAnswer } from './plain-answer.ts'
import { closeGently, errorResponse, internalError, LINGER_MS } from './refusals.ts'
import { type Sending, send, sendInterim } from './send.ts'
import type { RequestTarget } from './target.ts'

/** What all conversations of an edge share. */
export interface ConversationContext {
  readonly handler: Handler
  readonly exchanges: Exchanges
  readonly clock: Clock
  readonly maxBodyBytes: number | undefined
  /** Field lines of answers that the edge makes of errors, beside those of the error. */
  readonly extraFields: ((exchange: Exchange) => Fields) | undefined
  readonly bodyTimeoutMs: number | undefined
  /** No answer leaves a connection open any more. */
  readonly draining: () => boolean
  readonly onInternalError: (error: unknown) => void
  readonly onEnded: (conversation: Conversation) => void
}

export class Conversation implements Sending {
  readonly exchange: Exchange
  readonly socket: Socket
  readonly #message: IncomingMessage | PlainRequest
  readonly #res: ServerResponse | PlainAnswer
  readonly #context: ConversationContext
  readonly #cancel = new Cancel()
  #body: RequestBody | WholeBody | undefined
  /** The client waits for 100 (Continue) before it sends the body. */
  #owesContinue = false
  #bytes = 0
  #error: ProxyError | undefined
  /** Bytes behind the request were no HTTP: nothing more can be read from this connection. */
  #lastOne = false
  #ended = false

  constructor(
    message: IncomingMessage | PlainRequest,
    res: ServerResponse | PlainAnswer,
    exchange: Exchange,
    context: ConversationContext,
  ) {
    this.exchange = exchange
    this.socket = message.socket
    this.#message = message
    this.#res = res
    this.#context = context
    // Neither `close` nor `aborted` of the request tells that the client left (nodejs/node#46666). The lane tells by itself.
    if (!(res instanceof PlainAnswer)) res.on('close', () => this.closed())
  }

  /** Asks the chain and gives its answer. */
  begin(target: RequestTarget, wantsContinue: boolean): void {
    const { exchange } = this
    const message = this.#message
    const res = this.#res
    const { handler, maxBodyBytes, bodyTimeoutMs } = this.#context
    if (message instanceof PlainRequest) {
      if (message.body !== undefined) this.#body = new WholeBody(message.body, exchange)
    } else if (hasBody(message)) {
      this.#owesContinue = wantsContinue
      this.#body = new RequestBody(message, exchange, {
        maxBytes: maxBodyBytes,
        idleMs: bodyTimeoutMs,
        onIdle: () => {
          // Once it is being answered, a client may talk and listen as slowly as it likes.
          if (!res.headersSent) this.malformed(bodyTooSlow(bodyTimeoutMs!))
        },
        beforeFirstRead: wantsContinue ? () => this.#sayContinue(res as ServerResponse) : undefined,
      })
    }
    if (target.refusal !== undefined) {
      this.refuse(target.refusal)
      return
    }
    if (maxBodyBytes !== undefined && this.#body !== undefined && promisedBytes(message) > maxBodyBytes) {
      this.refuse(bodyTooLarge(maxBodyBytes))
      return
    }
    const body = this.#body
    const req: ProxyRequest = {
      method: message.method!,
      url: target.url,
      headers: message.rawHeaders,
      body,
      trailers: body === undefined ? undefined : () => body.trailers,
      cancel: this.#cancel,
      exchange,
      onInformation: (status, headers) => {
        if (res instanceof PlainAnswer) res.inform(status, headers)
        else sendInterim(res, status, headers)
      },
    }
    let answer: Promise<ProxyResponse>
    try {
      answer = handler(req)
    } catch (thrown) {
      this.refuse(thrown)
      return
    }
    answer.then(
      (given) => {
        try {
          this.#give(given)
        } catch (thrown) {
          this.#unsendable(thrown)
        }
      },
      (reason) => this.refuse(reason),
    )
  }

  /** Answers with an error, unless there is an answer already. */
  refuse(reason: unknown): void {
    if (this.#ended || this.#res.headersSent || this.#error !== undefined) return
    const error = reason instanceof ProxyError ? reason : internalError(reason)
    if (error.code === 'internal') this.#context.onInternalError(error.cause ?? error)
    this.#error = error
    // What is left of the body is of no use to anybody.
    this.#body?.destroy()
    if (error.code === 'client-gone') this.#res.destroy()
    else this.#give(errorResponse(error, this.#context.extraFields?.(this.exchange)))
  }

  /** What the client sent is no HTTP: in the body of this request, or behind it. */
  malformed(error: ProxyError): void {
    if (this.#message.complete) {
      this.#lastOne = true
      this.#res.shouldKeepAlive = false
    } else if (this.#res.headersSent) {
      this.#error ??= error
      this.#res.destroy()
    } else {
      this.#cancel.fire()
      this.refuse(error)
    }
  }

  /** The answer was sent, or the connection is closed. */
  closed(): void {
    if (this.#ended) return
    this.#ended = true
    const res = this.#res
    if (res.writableFinished) this.#end(res.statusCode)
    else {
      this.#cancel.fire()
      this.#error ??= new ProxyError(499, 'client-gone', 'the client left before the answer was complete')
      this.#end(res.headersSent ? res.statusCode : 0)
    }
    this.#letBodyGo()
    if (this.#lastOne) this.socket.destroySoon()
  }

  /** Destroys the connection and ends the exchange at once: nobody is left to wait for `close`. */
  drop(): void {
    if (!this.#res.writableFinished)
      this.#error ??= new ProxyError(
        503,
        'shutting-down',
        'the proxy was shut down before the answer was complete',
      )
    this.socket.destroy()
    this.closed()
  }

  sent(bytes: number): void {
    this.#bytes += bytes
  }

  broken(error: unknown): void {
    const res = this.#res
    if (this.#ended || res.writableEnded) return
    if (this.#error === undefined && !res.destroyed)
      this.#error =
        error instanceof ProxyError
          ? error
          : new ProxyError(502, 'upstream-aborted', 'the answer broke off', { cause: error })
    // A clean end would make a part look like the whole (RFC 9112 §8).
    res.destroy()
  }

  /** The client has not sent all of its body yet. */
  get isUnread(): boolean {
    return this.#body !== undefined && !this.#body.complete
  }

  #give(answer: ProxyResponse): void {
    const res = this.#res
    if (this.#ended || res.destroyed || res.headersSent) {
      if (answer.body instanceof Readable) answer.body.on('error', () => {}).destroy()
      return
    }
    const { clock, draining } = this.#context
    const unread = this.isUnread
    // A client that was not told to continue may send the body or the next request: nobody could tell which.
    if (draining() || (unread && (this.#owesContinue || this.#error !== undefined)))
      res.shouldKeepAlive = false
    if (unread) this.#closeGentlyAfterwards()
    const { exchange } = this
    exchange.headAt = clock.now()
    exchange.responseHeaders = answer.headers
    try {
      if (res instanceof PlainAnswer) res.give(answer, this)
      else send(answer, res, this)
    } catch (thrown) {
      this.#unsendable(thrown)
    }
  }

  /** node refuses to write a head with such a status or field. */
  #unsendable(thrown: unknown): void {
    const res = this.#res
    const { code, message } = thrown as NodeJS.ErrnoException
    const upstreams = /^ERR_(?:INVALID_CHAR|INVALID_HTTP_TOKEN|HTTP_INVALID_)/.test(code ?? '')
    if (res.headersSent || this.#error !== undefined) {
      this.#error ??= internalError(thrown)
      res.destroy()
    } else if (upstreams) {
      this.refuse(
        new ProxyError(502, 'upstream-protocol', `the upstream's answer cannot be passed on: ${message}.`, {
          cause: thrown,
        }),
      )
    } else this.refuse(thrown)
  }

  #sayContinue(res: ServerResponse): void {
    // RFC 9110 §10.1.1: only where the final answer is not on its way yet.
    if (res.headersSent || res.destroyed) return
    // Behind another answer it waits for its turn: node would keep it, and put it between the head and the body of this one.
    if (res.socket === null) res.once('socket', () => this.#sayContinue(res))
    else {
      this.#owesContinue = false
      res.writeContinue()
    }
  }

  #closeGentlyAfterwards(): void {
    const { socket } = this
    const { destroySoon } = socket
    // What node calls once an answer that says Connection: close is written.
    socket.destroySoon = () => {
      if (this.#message.complete) destroySoon.call(socket)
      else closeGently(socket)
    }
  }

  /** The rest of an upload whose answer was given is read and dropped, for a while. */
  #letBodyGo(): void {
    const body = this.#body
    if (body === undefined) return
    body.destroy()
    const { socket } = this
    if (body.complete || socket.destroyed) return
    const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref()
    const done = (): void => clearTimeout(timer)
    ;(this.#message as IncomingMessage).once('end', done)
    socket.once('close', done)
  }

  #end(status: number): void {
    const { exchange } = this
    this.#context.onEnded(this)
    this.#context.exchanges.end(exchange, status, this.#bytes, this.#error)
  }
}

const promisedBytes = (message: IncomingMessage | PlainRequest): number =>
  message instanceof PlainRequest
    ? (message.body?.length ?? 0)
    : Number(message.headers['content-length'] ?? 0)
