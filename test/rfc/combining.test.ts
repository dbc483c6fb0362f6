/** Parts that are put together (RFC 9111 §3.4, RFC 9110 §15.3.7.3). */
import { asWhole, combined, completingFields, missingRange } from '../../src/cache/combine.ts'
import type { Entry } from '../../src/cache/entry.ts'
import { entryOf, fieldsOf, type Lines, linesOf, marksOf, type Row, T0, table } from './table.ts'

const ten = '0123456789'
const partOf = (range: string, lines: Lines = ['ETag: "a"'], whole = ten): Entry => {
  const [, first, last] = /^(\d+)-(\d+)/.exec(range)!
  return entryOf([206, ...lines, `Content-Range: bytes ${range}`], {
    text: whole.slice(Number(first), Number(last) + 1),
  })
}

interface CombineRow extends Row<string> {
  readonly stored: Entry
  readonly response: Entry
}

const rows: readonly CombineRow[] = [
  {
    rfc: '9111 §3.4',
    name: 'the rest makes it whole',
    stored: partOf('0-4/10'),
    response: partOf('5-9/10'),
    want: '200 0123456789',
  },
  {
    rfc: '9111 §3.4',
    name: 'the beginning makes it whole',
    stored: partOf('5-9/10'),
    response: partOf('0-4/10'),
    want: '200 0123456789',
  },
  {
    rfc: '9111 §3.4',
    name: 'they overlap',
    stored: partOf('0-6/10'),
    response: partOf('3-9/10'),
    want: '200 0123456789',
  },
  {
    rfc: '9111 §3.4',
    name: 'a larger part',
    stored: partOf('2-4/10'),
    response: partOf('5-7/10'),
    want: '206 234567 of bytes 2-7/10',
  },
  {
    rfc: '9111 §3.4',
    name: 'a part within the stored one',
    stored: partOf('2-7/10'),
    response: partOf('3-4/10'),
    want: '206 234567 of bytes 2-7/10',
  },
  {
    rfc: '9111 §3.4',
    name: 'a part around the stored one',
    stored: partOf('3-4/10'),
    response: partOf('2-7/10'),
    want: '206 234567 of bytes 2-7/10',
  },
  {
    rfc: '9111 §3.4',
    name: 'a part of a whole that is stored',
    stored: entryOf(['ETag: "a"'], { text: ten }),
    response: partOf('3-4/10'),
    want: '200 0123456789',
  },
  {
    rfc: '9111 §3.4',
    name: 'a gap of one byte',
    stored: partOf('0-3/10'),
    response: partOf('5-9/10'),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'a gap of one byte, the other way round',
    stored: partOf('5-9/10'),
    response: partOf('0-3/10'),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'another strong tag',
    stored: partOf('0-4/10'),
    response: partOf('5-9/10', ['ETag: "b"']),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'the same weak tag',
    stored: partOf('0-4/10', ['ETag: W/"a"']),
    response: partOf('5-9/10', ['ETag: W/"a"']),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'one of both weak',
    stored: partOf('0-4/10'),
    response: partOf('5-9/10', ['ETag: W/"a"']),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'the same tag without quotes',
    stored: partOf('0-4/10', ['ETag: a']),
    response: partOf('5-9/10', ['ETag: a']),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'no tag in the new one',
    stored: partOf('0-4/10'),
    response: partOf('5-9/10', []),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'no tag in either',
    stored: partOf('0-4/10', []),
    response: partOf('5-9/10', []),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'the same date only',
    stored: partOf('0-4/10', ['Last-Modified: {-99}']),
    response: partOf('5-9/10', ['Last-Modified: {-99}']),
    want: 'not',
  },
  {
    rfc: '9110 §14.4',
    name: 'another length of the whole',
    stored: partOf('0-4/10'),
    response: partOf('5-9/11'),
    want: 'not',
  },
  {
    rfc: '9110 §14.4',
    name: 'an unknown length of the whole',
    stored: partOf('0-4/10'),
    response: partOf('5-9/*'),
    want: 'not',
  },
  {
    rfc: '9110 §14.4',
    name: 'fewer bytes than Content-Range says',
    stored: partOf('0-4/10'),
    response: partOf('5-9/10', ['ETag: "a"'], '01234567'),
    want: 'not',
  },
  {
    rfc: '9110 §14.4',
    name: 'a stored part with fewer bytes',
    stored: partOf('5-9/10', ['ETag: "a"'], '01234567'),
    response: partOf('0-4/10'),
    want: 'not',
  },
  {
    rfc: '9110 §14.4',
    name: 'a stored whole of another length',
    stored: entryOf(['ETag: "a"'], { text: 'hello' }),
    response: partOf('0-4/10'),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'bytes of both that differ',
    stored: partOf('0-5/10'),
    response: partOf('5-9/10', ['ETag: "a"'], '01234x6789'),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'another coding',
    stored: partOf('0-4/10', ['ETag: "a"', 'Content-Encoding: gzip']),
    response: partOf('5-9/10'),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'a whole is not a further part',
    stored: partOf('0-4/10'),
    response: entryOf(['ETag: "a"'], { text: ten }),
    want: 'not',
  },
  {
    rfc: '9111 §3.4',
    name: 'nor is another status stored',
    stored: entryOf([404, 'ETag: "a"'], { text: ten }),
    response: partOf('0-4/10'),
    want: 'not',
  },
]

