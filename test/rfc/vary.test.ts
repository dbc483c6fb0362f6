/** Which requests select the same response (RFC 9111 §4.1). */
import {
  contentLanguage,
  differingField,
  preferredLanguage,
  selectionOf,
  varyNames,
} from '../../src/http/vary.ts'
import { fieldsOf, type Lines, type Row, table } from './table.ts'

interface NamesRow extends Row<readonly string[] | '*'> {
  readonly response: Lines
}

const names: readonly NamesRow[] = [
  { rfc: '9110 §12.5.5', name: 'no Vary', response: [], want: [] },
  {
    rfc: '9110 §12.5.5',
    name: 'names without regard to case, sorted, once',
    response: ['Vary: B, a,A , b'],
    want: ['a', 'b'],
  },
  { rfc: '9110 §12.5.5', name: 'several lines', response: ['Vary: b', 'vary: a'], want: ['a', 'b'] },
  { rfc: '9110 §5.6.1', name: 'empty members', response: ['Vary: , a,,', 'Vary:'], want: ['a'] },
  { rfc: '9110 §12.5.5', name: 'a star', response: ['Vary: *'], want: '*' },
  { rfc: '9110 §12.5.5', name: 'a star among others', response: ['Vary: a, *, b'], want: '*' },
  { rfc: '9110 §12.5.5', name: 'a star on the last line', response: ['Vary: a', 'Vary: *'], want: '*' },
]

table('what Vary names', names, ({ response }) => varyNames(fieldsOf(response)))

interface MatchRow extends Row<'same' | 'another'> {
  readonly vary?: string
  readonly stored: Lines
  readonly given: Lines
}

