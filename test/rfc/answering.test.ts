/** Which answer a stored response gives: whole, 304, part or 416 (RFC 9110 §13, §14; RFC 9111 §4.3.2). */
import { deliver, holds } from '../../src/cache/deliver.ts'
import { entryOf, type Lines, linesOf, marksOf, type Row, table } from './table.ts'

interface AnswerRow extends Row<string> {
  readonly method?: string
  readonly request: Lines
  readonly response: Lines
  readonly text?: string
}

const tag = 'ETag: "a"'
const changed = 'Last-Modified: {-100}'
const part = [206, tag, 'Content-Range: bytes 2-6/10'] as const

const conditionals: readonly AnswerRow[] = [
  { rfc: '9110 §13.1.2', name: 'the tag', request: ['If-None-Match: "a"'], response: [tag], want: '304' },
  {
    rfc: '9110 §13.1.2',
    name: 'another tag',
    request: ['If-None-Match: "b"'],
    response: [tag],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'weak comparison, weak asked',
    request: ['If-None-Match: W/"a"'],
    response: [tag],
    want: '304',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'weak comparison, weak stored',
    request: ['If-None-Match: "a"'],
    response: ['ETag: W/"a"'],
    want: '304',
  },
  {
    rfc: '9110 §8.8.3',
    name: 'the W is a capital',
    request: ['If-None-Match: w/"a"'],
    response: [tag],
    want: '200 hello',
  },
  {
    rfc: '9110 §8.8.3.2',
    name: 'tags have a case',
    request: ['If-None-Match: "A"'],
    response: [tag],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'one of a list',
    request: ['If-None-Match: "x", W/"a" , "y"'],
    response: [tag],
    want: '304',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'one of several lines',
    request: ['If-None-Match: "x"', 'If-None-Match: "a"'],
    response: [tag],
    want: '304',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'none of a list',
    request: ['If-None-Match: "x", "y"'],
    response: [tag],
    want: '200 hello',
  },
  {
    rfc: '9110 §8.8.3',
    name: 'a comma within a tag',
    request: ['If-None-Match: "x", "a,b"'],
    response: ['ETag: "a,b"'],
    want: '304',
  },
  {
    rfc: '9110 §8.8.3',
    name: 'half of a tag with a comma',
    request: ['If-None-Match: "a,b"'],
    response: ['ETag: b"'],
    want: '200 hello',
  },
  {
    rfc: '9110 §8.8.3',
    name: 'a backslash escapes nothing',
    request: ['If-None-Match: "x\\", "a"'],
    response: [tag],
    want: '304',
  },
  {
    rfc: '9110 §8.8.3',
    name: 'no quotes on either side',
    request: ['If-None-Match: x, a'],
    response: ['ETag: a'],
    want: '304',
  },
  {
    rfc: '9110 §8.8.3',
    name: 'no quotes on one side',
    request: ['If-None-Match: a'],
    response: [tag],
    want: '200 hello',
  },
  { rfc: '9110 §13.1.2', name: 'a star', request: ['If-None-Match: *'], response: [tag], want: '304' },
  {
    rfc: '9110 §13.1.2',
    name: 'a star, where there is no tag',
    request: ['If-None-Match: *'],
    response: [],
    want: '304',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'a star in quotes is a tag',
    request: ['If-None-Match: "*"'],
    response: [tag],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'a tag, where there is none',
    request: ['If-None-Match: "a"'],
    response: [],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.2',
    name: 'an empty list',
    request: ['If-None-Match: ,'],
    response: [tag],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'the date of the change',
    request: ['If-Modified-Since: {-100}'],
    response: [changed],
    want: '304',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'a later date',
    request: ['If-Modified-Since: {-50}'],
    response: [changed],
    want: '304',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'an earlier date',
    request: ['If-Modified-Since: {-101}'],
    response: [changed],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'a date in another format',
    request: ['If-Modified-Since: Thursday, 15-Jan-26 11:59:00 GMT'],
    response: [changed],
    want: '304',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'what is no date',
    request: ['If-Modified-Since: now'],
    response: [changed],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'the same that is no date',
    request: ['If-Modified-Since: now'],
    response: ['Last-Modified: now'],
    want: '200 hello',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'no Last-Modified: Date tells',
    request: ['If-Modified-Since: {-100}'],
    response: ['Date: {-100}'],
    want: '304',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'no Last-Modified: Date tells that it may be older',
    request: ['If-Modified-Since: {-101}'],
    response: ['Date: {-100}'],
    want: '200 hello',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'no Last-Modified and no Date that can be read: the time of receipt',
    request: ['If-Modified-Since: {0}'],
    response: ['Date: today'],
    want: '304',
  },
  {
    rfc: '9110 §13.1.3',
    name: 'a Last-Modified that cannot be read tells nothing',
    request: ['If-Modified-Since: {0}'],
    response: ['Last-Modified: yesterday', 'Date: {-100}'],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.2.2',
    name: 'the tag goes before the date, yes',
    request: ['If-None-Match: "a"', 'If-Modified-Since: {-999}'],
    response: [tag, changed],
    want: '304',
  },
  {
    rfc: '9110 §13.2.2',
    name: 'the tag goes before the date, no',
    request: ['If-None-Match: "b"', 'If-Modified-Since: {0}'],
    response: [tag, changed],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.2.2',
    name: 'even where there is no tag',
    request: ['If-None-Match: "b"', 'If-Modified-Since: {0}'],
    response: [changed],
    want: '200 hello',
  },
  {
    rfc: '9110 §13.2.2',
    name: 'conditionals go before ranges',
    request: ['If-None-Match: "a"', 'Range: bytes=0-1'],
    response: [tag],
    want: '304',
  },
  {
    rfc: '9110 §13.2.1',
    name: 'HEAD has conditionals too',
    method: 'HEAD',
    request: ['If-None-Match: "a"'],
    response: [tag],
    want: '304',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'only a 200 or 206 is asked about: 404',
    request: ['If-None-Match: *'],
    response: [404, tag],
    want: '404 hello',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'only a 200 or 206 is asked about: 301',
    request: ['If-Modified-Since: {0}'],
    response: [301, changed],
    want: '301 hello',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'a stored part has the tag of the whole',
    request: ['If-None-Match: "a"', 'Range: bytes=3-4'],
    response: part,
    want: '304',
  },
  {
    rfc: '9111 §4.3.2',
    name: 'but it answers only what it could answer otherwise',
    request: ['If-None-Match: "a"'],
    response: part,
    want: 'missing',
  },
]

