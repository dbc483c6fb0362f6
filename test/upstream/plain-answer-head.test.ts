import assert from 'node:assert/strict'
import { test } from 'node:test'
import { plainAnswerHead } from '../../src/upstream/plain-answer-head.ts'

const head = (...lines: string[]): string => `${lines.join('\r\n')}\r\n\r\n`
const ok = 'HTTP/1.1 200 OK'
const two = 'Content-Length: 2'

test('a plain head is read as it was written', () => {
  assert.deepEqual(plainAnswerHead(head(ok, two, 'X:\t b c \t', 'x: ', 'Y: \xe9', 'constructor: a')), {
    status: 200,
    fields: ['Content-Length', '2', 'X', 'b c', 'x', '', 'Y', '\xe9', 'constructor', 'a'],
    length: 2,
    keepMs: undefined,
  })
})

for (const [name, text, expected] of [
  ['chunks', head(ok, 'Transfer-Encoding: Chunked'), { length: undefined }],
  ['no reason phrase', head('HTTP/1.1 404 ', two), { status: 404, length: 2 }],
  ['no body', head('HTTP/1.1 204 No Content'), { status: 204, length: 0 }],
  ['not modified, with the length of what is', head('HTTP/1.1 304 x', two), { status: 304, length: 0 }],
  ['a connection that ends', head(ok, two, 'Connection: close'), { keepMs: 0 }],
  [
    'one that lasts',
    head(ok, two, 'Connection: Keep-Alive', 'Keep-Alive: timeout=5, max=9'),
    { keepMs: 5000 },
  ],
  ['one that ends all the same', head(ok, two, 'Keep-Alive: timeout=5', 'Connection: close'), { keepMs: 0 }],
  ['one that ends, said first', head(ok, two, 'Connection: close', 'Keep-Alive: timeout=5'), { keepMs: 0 }],
] as const) {
  test(`plain: ${name}`, () => {
    const got = plainAnswerHead(text)
    assert.ok(got !== undefined)
    assert.deepEqual({ ...got, ...expected }, got)
  })
}

for (const [name, text] of [
  ['HTTP/1.0', head('HTTP/1.0 200 OK', two)],
  ['an interim answer', head('HTTP/1.1 103 Early Hints', two)],
  ['another protocol', head('HTTP/1.1 101 Switching', two)],
  ['no space behind the status', head('HTTP/1.1 200', two)],
  ['a status of four digits', head('HTTP/1.1 2000 OK', two)],
  ['a control byte in the reason phrase', head('HTTP/1.1 200 O\x01K', two)],
  ['something before the status line', head('', ok, two)],
  ['no framing: up to the end of the connection', head(ok)],
  ['a length and chunks', head(ok, two, 'Transfer-Encoding: chunked')],
  ['two lengths', head(ok, two, two)],
  ['a length with a sign', head(ok, 'Content-Length: +2')],
  ['a list of lengths', head(ok, 'Content-Length: 2, 2')],
  ['a length without digits', head(ok, 'Content-Length:')],
  ['chunks twice', head(ok, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
  ['another coding', head(ok, 'Transfer-Encoding: gzip, chunked')],
  ['no body, with a length', head('HTTP/1.1 204 No Content', two)],
  ['no body, in chunks', head('HTTP/1.1 304 x', 'Transfer-Encoding: chunked')],
  ['another connection option', head(ok, two, 'Connection: close, X')],
  ['an upgrade', head(ok, two, 'Upgrade: h2c')],
  ['a folded line', head(ok, two, 'A: b\r\n c')],
  ['a space before the colon', head(ok, two, 'A : b')],
  ['a line without a colon', head(ok, two, 'A')],
  ['a bare line feed', head(ok, two, 'A: b\nC: d')],
  ['a bare carriage return', head(ok, two, 'A: b\rC: d')],
  ['a zero byte', head(ok, two, 'A: b\0')],
  ['DEL', head(ok, two, 'A: b\x7f')],
  ['more lines than programs send', head(ok, two, ...Array<string>(100).fill('A: b'))],
] as const) {
  test(`for undici: ${name}`, () => {
    assert.equal(plainAnswerHead(text), undefined)
  })
}
