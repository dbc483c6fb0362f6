/** Structured Fields as far as the cache reads and writes them (RFC 9651). */
import { parseDictionary, sfString } from '../../src/http/structured.ts'
import { type Row, table } from './table.ts'

interface Text<Want> extends Row<Want> {
  readonly text: string
}

const kind = (name: string) => ({ kind: name })
const dictionaries: ReadonlyArray<Text<Record<string, unknown> | undefined>> = [
  { rfc: '9651 §4.2.2', name: 'nothing', text: '', want: {} },
  { rfc: '9651 §4.2.2', name: 'keys without values are true', text: 'a, b', want: { a: true, b: true } },
  {
    rfc: '9651 §4.2.2',
    name: 'spaces and tabs around commas',
    text: 'a \t,\t b',
    want: { a: true, b: true },
  },
  { rfc: '9651 §4.2', name: 'spaces around the whole', text: '  a=1  ', want: { a: 1 } },
  { rfc: '9651 §4.2', name: 'a tab around the whole', text: '\ta=1', want: undefined },
  {
    rfc: '9651 §4.2.3.3',
    name: 'a key with all that a key may have',
    text: '*a_b-c.d*9=1',
    want: { '*a_b-c.d*9': 1 },
  },
  { rfc: '9651 §4.2.3.3', name: 'a key that begins with a digit', text: '1a=1', want: undefined },
  { rfc: '9651 §4.2.2', name: 'a comma at the end', text: 'a=1,', want: undefined },
  { rfc: '9651 §4.2.2', name: 'two commas', text: 'a=1,,b', want: undefined },
  { rfc: '9651 §4.2.2', name: 'no comma', text: 'a=1 b=2', want: undefined },
  { rfc: '9651 §4.2.4', name: 'a negative Integer', text: 'a=-5', want: { a: -5 } },
  {
    rfc: '9651 §4.2.4',
    name: 'an Integer of 15 digits',
    text: 'a=999999999999999',
    want: { a: 999999999999999 },
  },
  { rfc: '9651 §4.2.4', name: 'an Integer of 16 digits', text: 'a=1000000000000000', want: undefined },
  { rfc: '9651 §4.2.4', name: 'a Decimal', text: 'a=1.5', want: { a: kind('decimal') } },
  { rfc: '9651 §4.2.4', name: 'a Decimal of four places', text: 'a=1.5000', want: undefined },
  {
    rfc: '9651 §4.2.4',
    name: 'a Decimal of 13 digits before the point',
    text: 'a=1234567890123.1',
    want: undefined,
  },
  { rfc: '9651 §4.2.4', name: 'a point at the end', text: 'a=1.', want: undefined },
  { rfc: '9651 §4.2.4', name: 'only a sign', text: 'a=-', want: undefined },
  { rfc: '9651 §4.2.5', name: 'a String', text: 'a="b, \\"c\\" \\\\"', want: { a: 'b, "c" \\' } },
  { rfc: '9651 §4.2.5', name: 'a String that escapes what needs none', text: 'a="\\b"', want: undefined },
  { rfc: '9651 §4.2.5', name: 'a String that does not end', text: 'a="b', want: undefined },
  { rfc: '9651 §4.2.5', name: 'a String with a letter beyond ASCII', text: 'a="é"', want: undefined },
  { rfc: '9651 §4.2.6', name: 'a Token', text: 'a=*b/c:d!', want: { a: '*b/c:d!' } },
  { rfc: '9651 §4.2.7', name: 'a Byte Sequence', text: 'a=:aGk=:', want: { a: kind('bytes') } },
  { rfc: '9651 §4.2.8', name: 'Booleans', text: 'a=?1, b=?0', want: { a: true, b: false } },
  { rfc: '9651 §4.2.8', name: 'no such Boolean', text: 'a=?2', want: undefined },
  { rfc: '9651 §4.2.9', name: 'a Date', text: 'a=@1700000000', want: { a: kind('date') } },
  {
    rfc: '9651 §4.2.10',
    name: 'a Display String',
    text: 'a=%"f%c3%bc"',
    want: { a: kind('display string') },
  },
  { rfc: '9651 §4.2.10', name: 'a Display String with capital hex', text: 'a=%"f%C3"', want: undefined },
  { rfc: '9651 §4.2.1.2', name: 'an Inner List', text: 'a=( "b" 1;x  c );y=2', want: { a: kind('list') } },
  { rfc: '9651 §4.2.1.2', name: 'an Inner List with a comma', text: 'a=(b, c)', want: undefined },
  { rfc: '9651 §4.2.1.2', name: 'an Inner List that does not end', text: 'a=(b', want: undefined },
  { rfc: '9651 §4.2.3.2', name: 'parameters', text: 'a=1;b;c=2; d="e", f', want: { a: 1, f: true } },
  { rfc: '9651 §4.2.3.2', name: 'parameters of a key without a value', text: 'a;b=1', want: { a: true } },
  {
    rfc: '9651 §4.2.3.2',
    name: 'a parameter with an equals sign and no value',
    text: 'a=1;b=',
    want: undefined,
  },
  { rfc: '9651 §4.2.3.2', name: 'a space before a parameter', text: 'a=1 ;b', want: undefined },
  { rfc: '9651 §4.2.3', name: 'an equals sign without a value', text: 'a=', want: undefined },
]

table('a dictionary', dictionaries, ({ text }) => {
  const members = parseDictionary(text)
  return members === undefined ? undefined : Object.fromEntries(members)
})

const strings: ReadonlyArray<Text<string>> = [
  { rfc: '9651 §4.1.6', name: 'quotes and backslashes', text: 'a"b\\c', want: '"a\\"b\\\\c"' },
  { rfc: '9651 §4.1.6', name: 'a line feed cannot stand in one', text: 'a\nb', want: '"a%0Ab"' },
  { rfc: '9651 §4.1.6', name: 'a letter beyond ASCII', text: 'ü', want: '"%C3%BC"' },
  { rfc: '9651 §4.1.6', name: 'a letter of two code units', text: '😀', want: '"%F0%9F%98%80"' },
  { rfc: '9651 §4.1.6', name: 'half of such a letter', text: 'a\ud83d', want: '"a%EF%BF%BD"' },
]

table('a String', strings, ({ text }) => sfString(text))
