/** What Cache-Control and CDN-Cache-Control say (RFC 9111 §5.2, RFC 9213). */
import { deltaSeconds, namedFields, parseCacheControl, parseTargeted } from '../../src/http/cache-control.ts'
import { type Row, table } from './table.ts'

interface Text<Want> extends Row<Want> {
  readonly text: string
}

const seconds: ReadonlyArray<Text<number | undefined>> = [
  { rfc: '9111 §5.2', name: 'a number', text: 'max-age=60', want: 60 },
  { rfc: '9111 §5.2', name: 'a name in any case', text: 'Max-AGE=60', want: 60 },
  { rfc: '9111 §5.2', name: 'a quoted number', text: 'max-age="60"', want: 60 },
  { rfc: '9111 §5.2', name: 'an escape in the quotes', text: 'max-age="6\\0"', want: 60 },
  { rfc: '9111 §5.2', name: 'another name that ends so', text: 'x-max-age=60', want: undefined },
  { rfc: '9111 §5.2', name: 'the name within a quoted argument', text: 'x="max-age=60, y"', want: undefined },
  { rfc: '9111 §5.2', name: 'after a quoted argument with a comma', text: 'x="a, b", max-age=60', want: 60 },
  { rfc: '9111 §5.2', name: 'after an escaped quote', text: 'x="a\\", max-age=1", max-age=60', want: 60 },
  {
    rfc: '9110 §5.6.4',
    name: 'a quote that is never closed quotes nothing',
    text: 'x="a, max-age=60',
    want: 60,
  },
  { rfc: '9110 §5.6.1', name: 'empty members', text: ', ,max-age=60,,', want: 60 },
  { rfc: '9110 §5.6.3', name: 'tabs around it', text: '\t max-age=60\t, x', want: 60 },
  { rfc: '9111 §4.2.1', name: 'of two the first', text: 'max-age=60, max-age=1', want: 60 },
  { rfc: '9111 §4.2.1', name: 'the first even when it is none', text: 'max-age=x, max-age=60', want: 0 },
  { rfc: '9111 §4.2.1', name: 'single quotes are no quotes', text: "max-age='60'", want: 0 },
  { rfc: '9111 §4.2.1', name: 'a fraction', text: 'max-age=60.0', want: 0 },
  { rfc: '9111 §4.2.1', name: 'a negative number', text: 'max-age=-60', want: 0 },
  { rfc: '9111 §4.2.1', name: 'a plus sign', text: 'max-age=+60', want: 0 },
  { rfc: '9111 §4.2.1', name: 'an exponent', text: 'max-age=6e1', want: 0 },
  { rfc: '9111 §4.2.1', name: 'hexadecimal', text: 'max-age=0x60', want: 0 },
  { rfc: '9111 §4.2.1', name: 'no argument', text: 'max-age', want: 0 },
  { rfc: '9111 §4.2.1', name: 'an empty argument', text: 'max-age=', want: 0 },
  { rfc: '9111 §5.2', name: 'a space after the equals sign', text: 'max-age= 60', want: 0 },
  { rfc: '9111 §5.2', name: 'a space before the equals sign', text: 'max-age =60', want: 0 },
  { rfc: '9111 §5.2', name: 'a semicolon for a comma', text: 'max-age=60; public', want: 0 },
  { rfc: '9111 §1.2.2', name: 'the largest', text: 'max-age=2147483648', want: 2 ** 31 },
  { rfc: '9111 §1.2.2', name: 'larger than that', text: 'max-age=99999999999', want: 2 ** 31 },
  { rfc: '9111 §1.2.2', name: 'larger than any number', text: `max-age=${'9'.repeat(400)}`, want: 2 ** 31 },
  { rfc: '9111 §1.2.2', name: 'zeros in front', text: 'max-age=0060', want: 60 },
]

table('seconds of max-age', seconds, ({ text }) => deltaSeconds(parseCacheControl(text), 'max-age'))

const there: ReadonlyArray<Text<string>> = [
  { rfc: '9111 §5.2', name: 'names in lower case', text: 'No-Store, PRIVATE', want: 'no-store private' },
  { rfc: '9111 §5.2', name: 'an argument where none is defined', text: 'no-store=x', want: 'no-store' },
  {
    rfc: '9111 §5.2',
    name: 'a malformed restriction restricts',
    text: 'private; max-age=60',
    want: 'private',
  },
  { rfc: '9111 §5.2', name: 'a space in a restriction', text: 'no-store foo', want: 'no-store' },
  {
    rfc: '9111 §5.2',
    name: 'a malformed permission permits nothing',
    text: 'public; x, no-cache',
    want: 'no-cache',
  },
  {
    rfc: '9111 §5.2',
    name: 'must-understand must be well-formed',
    text: 'must-understand x, no-store',
    want: 'no-store',
  },
  {
    rfc: '9111 §5.2.3',
    name: 'what is unknown does no harm',
    text: 'foo, bar=1, no-store',
    want: 'foo bar no-store',
  },
  { rfc: '9110 §5.6.2', name: 'what has no name', text: '=1, "no-store", @', want: '' },
]

table('directives that are there', there, ({ text }) => [...parseCacheControl(text).keys()].join(' '))

