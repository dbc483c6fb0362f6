/** Whether a stored response answers a request (RFC 9111 §4), and what happens when the upstream fails (RFC 5861). */
import { decide, isFailureStatus, type Step, standsInOnError } from '../../src/cache/reuse.ts'
import { entryOf, type Lines, type Row, T0, table, wishesOf } from './table.ts'

interface ReuseRow extends Row<string> {
  readonly request?: Lines
  readonly response: Lines
  readonly at: number
  readonly single?: true
  readonly forced?: true
}

const minute = 'Cache-Control: max-age=60'
const swr = 'Cache-Control: max-age=60, stale-while-revalidate=30'

const rows: readonly ReuseRow[] = [
  { rfc: '9111 §4.2', name: 'fresh', response: [minute], at: 59, want: 'fresh hit' },
  { rfc: '9111 §4.2', name: 'at its expiry', response: [minute], at: 60, want: 'validate expired' },
  { rfc: '9111 §4.2', name: 'no lifetime', response: ['ETag: "a"'], at: 1, want: 'validate expired' },
  {
    rfc: '9111 §5.2.1.2',
    name: 'no lifetime, for a client that takes what is stale',
    request: ['Cache-Control: max-stale'],
    response: ['ETag: "a"'],
    at: 1,
    want: 'validate expired',
  },

  // directives that concern stale responses only
  {
    rfc: '9111 §5.2.2.2',
    name: 'must-revalidate, fresh',
    response: [`${minute}, must-revalidate`],
    at: 59,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.2.2',
    name: 'must-revalidate, stale',
    response: [`${minute}, must-revalidate`],
    at: 61,
    want: 'validate must-revalidate',
  },
  {
    rfc: '9111 §5.2.2.8',
    name: 'proxy-revalidate, fresh',
    response: [`${minute}, proxy-revalidate`],
    at: 59,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.2.8',
    name: 'proxy-revalidate, stale',
    response: [`${minute}, proxy-revalidate`],
    at: 61,
    want: 'validate must-revalidate',
  },
  {
    rfc: '9111 §5.2.2.10',
    name: 's-maxage, fresh',
    response: ['Cache-Control: s-maxage=60'],
    at: 59,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.2.10',
    name: 's-maxage, stale',
    response: ['Cache-Control: s-maxage=60, stale-while-revalidate=30'],
    at: 61,
    want: 'validate must-revalidate',
  },

  // no-cache
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache, fresh',
    response: [`${minute}, no-cache`],
    at: 1,
    want: 'validate no-cache-stored',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache with fields',
    response: [`${minute}, no-cache="x-foo"`],
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache with fields, and no-cache',
    response: [`${minute}, no-cache="x-foo", no-cache`],
    at: 1,
    want: 'validate no-cache-stored',
  },
  {
    rfc: '9213 §2.2',
    name: 'no-cache that CDN-Cache-Control replaces',
    response: ['Cache-Control: no-cache', 'CDN-Cache-Control: max-age=60'],
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9213 §2.2',
    name: 'no-cache of CDN-Cache-Control',
    response: [minute, 'CDN-Cache-Control: max-age=60, no-cache'],
    at: 1,
    want: 'validate no-cache-stored',
  },
  {
    rfc: '9111 §5.4',
    name: 'Pragma of a response says nothing',
    response: [minute, 'Pragma: no-cache'],
    at: 1,
    want: 'fresh hit',
  },

  // stale-while-revalidate
  {
    rfc: '5861 §3',
    name: 'stale within its window',
    response: [swr],
    at: 61,
    want: 'stale-and-refresh stale-served-swr',
  },
  {
    rfc: '5861 §3',
    name: 'the window counts from expiry',
    response: [swr],
    at: 90,
    want: 'stale-and-refresh stale-served-swr',
  },
  { rfc: '5861 §3', name: 'beyond the window', response: [swr], at: 90.1, want: 'validate expired' },
  { rfc: '5861 §3', name: 'fresh', response: [swr], at: 10, want: 'fresh hit' },
  {
    rfc: '5861 §3',
    name: 'a window that is no number',
    response: [`${minute}, stale-while-revalidate=x`],
    at: 61,
    want: 'validate expired',
  },
  {
    rfc: '5861 §3',
    name: 'with must-revalidate',
    response: [`${swr}, must-revalidate`],
    at: 61,
    want: 'validate must-revalidate',
  },
  {
    rfc: '5861 §3',
    name: 'with proxy-revalidate',
    response: [`${swr}, proxy-revalidate`],
    at: 61,
    want: 'validate must-revalidate',
  },
  {
    rfc: '5861 §3',
    name: 'with proxy-revalidate, for a single user',
    response: [`${swr}, proxy-revalidate`],
    at: 61,
    single: true,
    want: 'stale-and-refresh stale-served-swr',
  },
  {
    rfc: '5861 §3',
    name: 'with no-cache',
    response: [`${swr}, no-cache`],
    at: 61,
    want: 'validate no-cache-stored',
  },
  {
    rfc: '5861 §3',
    name: 'after a lifetime that was guessed',
    response: ['Last-Modified: {-1000}', 'Cache-Control: stale-while-revalidate=30'],
    at: 110,
    want: 'stale-and-refresh stale-served-swr',
  },
  {
    rfc: '5861 §3',
    name: 'a client that wants none',
    request: ['Cache-Control: no-cache'],
    response: [swr],
    at: 61,
    want: 'validate expired',
  },

  // wishes of the request
  {
    rfc: '9111 §5.2.1.4',
    name: 'no-cache of the client',
    request: ['Cache-Control: no-cache'],
    response: [minute],
    at: 1,
    want: 'validate req-no-cache',
  },
  {
    rfc: '9111 §5.2.1.4',
    name: 'in any case',
    request: ['Cache-Control: No-Cache'],
    response: [minute],
    at: 1,
    want: 'validate req-no-cache',
  },
  {
    rfc: '9111 §5.4',
    name: 'Pragma: no-cache',
    request: ['Pragma: no-cache'],
    response: [minute],
    at: 1,
    want: 'validate req-pragma',
  },
  {
    rfc: '9111 §5.4',
    name: 'Pragma beside Cache-Control',
    request: ['Pragma: no-cache', 'Cache-Control: x'],
    response: [minute],
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-age, as old as that',
    request: ['Cache-Control: max-age=30'],
    response: [minute],
    at: 30,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-age, older',
    request: ['Cache-Control: max-age=30'],
    response: [minute],
    at: 30.5,
    want: 'validate req-max-age',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-age=0 within the first second',
    request: ['Cache-Control: max-age=0'],
    response: [minute],
    at: 0,
    want: 'validate req-max-age',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-age that is no number',
    request: ['Cache-Control: max-age=x'],
    response: [minute],
    at: 1,
    want: 'validate req-max-age',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-age makes nothing stale fresh',
    request: ['Cache-Control: max-age=600'],
    response: [minute],
    at: 61,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'with max-age, no stale response is wished',
    request: ['Cache-Control: max-age=600'],
    response: [swr],
    at: 61,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'unless with max-stale',
    request: ['Cache-Control: max-age=600, max-stale'],
    response: [swr],
    at: 61,
    want: 'stale-and-refresh stale-served-swr',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-stale does not lift max-age, fresh',
    request: ['Cache-Control: max-age=10, max-stale=600'],
    response: [minute],
    at: 30,
    want: 'validate req-max-age',
  },
  {
    rfc: '9111 §5.2.1.1',
    name: 'max-stale does not lift max-age, stale',
    request: ['Cache-Control: max-age=10, max-stale=600'],
    response: [minute],
    at: 70,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.1.2',
    name: 'max-stale, stale by less',
    request: ['Cache-Control: max-stale=10'],
    response: [minute],
    at: 69,
    want: 'stale stale-served-max-stale',
  },
  {
    rfc: '9111 §5.2.1.2',
    name: 'max-stale, stale by as much',
    request: ['Cache-Control: max-stale=10'],
    response: [minute],
    at: 70,
    want: 'stale stale-served-max-stale',
  },
  {
    rfc: '9111 §5.2.1.2',
    name: 'max-stale, stale by more',
    request: ['Cache-Control: max-stale=10'],
    response: [minute],
    at: 70.5,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.1.2',
    name: 'max-stale without a number',
    request: ['Cache-Control: max-stale'],
    response: [minute],
    at: 99999,
    want: 'stale stale-served-max-stale',
  },
  {
    rfc: '9111 §5.2.1.2',
    name: 'max-stale that is no number',
    request: ['Cache-Control: max-stale=x'],
    response: [minute],
    at: 61,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.2.2',
    name: 'must-revalidate goes before max-stale',
    request: ['Cache-Control: max-stale'],
    response: [`${minute}, must-revalidate`],
    at: 61,
    want: 'validate must-revalidate',
  },
  {
    rfc: '9111 §5.2.2.10',
    name: 's-maxage goes before max-stale',
    request: ['Cache-Control: max-stale'],
    response: ['Cache-Control: s-maxage=60'],
    at: 61,
    want: 'validate must-revalidate',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache goes before max-stale',
    request: ['Cache-Control: max-stale'],
    response: [`${minute}, no-cache`],
    at: 61,
    want: 'validate no-cache-stored',
  },
  {
    rfc: '5861 §3',
    name: 'what may be refreshed behind is, max-stale or not',
    request: ['Cache-Control: max-stale=600'],
    response: [swr],
    at: 61,
    want: 'stale-and-refresh stale-served-swr',
  },
  {
    rfc: '9111 §5.2.1.2',
    name: 'beyond that window max-stale still holds',
    request: ['Cache-Control: max-stale=600'],
    response: [swr],
    at: 99,
    want: 'stale stale-served-max-stale',
  },
  {
    rfc: '9111 §5.2.1.3',
    name: 'min-fresh, fresh for as long',
    request: ['Cache-Control: min-fresh=10'],
    response: [minute],
    at: 50,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1.3',
    name: 'min-fresh, fresh for less',
    request: ['Cache-Control: min-fresh=10'],
    response: [minute],
    at: 50.5,
    want: 'validate req-min-fresh',
  },
  {
    rfc: '9111 §5.2.1.3',
    name: 'min-fresh wants nothing stale',
    request: ['Cache-Control: min-fresh=10'],
    response: [swr],
    at: 61,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.1.3',
    name: 'nor with max-stale',
    request: ['Cache-Control: min-fresh=10, max-stale'],
    response: [minute],
    at: 61,
    want: 'validate expired',
  },
  {
    rfc: '9111 §5.2.1.6',
    name: 'no-transform asks for nothing',
    request: ['Cache-Control: no-transform'],
    response: [minute],
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1.5',
    name: 'no-store does not forbid what is stored',
    request: ['Cache-Control: no-store'],
    response: [minute],
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1.7',
    name: 'only-if-cached, fresh',
    request: ['Cache-Control: only-if-cached'],
    response: [minute],
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1',
    name: 'directives of responses ask for nothing',
    request: ['Cache-Control: s-maxage=0, must-revalidate, private'],
    response: [minute],
    at: 1,
    want: 'fresh hit',
  },

  // forced
  {
    rfc: '9111 §5.2.2.4',
    name: 'forced over no-cache',
    response: ['Cache-Control: no-cache'],
    forced: true,
    at: 1,
    want: 'fresh hit',
  },
  {
    rfc: '9111 §5.2.1.4',
    name: 'forced, but the client wants it fresh',
    request: ['Cache-Control: no-cache'],
    response: [],
    forced: true,
    at: 1,
    want: 'validate req-no-cache',
  },
]

