/** A request with a body on its way to the upstream over plain HTTP/1.1. */
import type { Socket } from 'node:net'
import type { RequestBody } from '../core/types.ts'
import { isPlainValue } from '../http/plain-lines.ts'
import { writeWhole } from '../http/write-head.ts'
import type { Attempt } from './attempt.ts'
import type { PlainRequest } from './plain-request.ts'
import { requestTrailers } from './request-fields.ts'

const mismatch = (): Error =>
  Object.assign(new Error('Request body length does not match content-length header'), {
    code: 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH',
  })

/** All of a body that came at once, unless somebody reads it, or waits to see it read. */
export const wholeOf = (body: RequestBody): Buffer | undefined =>
  body.whole !== undefined &&
  !body.readableDidRead &&
  !body.destroyed &&
  body.listenerCount('data') === 0 &&
  body.listenerCount('newListener') === 0
    ? body.whole
    : undefined

/** Writes head and body as they come; the upstream pauses the client, and a body that breaks off is told to `broke`. */
export class Upload {
  readonly #socket: Socket
  readonly #request: PlainRequest
  readonly #attempt: Attempt
  readonly #broke: (error: Error) => void
  /** All of it was given to the connection. */
  isSent = false
  #stopped = false
  #headSent = false
  #bytes = 0

  constructor(socket: Socket, request: PlainRequest, attempt: Attempt, broke: (error: Error) => void) {
    this.#socket = socket
    this.#request = request
    this.#attempt = attempt
    this.#broke = broke
    const body = request.body!
    if (body.destroyed && !body.readableEnded) {
      queueMicrotask(() => this.#fail(body.errored ?? new Error('the upload broke off')))
      return
    }
    const whole = wholeOf(body)
    if (whole !== undefined && whole.length === request.length) {
      this.#headSent = true
      writeWhole(socket, request.head, whole)
      attempt.onBodySent(whole)
      this.#sent()
      return
    }
    body.on('data', this.#onData)
    // It is paused where another connection gave it back.
    body.resume()
    body.on('end', this.#onEnd)
    body.on('error', this.#onError)
    body.on('close', this.#onClose)
    // The upstream may answer by the head alone: it does not wait for a body that is long in coming.
    setImmediate(this.#sendHead)
  }

  /** Gives the request back as it was, to be sent elsewhere; false where some of it is written already. */
  takeBack(): boolean {
    if (this.#headSent || this.#stopped) return false
    this.#stopped = true
    const body = this.#request.body!
    body.pause()
    body.off('data', this.#onData)
    body.off('end', this.#onEnd)
    body.off('close', this.#onClose)
    return true
  }

  /** Nothing more is written; what is left of the body is not wanted. */
  stop(): void {
    this.#stopped = true
    this.#socket.off('drain', this.#onDrain)
    const { body } = this.#request
    if (!this.isSent) body!.destroy()
  }

  readonly #sendHead = (): void => {
    if (this.#headSent || this.#stopped) return
    this.#headSent = true
    this.#socket.write(this.#request.head, 'latin1')
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#stopped || this.isSent || chunk.length === 0) return
    const { length } = this.#request
    this.#bytes += chunk.length
    if (length !== undefined && this.#bytes > length) {
      this.#fail(mismatch())
      return
    }
    const takesMore = this.#write(chunk)
    this.#attempt.onBodySent(chunk)
    if (this.#bytes === length) this.#sent()
    else if (!takesMore) {
      this.#request.body!.pause()
      this.#socket.once('drain', this.#onDrain)
    }
  }

  #write(chunk: Buffer): boolean {
    const socket = this.#socket
    const { head, length } = this.#request
    if (!this.#headSent && this.#bytes === length) {
      this.#headSent = true
      return writeWhole(socket, head, chunk)
    }
    socket.cork()
    this.#sendHead()
    let takesMore: boolean
    if (length !== undefined) takesMore = socket.write(chunk)
    else {
      socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
      socket.write(chunk)
      takesMore = socket.write('\r\n', 'latin1')
    }
    socket.uncork()
    return takesMore && !socket.writableNeedDrain
  }

  readonly #onDrain = (): void => {
    this.#request.body!.resume()
  }

  readonly #onEnd = (): void => {
    if (this.#stopped || this.isSent) return
    const { length } = this.#request
    if (length !== undefined && this.#bytes !== length) {
      this.#fail(mismatch())
      return
    }
    this.#sendHead()
    if (length === undefined) this.#socket.write(`0\r\n${this.#trailerLines()}\r\n`, 'latin1')
    this.#sent()
  }

  #trailerLines(): string {
    const { asked } = this.#request
    const trailers = asked.trailers === undefined ? [] : requestTrailers(asked.trailers())
    let lines = ''
    for (let i = 0; i < trailers.length; i += 2)
      if (isPlainValue(trailers[i + 1]!)) lines += `${trailers[i]}: ${trailers[i + 1]}\r\n`
    return lines
  }

  readonly #onError = (error: Error): void => {
    this.#fail(error)
  }

  readonly #onClose = (): void => {
    if (this.#stopped || this.isSent) return
    this.#fail(this.#request.body!.errored ?? new Error('the upload broke off'))
  }

  #sent(): void {
    this.isSent = true
    this.#attempt.onRequestSent()
  }

  #fail(error: Error): void {
    if (this.#stopped || this.isSent) return
    this.#stopped = true
    this.#socket.off('drain', this.#onDrain)
    this.#broke(error)
  }
}