const ten = '0123456789'
const ranges: readonly AnswerRow[] = [
  {
    rfc: '9110 §14.1.2',
    name: 'from first to last',
    request: ['Range: bytes=2-4'],
    response: [],
    text: ten,
    want: '206 234 of bytes 2-4/10',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'one byte',
    request: ['Range: bytes=0-0'],
    response: [],
    text: ten,
    want: '206 0 of bytes 0-0/10',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'from first on',
    request: ['Range: bytes=7-'],
    response: [],
    text: ten,
    want: '206 789 of bytes 7-9/10',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'the last ones',
    request: ['Range: bytes=-3'],
    response: [],
    text: ten,
    want: '206 789 of bytes 7-9/10',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'more last ones than there are',
    request: ['Range: bytes=-99'],
    response: [],
    text: ten,
    want: '206 0123456789 of bytes 0-9/10',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'beyond the end',
    request: ['Range: bytes=7-99'],
    response: [],
    text: ten,
    want: '206 789 of bytes 7-9/10',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'numbers larger than any',
    request: [`Range: bytes=7-${'9'.repeat(400)}`],
    response: [],
    text: ten,
    want: '206 789 of bytes 7-9/10',
  },
  {
    rfc: '9110 §14.1',
    name: 'the unit in any case',
    request: ['Range: BYTES=2-4'],
    response: [],
    text: ten,
    want: '206 234 of bytes 2-4/10',
  },
  {
    rfc: '9110 §15.5.17',
    name: 'behind the end',
    request: ['Range: bytes=10-'],
    response: [],
    text: ten,
    want: '416 of bytes */10',
  },
  {
    rfc: '9110 §15.5.17',
    name: 'the last none',
    request: ['Range: bytes=-0'],
    response: [],
    text: ten,
    want: '416 of bytes */10',
  },
  {
    rfc: '9110 §15.5.17',
    name: 'of nothing',
    request: ['Range: bytes=0-'],
    response: [],
    text: '',
    want: '416 of bytes */0',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'the last none of nothing',
    request: ['Range: bytes=-0'],
    response: [],
    text: '',
    want: '416 of bytes */0',
  },
  {
    rfc: '9110 §14.1.2',
    name: 'the last of nothing is the whole, which is nothing',
    request: ['Range: bytes=-5'],
    response: [],
    text: '',
    want: '200',
  },
  {
    rfc: '9110 §14.2',
    name: 'another unit is ignored',
    request: ['Range: lines=0-1'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.2',
    name: 'several ranges are answered by the whole',
    request: ['Range: bytes=0-1,3-4'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.2',
    name: 'and on several lines',
    request: ['Range: bytes=0-1', 'Range: bytes=3-4'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.1.1',
    name: 'first behind last is no range',
    request: ['Range: bytes=4-2'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.1.1',
    name: 'no numbers',
    request: ['Range: bytes=-'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.1.1',
    name: 'a sign',
    request: ['Range: bytes=+1-2'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.2',
    name: 'HEAD has no ranges',
    method: 'HEAD',
    request: ['Range: bytes=0-1'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §14.2',
    name: 'nor has a 404',
    request: ['Range: bytes=0-1'],
    response: [404],
    text: ten,
    want: '404 0123456789',
  },

  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, the tag',
    request: ['Range: bytes=0-1', 'If-Range: "a"'],
    response: [tag],
    text: ten,
    want: '206 01 of bytes 0-1/10',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, another tag',
    request: ['Range: bytes=0-1', 'If-Range: "b"'],
    response: [tag],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, strong comparison: both weak',
    request: ['Range: bytes=0-1', 'If-Range: W/"a"'],
    response: ['ETag: W/"a"'],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, strong comparison: stored weak',
    request: ['Range: bytes=0-1', 'If-Range: "a"'],
    response: ['ETag: W/"a"'],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, a tag where there is none',
    request: ['Range: bytes=0-1', 'If-Range: "a"'],
    response: [],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, the date',
    request: ['Range: bytes=0-1', 'If-Range: {-100}'],
    response: [changed],
    text: ten,
    want: '206 01 of bytes 0-1/10',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range, a later date is not the date',
    request: ['Range: bytes=0-1', 'If-Range: {-99}'],
    response: [changed],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §8.8.2.2',
    name: 'If-Range, a date a second before Date is strong',
    request: ['Range: bytes=0-1', 'If-Range: {-1}'],
    response: ['Last-Modified: {-1}'],
    text: ten,
    want: '206 01 of bytes 0-1/10',
  },
  {
    rfc: '9110 §8.8.2.2',
    name: 'If-Range, the date of Date is weak',
    request: ['Range: bytes=0-1', 'If-Range: {0}'],
    response: ['Last-Modified: {0}'],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range that is neither',
    request: ['Range: bytes=0-1', 'If-Range: a'],
    response: ['ETag: a'],
    text: ten,
    want: '200 0123456789',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range without Range',
    request: ['If-Range: "b"'],
    response: [tag],
    text: ten,
    want: '200 0123456789',
  },

  {
    rfc: '9111 §3.4',
    name: 'out of a part',
    request: ['Range: bytes=3-4'],
    response: part,
    text: '23456',
    want: '206 34 of bytes 3-4/10',
  },
  {
    rfc: '9111 §3.4',
    name: 'the part itself',
    request: ['Range: bytes=2-6'],
    response: part,
    text: '23456',
    want: '206 23456 of bytes 2-6/10',
  },
  {
    rfc: '9111 §3.4',
    name: 'last ones that a part has',
    request: ['Range: bytes=-2'],
    response: [206, 'Content-Range: bytes 5-9/10'],
    text: '56789',
    want: '206 89 of bytes 8-9/10',
  },
  {
    rfc: '9111 §3.4',
    name: 'before the part',
    request: ['Range: bytes=1-4'],
    response: part,
    text: '23456',
    want: 'missing',
  },
  {
    rfc: '9111 §3.4',
    name: 'behind the part',
    request: ['Range: bytes=4-7'],
    response: part,
    text: '23456',
    want: 'missing',
  },
  {
    rfc: '9111 §3.4',
    name: 'the rest, which the part does not have',
    request: ['Range: bytes=4-'],
    response: part,
    text: '23456',
    want: 'missing',
  },
  { rfc: '9111 §3.3', name: 'the whole', request: [], response: part, text: '23456', want: 'missing' },
  {
    rfc: '9111 §3.3',
    name: 'several ranges',
    request: ['Range: bytes=2-3,5-6'],
    response: part,
    text: '23456',
    want: 'missing',
  },
  {
    rfc: '9111 §3.3',
    name: 'a range that If-Range does not let stand',
    request: ['Range: bytes=3-4', 'If-Range: "b"'],
    response: part,
    text: '23456',
    want: 'missing',
  },
  {
    rfc: '9110 §14.2',
    name: 'HEAD wants the whole, range or not',
    method: 'HEAD',
    request: ['Range: bytes=3-4'],
    response: part,
    text: '23456',
    want: 'missing',
  },
  {
    rfc: '9110 §15.5.17',
    name: 'behind the end of what a part is of',
    request: ['Range: bytes=10-'],
    response: part,
    text: '23456',
    want: '416 of bytes */10',
  },
]

table('the answer', [...conditionals, ...ranges], ({ method = 'GET', request, response, text = 'hello' }) => {
  const entry = entryOf(response, { text })
  const marks = marksOf(request)
  if (!holds(marks, entry, method)) return 'missing'
  const { status, headers, body } = deliver(entry, method, marks, 0, [])
  const range = headers.indexOf('Content-Range')
  const said = range === -1 ? '' : `of ${headers[range + 1]}`
  return [status, String(body), said].filter((each) => each !== '').join(' ')
})

table(
  'the answer to what is not held',
  [
    {
      rfc: '9110 §15.3.7',
      name: 'is the part that is stored, which says so',
      want: [206, '23456', 'bytes 2-6/10'],
    },
  ],
  () => {
    const { status, headers, body } = deliver(
      entryOf(part, { text: '23456' }),
      'GET',
      marksOf(['Range: bytes=4-8']),
      0,
      [],
    )
    return [status, String(body), headers[headers.indexOf('Content-Range') + 1]]
  },
)

interface FieldsRow extends Row<readonly string[]> {
  readonly request?: Lines
  /** Stored beside the others. */
  readonly also?: Lines
  readonly age?: number
}

const stored: Lines = [
  'Cache-Control: max-age=60',
  'Content-Language: en',
  'Content-Length: 5',
  'Content-Location: /a',
  'Content-Type: text/plain',
  'Content-Digest: x',
  'Date: {0}',
  'ETag: "a"',
  'Age: 3',
  'Set-Cookie: a=b',
  'Vary: Accept',
]
const date = 'Date: Thu, 15 Jan 2026 12:00:00 GMT'
const fieldRows: readonly FieldsRow[] = [
  {
    rfc: '9111 §5.1',
    name: 'the whole has one Age, the current one',
    want: [
      'Age: 42',
      'Cache-Control: max-age=60',
      'Content-Digest: x',
      'Content-Language: en',
      'Content-Length: 5',
      'Content-Location: /a',
      'Content-Type: text/plain',
      date,
      'ETag: "a"',
      'Set-Cookie: a=b',
      'Vary: Accept',
      'X: y',
    ],
  },
  {
    rfc: '9110 §15.4.5',
    name: 'a 304 leaves out what is about its body',
    request: ['If-None-Match: "a"'],
    want: [
      'Age: 42',
      'Cache-Control: max-age=60',
      'Content-Location: /a',
      date,
      'ETag: "a"',
      'Set-Cookie: a=b',
      'Vary: Accept',
      'X: y',
    ],
  },
  {
    rfc: '9110 §15.3.7',
    name: 'a part has the fields of the whole, but for its length and digest',
    request: ['Range: bytes=1-2'],
    want: [
      'Age: 42',
      'Cache-Control: max-age=60',
      'Content-Language: en',
      'Content-Length: 2',
      'Content-Location: /a',
      'Content-Range: bytes 1-2/5',
      'Content-Type: text/plain',
      date,
      'ETag: "a"',
      'Set-Cookie: a=b',
      'Vary: Accept',
      'X: y',
    ],
  },
  {
    rfc: '9110 §15.5.17',
    name: 'a 416 is no representation, and nothing to keep',
    also: [
      'CDN-Cache-Control: max-age=60',
      'Content-Disposition: x',
      'Content-Encoding: x',
      'Expires: {60}',
      'Last-Modified: {-9}',
      'Pragma: x',
    ],
    request: ['Range: bytes=5-'],
    want: ['Age: 42', 'Content-Length: 0', 'Content-Range: bytes */5', date, 'Vary: Accept', 'X: y'],
  },
  {
    rfc: '9111 §1.2.2',
    name: 'Age ends at the largest',
    request: ['If-None-Match: "a"'],
    age: 2 ** 40,
    want: [
      'Age: 2147483648',
      'Cache-Control: max-age=60',
      'Content-Location: /a',
      date,
      'ETag: "a"',
      'Set-Cookie: a=b',
      'Vary: Accept',
      'X: y',
    ],
  },
]

table('fields of the answer', fieldRows, ({ request, also = [], age = 42 }) =>
  linesOf(deliver(entryOf([...stored, ...also]), 'GET', marksOf(request), age, ['X', 'y']).headers),
)

interface LengthRow extends Row<string | undefined> {
  readonly response: Lines
  readonly method?: string
}

const lengths: readonly LengthRow[] = [
  {
    rfc: '9110 §9.3.2',
    name: 'HEAD, of a body whose length the upstream did not say',
    response: [],
    want: '5',
  },
  {
    rfc: '9110 §9.3.2',
    name: 'HEAD, of one whose length it said',
    response: ['content-length: 5'],
    want: '5',
  },
  { rfc: '9110 §8.6', name: 'HEAD, of a 204, which has none', response: [204], want: undefined },
  {
    rfc: '9110 §8.6',
    name: 'GET: that is for the framing to say',
    response: [],
    method: 'GET',
    want: undefined,
  },
]

table('Content-Length', lengths, ({ response, method = 'HEAD' }) => {
  const { headers } = deliver(entryOf(response), method, marksOf(), 0, [])
  const at = headers.findIndex((each) => each.toLowerCase() === 'content-length')
  return at === -1 ? undefined : headers[at + 1]
})
