/** How long a response is fresh and how old it is (RFC 9111 §4.2). */
import type { StoredParts } from '../../src/cache/entry.ts'
import { currentAge, freshnessLeft, heuristicStatuses, lifetime } from '../../src/cache/freshness.ts'
import { entryOf, type Lines, type Row, T0, table } from './table.ts'

const day = 24 * 3600

interface LifetimeRow extends Row<string> {
  readonly response: Lines
  readonly single?: true
  readonly ruled?: StoredParts['ruled']
}

const lifetimes: readonly LifetimeRow[] = [
  { rfc: '9111 §4.2.1', name: 'nothing said', response: [], want: '0 none' },
  { rfc: '9111 §5.2.2.1', name: 'max-age', response: ['Cache-Control: max-age=60'], want: '60 max-age' },
  {
    rfc: '9111 §4.2.1',
    name: 's-maxage first',
    response: ['Cache-Control: max-age=60, s-maxage=5'],
    want: '5 s-maxage',
  },
  {
    rfc: '9111 §5.2.2.10',
    name: 's-maxage is nothing to the cache of a single user',
    response: ['Cache-Control: max-age=60, s-maxage=5'],
    single: true,
    want: '60 max-age',
  },
  {
    rfc: '9111 §4.2.1',
    name: 'an s-maxage that is no number is stale, whatever max-age says',
    response: ['Cache-Control: max-age=60, s-maxage=x'],
    want: '0 s-maxage',
  },
  {
    rfc: '9111 §5.3',
    name: 'Expires after Date',
    response: ['Expires: {100}', 'Date: {-20}'],
    want: '120 Expires',
  },
  {
    rfc: '9111 §5.3',
    name: 'Expires without Date counts from receipt',
    response: ['Expires: {100}'],
    want: '100 Expires',
  },
  {
    rfc: '9111 §5.3',
    name: 'max-age before Expires',
    response: ['Expires: {100}', 'Cache-Control: max-age=1'],
    want: '1 max-age',
  },
  {
    rfc: '9111 §5.3',
    name: 'max-age=0 before Expires',
    response: ['Expires: {100}', 'Cache-Control: max-age=0'],
    want: '0 max-age',
  },
  {
    rfc: '9111 §5.3',
    name: 'Expires: 0',
    response: ['Expires: 0', 'Last-Modified: {-1000}'],
    want: '0 Expires',
  },
  { rfc: '9111 §5.3', name: 'Expires before Date', response: ['Expires: {-1}'], want: '0 Expires' },
  { rfc: '9111 §5.3', name: 'Expires at Date', response: ['Expires: {0}'], want: '0 Expires' },
  {
    rfc: '9111 §4.2.1',
    name: 'two lines of Expires',
    response: ['Expires: {100}', 'Expires: {100}'],
    want: '0 Expires',
  },
  {
    rfc: '9111 §1.2.2',
    name: 'Expires in a thousand years',
    response: ['Expires: {31536000000}'],
    want: '2147483648 Expires',
  },
  {
    rfc: '9111 §4.2.1',
    name: 'two lines of max-age, the first',
    response: ['Cache-Control: max-age=60', 'Cache-Control: max-age=1'],
    want: '60 max-age',
  },
  {
    rfc: '9213 §2.2',
    name: 'CDN-Cache-Control',
    response: ['CDN-Cache-Control: max-age=60', 'Cache-Control: max-age=1'],
    want: '60 max-age',
  },
  {
    rfc: '9213 §2.2',
    name: 'without Cache-Control',
    response: ['CDN-Cache-Control: max-age=60'],
    want: '60 max-age',
  },
  {
    rfc: '9213 §2.2',
    name: 'its max-age replaces s-maxage too',
    response: ['CDN-Cache-Control: max-age=60', 'Cache-Control: s-maxage=1'],
    want: '60 max-age',
  },
  {
    rfc: '9213 §2.2',
    name: 'it replaces Expires',
    response: ['CDN-Cache-Control: none', 'Expires: {100}'],
    want: '0 none',
  },
  {
    rfc: '9213 §2.2',
    name: 'it replaces max-age though it has none',
    response: ['CDN-Cache-Control: none', 'Cache-Control: max-age=60'],
    want: '0 none',
  },
  {
    rfc: '9213 §2.1',
    name: 'invalid, Cache-Control counts',
    response: ['CDN-Cache-Control: max-age=60, &', 'Cache-Control: max-age=1'],
    want: '1 max-age',
  },
  {
    rfc: '9213 §2.1',
    name: 'empty, Expires counts',
    response: ['CDN-Cache-Control:', 'Expires: {100}'],
    want: '100 Expires',
  },
  {
    rfc: '9213 §2.1',
    name: 'over two lines',
    response: ['CDN-Cache-Control: a', 'CDN-Cache-Control: max-age=60'],
    want: '60 max-age',
  },
  {
    rfc: '9213 §2.1',
    name: 'a String for a number is stale',
    response: ['CDN-Cache-Control: max-age="60"', 'Cache-Control: max-age=9'],
    want: '0 max-age',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'a tenth of the time since the last change',
    response: ['Last-Modified: {-1000}'],
    want: '100 heuristic',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'counted to Date',
    response: ['Last-Modified: {-1000}', 'Date: {-500}'],
    want: '50 heuristic',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'a day at most',
    response: [`Last-Modified: {${-100 * day}}`],
    want: `${day} heuristic`,
  },
  { rfc: '9111 §4.2.2', name: 'changed after Date', response: ['Last-Modified: {10}'], want: '0 none' },
  {
    rfc: '9111 §4.2.2',
    name: 'changed at Date',
    response: ['Last-Modified: {0}'],
    want: '0 none',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'Last-Modified that is no date',
    response: ['Last-Modified: yesterday'],
    want: '0 none',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'not for a status that is not cacheable by default',
    response: [201, 'Last-Modified: {-1000}'],
    want: '0 none',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'but when marked public',
    response: [599, 'Last-Modified: {-1000}', 'Cache-Control: public'],
    want: '100 heuristic',
  },
  {
    rfc: '9111 §4.2.2',
    name: 'not where something explicit is invalid',
    response: ['Last-Modified: {-1000}', 'Cache-Control: max-age=x'],
    want: '0 max-age',
  },
  {
    rfc: '9111 §4.2.2',
    name: '--ttl only where nothing else tells',
    response: ['Last-Modified: {-1000}'],
    ruled: { seconds: 7, by: 'ttl' },
    want: '100 heuristic',
  },
  { rfc: '9111 §4.2.2', name: '--ttl', response: [], ruled: { seconds: 7, by: 'ttl' }, want: '7 --ttl' },
  {
    rfc: '9111 §4.2.1',
    name: 'force overrides',
    response: ['Cache-Control: max-age=60'],
    ruled: { seconds: 7, by: 'force' },
    want: '7 --cache-mode force',
  },
]

