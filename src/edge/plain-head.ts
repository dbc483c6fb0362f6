/**
 * The heads that the lane reads itself: of HTTP/1.1, without a body or with one of a known length, in the plainest
 * grammar there is.
 * Whatever is written otherwise, or could be read in two ways, is left to node's parser.
 */
import { NameKinds, plainLines } from '../http/plain-lines.ts'

/** What a plain head says. */
export interface PlainHead {
  readonly method: string
  /** Path and query byte for byte; begins with `/`. */
  readonly url: string
  readonly host: string
  /** Field lines as they came: name, value, name, value … */
  readonly fields: string[]
  /** Bytes of the body. */
  readonly length: number
}

/** Framing, other protocols, and what wants an answer before the final one, are `not-here`. */
const kinds = new NameKinds({
  host: 'host',
  connection: 'connection',
  'content-length': 'length',
  'transfer-encoding': 'not-here',
  upgrade: 'not-here',
  'http2-settings': 'not-here',
  expect: 'not-here',
  trailer: 'not-here',
  te: 'not-here',
  'proxy-connection': 'not-here',
})

/** The methods that are read here, and whether a length may stand behind them. */
const methods: ReadonlyMap<string, boolean> = new Map([
  ['GET', false],
  ['HEAD', false],
  ['POST', true],
  ['PUT', true],
  ['PATCH', true],
  ['DELETE', true],
])
const LONGEST_METHOD = 6
const LENGTH = /^\d{1,7}$/
const TARGET = /^\/[!-"$-~]*$/ // RFC 9112 §3.2.1, a little wider, as node takes it
const HOST = /^[\w.-]+(?::\d{1,5})?$|^\[[\da-fA-F:.]+\](?::\d{1,5})?$/

/** Reads a whole head, its empty line included, as latin1; undefined where node's parser has to look. */
export const plainHead = (text: string): PlainHead | undefined => {
  const method = text.slice(0, Math.min(text.indexOf(' '), LONGEST_METHOD))
  const mayHaveBody = methods.get(method)
  if (mayHaveBody === undefined) return undefined
  const lineEnd = text.indexOf('\r\n')
  const target = method.length + 1
  const targetEnd = lineEnd - 9
  if (targetEnd <= target || text.slice(targetEnd, lineEnd) !== ' HTTP/1.1') return undefined
  const url = text.slice(target, targetEnd)
  if (!TARGET.test(url)) return undefined

  let host: string | undefined
  let length: number | undefined
  const fields = plainLines(text, lineEnd + 2, text.length - 2, kinds, (kind, value) => {
    if (kind === 'connection') return value === 'keep-alive' || value === 'Keep-Alive'
    if (kind === 'length') {
      if (!mayHaveBody || length !== undefined || !LENGTH.test(value)) return false
      length = Number(value)
      return true
    }
    if (kind === 'not-here' || host !== undefined || !HOST.test(value)) return false
    host = value
    return true
  })
  return fields === undefined || host === undefined
    ? undefined
    : { method, url, host, fields, length: length ?? 0 }
}
