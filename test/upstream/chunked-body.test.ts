import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ChunkedBody } from '../../src/upstream/chunked-body.ts'

/** What becomes of a body that is read in pieces of so many bytes. */
const read = (text: string, pieceBytes: number): { body: string; trailers: unknown; left: string } => {
  const chunked = new ChunkedBody()
  let body = ''
  let left = ''
  const onData = (bytes: Buffer): void => {
    body += bytes.toString('latin1')
  }
  for (let at = 0; at < text.length; at += pieceBytes) {
    const piece = Buffer.from(text.slice(at, at + pieceBytes), 'latin1')
    left += piece.toString('latin1', chunked.trailers === undefined ? chunked.take(piece, 0, onData) : 0)
  }
  return { body, trailers: chunked.trailers, left }
}

const sizes = [1, 2, 3, 5, 7, 1000]

for (const [name, text, expected] of [
  ['one chunk', '2\r\nhi\r\n0\r\n\r\n', { body: 'hi', trailers: [], left: '' }],
  ['none', '0\r\n\r\n', { body: '', trailers: [], left: '' }],
  ['several', '2\r\nhi\r\nA\r\n0123456789\r\n000\r\n\r\n', { body: 'hi0123456789', trailers: [], left: '' }],
  ['extensions', '2;a=b;c="d"\r\nhi\r\n0;x\r\n\r\n', { body: 'hi', trailers: [], left: '' }],
  ['line ends in the data', '4\r\n\r\n\r\n\r\n0\r\n\r\n', { body: '\r\n\r\n', trailers: [], left: '' }],
  ['trailers', '0\r\nA: b\r\nC:d\r\n\r\n', { body: '', trailers: ['A', 'b', 'C', 'd'], left: '' }],
  [
    'many trailers',
    `0\r\n${'A: b\r\n'.repeat(150)}\r\n`,
    { body: '', trailers: Array(150).fill(['A', 'b']).flat(), left: '' },
  ],
  ['more behind it', '1\r\nx\r\n0\r\n\r\nHTTP/1.1', { body: 'x', trailers: [], left: 'HTTP/1.1' }],
] as const) {
  test(`a body in chunks: ${name}`, () => {
    for (const size of sizes) assert.deepEqual(read(text, size), expected, `in pieces of ${size}`)
  })
}

for (const [name, text, code] of [
  ['no size', '\r\nhi\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['a size with a sign', '+2\r\nhi\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['a size with 0x', '0x2\r\nhi\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['a blank behind the size', '2 \r\nhi\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['a size beyond all numbers', 'FFFFFFFFFFFFFFFF\r\nhi\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['a bare line feed behind the size', '2\nhi\r\n0\r\n\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['a bare line feed in an extension', '2;a\nb\r\nhi\r\n', 'HPE_INVALID_CHUNK_SIZE'],
  ['data longer than its size', '2\r\nhi!\r\n0\r\n\r\n', 'HPE_STRICT'],
  ['a bare line feed behind the data', '2\r\nhi\n0\r\n\r\n', 'HPE_STRICT'],
  ['a line without end', `2;${'a'.repeat(20_000)}`, 'HPE_HEADER_OVERFLOW'],
  ['trailers without end', `0\r\n${'A: b\r\n'.repeat(20_000)}`, 'HPE_HEADER_OVERFLOW'],
  ['a bare line feed behind a trailer', '0\r\nA: b\n', 'HPE_INVALID_HEADER_TOKEN'],
  ['a bare line feed instead of the last line', '0\r\nA: b\r\n\n', 'HPE_INVALID_HEADER_TOKEN'],
  ['a trailer without a colon, at once', '0\r\nA\r\n', 'HPE_INVALID_HEADER_TOKEN'],
] as const) {
  test(`no body in chunks: ${name}`, () => {
    for (const size of sizes)
      assert.throws(() => read(text, size), { name: 'HTTPParserError', code }, `in pieces of ${size}`)
  })
}