table('combined', rows, ({ stored, response }) => {
  const entry = combined(stored, response)
  if (entry === undefined) return 'not'
  const { part } = entry.parts
  const where = part === undefined ? '' : ` of bytes ${part.first}-${part.last}/${part.total}`
  return `${entry.status} ${entry.body}${where}`
})

interface WholeRow extends Row<readonly string[]> {
  readonly response: Entry
}

const wholes: readonly WholeRow[] = [
  {
    rfc: '9110 §15.3.7.3',
    name: 'from the first byte to the last',
    response: partOf('0-9/10', ['ETag: "a"', 'Content-Digest: x']),
    want: ['200', 'Content-Length: 10', 'Date: Thu, 15 Jan 2026 12:00:00 GMT', 'ETag: "a"'],
  },
  {
    rfc: '9110 §15.3.7.3',
    name: 'no tag is needed for that',
    response: partOf('0-9/10', []),
    want: ['200', 'Content-Length: 10', 'Date: Thu, 15 Jan 2026 12:00:00 GMT'],
  },
  {
    rfc: '9110 §15.3.7.3',
    name: 'all but the last byte',
    response: partOf('0-8/10', []),
    want: ['206', 'Content-Range: bytes 0-8/10', 'Date: Thu, 15 Jan 2026 12:00:00 GMT'],
  },
  {
    rfc: '9110 §14.4',
    name: 'fewer bytes than it says',
    response: partOf('0-9/10', [], '01234'),
    want: ['206', 'Content-Range: bytes 0-9/10', 'Date: Thu, 15 Jan 2026 12:00:00 GMT'],
  },
]

table('a part that is the whole', wholes, ({ response }) => {
  const { status, fields } = asWhole(response)
  return [String(status), ...linesOf(fields)]
})

interface FieldsRow extends Row<readonly string[]> {
  readonly response: Entry
}

const date = 'Date: Thu, 15 Jan 2026 12:00:00 GMT'
const stored = partOf('0-4/10', [
  'ETag: "a"',
  'A: 1',
  'B: 1',
  'Content-Length: 5',
  'Content-Digest: x',
  'Age: 9',
])
const fieldRows: readonly FieldsRow[] = [
  {
    rfc: '9111 §3.4',
    name: 'the new ones go before the stored ones; a whole has no Content-Range',
    response: partOf('5-9/10', ['ETag: "a"', 'A: 2', 'Content-Length: 5', 'Content-Digest: y']),
    want: ['A: 2', 'B: 1', 'Content-Length: 10', date, 'ETag: "a"'],
  },
  {
    rfc: '9110 §15.3.7.3',
    name: 'a larger part says which',
    response: partOf('5-6/10', ['ETag: "a"', 'C: 2']),
    want: ['A: 1', 'B: 1', 'C: 2', 'Content-Length: 7', 'Content-Range: bytes 0-6/10', date, 'ETag: "a"'],
  },
]

table('fields of what is combined', fieldRows, ({ response }) => linesOf(combined(stored, response)!.fields))

table(
  'what is combined',
  [{ rfc: '9111 §4.2.3', name: 'is as old as the part that came last', want: [T0 + 1000, T0 + 2000] }],
  () => {
    const response = partOf('5-9/10')
    const { parts } = combined(
      stored,
      entryOf([206, 'ETag: "a"', 'Content-Range: bytes 5-9/10'], {
        text: String(response.body),
        requestedAt: T0 + 1000,
        receivedAt: T0 + 2000,
      }),
    )!
    return [parts.requestedAt, parts.receivedAt]
  },
)

interface MissingRow extends Row<string> {
  readonly stored: Entry
  readonly request?: Lines
}