table('lifetime', lifetimes, ({ response, single, ruled }) => {
  const { seconds, source } = lifetime(entryOf(response, { ruled }), single === undefined)
  return `${seconds} ${source}`
})

table(
  'statuses with a lifetime that is guessed',
  [
    {
      rfc: '9110 §15.1',
      name: 'all that are cacheable by default, and no others',
      want: [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501],
    },
  ],
  () =>
    Array.from({ length: 500 }, (_, i) => i + 100).filter(
      (status) =>
        heuristicStatuses.has(status) &&
        lifetime(entryOf([status, 'Last-Modified: {-1000}'])).source === 'heuristic',
    ),
)

table(
  'lifetime in both kinds of cache, of one entry',
  [{ rfc: '9111 §5.2.2.10', name: 'neither takes the other for its own', want: [5, 60, 5] }],
  () => {
    const entry = entryOf(['Cache-Control: max-age=60, s-maxage=5'])
    return [true, false, true].map((shared) => lifetime(entry, shared).seconds)
  },
)

interface AgeRow extends Row<number> {
  readonly response: Lines
  readonly at: number
  /** Seconds that the answer took. */
  readonly delay?: number
}

const ages: readonly AgeRow[] = [
  { rfc: '9111 §4.2.3', name: 'time in our store', response: [], at: 30, want: 30 },
  { rfc: '9111 §4.2.3', name: 'Age in front of it', response: ['Age: 100'], at: 30, want: 130 },
  {
    rfc: '9111 §4.2.3',
    name: 'the time that the answer took counts to Age',
    response: ['Age: 100'],
    delay: 7,
    at: 30,
    want: 137,
  },
  { rfc: '9111 §4.2.3', name: 'and where there is no Age', response: [], delay: 7, at: 0, want: 7 },
  { rfc: '9111 §4.2.3', name: 'Date in the past is an age', response: ['Date: {-50}'], at: 30, want: 80 },
  { rfc: '9111 §4.2.3', name: 'Date a second ago is a second', response: ['Date: {-1}'], at: 0, want: 1 },
  {
    rfc: '9111 §4.2.3',
    name: 'the larger of both counts, Date',
    response: ['Date: {-50}', 'Age: 10'],
    at: 0,
    want: 50,
  },
  {
    rfc: '9111 §4.2.3',
    name: 'the larger of both counts, Age',
    response: ['Date: {-50}', 'Age: 100'],
    at: 0,
    want: 100,
  },
  {
    rfc: '9111 §4.2.3',
    name: 'Date in the future is no negative age',
    response: ['Date: {50}'],
    at: 10,
    want: 10,
  },
  {
    rfc: '9110 §6.6.1',
    name: 'Date that is no date is the time of receipt',
    response: ['Date: never'],
    at: 10,
    want: 10,
  },
  { rfc: '9111 §5.1', name: 'Age with a sign is ignored', response: ['Age: -5'], at: 10, want: 10 },
  { rfc: '9111 §5.1', name: 'Age with a fraction is ignored', response: ['Age: 5.5'], at: 10, want: 10 },
  { rfc: '9111 §5.1', name: 'Age with letters is ignored', response: ['Age: 5s'], at: 10, want: 10 },
  { rfc: '9111 §5.1', name: 'the first member of a list', response: ['Age: 5, 100'], at: 0, want: 5 },
  { rfc: '9111 §5.1', name: 'the first of several lines', response: ['Age: 5', 'Age: 100'], at: 0, want: 5 },
  {
    rfc: '9111 §5.1',
    name: 'invalid in the first line is invalid',
    response: ['Age: x', 'Age: 100'],
    at: 0,
    want: 0,
  },
  {
    rfc: '9111 §1.2.2',
    name: 'Age beyond the largest',
    response: ['Age: 99999999999'],
    at: 0,
    want: 2 ** 31,
  },
  { rfc: '9111 §4.2.3', name: 'a clock that was set back', response: [], delay: -5, at: -10, want: 0 },
]