const matches: readonly MatchRow[] = [
  { rfc: '9111 §4.1', name: 'the same value', stored: ['Foo: 1'], given: ['foo: 1'], want: 'same' },
  { rfc: '9111 §4.1', name: 'another value', stored: ['Foo: 1'], given: ['Foo: 2'], want: 'another' },
  { rfc: '9111 §4.1', name: 'values have a case', stored: ['Foo: a'], given: ['Foo: A'], want: 'another' },
  { rfc: '9111 §4.1', name: 'absent in both', stored: [], given: [], want: 'same' },
  { rfc: '9111 §4.1', name: 'absent in one', stored: ['Foo: 1'], given: [], want: 'another' },
  { rfc: '9111 §4.1', name: 'absent is not empty', stored: [], given: ['Foo:'], want: 'another' },
  {
    rfc: '9111 §4.1',
    name: 'what is not named does not matter',
    stored: ['Foo: 1', 'Bar: 1'],
    given: ['Foo: 1', 'Bar: 2'],
    want: 'same',
  },
  {
    rfc: '9111 §4.1',
    name: 'two names, one differs',
    vary: 'Foo, Bar',
    stored: ['Foo: 1', 'Bar: 1'],
    given: ['Foo: 1', 'Bar: 2'],
    want: 'another',
  },
  {
    rfc: '9111 §4.1',
    name: 'several lines are a list',
    stored: ['Foo: 1', 'Foo: 2'],
    given: ['Foo: 1, 2'],
    want: 'same',
  },
  {
    rfc: '9111 §4.1',
    name: 'white space around commas',
    stored: ['Foo: 1,2'],
    given: ['Foo: 1\t,  2'],
    want: 'same',
  },
  {
    rfc: '9111 §4.1',
    name: 'order, where nothing is known of it',
    stored: ['Foo: 1, 2'],
    given: ['Foo: 2, 1'],
    want: 'another',
  },
  {
    rfc: '9111 §4.1',
    name: 'white space within a member may tell',
    stored: ['Foo: a b'],
    given: ['Foo: a  b'],
    want: 'another',
  },
  {
    rfc: '9111 §4.1',
    name: 'a comma in a quoted string is no list',
    stored: ['Foo: "1,2"'],
    given: ['Foo: "1, 2"'],
    want: 'another',
  },
  {
    rfc: '9111 §4.1',
    name: 'a space around an equals sign may tell',
    stored: ['Foo: a=b'],
    given: ['Foo: a= b'],
    want: 'another',
  },

  {
    rfc: '9111 §4.1',
    name: 'a cookie is no list',
    vary: 'Cookie',
    stored: ['Cookie: a=1,b'],
    given: ['Cookie: a=1, b'],
    want: 'another',
  },
  {
    rfc: '9111 §4.1',
    name: 'a cookie with spaces is another',
    vary: 'Cookie',
    stored: ['Cookie: a=1'],
    given: ['Cookie: a= 1'],
    want: 'another',
  },
  {
    rfc: '9111 §4.1',
    name: 'the same cookie',
    vary: 'Cookie',
    stored: ['Cookie: a=1; b=2'],
    given: ['Cookie:  a=1; b=2 '],
    want: 'same',
  },
  {
    rfc: '9111 §4.1',
    name: 'a user agent is no list',
    vary: 'User-Agent',
    stored: ['User-Agent: x (a,b)'],
    given: ['User-Agent: x (a, b)'],
    want: 'another',
  },

  {
    rfc: '9110 §12.5.4',
    name: 'languages in another order',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en, de'],
    given: ['Accept-Language: de, en'],
    want: 'same',
  },
  {
    rfc: '9110 §12.5.4',
    name: 'languages in another case',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en-GB'],
    given: ['Accept-Language: EN-gb'],
    want: 'same',
  },
  {
    rfc: '9110 §12.5.4',
    name: 'languages with other white space',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=0.5,de'],
    given: ['Accept-Language: en ; q=0.5 , de'],
    want: 'same',
  },
  {
    rfc: '9110 §12.5.4',
    name: 'weights in another order',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=0.5, de'],
    given: ['Accept-Language: de, en;q=0.5'],
    want: 'same',
  },
  {
    rfc: '9110 §12.5.4',
    name: 'weights the other way round',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=0.5, de'],
    given: ['Accept-Language: en, de;q=0.5'],
    want: 'another',
  },
  {
    rfc: '9110 §12.4.2',
    name: 'a weight with more zeros',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=0.5'],
    given: ['Accept-Language: en;q=0.500'],
    want: 'same',
  },
  {
    rfc: '9110 §12.4.2',
    name: 'a weight of 1 is none',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=1.0'],
    given: ['Accept-Language: en'],
    want: 'same',
  },
  {
    rfc: '9110 §12.4.2',
    name: 'a weight of 0 refuses',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en, de;q=0'],
    given: ['Accept-Language: en'],
    want: 'another',
  },
  {
    rfc: '9110 §12.4.2',
    name: 'two that are no weights are not equal',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=1.2.3'],
    given: ['Accept-Language: en;q=4.5.6'],
    want: 'another',
  },
  {
    rfc: '9110 §12.4.2',
    name: 'the second of two weights tells too',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en;q=0.5;q=0.8'],
    given: ['Accept-Language: en;q=0.8'],
    want: 'another',
  },
  {
    rfc: '9110 §12.5.4',
    name: 'fewer languages',
    vary: 'Accept-Language',
    stored: ['Accept-Language: en, de'],
    given: ['Accept-Language: en'],
    want: 'another',
  },
  {
    rfc: '9110 §12.5.3',
    name: 'codings in another order',
    vary: 'Accept-Encoding',
    stored: ['Accept-Encoding: gzip, br'],
    given: ['Accept-Encoding: BR,gzip'],
    want: 'same',
  },
  {
    rfc: '9110 §12.5.3',
    name: 'no coding is not any coding',
    vary: 'Accept-Encoding',
    stored: [],
    given: ['Accept-Encoding:'],
    want: 'another',
  },
  {
    rfc: '9110 §12.5.3',
    name: 'a coding that is refused',
    vary: 'Accept-Encoding',
    stored: ['Accept-Encoding: br, gzip;q=0'],
    given: ['Accept-Encoding: br, gzip'],
    want: 'another',
  },
  {
    rfc: '9110 §12.5.1',
    name: 'media types with other white space',
    vary: 'Accept',
    stored: ['Accept: a/b;q=0.5, c/d'],
    given: ['Accept: a/b ;  q=0.5,c/d'],
    want: 'same',
  },
  {
    rfc: '9110 §12.5.1',
    name: 'media types in another order',
    vary: 'Accept',
    stored: ['Accept: a/b, c/d'],
    given: ['Accept: c/d, a/b'],
    want: 'another',
  },

  {
    rfc: '9110 §7.6.1',
    name: 'a field that Connection keeps from the upstream',
    stored: ['Foo: 1', 'Connection: foo'],
    given: ['Foo: 1'],
    want: 'another',
  },
  {
    rfc: '9110 §7.6.1',
    name: 'it is as good as absent',
    stored: ['Foo: 1', 'Connection: foo'],
    given: [],
    want: 'same',
  },
  {
    rfc: '9110 §7.6.1',
    name: 'also in the request that is answered',
    stored: ['Foo: 1'],
    given: ['Foo: 1', 'Connection: close, Foo'],
    want: 'another',
  },
]

