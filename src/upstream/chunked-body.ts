/** A body that comes in chunks (RFC 9112 §7.1), whatever pieces it is read in. */
import { NameKinds, plainLines } from '../http/plain-lines.ts'

const SIZE = /^([\dA-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?$/
/** Of a line with its extensions, and of all trailers. */
const MAX_LINE = 16 * 1024
const MAX_TRAILERS = 64 * 1024
const LF = 0x0a
const CR = 0x0d

const trailerKinds = new NameKinds({})

/** What was not valid: with the code and the words of undici's parser. */
const invalid = (code: string, why: string): Error =>
  Object.assign(new Error(`Response does not match the HTTP/1.1 protocol (${why})`), {
    name: 'HTTPParserError',
    code,
  })

/** Takes a body's bytes off what is read. */
export class ChunkedBody {
  /** Set once all of it was read: name, value, name, value … */
  trailers: string[] | undefined
  #state: 'size' | 'data' | 'behind-data' | 'trailers' = 'size'
  /** Bytes of this chunk that are still to come. */
  #left = 0
  /** The beginning of a line whose end was not read yet. */
  #line = ''
  readonly #fields: string[] = []
  #trailerBytes = 0

  /**
   * Gives the body's bytes in a piece that was read to `onData`; gives how many bytes of the piece belong to the body
   * and its framing, fewer than all only when it has ended. Throws an error with an HPE code for what is no such body.
   */
  take(piece: Buffer, from: number, onData: (bytes: Buffer) => void): number {
    let at = from
    while (at < piece.length && this.trailers === undefined) {
      if (this.#state === 'data') {
        const end = Math.min(piece.length, at + this.#left)
        onData(at === 0 && end === piece.length ? piece : piece.subarray(at, end))
        this.#left -= end - at
        at = end
        if (this.#left === 0) this.#state = 'behind-data'
      } else {
        const lf = piece.indexOf(LF, at)
        const end = lf === -1 ? piece.length : lf + 1
        const isTrailers = this.#state === 'trailers'
        if (isTrailers) this.#trailerBytes += end - at
        if (isTrailers ? this.#trailerBytes > MAX_TRAILERS : this.#line.length + end - at > MAX_LINE)
          throw invalid(
            'HPE_HEADER_OVERFLOW',
            isTrailers ? 'Trailers too large' : 'Chunk extensions overflow',
          )
        this.#line += piece.toString('latin1', at, end)
        at = end
        if (lf !== -1) this.#endOfLine()
        else if (this.#state === 'behind-data' && piece[end - 1] !== CR)
          throw invalid('HPE_STRICT', 'Expected CRLF after chunk data')
      }
    }
    return at
  }

  #endOfLine(): void {
    const line = this.#line
    switch (this.#state) {
      case 'behind-data':
        if (line !== '\r\n') throw invalid('HPE_STRICT', 'Expected CRLF after chunk data')
        this.#state = 'size'
        this.#line = ''
        return
      case 'size': {
        const digits = line.endsWith('\r\n') ? SIZE.exec(line.slice(0, -2))?.[1] : undefined
        const size = digits === undefined ? Number.NaN : Number.parseInt(digits, 16)
        if (!Number.isSafeInteger(size))
          throw invalid('HPE_INVALID_CHUNK_SIZE', 'Invalid character in chunk size')
        this.#left = size
        this.#state = size === 0 ? 'trailers' : 'data'
        this.#line = ''
        return
      }
      case 'trailers': {
        if (line === '\r\n') {
          this.trailers = this.#fields
          return
        }
        const fields = line.endsWith('\r\n')
          ? plainLines(line, 0, line.length, trailerKinds, () => true)
          : undefined
        if (fields === undefined) throw invalid('HPE_INVALID_HEADER_TOKEN', 'Invalid trailer')
        this.#fields.push(...fields)
        this.#line = ''
      }
    }
  }
}