table('reuse', rows, ({ request, response, at, single, forced }) => {
  const ruled = forced === undefined ? undefined : { by: 'force' as const, seconds: 60 }
  const { use, reason } = decide(
    entryOf(response, { ruled }),
    wishesOf(request),
    T0 + at * 1000,
    undefined,
    !single,
  )
  return `${use} ${reason}`
})

interface StepsRow extends Row<readonly string[]> {
  readonly request?: Lines
  readonly response: Lines
  readonly at: number
}

const steps: readonly StepsRow[] = [
  {
    rfc: '9111 §4.2',
    name: 'fresh',
    response: [minute],
    at: 10,
    want: [
      '+ stored response is not no-cache (RFC 9111 §5.2.2.4): max-age=60',
      '+ fresh: lifetime > age (RFC 9111 §4.2): 60 s from max-age, age 10 s',
      '+ request accepts it (RFC 9111 §5.2.1): no wish against it',
    ],
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache',
    response: ['Cache-Control: max-age=60, no-cache'],
    at: 10,
    want: ['- stored response is not no-cache (RFC 9111 §5.2.2.4): max-age=60, no-cache'],
  },
  {
    rfc: '5861 §3',
    name: 'too stale for both windows',
    request: ['Cache-Control: max-stale=35'],
    response: [swr],
    at: 100,
    want: [
      '+ stored response is not no-cache (RFC 9111 §5.2.2.4): max-age=60, stale-while-revalidate=30',
      '- fresh: lifetime > age (RFC 9111 §4.2): 60 s from max-age, age 100 s',
      '+ may be served stale (RFC 9111 §4.2.4): nothing forbids it',
      '+ request accepts it stale (RFC 9111 §5.2.1): no wish against it',
      '- within stale-while-revalidate (RFC 5861 §3): stale for 40 s of 30 s',
      '- within max-stale (RFC 9111 §5.2.1.2): stale for 40 s of 35 s',
    ],
  },
]

