/**
 * A WebSocket echo server (RFC 6455), without extensions.
 *
 * - Frames are read as they arrive: the head into a small buffer, the payload into one of the length it announced, so
 *   that memory is bounded by MAX_MESSAGE_BYTES however the bytes are cut.
 * - A message goes back whole and as one frame; control frames may come between its fragments (§5.4).
 * - A client that does not read is not read from.
 * - A client that breaks the protocol gets a close frame with the code that says so, and nothing it sends after is read.
 */
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** Longest message, fragments added up. */
export const MAX_MESSAGE_BYTES = 16 * 1024 * 1024
/** Each fragment costs an object besides its bytes, so the bytes alone do not bound memory. */
const MAX_FRAGMENTS = 65_536
/** How long a client may stay silent once we have closed our side. */
const LINGER_MS = 2000

const CONTINUATION = 0x0
const TEXT = 0x1
const BINARY = 0x2
const CLOSE = 0x8
const PING = 0x9
const PONG = 0xa

const GOING_AWAY = 1001
const PROTOCOL_ERROR = 1002
const NOT_UTF8 = 1007
const TOO_BIG = 1009

/** An open echo connection. */
export interface EchoSession {
  /** Says goodbye with 1001 and ends the connection, after a moment also when the client does not answer. */
  goAway(): void
}

const listHas = (value: string | undefined, token: string): boolean =>
  (value ?? '').split(',').some((part) => part.trim().toLowerCase() === token)

/** Whether the request asks for a WebSocket, and not for another protocol (curl's h2c, say). */
export const wantsWebSocket = (req: IncomingMessage): boolean => listHas(req.headers.upgrade, 'websocket')

/** Closes our side, drops what still comes, and does not wait for ever for the other to close its own. */
const closeSocket = (socket: Socket): void => {
  socket.end()
  socket.resume()
  socket.setTimeout(LINGER_MS, () => socket.destroy())
}

const refuse = (socket: Socket, statusLine: string, sentence: string, fields = ''): undefined => {
  const body = `${sentence}\n`
  socket.write(
    `HTTP/1.1 ${statusLine}\r\n${fields}Connection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
  closeSocket(socket)
  return undefined
}

/**
 * Answers the opening handshake (§4.2) and echoes; the request's socket is its own from the call on. A handshake that cannot
 * be understood is refused (400, another version 426, another method 405) and gives no session. Of subprotocols the first asked
 * for is taken, since an echo speaks them all.
 */
export const acceptEcho = (req: IncomingMessage, head: Buffer): EchoSession | undefined => {
  const { socket } = req
  const key = req.headers['sec-websocket-key'] ?? ''
  if (req.method !== 'GET') {
    return refuse(socket, '405 Method Not Allowed', 'a WebSocket is opened with GET.', 'Allow: GET, HEAD\r\n')
  }
  if (req.headers['sec-websocket-version'] !== '13') {
    return refuse(
      socket,
      '426 Upgrade Required',
      'this server speaks version 13 of the WebSocket protocol: send Sec-WebSocket-Version: 13.',
      'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n',
    )
  }
  if (!/^[+/0-9A-Za-z]{22}==$/.test(key)) {
    return refuse(socket, '400 Bad Request', 'Sec-WebSocket-Key must be 16 random bytes in base64.')
  }
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  const protocol = req.headers['sec-websocket-protocol']?.split(',')[0]?.trim() ?? ''
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n` +
      (/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(protocol) ? `Sec-WebSocket-Protocol: ${protocol}\r\n` : '') +
      '\r\n',
  )
  return new Echo(socket, head)
}

/** Bytes of a frame head by its second byte: length and mask (§5.2). */
const headBytes = (second: number): number => {
  const length = second & 0x7f
  return 2 + (length === 127 ? 8 : length === 126 ? 2 : 0) + (second & 0x80 ? 4 : 0)
}

class Echo implements EchoSession {
  readonly #socket: Socket
  readonly #head = Buffer.alloc(14)
  #headFilled = 0
  #payload: Buffer | undefined
  #payloadFilled = 0
  /** TEXT or BINARY while a fragmented message is under way. */
  #message: number | undefined
  #fragments: Buffer[] = []
  #messageBytes = 0
  #closed = false