type Named = readonly string[] | 'the whole'
const named: ReadonlyArray<Text<Named>> = [
  { rfc: '9111 §5.2.2.7', name: 'no argument', text: 'private', want: 'the whole' },
  { rfc: '9111 §5.2.2.7', name: 'one field', text: 'private="X-Foo"', want: ['x-foo'] },
  { rfc: '9111 §5.2.2.7', name: 'several', text: 'private="X-Foo , x-bar,"', want: ['x-foo', 'x-bar'] },
  { rfc: '9111 §5.2', name: 'a token', text: 'private=x-foo', want: ['x-foo'] },
  {
    rfc: '9111 §5.2.2.7',
    name: 'one with and one without',
    text: 'private="x-foo", private',
    want: 'the whole',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'one without and one with',
    text: 'private, private="x-foo"',
    want: 'the whole',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'two with',
    text: 'private="x-foo", private=x-bar',
    want: ['x-foo', 'x-bar'],
  },
  { rfc: '9111 §5.2.2.7', name: 'nothing in the quotes', text: 'private=""', want: 'the whole' },
  { rfc: '9110 §5.6.2', name: 'what is no field name', text: 'private="x foo"', want: 'the whole' },
  { rfc: '9110 §5.6.2', name: 'single quotes', text: "private='x-foo, x-bar'", want: 'the whole' },
  { rfc: '9111 §5.2', name: 'a space after the equals sign', text: 'private= x-foo', want: 'the whole' },
  {
    rfc: '9111 §5.2.2.7',
    name: 'one with a field and one with none',
    text: 'private="x-foo", private=""',
    want: 'the whole',
  },
  {
    rfc: '9111 §5.2',
    name: 'one with a field and one malformed',
    text: 'private="x-foo", private x-bar',
    want: 'the whole',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'a field without which the response has another meaning',
    text: 'private="x-foo, Vary"',
    want: 'the whole',
  },
]

table('what private concerns', named, ({ text }): Named => {
  return namedFields(parseCacheControl(text), 'private') ?? 'the whole'
})

const absent = 'Cache-Control counts'
const targeted: ReadonlyArray<Text<Record<string, string | true> | typeof absent>> = [
  { rfc: '9213 §2.1', name: 'an Integer', text: 'max-age=60', want: { 'max-age': '60' } },
  {
    rfc: '9213 §2.1',
    name: 'no value',
    text: 'no-store, must-revalidate',
    want: { 'no-store': true, 'must-revalidate': true },
  },
  {
    rfc: '9213 §2.1',
    name: 'a String of field names',
    text: 'no-cache="a, b"',
    want: { 'no-cache': 'a, b' },
  },
  { rfc: '9213 §2.1', name: 'a Token', text: 'private=x-foo', want: { private: 'x-foo' } },
  { rfc: '9213 §2.1', name: 'parameters are ignored', text: 'max-age=60;a;b="c"', want: { 'max-age': '60' } },
  {
    rfc: '9213 §2.1',
    name: 'a String for an Integer is not consumed',
    text: 'max-age="60"',
    want: { 'max-age': true },
  },
  {
    rfc: '9213 §2.1',
    name: 'a Decimal for an Integer is not consumed',
    text: 'max-age=60.0',
    want: { 'max-age': true },
  },
  {
    rfc: '9213 §2.1',
    name: 'an Inner List names no fields',
    text: 'private=("x-a" "x-b")',
    want: { private: true },
  },
  { rfc: '9213 §2.1', name: 'false says nothing', text: 'no-store=?0, max-age=5', want: { 'max-age': '5' } },
  { rfc: '9651 §4.2.2', name: 'of two the last', text: 'max-age=1, max-age=60', want: { 'max-age': '60' } },
  { rfc: '9213 §2.1', name: 'empty', text: '', want: absent },
  { rfc: '9213 §2.1', name: 'spaces', text: '  ', want: absent },
  { rfc: '9213 §2.1', name: 'a name in capitals', text: 'Max-Age=60', want: absent },
  { rfc: '9213 §2.1', name: 'an error behind it', text: 'max-age=60, &&&&&', want: absent },
  { rfc: '9213 §2.1', name: 'a comma behind it', text: 'max-age=60,', want: absent },
  { rfc: '9213 §2.1', name: 'a space around the equals sign', text: 'max-age= 60', want: absent },
  { rfc: '9213 §2.1', name: 'single quotes', text: "max-age='60'", want: absent },
  { rfc: '9213 §2.1', name: 'a semicolon that ends nothing', text: 'max-age=60;', want: absent },
]

table('what CDN-Cache-Control says', targeted, ({ text }) => {
  const directives = parseTargeted(text)
  return directives === undefined ? absent : Object.fromEntries(directives)
})

table(
  'fields that a response cannot be used without',
  [
    {
      rfc: '9111 §5.2.2.4',
      name: 'to withhold one is to withhold the response',
      want: [
        'age',
        'cache-control',
        'cdn-cache-control',
        'content-encoding',
        'content-length',
        'content-range',
        'content-type',
        'date',
        'expires',
        'vary',
      ],
    },
  ],
  () =>
    [
      'age',
      'cache-control',
      'cdn-cache-control',
      'content-encoding',
      'content-language',
      'content-length',
      'content-location',
      'content-range',
      'content-type',
      'date',
      'etag',
      'expires',
      'last-modified',
      'set-cookie',
      'vary',
    ].filter((name) => namedFields(parseCacheControl(`no-cache="x-foo, ${name}"`), 'no-cache') === undefined),
)
