import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bodyText } from '../../src/observe/body-text.ts'
import { columnsOf } from '../../src/observe/fit.ts'
import { messageLines } from '../../src/observe/message-lines.ts'
import { palette } from '../../src/observe/palette.ts'
import { redactor } from '../../src/observe/redact.ts'

const redact = redactor({ names: [], enabled: true })
const sampleOf = (...kept: Array<string | Buffer>) => {
  const buffers = kept.map((piece) => Buffer.from(piece))
  return { kept: buffers, keptBytes: buffers.reduce((sum, { length }) => sum + length, 0) }
}
const type = (value: string): string[] => ['Content-Type', value]

const table: Array<{
  name: string
  fields?: string[]
  kept: Array<string | Buffer>
  bytes?: number
  want: [text: string, moreBytes: number] | undefined
}> = [
  { name: 'plain text', fields: type('text/plain'), kept: ['hello'], want: ['hello', 0] },
  {
    name: 'JSON in pieces, secrets hidden',
    fields: type('application/problem+json'),
    kept: ['{"to', 'ken":"x"}'],
    want: ['{"token":"***"}', 0],
  },
  {
    name: 'a form',
    fields: type('application/x-www-form-urlencoded'),
    kept: ['a=1&token=x'],
    want: ['a=1&token=***', 0],
  },
  { name: 'no type that is text', kept: ['hello'], want: ['hello', 0] },
  { name: 'no type, no text', kept: [Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 1])], want: undefined },
  { name: 'no type, control characters', kept: ['a\x01b'], want: undefined },
  { name: 'text that is none', fields: type('text/plain'), kept: ['a\0b'], want: undefined },
  {
    name: 'a character that was cut',
    fields: type('text/plain'),
    kept: [Buffer.from('gęś').subarray(0, 2)],
    bytes: 5,
    want: ['g', 3],
  },
  {
    name: 'another character set',
    fields: type('text/html; charset="ISO-8859-2"'),
    kept: [Buffer.from([0xb1])],
    want: ['ą', 0],
  },
  { name: 'one that nobody knows', fields: type('text/html; charset=x-none'), kept: ['ą'], want: ['ą', 0] },
  { name: 'nothing', fields: type('text/plain'), kept: [], want: undefined },
  { name: 'an image', fields: type('image/svg'), kept: ['x'], want: undefined },
]
for (const { name, fields = [], kept, bytes, want } of table) {
  test(`a body as text: ${name}`, () => {
    const sample = sampleOf(...kept)
    const given = bodyText(sample, { fields, bytes: bytes ?? sample.keptBytes, redact })
    assert.deepEqual(given === undefined ? undefined : [given.text, given.moreBytes], want)
  })
}

const linesOf = (
  message: Partial<Parameters<typeof messageLines>[0]>,
  width = Number.POSITIVE_INFINITY,
): string[] =>
  messageLines(
    { sign: '<', fields: type('text/plain'), bytes: 0, sample: undefined, withBody: true, ...message },
    { redact, paint: palette(0), width },
  )

test('below the fields stands the body, bounded, what is left out counted', () => {
  const head = '< Content-Type: text/plain'
  assert.deepEqual(linesOf({}), [head])
  const hello = { bytes: 6, sample: sampleOf('hello\n') }
  assert.deepEqual(linesOf(hello), [head, '<', '< hello'])
  assert.deepEqual(linesOf({ ...hello, withBody: false }), [head])
  assert.deepEqual(linesOf({ bytes: 20_000, sample: sampleOf('a\r\n\tb') }), [
    head,
    '<',
    '< a',
    '<   b',
    '< … 20 kB more',
  ])
  const lines = linesOf({ bytes: 200, sample: sampleOf('x\n'.repeat(100)) })
  assert.equal(lines.length, 2 + 60 + 1)
  assert.equal(lines.at(-1), '< … 40 more lines')
})

test('a long field is folded at the width, too', () => {
  const fields = ['X', 'abcdefghij'.repeat(7), 'Short', 'y']
  assert.deepEqual(linesOf({ fields }, 40), [
    '< X: abcdefghijabcdefghijabcdefghijabcde',
    '    fghijabcdefghijabcdefghijabcdefghij',
    '< Short: y',
  ])
  assert.equal(linesOf({ fields }).length, 2)
  assert.deepEqual(linesOf({ fields: ['Strict-Transport-Security', 'max-age=31536000'] }, 30), [
    '< Strict-Transport-Security:',
    '    max-age=31536000',
  ])
})

test('what is no text is told by size and type', () => {
  assert.deepEqual(linesOf({ bytes: 2100, fields: type('image/png; x=y') }).slice(1), [
    '<',
    '< (2.1 kB, image/png)',
  ])
  const coded = [...type('text/html'), 'Content-Encoding', 'br']
  assert.equal(linesOf({ bytes: 5, fields: coded }).at(-1), '< (5 B, text/html, br)')
  assert.equal(linesOf({ bytes: 5, fields: [] }).at(-1), '< (5 B, no type)')
})

test('long lines of a body are folded at the width, and nothing in them steers a terminal', () => {
  const text = `${'x'.repeat(70)}\x1b[2J\u202e\x9b\u{1f600}`
  const lines = linesOf({ bytes: 80, sample: sampleOf(text.repeat(3)) }, 40).slice(2)
  for (const line of lines) assert.ok(columnsOf(line) <= 40, line)
  assert.equal(lines.length, 8)
  assert.doesNotMatch(lines.join(), /[\x00-\x1f\x7f-\x9f\u202e]/)
})
