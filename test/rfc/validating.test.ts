/** The question to the upstream and what its answer changes (RFC 9111 §4.3). */
import {
  freshened,
  headContradicts,
  speaksOf,
  unconditionalFields,
  validatingFields,
} from '../../src/cache/validation.ts'
import { selectionOf } from '../../src/http/vary.ts'
import { entryOf, fieldsOf, type Lines, linesOf, type Row, T0, table } from './table.ts'

interface QuestionRow extends Row<readonly string[]> {
  readonly request: Lines
  readonly response: Lines
}

const questions: readonly QuestionRow[] = [
  {
    rfc: '9111 §4.3.1',
    name: 'both validators',
    request: ['Accept: x'],
    response: ['ETag: "a"', 'Last-Modified: {-9}'],
    want: ['Accept: x', 'If-Modified-Since: Thu, 15 Jan 2026 11:59:51 GMT', 'If-None-Match: "a"'],
  },
  {
    rfc: '9111 §4.3.1',
    name: 'a weak tag as it is',
    request: [],
    response: ['ETag: W/"a"'],
    want: ['If-None-Match: W/"a"'],
  },
  {
    rfc: '9111 §4.3.1',
    name: 'a tag without quotes as it is',
    request: [],
    response: ['ETag: a'],
    want: ['If-None-Match: a'],
  },
  {
    rfc: '9111 §4.3.1',
    name: "in place of the client's own",
    request: ['if-none-match: "b"', 'IF-MODIFIED-SINCE: {0}', 'Range: bytes=0-1', 'If-Range: "b"', 'A: 1'],
    response: ['ETag: "a"'],
    want: ['A: 1', 'If-None-Match: "a"'],
  },
  {
    rfc: '9111 §4.3.1',
    name: 'nothing to ask by: the whole',
    request: ['If-None-Match: "b"', 'Range: bytes=0-1'],
    response: [],
    want: [],
  },
]

table('the question', questions, ({ request, response }) =>
  linesOf(validatingFields(fieldsOf(request), entryOf(response))),
)

table(
  'the question without conditions',
  [
    {
      rfc: '9110 §13.1',
      name: 'all conditionals go',
      request: [
        'If-None-Match: "b"',
        'If-Modified-Since: {0}',
        'If-Match: *',
        'If-Unmodified-Since: {0}',
        'If-Range: "a"',
        'Range: x',
        'A: 1',
      ],
      want: ['A: 1'],
    },
  ],
  ({ request }) => linesOf(unconditionalFields(fieldsOf(request))),
)

interface SpeaksRow extends Row<boolean> {
  readonly notModified: Lines
  readonly stored: Lines
}

