import assert from 'node:assert/strict'
import { test } from 'node:test'
import { escapeControl, quoteJson } from '../../src/observe/escape.ts'

const table: Array<{ name: string; given: string; want: string }> = [
  { name: 'plain text', given: '/api/echo?echo=test', want: '/api/echo?echo=test' },
  { name: 'letters of other scripts', given: 'é 漢字 🙂 ع', want: 'é 漢字 🙂 ع' },
  { name: 'line ends and tabs', given: 'a\r\n\tb', want: 'a\\x0d\\x0a\\x09b' },
  { name: 'NUL and DEL', given: '\0\x7f', want: '\\x00\\x7f' },
  { name: 'a colour sequence', given: '\x1b[31mred', want: '\\x1b[31mred' },
  { name: 'a title sequence', given: '\x1b]0;x\x07', want: '\\x1b]0;x\\x07' },
  { name: 'a C1 sequence', given: '\x9b31m', want: '\\x9b31m' },
  { name: 'bidi override', given: 'a\u202eb\u2066', want: 'a\\u202eb\\u2066' },
  { name: 'zero width and byte order mark', given: '\u200b\u200d\ufeff', want: '\\u200b\\u200d\\ufeff' },
  { name: 'soft hyphen', given: '\u00ad', want: '\\xad' },
  { name: 'Hangul filler, drawn as nothing', given: '\u3164', want: '\\u3164' },
  { name: 'line separator', given: '\u2028', want: '\\u2028' },
  { name: 'tag characters', given: '\u{e0041}', want: '\\u{e0041}' },
  { name: 'lone surrogates', given: 'a\ud800b\udc00', want: 'a\\ud800b\\udc00' },
]
for (const { name, given, want } of table) {
  test(`escapes for the terminal: ${name}`, () => assert.equal(escapeControl(given), want))
  test(`a JSON string shows nothing raw and keeps its value: ${name}`, () => {
    const quoted = quoteJson(given)
    assert.equal(JSON.parse(quoted), given)
    assert.equal(escapeControl(quoted), quoted)
  })
}
test('no control byte passes, whatever stands around it', () => {
  for (let code = 0; code < 0xa0; code++) {
    if (code >= 0x20 && code < 0x7f) continue
    assert.match(escapeControl(`ü${String.fromCharCode(code)}`), /^ü\\x[\da-f]{2}$/)
  }
})