const missing: readonly MissingRow[] = [
  {
    rfc: '9111 §3.4',
    name: 'the whole, the end is missing',
    stored: partOf('0-4/10'),
    want: 'bytes=5- if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'the whole, the beginning is missing',
    stored: partOf('5-9/10'),
    want: 'bytes=0-4 if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'the whole, both are missing',
    stored: partOf('2-6/10'),
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range, its end is missing',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=4-7'],
    want: 'bytes=7-7 if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range, its end up to that of the whole',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=4-'],
    want: 'bytes=7- if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range, its beginning is missing',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=0-4'],
    want: 'bytes=0-1 if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range right behind',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=7-8'],
    want: 'bytes=7-8 if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range right before',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=0-1'],
    want: 'bytes=0-1 if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range on its own, behind',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=8-9'],
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range on its own, before',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=0-0'],
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range around',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=0-9'],
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range that is there',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=3-4'],
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'the last ones',
    stored: partOf('0-6/10'),
    request: ['Range: bytes=-5'],
    want: 'bytes=7- if "a"',
  },
  {
    rfc: '9110 §15.5.17',
    name: 'a range behind the end',
    stored: partOf('0-6/10'),
    request: ['Range: bytes=10-'],
    want: 'not in one piece',
  },
  {
    rfc: '9110 §14.2',
    name: 'several ranges',
    stored: partOf('0-6/10'),
    request: ['Range: bytes=0-1,8-9'],
    want: 'not in one piece',
  },
  {
    rfc: '9110 §14.2',
    name: 'several ranges with an If-Range that stands',
    stored: partOf('0-6/10'),
    request: ['Range: bytes=0-1,8-9', 'If-Range: "a"'],
    want: 'not in one piece',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range stands',
    stored: partOf('2-6/10'),
    request: ['Range: bytes=4-7', 'If-Range: "a"'],
    want: 'bytes=7-7 if "a"',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'If-Range does not: the whole',
    stored: partOf('0-6/10'),
    request: ['Range: bytes=0-1', 'If-Range: "b"'],
    want: 'bytes=7- if "a"',
  },
  {
    rfc: '9111 §3.4',
    name: 'a weak tag vouches for nothing',
    stored: partOf('0-4/10', ['ETag: W/"a"']),
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'nor does a date',
    stored: partOf('0-4/10', ['Last-Modified: {-9999}']),
    want: 'not in one piece',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'nor may a date where there is a weak tag',
    stored: partOf('0-4/10', ['ETag: W/"a"', 'Last-Modified: {-9999}']),
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'the whole of which a beginning without validator is there',
    stored: partOf('0-4/10', []),
    want: 'bytes=5-',
  },
  {
    rfc: '9110 §13.1.5',
    name: 'an If-Range without Range is nothing',
    stored: partOf('0-4/10', []),
    request: ['If-Range: "a"'],
    want: 'bytes=5-',
  },
  {
    rfc: '9111 §3.4',
    name: 'the whole of which an end without validator is there',
    stored: partOf('5-9/10', []),
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'a range beyond a beginning without validator',
    stored: partOf('0-4/10', []),
    request: ['Range: bytes=3-7'],
    want: 'not in one piece',
  },
  {
    rfc: '9110 §13.1',
    name: 'conditions beside a beginning without validator are the upstream’s to judge: tags',
    stored: partOf('0-4/10', []),
    request: ['If-None-Match: "a"'],
    want: 'not in one piece',
  },
  {
    rfc: '9110 §13.1',
    name: 'conditions beside a beginning without validator are the upstream’s to judge: a date',
    stored: partOf('0-4/10', []),
    request: ['If-Modified-Since: {-99}'],
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'a part of something of unknown length',
    stored: partOf('0-4/*'),
    want: 'not in one piece',
  },
  {
    rfc: '9111 §3.4',
    name: 'nothing is missing of a whole',
    stored: entryOf(['ETag: "a"']),
    want: 'not in one piece',
  },
]

table('what is missing', missing, ({ stored: entry, request }) => {
  const piece = missingRange(entry, marksOf(request))
  if (piece === undefined) return 'not in one piece'
  return piece.ifRange === undefined ? piece.range : `${piece.range} if ${piece.ifRange}`
})

table(
  'the question for what is missing',
  [
    {
      rfc: '9110 §13.1.5',
      name: "has its Range and If-Range in place of the client's conditionals",
      ifRange: '"a"',
      want: ['A: 1', 'If-Range: "a"', 'Range: bytes=5-'],
    },
    {
      rfc: '9110 §13.1.5',
      name: 'names no validator where there is none',
      ifRange: undefined,
      want: ['A: 1', 'Range: bytes=5-'],
    },
  ],
  ({ ifRange }) =>
    linesOf(
      completingFields(fieldsOf(['A: 1', 'Range: bytes=0-9', 'If-None-Match: "z"', 'If-Range: "a"']), {
        range: 'bytes=5-',
        ifRange,
      }),
    ),
)
