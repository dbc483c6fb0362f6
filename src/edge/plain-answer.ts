/**
 * An answer on a connection of the lane: what node's ServerResponse does for an answer, for a plain request, without
 * its streams and events. A whole answer is one write.
 */
import { STATUS_CODES, validateHeaderName, validateHeaderValue } from 'node:http'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Fields, ProxyResponse } from '../core/types.ts'
import { writeWhole } from '../http/write-head.ts'
import { interimHead } from './refusals.ts'
import type { Sending } from './send.ts'

/** Names that are well-formed and say nothing about the framing, as they were written. */
const plainNames = new Set<string>()
const MAX_NAMES = 500
const FRAMING: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
const NOT_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/

/** Field lines as they are written, and what they settle. */
interface Lines {
  readonly text: string
  readonly length: string | undefined
  readonly dated: boolean
}
const NO_LINES: Lines = { text: '', length: undefined, dated: false }
/** What is put together of pieces would be put together again each time. */
const flat = ({ text, ...settled }: Lines): Lines => ({
  text: Buffer.from(text, 'latin1').toString('latin1'),
  ...settled,
})

let dateSecond = 0
let dateLine = ''
/** RFC 9110 §6.6.1; made once a second. */
const date = (): string => {
  const now = Date.now()
  const second = Math.floor(now / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateLine = `Date: ${new Date(now).toUTCString()}\r\n`
  }
  return dateLine
}

export class PlainAnswer {
  readonly #socket: Socket
  readonly #method: string
  readonly #keepAliveLine: string
  /** Called once, when the last byte was given to the connection. */
  readonly #onFinished: () => void
  headersSent = false
  /** The last byte was handed over by us; whether the connection has it yet is `writableFinished`. */
  writableEnded = false
  writableFinished = false
  statusCode = 0
  shouldKeepAlive = true
  /** The body that is being sent. */
  #body: Readable | undefined
  #chunked = false
  /** Body bytes that the head promised. */
  #promised: number | undefined
  #sent = 0

  constructor(socket: Socket, method: string, keepAliveLine: string, onFinished: () => void) {
    this.#socket = socket
    this.#method = method
    this.#keepAliveLine = keepAliveLine
    this.#onFinished = onFinished
  }

  get destroyed(): boolean {
    return this.#socket.destroyed
  }

  /** Closes the connection under the answer. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** The connection is closed: nobody is left to read the body. */
  closed(): void {
    this.#body?.destroy()
  }

  /** The connection takes more. */
  drained(): void {
    this.#body?.resume()
  }

  /** Passes an interim answer on (RFC 9110 §15.2). */
  inform(status: number, fields: Fields): void {
    if (!this.headersSent && !this.destroyed) this.#socket.write(interimHead(status, fields), 'latin1')
  }

