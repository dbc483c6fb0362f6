/** Where a request ends: RFC 9112 §6 and §7, and what has been made of it to smuggle (RFC 9112 §11.2). */
import { ambiguous, type Case, must, sendRaw } from '../case.ts'
import { ambiguity } from '../upstream.ts'

const theme = 'framing'
const HIDDEN = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'
const post = (fields: string, body = ''): string =>
  `POST /first HTTP/1.1\r\nHost: a\r\n${fields}\r\n\r\n${body}`
const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`

const table: ReadonlyArray<readonly [name: string, bytes: string, status: number | readonly number[]]> = [
  [
    'a length and chunks, the length longer',
    post(`Content-Length: ${5 + HIDDEN.length}\r\nTransfer-Encoding: chunked`, `0\r\n\r\n${HIDDEN}`),
    400,
  ],
  [
    'a length and chunks, the length shorter',
    post('Content-Length: 4\r\nTransfer-Encoding: chunked', chunked(HIDDEN)),
    400,
  ],
  [
    'chunks and a length behind',
    post('Transfer-Encoding: chunked\r\nContent-Length: 6', `0\r\n\r\n${HIDDEN}`),
    400,
  ],
  ['two lengths that differ', post(`Content-Length: 0\r\nContent-Length: ${HIDDEN.length}`, HIDDEN), 400],
  ['two lengths that agree', post('Content-Length: 3\r\nContent-Length: 3', 'abc'), 400],
  ['a list of lengths that differ', post(`Content-Length: 0, ${HIDDEN.length}`, HIDDEN), 400],
  ['a length with a sign', post(`Content-Length: +${HIDDEN.length}`, HIDDEN), 400],
  ['a negative length', post('Content-Length: -1', HIDDEN), 400],
  ['a length in hex', post('Content-Length: 0x10', HIDDEN), 400],
  ['a length with blanks within', post('Content-Length: 1 0', HIDDEN), 400],
  ['a length past 2^64', post('Content-Length: 18446744073709551616', HIDDEN), 400],
  ['an empty length', post('Content-Length:', HIDDEN), 400],
  ['a coding before chunked', post('Transfer-Encoding: gzip, chunked', chunked('abc')), 501],
  ['chunked, identity', post('Transfer-Encoding: chunked, identity', chunked(HIDDEN)), [400, 501]],
  ['identity', post('Transfer-Encoding: identity', HIDDEN), [400, 501]],
  ['xchunked', post('Transfer-Encoding: xchunked', chunked(HIDDEN)), [400, 501]],
  ['chunkedx', post('Transfer-Encoding: chunkedx', chunked(HIDDEN)), [400, 501]],
  ['a quoted coding', post('Transfer-Encoding: "chunked"', chunked(HIDDEN)), [400, 501]],
  [
    'chunked twice',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', chunked(HIDDEN)),
    [400, 501],
  ],
  [
    'chunked and identity in two lines',
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', chunked(HIDDEN)),
    [400, 501],
  ],
  [
    'a tab before the coding',
    post('Transfer-Encoding:\tchunked\r\nContent-Length: 5', `0\r\n\r\n${HIDDEN}`),
    400,
  ],
  ['a vertical tab before the coding', post('Transfer-Encoding: \x0bchunked', chunked(HIDDEN)), [400, 501]],
  ['a parameter of chunked', post('Transfer-Encoding: chunked;a=b', chunked(HIDDEN)), [400, 501]],
  [
    'a blank before the colon of Transfer-Encoding',
    post('Transfer-Encoding : chunked', chunked(HIDDEN)),
    400,
  ],
  ['a blank before the colon of Content-Length', post(`Content-Length : ${HIDDEN.length}`, HIDDEN), 400],
  ['a coding in a folded line', post('Transfer-Encoding:\r\n chunked', chunked(HIDDEN)), 400],
  ['a coding behind a bare LF', post('X: y\nTransfer-Encoding: chunked', chunked(HIDDEN)), 400],
  ['a coding behind a bare CR', post('X: y\rTransfer-Encoding: chunked', chunked(HIDDEN)), 400],
  [
    'a coding with HTTP/1.0',
    `POST /first HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n${HIDDEN}`,
    400,
  ],
  ['an empty coding', post('Transfer-Encoding:', HIDDEN), [400, 501]],
  ['a chunk size with 0x', post('Transfer-Encoding: chunked', `0x3\r\nabc\r\n0\r\n\r\n`), 400],
  ['a chunk size with a sign', post('Transfer-Encoding: chunked', '+3\r\nabc\r\n0\r\n\r\n'), 400],
  [
    'a chunk size past 2^64',
    post('Transfer-Encoding: chunked', '10000000000000003\r\nabc\r\n0\r\n\r\n'),
    400,
  ],
  ['no chunk size', post('Transfer-Encoding: chunked', '\r\nabc\r\n0\r\n\r\n'), 400],
  ['a chunk longer than its size', post('Transfer-Encoding: chunked', '3\r\nabcdef\r\n0\r\n\r\n'), 400],
  ['a bare LF behind a chunk size', post('Transfer-Encoding: chunked', `3\nabc\r\n0\r\n\r\n`), 400],
  ['a bare CR behind a chunk size', post('Transfer-Encoding: chunked', `3\rabc\r\n0\r\n\r\n`), 400],
  [
    'a bare LF in a chunk extension',
    post('Transfer-Encoding: chunked', `3;a\nabc\r\n0\r\n\r\n${HIDDEN}`),
    400,
  ],
  [
    '20 kB of chunk extensions',
    post('Transfer-Encoding: chunked', `1;${'e'.repeat(20_000)}\r\nx\r\n0\r\n\r\n`),
    413,
  ],
  ['a chunk extension without end', post('Transfer-Encoding: chunked', `3;${'e'.repeat(1_000_000)}`), 413],
]

/** Odd, and one request: what is odd about it stays on the side of the client. */
const tamed = (name: string, bytes: string, wanted: string): Case => ({
  theme,
  name,
  want: 'refused, or passed on without what is odd',
  async play(scene) {
    const { upstream } = scene
    await sendRaw(scene, bytes)
    must(upstream.heard.length <= 1, `the upstream heard ${upstream.heard.length} requests`)
    for (const { head, body, raw } of upstream.heard) {
      const why = ambiguity(head)
      must(why === undefined, `passed on with ${why}`)
      must(body === wanted, 'its body changed')
      must(!/0{20}|content-length: *35|e{20}/i.test(raw), 'passed on as it came')
    }
  },
})

/** The same body either way is one request, however it is framed and whatever its method. */
const framed = (method: string): Case => ({
  theme,
  name: `a chunked ${method} with a request in its body (CVE-2026-29057 of http-proxy)`,
  want: 'one request, its body framed',
  async play(scene) {
    const { upstream } = scene
    await sendRaw(
      scene,
      `${method} /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(HIDDEN)}`,
      method,
    )
    must(!upstream.heard.some(({ target }) => target === '/smuggled'), 'the body became a request')
    must(
      upstream.heard.every(({ body, whole }) => whole && body === HIDDEN),
      'the body was lost',
    )
  },
})

const named = (name: string, fields: string): Case => ({
  theme,
  name,
  want: 'the body framed, whatever Connection names',
  async play(scene) {
    const { upstream } = scene
    await sendRaw(scene, post(fields, HIDDEN))
    must(!upstream.heard.some(({ target }) => target === '/smuggled'), 'the body became a request')
  },
})

export const framing: readonly Case[] = [
  tamed(
    'a chunk size of 100,000 digits',
    post('Transfer-Encoding: chunked', `${'0'.repeat(100_000)}3\r\nabc\r\n0\r\n\r\n`),
    'abc',
  ),
  tamed(
    '100 chunks with an extension each',
    post('Transfer-Encoding: chunked', `${`1;${'e'.repeat(1000)}\r\nx\r\n`.repeat(100)}0\r\n\r\n`),
    'x'.repeat(100),
  ),
  tamed(
    'a length among the trailers',
    post('Transfer-Encoding: chunked', `3\r\nabc\r\n0\r\nContent-Length: ${HIDDEN.length}\r\n\r\n`),
    'abc',
  ),
  ...table.map(([name, bytes, status]) => ambiguous(theme, name, bytes, status)),
  ambiguous(
    theme,
    'trailers without end',
    post('Transfer-Encoding: chunked', `0\r\n${'X: y\r\n'.repeat(200_000)}`),
    [400, 431],
    true,
  ),
  ...['GET', 'DELETE', 'OPTIONS', 'HEAD'].map(framed),
  named('Connection: content-length', `Connection: content-length\r\nContent-Length: ${HIDDEN.length}`),
  named(
    'Connection: close, Content-Length',
    `Connection: close, Content-Length\r\nContent-Length: ${HIDDEN.length}`,
  ),
]
