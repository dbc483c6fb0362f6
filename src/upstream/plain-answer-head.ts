/**
 * The heads of answers that we read ourselves: final answers of HTTP/1.1 whose framing says where they end, in the
 * plainest grammar there is. Whatever is written otherwise, or could be read in two ways, is left to undici's parser.
 */
import { NameKinds, plainLines } from '../http/plain-lines.ts'

/** What a plain head says. */
export interface PlainAnswerHead {
  readonly status: number
  /** Field lines as they came: name, value, name, value … */
  readonly fields: string[]
  /** Bytes of the body; undefined where it comes in chunks. */
  readonly length: number | undefined
  /** How long the connection may be kept without use, as the upstream says; 0 when it may not be kept. */
  readonly keepMs: number | undefined
}

/** Framing, and what says how long the connection lasts; other protocols are `not-here`. */
const kinds = new NameKinds({
  'content-length': 'length',
  'transfer-encoding': 'coding',
  connection: 'connection',
  'keep-alive': 'keep-alive',
  'proxy-connection': 'not-here',
  upgrade: 'not-here',
})

const STATUS_LINE = /^HTTP\/1\.1 ([2-9]\d\d) [\t\x20-\x7e\x80-\xff]*$/ // RFC 9112 §4
const LENGTH = /^\d{1,15}$/
const TIMEOUT = /(?:^|[,\s])timeout=(\d{1,9})(?:[,\s]|$)/i

/** Reads a whole head, up to and with its empty line, as latin1; undefined where undici's parser has to look. */
export const plainAnswerHead = (text: string): PlainAnswerHead | undefined => {
  const lineEnd = text.indexOf('\r\n')
  const status = Number(STATUS_LINE.exec(text.slice(0, lineEnd))?.[1])
  if (!(status >= 200)) return undefined
  let length: number | undefined
  let chunked = false
  let keepMs: number | undefined
  const fields = plainLines(text, lineEnd + 2, text.length - 2, kinds, (kind, value) => {
    switch (kind) {
      case 'length':
        if (length !== undefined || !LENGTH.test(value)) return false
        length = Number(value)
        return true
      case 'coding':
        if (chunked || value.toLowerCase() !== 'chunked') return false
        chunked = true
        return true
      case 'connection': {
        const option = value.toLowerCase()
        if (option === 'close') keepMs = 0
        return option === 'close' || option === 'keep-alive'
      }
      case 'keep-alive': {
        const seconds = TIMEOUT.exec(value)?.[1]
        if (seconds !== undefined && keepMs !== 0) keepMs = Number(seconds) * 1000
        return true
      }
      case 'not-here':
        return false
    }
  })
  if (fields === undefined) return undefined
  // RFC 9112 §6.3: these have no body, whatever their fields say.
  if (status === 304) return chunked ? undefined : { status, fields, length: 0, keepMs }
  if (status === 204) return chunked || (length ?? 0) > 0 ? undefined : { status, fields, length: 0, keepMs }
  // Without either the end of the connection is the end of the body; with both somebody reads it otherwise.
  return chunked === (length !== undefined) ? undefined : { status, fields, length, keepMs }
}
