/**
 * The heads that the lane reads itself: a GET or HEAD of HTTP/1.1 without a body, in the plainest grammar there is.
 * Whatever is written otherwise, or could be read in two ways, is left to node's parser.
 */
import { NameKinds, plainLines } from '../http/plain-lines.ts'

/** What a plain head says. */
export interface PlainHead {
  readonly method: 'GET' | 'HEAD'
  /** Path and query byte for byte; begins with `/`. */
  readonly url: string
  readonly host: string
  /** Field lines as they came: name, value, name, value … */
  readonly fields: string[]
}

/** Framing, other protocols, and what wants an answer before the final one, are `not-here`. */
const kinds = new NameKinds({
  host: 'host',
  connection: 'connection',
  'content-length': 'not-here',
  'transfer-encoding': 'not-here',
  upgrade: 'not-here',
  'http2-settings': 'not-here',
  expect: 'not-here',
  trailer: 'not-here',
  te: 'not-here',
  'proxy-connection': 'not-here',
})

const TARGET = /^\/[!-"$-~]*$/ // RFC 9112 §3.2.1, a little wider, as node takes it
const HOST = /^[\w.-]+(?::\d{1,5})?$|^\[[\da-fA-F:.]+\](?::\d{1,5})?$/

/** Reads a whole head, its empty line included, as latin1; undefined where node's parser has to look. */
export const plainHead = (text: string): PlainHead | undefined => {
  const method = text.startsWith('GET ') ? 'GET' : text.startsWith('HEAD ') ? 'HEAD' : undefined
  if (method === undefined) return undefined
  const lineEnd = text.indexOf('\r\n')
  const target = method.length + 1
  const targetEnd = lineEnd - 9
  if (targetEnd <= target || text.slice(targetEnd, lineEnd) !== ' HTTP/1.1') return undefined
  const url = text.slice(target, targetEnd)
  if (!TARGET.test(url)) return undefined

  let host: string | undefined
  const fields = plainLines(text, lineEnd + 2, text.length - 2, kinds, (kind, value) => {
    if (kind === 'connection') return value === 'keep-alive' || value === 'Keep-Alive'
    if (kind === 'not-here' || host !== undefined || !HOST.test(value)) return false
    host = value
    return true
  })
  return fields === undefined || host === undefined ? undefined : { method, url, host, fields }
}