const speaks: readonly SpeaksRow[] = [
  {
    rfc: '9111 §4.3.4',
    name: 'the same strong tag',
    notModified: ['ETag: "a"'],
    stored: ['ETag: "a"'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'another strong tag',
    notModified: ['ETag: "b"'],
    stored: ['ETag: "a"'],
    want: false,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'a strong tag for a weak one',
    notModified: ['ETag: "a"'],
    stored: ['ETag: W/"a"'],
    want: false,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'the same weak tag',
    notModified: ['ETag: W/"a"'],
    stored: ['ETag: W/"a"'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'a weak tag for a strong one',
    notModified: ['ETag: W/"a"'],
    stored: ['ETag: "a"'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'another weak tag',
    notModified: ['ETag: W/"b"'],
    stored: ['ETag: W/"a"'],
    want: false,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'no tag, for one with a tag',
    notModified: [],
    stored: ['ETag: "a"'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'no tag but another date, for one that was asked about by its tag',
    notModified: ['Last-Modified: {-5}'],
    stored: ['ETag: "a"', 'Last-Modified: {-9}'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'another tag with the same date',
    notModified: ['ETag: "b"', 'Last-Modified: {-9}'],
    stored: ['ETag: "a"', 'Last-Modified: {-9}'],
    want: false,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'the same date',
    notModified: ['Last-Modified: {-9}'],
    stored: ['Last-Modified: {-9}'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'the same date in another format',
    notModified: ['Last-Modified: Thu Jan 15 11:59:51 2026'],
    stored: ['Last-Modified: {-9}'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'another date',
    notModified: ['Last-Modified: {-20}'],
    stored: ['Last-Modified: {-9}'],
    want: false,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'a tag that is new, with the same date',
    notModified: ['ETag: "b"', 'Last-Modified: {-9}'],
    stored: ['Last-Modified: {-9}'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'a tag that is new, for one without',
    notModified: ['ETag: "b"'],
    stored: ['Last-Modified: {-9}'],
    want: false,
  },
  { rfc: '9111 §4.3.4', name: 'no validator on either side', notModified: [], stored: [], want: true },
  {
    rfc: '9111 §4.3.4',
    name: 'no validator in the 304, a date stored',
    notModified: [],
    stored: ['Last-Modified: {-9}'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'the same text that is no date',
    notModified: ['Last-Modified: then'],
    stored: ['Last-Modified: then'],
    want: true,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'a text that is no date for another',
    notModified: ['Last-Modified: then'],
    stored: ['Last-Modified: now'],
    want: false,
  },
  {
    rfc: '9111 §4.3.4',
    name: 'a text that is no date for a date',
    notModified: ['Last-Modified: then'],
    stored: ['Last-Modified: {-9}'],
    want: false,
  },
]

table('a 304 speaks of what is stored', speaks, ({ notModified, stored }) =>
  speaksOf(fieldsOf(notModified), entryOf(stored)),
)

interface UpdateRow extends Row<readonly string[]> {
  readonly stored: Lines
  readonly update: Lines
}

const date = 'Date: {60}'
const then = 'Date: Thu, 15 Jan 2026 12:01:00 GMT'
const updates: readonly UpdateRow[] = [
  {
    rfc: '9111 §3.2',
    name: 'fields are replaced whatever their case',
    stored: ['x-foo: 1'],
    update: ['X-Foo: 2', date],
    want: [then, 'X-Foo: 2'],
  },
  {
    rfc: '9111 §3.2',
    name: 'what is new is added, what is not named stays',
    stored: ['A: 1'],
    update: ['B: 2', date],
    want: ['A: 1', 'B: 2', then],
  },
  {
    rfc: '9111 §3.2',
    name: 'all lines of a name are replaced by all',
    stored: ['A: 1', 'A: 2', 'A: 3'],
    update: ['A: 4', 'A: 5', date],
    want: ['A: 4', 'A: 5', then],
  },
  {
    rfc: '9111 §3.2',
    name: 'Content-Length stays',
    stored: ['Content-Length: 5'],
    update: ['Content-Length: 0', date],
    want: ['Content-Length: 5', then],
  },
  {
    rfc: '9111 §3.2',
    name: 'what the stored body depends on stays',
    stored: ['Content-Encoding: gzip'],
    update: ['Content-Encoding: br', 'Content-Range: bytes 0-1/2', 'Content-Digest: x', date],
    want: ['Content-Encoding: gzip', then],
  },
  {
    rfc: '9111 §3.2',
    name: 'Content-Type does not',
    stored: ['Content-Type: a/b'],
    update: ['Content-Type: c/d', date],
    want: ['Content-Type: c/d', then],
  },
  {
    rfc: '9111 §3.2',
    name: 'the lifetime is renewed',
    stored: ['Cache-Control: max-age=1', 'Expires: {1}'],
    update: ['Cache-Control: max-age=60', date],
    want: ['Cache-Control: max-age=60', then, 'Expires: Thu, 15 Jan 2026 12:00:01 GMT'],
  },
  { rfc: '9111 §4.2.3', name: 'the old Age goes', stored: ['Age: 100'], update: [date], want: [then] },
  {
    rfc: '9111 §4.2.3',
    name: 'the new Age counts',
    stored: ['Age: 100'],
    update: ['Age: 5', date],
    want: ['Age: 5', then],
  },
  {
    rfc: '9110 §6.6.1',
    name: 'without Date, the time of receipt',
    stored: ['Date: {-100}'],
    update: [],
    want: ['Date: Thu, 15 Jan 2026 12:01:01 GMT'],
  },
  {
    rfc: '9111 §3.1',
    name: 'what concerns the connection is not taken over',
    stored: [],
    update: ['Connection: X-Foo', 'X-Foo: 1', 'Keep-Alive: 5', date],
    want: [then],
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'what the stored directives withhold is not',
    stored: ['Cache-Control: private="x-foo"'],
    update: ['X-Foo: 1', date],
    want: ['Cache-Control: private="x-foo"', then],
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'what the new directives withhold goes',
    stored: ['X-Foo: 1'],
    update: ['Cache-Control: no-cache="x-foo"', date],
    want: ['Cache-Control: no-cache="x-foo"', then],
  },
]

table('a 304 updates', updates, ({ stored, update }) =>
  linesOf(
    freshened(entryOf([...stored, ...(/date:/i.test(stored.join()) ? [] : [date])]), fieldsOf(update), {
      requestedAt: T0 + 60_000,
      receivedAt: T0 + 61_000,
    }).fields,
  ),
)

table(
  'a 304 updates',
  [
    {
      rfc: '9111 §4.1',
      name: 'what selects the response, when it has another Vary',
      stored: ['Vary: A'],
      update: ['Vary: B'],
      request: ['A: 1', 'B: 2'],
      want: ['b', '2'],
    },
    {
      rfc: '9111 §4.1',
      name: 'not that, when it has none',
      stored: ['Vary: A'],
      update: [],
      request: ['A: 2', 'B: 2'],
      want: ['a', '1'],
    },
  ],
  ({ stored, update, request }) =>
    freshened(
      entryOf(stored, { request: ['A: 1'] }),
      fieldsOf(update),
      { requestedAt: T0, receivedAt: T0 },
      (fields) => selectionOf(fieldsOf(request), [fieldsOf(linesOf(fields)).at(-1)!.toLowerCase()]),
    ).parts.selection,
)

interface HeadRow extends Row<'freshens' | 'contradicts'> {
  readonly head: Lines
  readonly stored: Lines
  readonly text?: string
}

const heads: readonly HeadRow[] = [
  {
    rfc: '9111 §4.3.5',
    name: 'the same validators and length',
    head: ['ETag: "a"', 'Last-Modified: {-9}', 'Content-Length: 5'],
    stored: ['ETag: "a"', 'Last-Modified: {-9}', 'Content-Length: 5'],
    want: 'freshens',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'no validator, no length',
    head: ['A: 1'],
    stored: ['ETag: "a"'],
    want: 'freshens',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'another tag',
    head: ['ETag: "b"'],
    stored: ['ETag: "a"'],
    want: 'contradicts',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'the same tag, weakened',
    head: ['ETag: W/"a"'],
    stored: ['ETag: "a"'],
    want: 'freshens',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'a tag where none is stored',
    head: ['ETag: "a"'],
    stored: [],
    want: 'contradicts',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'another date',
    head: ['Last-Modified: {-8}'],
    stored: ['Last-Modified: {-9}'],
    want: 'contradicts',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'the same date in another format',
    head: ['Last-Modified: Thursday, 15-Jan-26 11:59:51 GMT'],
    stored: ['Last-Modified: {-9}'],
    want: 'freshens',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'a date where none is stored',
    head: ['Last-Modified: {-9}'],
    stored: ['ETag: "a"'],
    want: 'contradicts',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'another length',
    head: ['Content-Length: 6'],
    stored: ['Content-Length: 5'],
    want: 'contradicts',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'another length than that of a body without the field',
    head: ['Content-Length: 6'],
    stored: [],
    want: 'contradicts',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'the length of a body without the field',
    head: ['Content-Length: 5'],
    stored: [],
    want: 'freshens',
  },
  {
    rfc: '9111 §4.3.5',
    name: 'the length of the whole, where a part is stored',
    head: ['Content-Length: 10'],
    stored: [206, 'Content-Range: bytes 0-4/10'],
    want: 'freshens',
  },
]

table('the answer to a HEAD', heads, ({ head, stored }) =>
  headContradicts(fieldsOf(head), entryOf(stored)) ? 'contradicts' : 'freshens',
)