  constructor(socket: Socket, head: Buffer) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => socket.resume())
    socket.on('end', () => this.#end())
    if (head.length > 0) this.#read(head)
  }

  goAway(): void {
    this.#close(GOING_AWAY)
  }

  #read(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length && !this.#closed) {
      at += this.#payload === undefined ? this.#readHead(chunk, at) : this.#readPayload(chunk, at)
    }
  }

  /** Takes what belongs to the frame's head; gives how many bytes that were. */
  #readHead(chunk: Buffer, from: number): number {
    const needed = this.#headFilled < 2 ? 2 : headBytes(this.#head[1]!)
    const taken = chunk.copy(this.#head, this.#headFilled, from, from + needed - this.#headFilled)
    this.#headFilled += taken
    if (this.#headFilled < 2 || this.#headFilled < headBytes(this.#head[1]!)) return taken
    const error = this.#startFrame()
    if (error !== undefined) this.#close(error)
    return taken
  }

  /** Checks a complete head and makes room for its payload; gives the close code where it is not acceptable. */
  #startFrame(): number | undefined {
    const first = this.#head[0]!
    const second = this.#head[1]!
    const opcode = first & 0x0f
    const final = (first & 0x80) !== 0
    // No extension was agreed on, so the reserved bits are zero (§5.2); a client masks (§5.1).
    if ((first & 0x70) !== 0 || (second & 0x80) === 0) return PROTOCOL_ERROR
    const short = second & 0x7f
    if (opcode >= CLOSE) {
      if (opcode > PONG || !final || short > 125) return PROTOCOL_ERROR // §5.5
    } else {
      if (opcode > BINARY) return PROTOCOL_ERROR
      if ((opcode === CONTINUATION) === (this.#message === undefined)) return PROTOCOL_ERROR // §5.4
    }
    const length =
      short === 127
        ? Number(this.#head.readBigUInt64BE(2))
        : short === 126
          ? this.#head.readUInt16BE(2)
          : short
    if (opcode < CLOSE && this.#messageBytes + length > MAX_MESSAGE_BYTES) return TOO_BIG
    this.#payload = Buffer.allocUnsafe(length)
    this.#payloadFilled = 0
    if (length === 0) this.#endFrame(this.#payload)
    return undefined
  }

  #readPayload(chunk: Buffer, from: number): number {
    const payload = this.#payload!
    const taken = chunk.copy(payload, this.#payloadFilled, from)
    this.#payloadFilled += taken
    if (this.#payloadFilled === payload.length) this.#endFrame(payload)
    return taken
  }

  #endFrame(payload: Buffer): void {
    const first = this.#head[0]!
    const maskAt = headBytes(this.#head[1]!) - 4
    for (let i = 0; i < payload.length; i++) payload[i]! ^= this.#head[maskAt + (i & 3)]!
    this.#payload = undefined
    this.#headFilled = 0
    const opcode = first & 0x0f
    if (opcode === CLOSE) this.#closeAsAsked(payload)
    else if (opcode === PING) this.#write(PONG, payload)
    else if (opcode !== PONG) this.#addToMessage(opcode, payload, (first & 0x80) !== 0)
  }

  #addToMessage(opcode: number, payload: Buffer, final: boolean): void {
    const kind = opcode === CONTINUATION ? this.#message! : opcode
    this.#messageBytes += payload.length
    if (payload.length > 0) this.#fragments.push(payload)
    if (!final) {
      this.#message = kind
      if (this.#fragments.length > MAX_FRAGMENTS) this.#close(TOO_BIG)
      return
    }
    const whole = this.#fragments.length === 1 ? this.#fragments[0]! : Buffer.concat(this.#fragments)
    this.#message = undefined
    this.#fragments = []
    this.#messageBytes = 0
    if (kind === TEXT && !isUtf8(whole))
      this.#close(NOT_UTF8) // §8.1
    else this.#write(kind, whole)
  }

  /** Answers a close frame with its own code, or with the error it holds (§5.5.1, §7.4). */
  #closeAsAsked(payload: Buffer): void {
    const code = payload.length < 2 ? 0 : payload.readUInt16BE(0)
    const sendable =
      (code >= 1000 && code <= 1014 && (code < 1004 || code > 1006)) || (code >= 3000 && code <= 4999)
    if (payload.length === 0) this.#close()
    else if (!sendable) this.#close(PROTOCOL_ERROR)
    else if (!isUtf8(payload.subarray(2))) this.#close(NOT_UTF8)
    else this.#close(code)
  }

  #close(code?: number): void {
    if (this.#closed) return
    const payload = Buffer.alloc(code === undefined ? 0 : 2)
    if (code !== undefined) payload.writeUInt16BE(code)
    this.#write(CLOSE, payload)
    this.#end()
  }

  /** A server closes the connection first (§7.1.1). */
  #end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#payload = undefined
    this.#fragments = []
    closeSocket(this.#socket)
  }

  #write(opcode: number, payload: Buffer): void {
    if (this.#closed || this.#socket.destroyed) return
    const { length } = payload
    const head = Buffer.alloc(length < 126 ? 2 : length < 65_536 ? 4 : 10)
    head[0] = 0x80 | opcode
    head[1] = length < 126 ? length : length < 65_536 ? 126 : 127
    if (head.length === 4) head.writeUInt16BE(length, 2)
    else if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2)
    this.#socket.cork()
    this.#socket.write(head)
    const roomLeft = this.#socket.write(payload)
    this.#socket.uncork()
    if (!roomLeft) this.#socket.pause()
  }
}
