/**
 * A connection to an upstream that speaks plain HTTP/1.1: one request at a time, its answer told to an attempt as undici
 * tells its own. undici costs a third of a pass-through (12 of 37 µs of CPU for 1 KB), and its uploads keep what is long
 * done reachable for the collector (half of a POST of 10 KB).
 *
 * - An answer whose head is not plain, or did not come in one piece, is handed over with its connection: nothing is read
 *   here that could be read in another way.
 * - Bytes that belong to no answer end the connection: they must not become the answer to the next request.
 * - An answer that is whole before its request is takes the connection along (RFC 9112 §9.6).
 */
import type { Socket } from 'node:net'
import type { Attempt } from './attempt.ts'
import { ChunkedBody } from './chunked-body.ts'
import { MAX_HEAD_KB } from './errors.ts'
import { plainAnswerHead } from './plain-answer-head.ts'
import type { PlainRequest } from './plain-request.ts'
import { Upload } from './upload.ts'

/** Whoever has the connections. */
export interface ConnectionOwner {
  /** The connection is free, and may be kept for so long; undefined: the upstream said nothing about it. */
  free(connection: PlainConnection, keepMs: number | undefined): void
  /** The connection ended before anything of this was written. */
  dispatch(request: PlainRequest, attempt: Attempt): void
  /** The connection is closed. */
  gone(connection: PlainConnection): void
  /** The answer that begins with these bytes is for undici, and the connection with it. */
  handOver(
    socket: Socket,
    read: Buffer,
    request: PlainRequest,
    attempt: Attempt,
    upload: Upload | undefined,
  ): void
}

const END_OF_HEAD = Buffer.from('\r\n\r\n')

const closed = (message: string): Error => Object.assign(new Error(message), { code: 'UND_ERR_SOCKET' })

export class PlainConnection {
  readonly #socket: Socket
  readonly #owner: ConnectionOwner
  #attempt: Attempt | undefined
  #request: PlainRequest | undefined
  #upload: Upload | undefined
  #used = false
  /** Where in an answer we are. */
  #reading: 'head' | 'sized' | 'chunked' = 'head'
  /** Bytes of a sized body that are still to come. */
  #left = 0
  #chunked: ChunkedBody | undefined
  #keepMs: number | undefined
  #paused = false
  /** When it has been idle for too long, by performance.now(). */
  idleUntil = 0

  constructor(socket: Socket, owner: ConnectionOwner) {
    this.#socket = socket
    this.#owner = owner
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('close', this.#onClose)
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && !this.#socket.readableEnded
  }

  /** Sends a request; everything else is told to its attempt. */
  send(request: PlainRequest, attempt: Attempt): void {
    this.#attempt = attempt
    this.#request = request
    this.#reading = 'head'
    attempt.sentByUs = true
    attempt.onReusedConnection = this.#used
    this.#used = true
    attempt.onConnect(this.#abort)
    if (request.body === null) this.#socket.write(request.head, 'latin1')
    else this.#upload = new Upload(this.#socket, request, attempt, this.#uploadBroke)
  }

  destroy(error?: Error): void {
    if (error !== undefined) this.#fail(error)
    this.#socket.destroy()
  }

  /** Nobody wants the answer any more. */
  readonly #abort = (): void => {
    this.#attempt = undefined
    this.#stopUpload()
    this.#socket.destroy()
  }

  readonly #uploadBroke = (error: Error): void => {
    this.#fail(error)
    // Handed over, it is undici that hears of it, and tells the attempt.
    this.#socket.destroy(error)
  }

  readonly #resume = (): void => {
    if (!this.#paused) return
    this.#paused = false
    this.#socket.resume()
  }

  readonly #onData = (piece: Buffer): void => {
    const attempt = this.#attempt
    // What came before the request was written is no answer to it.
    if (attempt === undefined || this.#sentElsewhere()) this.#socket.destroy()
    else if (this.#reading === 'head') this.#readHead(piece, attempt)
    else this.#readBody(piece, 0, attempt)
  }

  #readHead(piece: Buffer, attempt: Attempt): void {
    attempt.onResponseStarted()
    const end = piece.indexOf(END_OF_HEAD) + END_OF_HEAD.length
    const head =
      end < END_OF_HEAD.length || end > MAX_HEAD_KB * 1024
        ? undefined
        : plainAnswerHead(piece.toString('latin1', 0, end))
    if (head === undefined) {
      this.#handOver(piece, attempt)
      return
    }
    const { fields, keepMs, length, status } = head
    this.#keepMs = keepMs
    this.#reading = length === undefined ? 'chunked' : 'sized'
    this.#left = length ?? 0
    if (length === undefined) this.#chunked = new ChunkedBody()
    attempt.onHead(status, fields, this.#resume)
    if (this.#attempt === attempt) this.#readBody(piece, end, attempt)
  }

  #readBody(piece: Buffer, from: number, attempt: Attempt): void {
    let at: number
    if (this.#reading === 'sized') {
      at = Math.min(piece.length, from + this.#left)
      this.#left -= at - from
      if (at > from) this.#give(from === 0 && at === piece.length ? piece : piece.subarray(from, at))
      if (this.#left > 0 || this.#attempt !== attempt) return
      this.#complete(attempt, null, at < piece.length)
      return
    }
    const body = this.#chunked!
    try {
      at = body.take(piece, from, this.#give)
    } catch (error) {
      this.#fail(error as Error)
      this.#socket.destroy()
      return
    }
    if (body.trailers === undefined || this.#attempt !== attempt) return
    this.#chunked = undefined
    this.#complete(attempt, body.trailers, at < piece.length)
  }

  readonly #give = (bytes: Buffer): void => {
    if (this.#attempt?.onData(bytes) === false && !this.#paused) {
      this.#paused = true
      this.#socket.pause()
    }
  }

  #complete(attempt: Attempt, trailers: string[] | null, hasMore: boolean): void {
    const keeps = !hasMore && this.#keepMs !== 0 && this.#upload?.isSent !== false && this.isOpen
    this.#attempt = undefined
    this.#request = undefined
    this.#stopUpload()
    // What is left of the body is the attempt's; from here on nothing is held back.
    this.#resume()
    attempt.onComplete(trailers)
    if (keeps) this.#owner.free(this, this.#keepMs)
    else this.#socket.destroy()
  }

  #handOver(piece: Buffer, attempt: Attempt): void {
    const socket = this.#socket
    const upload = this.#upload
    this.#attempt = undefined
    this.#upload = undefined
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('close', this.#onClose)
    this.#owner.gone(this)
    this.#owner.handOver(socket, piece, this.#request!, attempt, upload)
  }

  #stopUpload(): void {
    this.#upload?.stop()
    this.#upload = undefined
  }

  /** Gives a request of which nothing was written yet to another connection, once this one turns out to have ended. */
  #sentElsewhere(): boolean {
    const attempt = this.#attempt!
    // A new one is no better.
    if (!attempt.onReusedConnection || this.#upload?.takeBack() !== true) return false
    this.#attempt = undefined
    this.#upload = undefined
    this.#owner.dispatch(this.#request!, attempt)
    return true
  }

  #fail(error: Error): void {
    const attempt = this.#attempt
    if (attempt === undefined || this.#sentElsewhere()) return
    this.#attempt = undefined
    this.#stopUpload()
    attempt.onError(error)
  }

  readonly #onEnd = (): void => {
    this.#fail(closed('other side closed'))
    this.#socket.destroy()
  }

  readonly #onError = (error: Error): void => {
    this.#fail(error)
  }

  readonly #onClose = (): void => {
    this.#owner.gone(this)
    this.#fail(closed('closed'))
  }
}