table('the same response', matches, ({ vary = 'Foo', stored, given }) => {
  const selection = selectionOf(fieldsOf(stored), varyNames(['Vary', vary]) as string[])
  return differingField(selection, fieldsOf(given)) === undefined ? 'same' : 'another'
})

table(
  'the field that differs',
  [
    {
      rfc: '9111 §4.1',
      name: 'the first one, with both values',
      want: { name: 'b', stored: '1', given: undefined },
    },
  ],
  () =>
    differingField(
      selectionOf(fieldsOf(['A: 1', 'B: 1', 'C: 1']), ['a', 'b', 'c']),
      fieldsOf(['A: 1', 'C: 2']),
    ),
)

table(
  'fields that are no lists',
  [
    {
      rfc: '9110 §5.5',
      name: 'a space behind a comma tells in these',
      want: [
        'authorization',
        'cookie',
        'from',
        'host',
        'if-range',
        'origin',
        'range',
        'referer',
        'user-agent',
      ],
    },
  ],
  () =>
    [
      'accept',
      'accept-encoding',
      'authorization',
      'cookie',
      'from',
      'host',
      'if-range',
      'origin',
      'range',
      'referer',
      'user-agent',
      'x-foo',
    ].filter((name) => differingField(selectionOf([name, 'a,b'], [name]), [name, 'a, b']) !== undefined),
)

table(
  'the value that is shown of a list',
  [
    {
      rfc: '9110 §12.5.4',
      name: 'heaviest first, weights of 1 left out',
      text: 'fr;q=0.5,EN , de;q=1',
      want: 'de,en,fr;q=0.5',
    },
    {
      rfc: '9110 §12.5.4',
      name: 'equal weights by the alphabet',
      text: 'b;q=0.5, c;q=0.5, a;q=0.5',
      want: 'a;q=0.5,b;q=0.5,c;q=0.5',
    },
    {
      rfc: '9110 §12.4.2',
      name: 'what has two weights, or nothing to weigh, as it is',
      text: 'c, b;q=0.5;q=0.560, ;q=1',
      want: ';q=1,b;q=0.5;q=0.560,c',
    },
  ],
  ({ text }) => selectionOf(['Accept-Language', text], ['accept-language'])[1],
)

interface LanguageRow extends Row<string | undefined> {
  readonly text: string
}
const wantedMost: readonly LanguageRow[] = [
  { rfc: '9110 §12.5.4', name: 'one', text: 'DE', want: 'de' },
  { rfc: '9110 §12.5.4', name: 'the heaviest', text: 'fr;q=0.5, de;q=1.0', want: 'de' },
  {
    rfc: '9110 §12.5.4',
    name: 'the heaviest, with its region',
    text: 'fr;q=0.5, de-AT;q=0.8',
    want: 'de-at',
  },
  { rfc: '9110 §12.5.4', name: 'two of one weight', text: 'en, de', want: undefined },
  { rfc: '9110 §12.5.4', name: 'one that is not acceptable', text: 'de;q=0', want: undefined },
  { rfc: '9110 §12.5.4', name: 'any', text: '*', want: undefined },
  { rfc: '9110 §12.5.4', name: 'a weight that is none', text: 'de;q=x', want: undefined },
  { rfc: '9110 §12.5.4', name: 'nothing', text: '', want: undefined },
]
table('the language that is wanted most', wantedMost, ({ text }) =>
  preferredLanguage(['Accept-Language', text]),
)
table(
  'the language that is wanted most, hidden from the upstream',
  [{ rfc: '9110 §7.6.1', name: 'by Connection', want: undefined }],
  () => preferredLanguage(['Accept-Language', 'de', 'Connection', 'accept-language']),
)

const isIn: readonly LanguageRow[] = [
  { rfc: '9110 §8.5', name: 'one', text: 'de-AT', want: 'de-at' },
  { rfc: '9110 §8.5', name: 'two', text: 'de, en', want: undefined },
  { rfc: '9110 §8.5', name: 'none that can be read', text: 'd_e', want: undefined },
]
table('the language that a response is in', isIn, ({ text }) => contentLanguage(['Content-Language', text]))
