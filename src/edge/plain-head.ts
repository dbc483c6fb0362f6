/**
 * The heads that the lane reads itself: a GET or HEAD of HTTP/1.1 without a body, in the plainest grammar there is.
 * Whatever is written otherwise, or could be read in two ways, is left to node's parser.
 */

/** What a plain head says. */
export interface PlainHead {
  readonly method: 'GET' | 'HEAD'
  /** Path and query byte for byte; begins with `/`. */
  readonly url: string
  readonly host: string
  /** Field lines as they came: name, value, name, value … */
  readonly fields: string[]
}

/** More lines than programs send; beyond them the bounds are node's and the edge's. */
const MAX_LINES = 100

/** What a field's name means for the lane. */
type Kind = 'plain' | 'host' | 'connection' | 'not-here'

/** Framing, other protocols, and what wants an answer before the final one. */
const notHere: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  'expect',
  'trailer',
  'te',
  'proxy-connection',
])

const TOKEN = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/ // RFC 9110 §5.6.2
const NOT_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/ // RFC 9110 §5.5
const TARGET = /^\/[!-"$-~]*$/ // RFC 9112 §3.2.1, a little wider, as node takes it
const HOST = /^[\w.-]+(?::\d{1,5})?$|^\[[\da-fA-F:.]+\](?::\d{1,5})?$/

/** Names seen before, as they were written: a look-up costs a tenth of the test. */
const kinds = new Map<string, Kind>()
const MAX_KINDS = 500
const kindOf = (name: string): Kind => {
  const known = kinds.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  const kind =
    !TOKEN.test(name) || notHere.has(lower)
      ? 'not-here'
      : lower === 'host' || lower === 'connection'
        ? lower
        : 'plain'
  if (kinds.size < MAX_KINDS) kinds.set(name, kind)
  return kind
}

const SPACE = 0x20
const TAB = 0x09
const isOws = (code: number): boolean => code === SPACE || code === TAB

/** Reads a whole head, its empty line included, as latin1; undefined where node's parser has to look. */
export const plainHead = (text: string): PlainHead | undefined => {
  const method = text.startsWith('GET ') ? 'GET' : text.startsWith('HEAD ') ? 'HEAD' : undefined
  if (method === undefined) return undefined
  const end = text.length - 2
  let lineEnd = text.indexOf('\r\n')
  const target = method.length + 1
  const targetEnd = lineEnd - 9
  if (targetEnd <= target || text.slice(targetEnd, lineEnd) !== ' HTTP/1.1') return undefined
  const url = text.slice(target, targetEnd)
  if (!TARGET.test(url)) return undefined

  const fields: string[] = []
  let host: string | undefined
  for (let from = lineEnd + 2; from < end; from = lineEnd + 2) {
    lineEnd = text.indexOf('\r\n', from)
    const colon = text.indexOf(':', from)
    if (colon === -1 || colon > lineEnd || fields.length >= MAX_LINES * 2) return undefined
    const name = text.slice(from, colon)
    let start = colon + 1
    let stop = lineEnd
    while (start < stop && isOws(text.charCodeAt(start))) start++
    while (stop > start && isOws(text.charCodeAt(stop - 1))) stop--
    const value = text.slice(start, stop)
    if (NOT_IN_VALUES.test(value)) return undefined
    switch (kindOf(name)) {
      case 'not-here':
        return undefined
      case 'host':
        if (host !== undefined || !HOST.test(value)) return undefined
        host = value
        break
      case 'connection':
        if (value !== 'keep-alive' && value !== 'Keep-Alive') return undefined
    }
    fields.push(name, value)
  }
  return host === undefined ? undefined : { method, url, host, fields }
}
