import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainHead } from '../../src/edge/plain-head.ts'

const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`

test('a plain head is read as it was written', () => {
  assert.deepEqual(
    plainHead(
      head('GET /a//../b%2F;x?y={}| HTTP/1.1', 'Host: a.example:80', 'X:\t b c \t', 'x: ', 'Y: \xe9'),
    ),
    {
      method: 'GET',
      url: '/a//../b%2F;x?y={}|',
      host: 'a.example:80',
      fields: ['Host', 'a.example:80', 'X', 'b c', 'x', '', 'Y', '\xe9'],
      length: 0,
    },
  )
  assert.equal(
    plainHead(head('HEAD / HTTP/1.1', 'host: [::1]:8080', 'Connection: keep-alive'))?.method,
    'HEAD',
  )
})

test('a body of a known length may stand behind a head', () => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    assert.equal(plainHead(head(`${method} / HTTP/1.1`, 'Host: a', 'content-length: 12'))?.length, 12)
    assert.equal(plainHead(head(`${method} / HTTP/1.1`, 'Host: a'))?.length, 0)
  }
})

const host = 'Host: a'
for (const [name, text] of [
  ['another method', head('OPTIONS / HTTP/1.1', host)],
  ['a method in small letters', head('get / HTTP/1.1', host)],
  ['another version', head('GET / HTTP/1.0', host)],
  ['no version', head('GET /', host)],
  ['two spaces in the request line', head('GET  / HTTP/1.1', host)],
  ['a space in the target', head('GET /a b HTTP/1.1', host)],
  ['a space behind the version', head('GET / HTTP/1.1 ', host)],
  ['an absolute target', head('GET http://a/ HTTP/1.1', host)],
  ['a fragment', head('GET /#a HTTP/1.1', host)],
  ['a byte outside ASCII in the target', head('GET /\xe9 HTTP/1.1', host)],
  ['a control byte in the target', head('GET /\x01 HTTP/1.1', host)],
  ['no Host', head('GET / HTTP/1.1', 'A: b')],
  ['no fields', head('GET / HTTP/1.1')],
  ['two Hosts', head('GET / HTTP/1.1', host, 'host: b')],
  ['an empty Host', head('GET / HTTP/1.1', 'Host: ')],
  ['a Host that is none', head('GET / HTTP/1.1', 'Host: a/b')],
  ['a line without a colon', head('GET / HTTP/1.1', host, 'abc')],
  ['a line without a colon before one with', head('GET / HTTP/1.1', host, 'abc', 'd: e')],
  ['no name', head('GET / HTTP/1.1', host, ': b')],
  ['a space before the colon', head('GET / HTTP/1.1', host, 'A : b')],
  ['a folded line', head('GET / HTTP/1.1', host, 'A: b', ' c')],
  ['a folded first line', head('GET / HTTP/1.1', ' A: b', host)],
  ['NUL in a value', head('GET / HTTP/1.1', host, 'A: b\x00')],
  ['a bare CR in a value', head('GET / HTTP/1.1', host, 'A: b\rC: d')],
  ['a bare LF in a value', head('GET / HTTP/1.1', host, 'A: b\nC: d')],
  ['a bare LF in the request line', head('GET /\nA: b HTTP/1.1', host)],
  ['DEL in a value', head('GET / HTTP/1.1', host, 'A: \x7f')],
  ['Content-Length in a GET', head('GET / HTTP/1.1', host, 'Content-Length: 0')],
  ['two Content-Lengths', head('POST / HTTP/1.1', host, 'Content-Length: 1', 'Content-Length: 1')],
  ['a list of Content-Lengths', head('POST / HTTP/1.1', host, 'Content-Length: 1, 1')],
  ['a Content-Length with a sign', head('POST / HTTP/1.1', host, 'Content-Length: +1')],
  ['a Content-Length without digits', head('POST / HTTP/1.1', host, 'Content-Length:')],
  ['chunks', head('POST / HTTP/1.1', host, 'Content-Length: 1', 'Transfer-Encoding: chunked')],
  ['Transfer-Encoding', head('GET / HTTP/1.1', host, 'transfer-encoding: chunked')],
  ['Upgrade', head('GET / HTTP/1.1', host, 'Upgrade: websocket', 'Connection: upgrade')],
  ['Expect', head('GET / HTTP/1.1', host, 'Expect: 100-continue')],
  ['Connection: close', head('GET / HTTP/1.1', host, 'Connection: close')],
  ['a Connection that names fields', head('GET / HTTP/1.1', host, 'Connection: keep-alive, X')],
  ['TE', head('GET / HTTP/1.1', host, 'TE: trailers')],
  [
    'more lines than programs send',
    head('GET / HTTP/1.1', host, ...Array.from({ length: 100 }, () => 'A: b')),
  ],
] as const) {
  test(`${name}: for node's parser`, () => {
    assert.equal(plainHead(text), undefined)
    // What is added is all that is wrong with it.
    assert.notEqual(plainHead(head('GET / HTTP/1.1', host)), undefined)
  })
}