table('the steps of a decision', steps, ({ request, response, at }) => {
  const taken: Step[] = []
  decide(entryOf(response), wishesOf(request), T0 + at * 1000, taken)
  return taken.map(
    ({ passed, rule, section, because }) => `${passed ? '+' : '-'} ${rule} (${section}): ${because}`,
  )
})

interface ErrorRow extends Row<'served stale' | 'error'> {
  readonly request?: Lines
  readonly response: Lines
  readonly at: number
  readonly failure: 'unreachable' | 'status'
  readonly single?: true
}

const sie = 'Cache-Control: max-age=60, stale-if-error=30'
const errors: readonly ErrorRow[] = [
  {
    rfc: '9111 §4.2.4',
    name: 'no connection',
    response: [minute],
    at: 61,
    failure: 'unreachable',
    want: 'served stale',
  },
  {
    rfc: '9111 §4.2.4',
    name: 'a 503 is an answer, where nothing says else',
    response: [minute],
    at: 61,
    failure: 'status',
    want: 'error',
  },
  {
    rfc: '5861 §4',
    name: 'a 503 within stale-if-error',
    response: [sie],
    at: 90,
    failure: 'status',
    want: 'served stale',
  },
  { rfc: '5861 §4', name: 'a 503 beyond it', response: [sie], at: 90.1, failure: 'status', want: 'error' },
  {
    rfc: '5861 §4',
    name: 'no connection, beyond it',
    response: [sie],
    at: 90.1,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '5861 §4',
    name: 'stale-if-error of the request',
    request: ['Cache-Control: stale-if-error=30'],
    response: [minute],
    at: 90,
    failure: 'status',
    want: 'served stale',
  },
  {
    rfc: '5861 §4',
    name: 'stale-if-error of the request, beyond it',
    request: ['Cache-Control: stale-if-error=30'],
    response: [minute],
    at: 91,
    failure: 'status',
    want: 'error',
  },
  {
    rfc: '5861 §4',
    name: 'that of the response goes before',
    request: ['Cache-Control: stale-if-error=600'],
    response: [sie],
    at: 91,
    failure: 'status',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.2',
    name: 'must-revalidate',
    response: [`${sie}, must-revalidate`],
    at: 61,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.8',
    name: 'proxy-revalidate',
    response: [`${sie}, proxy-revalidate`],
    at: 61,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.8',
    name: 'proxy-revalidate, for a single user',
    response: [`${sie}, proxy-revalidate`],
    at: 61,
    failure: 'unreachable',
    single: true,
    want: 'served stale',
  },
  {
    rfc: '9111 §5.2.2.10',
    name: 's-maxage',
    response: ['Cache-Control: s-maxage=60, stale-if-error=30'],
    at: 61,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache',
    response: [`${sie}, no-cache`],
    at: 61,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache, fresh',
    response: [`${sie}, no-cache`],
    at: 1,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache with fields',
    response: [`${sie}, no-cache="x-foo"`],
    at: 61,
    failure: 'unreachable',
    want: 'served stale',
  },
  {
    rfc: '9111 §5.2.1.4',
    name: 'the client wants none that was not asked about',
    request: ['Cache-Control: no-cache'],
    response: [sie],
    at: 61,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.4',
    name: 'nor with Pragma',
    request: ['Pragma: no-cache'],
    response: [sie],
    at: 61,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §5.2.2.2',
    name: 'must-revalidate, but still fresh',
    request: ['Cache-Control: max-age=0'],
    response: [`${minute}, must-revalidate`],
    at: 30,
    failure: 'unreachable',
    want: 'served stale',
  },
  {
    rfc: '9111 §5.2.2.2',
    name: 'must-revalidate, at its expiry',
    response: [`${minute}, must-revalidate`],
    at: 60,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '9111 §4.2.4',
    name: 'what never was fresh',
    response: ['ETag: "a"'],
    at: 1,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '5861 §4',
    name: 'what never was fresh, whatever the client wishes',
    request: ['Cache-Control: stale-if-error=60'],
    response: ['ETag: "a"'],
    at: 1,
    failure: 'unreachable',
    want: 'error',
  },
  {
    rfc: '5861 §4',
    name: 'what never was fresh, but says that it may',
    response: ['ETag: "a"', 'Cache-Control: stale-if-error=60'],
    at: 1,
    failure: 'unreachable',
    want: 'served stale',
  },
]

