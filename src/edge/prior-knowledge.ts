/**
 * HTTP/2 without TLS, by clients that know beforehand that it is spoken (RFC 9113 §3.3), on the port of HTTP/1.1. node's
 * parser stops at the preface that opens such a connection: only then is anything done about it, so that it costs the
 * others nothing.
 */
import type { Socket } from 'node:net'

/** RFC 9113 §3.4 */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** What node tells when the parser stopped. */
export interface ParserStop extends NodeJS.ErrnoException {
  readonly rawPacket?: Buffer
  /** How far it came in `rawPacket`. */
  readonly bytesParsed?: number
}

/** Whether the parser stopped because what came is the preface of HTTP/2. */
export const isPreface = ({ code }: ParserStop): boolean => code === 'HPE_PAUSED_H2_UPGRADE'

/**
 * Takes a connection out of the hands of node's HTTP/1.1 server, with what came on it put back. What is given is to be
 * called right before somebody else reads the connection.
 */
export const takeOver = (socket: Socket, { bytesParsed = 0, rawPacket }: ParserStop): (() => void) => {
  // To listen for data has node take the bytes away from its parser.
  socket.on('data', () => {})
  for (const event of ['data', 'end', 'drain', 'timeout']) socket.removeAllListeners(event)
  socket.setTimeout(0)
  // No slow head and no idle connection to HTTP/1.1 any more.
  const { parser } = socket as { parser?: { remove?(): void } | null }
  parser?.remove?.()
  ;(socket as { readableFlowing: boolean | null }).readableFlowing = null
  // The preface may have come in several packets; the parser has only the last.
  const rest = [PREFACE, rawPacket?.subarray(bytesParsed) ?? Buffer.alloc(0)]
  return () => {
    const more = socket.read() as Buffer | null
    socket.unshift(Buffer.concat(more === null ? rest : [...rest, more]))
  }
}