table('current age', ages, ({ response, at, delay = 0 }) =>
  currentAge(entryOf(response, { requestedAt: T0 - delay * 1000 }), T0 + at * 1000),
)

interface FreshRow extends Row<'fresh' | 'stale'> {
  readonly response: Lines
  readonly at: number
}

const fresh: readonly FreshRow[] = [
  {
    rfc: '9111 §4.2',
    name: 'younger than its lifetime',
    response: ['Cache-Control: max-age=60'],
    at: 59.9,
    want: 'fresh',
  },
  {
    rfc: '9111 §4.2',
    name: 'as old as its lifetime',
    response: ['Cache-Control: max-age=60'],
    at: 60,
    want: 'stale',
  },
  { rfc: '9111 §4.2', name: 'a lifetime of 0', response: ['Cache-Control: max-age=0'], at: 0, want: 'stale' },
  {
    rfc: '9111 §4.2.3',
    name: 'the Age it came with counts',
    response: ['Cache-Control: max-age=60', 'Age: 50'],
    at: 10,
    want: 'stale',
  },
  {
    rfc: '9111 §4.2.3',
    name: 'Date of the past counts',
    response: ['Cache-Control: max-age=60', 'Date: {-60}'],
    at: 0,
    want: 'stale',
  },
  {
    rfc: '9111 §4.2.3',
    name: 'the rounding of Date does not',
    response: ['Cache-Control: max-age=1'],
    at: 0.9,
    want: 'fresh',
  },
]

table('freshness', fresh, ({ response, at }) =>
  freshnessLeft(entryOf(response), T0 + at * 1000) > 0 ? 'fresh' : 'stale',
)

table(
  'current age of an answer that came within its second',
  [{ rfc: '9111 §4.2.3', name: 'Date has no fractions, so the fraction is no age', want: 0 }],
  () => currentAge(entryOf(['Date: {0}'], { requestedAt: T0 + 900, receivedAt: T0 + 900 }), T0 + 900),
)

interface SingleRow extends Row<string> {
  readonly response: Lines
}
const singleRows: readonly SingleRow[] = [
  {
    rfc: '9213 §3.1',
    name: 'CDN-Cache-Control is not for it',
    response: ['CDN-Cache-Control: max-age=100', 'Cache-Control: max-age=10'],
    want: '10 max-age',
  },
  {
    rfc: '9213 §3.1',
    name: 'nor does it take the place of Expires',
    response: ['CDN-Cache-Control: max-age=100', 'Expires: {20}'],
    want: '20 Expires',
  },
]
table('lifetime in the cache of a single user', singleRows, ({ response }) => {
  const { seconds, source } = lifetime(entryOf(response, { single: true }), false)
  return `${seconds} ${source}`
})