table('when the upstream fails', errors, ({ request, response, at, failure, single }) =>
  standsInOnError(entryOf(response), wishesOf(request), T0 + at * 1000, failure, !single)
    ? 'served stale'
    : 'error',
)

table(
  'statuses that are a failure',
  [{ rfc: '5861 §4', name: 'these four', want: [500, 502, 503, 504] }],
  () => Array.from({ length: 500 }, (_, i) => i + 100).filter(isFailureStatus),
)

interface DetailRow extends Row<string | undefined> {
  readonly request?: Lines
  readonly response: Lines
  readonly at: number
}

const details: readonly DetailRow[] = [
  { rfc: '9111 §4.2', name: 'by how much it expired', response: [minute], at: 65.25, want: 'by 5.3 s' },
  {
    rfc: '9111 §4.2',
    name: 'nothing said how long it is fresh',
    response: ['ETag: "a"'],
    at: 5,
    want: 'no freshness given',
  },
  {
    rfc: '9111 §5.2.2.10',
    name: 'which directive forbids it',
    response: ['Cache-Control: s-maxage=60'],
    at: 70,
    want: 's-maxage, stale for 10 s',
  },
  { rfc: '5861 §3', name: 'how stale it is served', response: [swr], at: 70, want: 'stale for 10 s' },
  {
    rfc: '9111 §5.2.1.1',
    name: 'what the client wants',
    request: ['Cache-Control: max-age=5'],
    response: [minute],
    at: 10,
    want: 'age 10 s, max-age=5',
  },
  {
    rfc: '9111 §5.2.1.3',
    name: 'how fresh it is',
    request: ['Cache-Control: min-fresh=30'],
    response: [minute],
    at: 40,
    want: 'fresh for 20 s, min-fresh=30',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'no-cache needs no more words',
    response: ['Cache-Control: no-cache'],
    at: 1,
    want: undefined,
  },
]

// As in a shared cache, which is what is meant when nothing is said.
table(
  'the detail',
  details,
  ({ request, response, at }) => decide(entryOf(response), wishesOf(request), T0 + at * 1000).detail,
)

table(
  'when the upstream fails, in a shared cache',
  [{ rfc: '9111 §5.2.2.8', name: 'proxy-revalidate forbids', want: false }],
  () => standsInOnError(entryOf([`${sie}, proxy-revalidate`]), wishesOf(), T0 + 61_000, 'unreachable'),
)