  /** Writes an answer. Throws before the first byte where a status or a field cannot be written at all. */
  give(answer: ProxyResponse, to: Sending): void {
    const { status, body, trailers } = answer
    const whole = Buffer.isBuffer(body)
    let head: string
    try {
      head = this.#head(answer)
    } catch (error) {
      if (!whole) body.destroy()
      throw error
    }
    this.headersSent = true
    this.statusCode = status
    // RFC 9110 §6.4.1
    if (this.#method === 'HEAD' || status === 204 || status === 304) {
      if (!whole) body.on('error', () => {}).destroy()
      this.#socket.write(`${head}\r\n`, 'latin1')
      this.#end()
    } else if (!whole) {
      this.#stream(`${head}\r\n`, body, trailers, to)
    } else if (this.#chunked) {
      this.#socket.cork()
      this.#socket.write(`${head}\r\n`, 'latin1')
      this.#chunk(body)
      this.#lastChunk(trailers!())
      this.#socket.uncork()
      to.sent(body.length)
      this.#end()
    } else {
      writeWhole(this.#socket, `${head}\r\n`, body)
      to.sent(body.length)
      this.#end()
    }
  }

  /** The head but for its empty line; settles the framing on the way (RFC 9112 §6). */
  #head({ status, headers, known, body, trailers }: ProxyResponse): string {
    if (!Number.isInteger(status) || status < 200 || status > 999)
      throw Object.assign(new RangeError(`invalid status code: ${status}`), {
        code: 'ERR_HTTP_INVALID_STATUS_CODE',
      })
    const whole = Buffer.isBuffer(body)
    const sized = whole && this.#mayHaveBody(status)
    const withTrailers = sized && trailers !== undefined && trailers().length > 0
    const bytes = withTrailers ? 'in chunks' : sized ? body.length : undefined
    let lines = NO_LINES
    let from = 0
    if (known !== undefined && sized && !withTrailers && known.begin(headers)) {
      from = known.fields.length
      known.written ??= flat(this.#lines(lines, headers, 0, from, bytes))
      lines = known.written as Lines
    }
    const { text, length, dated } = this.#lines(lines, headers, from, headers.length, bytes)
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'unknown'}\r\n${text}`
    if (!dated) head += date()
    head += this.shouldKeepAlive ? this.#keepAliveLine : 'Connection: close\r\n'
    if (!this.#mayHaveBody(status)) {
      // A HEAD out of the cache says how long the GET would be; one from the upstream has no body to tell by.
      const told = length !== undefined || !whole || body.length === 0 || this.#method !== 'HEAD'
      return told ? head : `${head}Content-Length: ${body.length}\r\n`
    }
    if (length !== undefined) {
      this.#promised = Number(length)
      return head
    }
    if (whole && !withTrailers) return `${head}Content-Length: ${body.length}\r\n`
    this.#chunked = true
    return `${head}Transfer-Encoding: chunked\r\n`
  }

  /** Lines behind others; `bytes` is what is known of the body: how many it has, or that it goes out in chunks. */
  #lines(
    before: Lines,
    headers: Fields,
    from: number,
    to: number,
    bytes: number | 'in chunks' | undefined,
  ): Lines {
    let { text, length, dated } = before
    for (let i = from; i < to; i += 2) {
      const name = headers[i]!
      const value = headers[i + 1]!
      if (!plainNames.has(name)) {
        const lower = name.toLowerCase()
        if (lower === 'content-length') {
          // Said once; a body that is whole knows its own.
          if (length !== undefined || (bytes !== undefined && Number(value) !== bytes)) continue
          length = value
        } else if (lower === 'date') dated = true
        else if (FRAMING.has(lower)) {
          if (lower === 'connection' && /\bclose\b/i.test(value)) this.shouldKeepAlive = false
          continue
        } else {
          validateHeaderName(name)
          if (plainNames.size < MAX_NAMES) plainNames.add(name)
        }
      }
      if (NOT_IN_VALUES.test(value)) validateHeaderValue(name, value)
      text += `${name}: ${value}\r\n`
    }
    return { text, length, dated }
  }

  #mayHaveBody(status: number): boolean {
    return this.#method !== 'HEAD' && status !== 204 && status !== 304
  }

  #stream(head: string, body: Readable, trailers: ProxyResponse['trailers'], to: Sending): void {
    const socket = this.#socket
    this.#body = body
    let waiting: string | undefined = head
    body.on('data', (chunk: Buffer) => {
      if (chunk.length === 0) return
      to.sent(chunk.length)
      socket.cork()
      if (waiting !== undefined) {
        socket.write(waiting, 'latin1')
        waiting = undefined
      }
      const more = this.#chunk(chunk)
      socket.uncork()
      if (!more && socket.writableNeedDrain) body.pause()
    })
    body.on('error', (error) => to.broken(error))
    body.on('close', () => {
      if (!body.readableEnded) to.broken(undefined)
    })
    body.on('end', () => {
      this.#body = undefined
      if (waiting !== undefined) socket.write(waiting, 'latin1')
      waiting = undefined
      // What is shorter or longer than its head said is not whole (RFC 9112 §8).
      if (this.#promised !== undefined && this.#promised !== this.#sent) {
        to.broken(undefined)
        return
      }
      if (this.#chunked) this.#lastChunk(trailers?.() ?? [])
      this.#end()
    })
    if (body.destroyed && !body.readableEnded) {
      // It broke before anybody listened.
      to.broken(body.errored)
      return
    }
    if (body.readableLength === 0) {
      // The head does not wait for the body, which may be long in coming.
      socket.write(head, 'latin1')
      waiting = undefined
    }
  }

  #chunk(chunk: Buffer): boolean {
    this.#sent += chunk.length
    const socket = this.#socket
    if (!this.#chunked) return socket.write(chunk)
    socket.write(`${chunk.length.toString(16)}\r\n`, 'latin1')
    socket.write(chunk)
    return socket.write('\r\n', 'latin1')
  }

  #lastChunk(trailers: Fields): void {
    let text = '0\r\n'
    for (let i = 0; i < trailers.length; i += 2) {
      validateHeaderName(trailers[i]!)
      validateHeaderValue(trailers[i]!, trailers[i + 1]!)
      text += `${trailers[i]}: ${trailers[i + 1]}\r\n`
    }
    this.#socket.write(`${text}\r\n`, 'latin1')
  }

  #end(): void {
    this.writableEnded = true
    const socket = this.#socket
    // Nearly always the system has taken all of it at once.
    if (socket.writableLength === 0) this.#finished()
    else
      socket.write('', () => {
        if (!socket.destroyed) this.#finished()
      })
  }

  #finished(): void {
    this.writableFinished = true
    this.#onFinished()
  }
}
