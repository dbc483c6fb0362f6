/**
 * One HTTP/2 stream: a request and its answer. What edge/conversation.ts is for HTTP/1.1, with the same promises:
 *
 * - Its exchange ends exactly once, when the stream is closed, whoever closed it.
 * - `cancel` fires when the answer can no longer be given.
 * - At most one answer is given; an answer that will not be whole ends with RST_STREAM, never with END_STREAM.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import { Readable } from 'node:stream'
import { Cancel } from '../core/cancel.ts'
import { ProxyError } from '../core/errors.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Fields, ProxyRequest, ProxyResponse } from '../core/types.ts'
import { firstValue, hasField } from '../http/fields.ts'
import { type Http2Head, toHttp2 } from '../http/http2-fields.ts'
import { type BodySource, bodyTooLarge, bodyTooSlow, RequestBody } from './body.ts'
import type { ConversationContext } from './conversation.ts'
import { errorResponse, internalError } from './refusals.ts'
import { hasContent } from './send.ts'
import type { RequestTarget } from './target.ts'

/** What all conversations of an edge share. */
export type Http2Context = Pick<
  ConversationContext,
  'handler' | 'exchanges' | 'clock' | 'maxBodyBytes' | 'bodyTimeoutMs' | 'extraFields' | 'onInternalError'
> & { readonly onEnded: (conversation: Http2Conversation) => void }

/** The stream as a body to read: node ends it in an orderly way even where the client reset it half-way. */
class StreamSource implements BodySource {
  readonly #stream: ServerHttp2Stream

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream
  }

  get complete(): boolean {
    const { aborted, readableEnded, rstCode } = this.#stream
    return readableEnded && !aborted && rstCode === constants.NGHTTP2_NO_ERROR
  }

  on(event: 'data' | 'end' | 'close', listener: (chunk: Buffer) => void): void {
    if (event === 'end')
      this.#stream.on('end', () => {
        if (this.complete) (listener as () => void)()
      })
    else this.#stream.on(event, listener)
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    if (!this.#stream.destroyed) this.#stream.resume()
  }
}

export class Http2Conversation {
  readonly exchange: Exchange
  readonly #stream: ServerHttp2Stream
  readonly #head: Http2Head
  readonly #context: Http2Context
  readonly #cancel = new Cancel()
  #body: RequestBody | undefined
  #bytes = 0
  #status = 0
  /** The last byte of the answer was written. */
  #whole = false
  #error: ProxyError | undefined
  #ended = false

  constructor(stream: ServerHttp2Stream, head: Http2Head, exchange: Exchange, context: Http2Context) {
    this.exchange = exchange
    this.#stream = stream
    this.#head = head
    this.#context = context
    stream.on('error', () => {
      // `close` follows and tells all there is to do.
    })
    stream.on('aborted', () => this.#cancel.fire())
    stream.on('close', () => this.#closed())
  }

  /** Asks the chain and gives its answer. */
  begin(target: RequestTarget, hasBody: boolean): void {
    const { exchange } = this
    const { method, fields } = this.#head
    const { handler, maxBodyBytes, bodyTimeoutMs } = this.#context
    if (hasBody) {
      const expects = /^100-continue$/i.test(firstValue(fields, 'expect') ?? '')
      this.#body = new RequestBody(new StreamSource(this.#stream), exchange, {
        maxBytes: maxBodyBytes,
        idleMs: bodyTimeoutMs,
        onIdle: () => {
          if (this.#stream.headersSent) return
          this.#cancel.fire()
          this.refuse(bodyTooSlow(bodyTimeoutMs!))
        },
        beforeFirstRead: expects ? () => this.#inform(100, []) : undefined,
      })
    } else this.#stream.resume()
    if (target.refusal !== undefined) {
      this.refuse(target.refusal)
      return
    }
    if (maxBodyBytes !== undefined && Number(firstValue(fields, 'content-length') ?? 0) > maxBodyBytes) {
      this.refuse(bodyTooLarge(maxBodyBytes))
      return
    }
    const req: ProxyRequest = {
      method,
      url: target.url,
      headers: fields,
      body: this.#body,
      cancel: this.#cancel,
      exchange,
      onInformation: (status, headers) => this.#inform(status, headers),
    }
    this.give(handler, req)
  }

  /** Has an answer made, and gives it. */
  give(handler: ConversationContext['handler'], req: ProxyRequest): void {
    let answer: Promise<ProxyResponse>
    try {
      answer = handler(req)
    } catch (thrown) {
      this.refuse(thrown)
      return
    }
    answer.then(
      (given) => this.#give(given),
      (reason) => this.refuse(reason),
    )
  }

  /** Answers with an error, unless there is an answer already. */
  refuse(reason: unknown): void {
    if (this.#ended || this.#stream.headersSent || this.#error !== undefined) return
    const error = reason instanceof ProxyError ? reason : internalError(reason)
    if (error.code === 'internal') this.#context.onInternalError(error.cause ?? error)
    this.#error = error
    this.#body?.destroy()
    if (error.code === 'client-gone') this.#stream.close(constants.NGHTTP2_CANCEL)
    else this.#give(errorResponse(error, this.#context.extraFields?.(this.exchange)))
  }

  /** Ends the exchange at once: the connection is about to be destroyed. */
  drop(): void {
    this.#error ??= new ProxyError(
      503,
      'shutting-down',
      'the proxy was shut down before the answer was complete',
    )
    this.#closed()
  }

  #give(answer: ProxyResponse): void {
    const stream = this.#stream
    const { body, headers, status } = answer
    if (this.#ended || stream.destroyed || stream.closed || stream.headersSent) {
      if (body instanceof Readable) body.on('error', () => {}).destroy()
      return
    }
    const { exchange } = this
    exchange.headAt = this.#context.clock.now()
    exchange.responseHeaders = headers
    try {
      this.#send(answer)
      this.#status = status
    } catch (thrown) {
      if (body instanceof Readable) body.on('error', () => {}).destroy()
      this.#unsendable(thrown)
    }
  }

  #send({ status, headers, body, trailers }: ProxyResponse): void {
    const stream = this.#stream
    const { method } = this.#head
    const content = hasContent(method, status) && !(Buffer.isBuffer(body) && body.length === 0)
    const fields = toHttp2(headers)
    fields[':status'] = String(status)
    if (
      Buffer.isBuffer(body) &&
      body.length > 0 &&
      (content || method === 'HEAD') &&
      !hasField(headers, 'content-length')
    )
      fields['content-length'] = String(body.length)
    const length = firstValue(headers, 'content-length')
    // Where the length is said, trailers are next to unknown, and to wait for them would cost each answer a frame.
    const mayTrail =
      length === undefined || /^application\/grpc/i.test(firstValue(headers, 'content-type') ?? '')
    const last = hasContent(method, status) && mayTrail ? trailers : undefined
    const endStream = !content && (last === undefined || (Buffer.isBuffer(body) && last().length === 0))
    stream.respond(fields, { endStream, waitForTrailers: last !== undefined && !endStream })
    if (last !== undefined && !endStream)
      stream.once('wantTrailers', () => {
        // Known only now.
        stream.sendTrailers(toHttp2(last()))
      })
    stream.once('finish', () => this.#letBodyGo())
    if (Buffer.isBuffer(body)) {
      this.#whole = true
      if (endStream) return
      this.#bytes = content ? body.length : 0
      stream.end(content ? body : undefined)
    } else if (endStream) {
      this.#whole = true
      body.on('error', () => {}).destroy()
    } else this.#pipe(body, last === undefined ? Number(length) : undefined)
  }

  /** With its last bytes goes END_STREAM where the length is known: clients that count leave when they have them. */
  #pipe(body: Readable, length: number | undefined): void {
    const stream = this.#stream
    body.on('data', (chunk: Buffer) => {
      if (this.#whole) return
      this.#bytes += chunk.length
      if (this.#bytes === length) {
        this.#whole = true
        stream.end(chunk)
      } else if (!stream.write(chunk)) body.pause()
    })
    stream.on('drain', () => body.resume())
    body.on('end', () => {
      if (this.#whole) return
      this.#whole = true
      stream.end()
    })
    body.on('error', (error) => this.#broken(error))
    body.on('close', () => {
      if (!body.readableEnded) this.#broken(body.errored)
    })
    stream.on('close', () => {
      if (!this.#whole) body.destroy()
    })
    if (body.destroyed && !body.readableEnded) this.#broken(body.errored)
  }

  /** The body will never be whole, and the client is to know (RFC 9113 §8.1). */
  #broken(error: unknown): void {
    if (this.#ended || this.#whole) return
    if (this.#error === undefined && !this.#stream.aborted)
      this.#error =
        error instanceof ProxyError
          ? error
          : new ProxyError(502, 'upstream-aborted', 'the answer broke off', { cause: error })
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }

  /** node refuses to write a head with such a status or field. */
  #unsendable(thrown: unknown): void {
    const { code = '', message } = thrown as NodeJS.ErrnoException
    if (this.#stream.headersSent || this.#error !== undefined) {
      this.#error ??= internalError(thrown)
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR)
    } else if (/^ERR_(?:INVALID_CHAR|INVALID_HTTP_TOKEN|HTTP2?_)/.test(code)) {
      this.refuse(
        new ProxyError(502, 'upstream-protocol', `the upstream's answer cannot be passed on: ${message}.`, {
          cause: thrown,
        }),
      )
    } else this.refuse(thrown)
  }

  #inform(status: number, fields: Fields): void {
    const stream = this.#stream
    if (stream.headersSent || stream.destroyed || stream.closed) return
    stream.additionalHeaders({ ...toHttp2(fields), ':status': status })
  }

  /** The rest of an upload whose answer was given is of no use (RFC 9113 §8.1: RST_STREAM with NO_ERROR). */
  #letBodyGo(): void {
    const stream = this.#stream
    if (this.#body !== undefined && !this.#body.complete && !stream.destroyed)
      stream.close(constants.NGHTTP2_NO_ERROR)
  }

  #closed(): void {
    if (this.#ended) return
    this.#ended = true
    // (node need not tell `finish` before, nor make writableFinished true.)
    const { aborted, rstCode } = this.#stream
    if (!this.#whole || aborted || rstCode !== constants.NGHTTP2_NO_ERROR) {
      this.#cancel.fire()
      this.#error ??= new ProxyError(499, 'client-gone', 'the client left before the answer was complete')
    }
    this.#body?.destroy()
    this.#context.onEnded(this)
    this.#context.exchanges.end(this.exchange, this.#status, this.#bytes, this.#error)
  }
}
