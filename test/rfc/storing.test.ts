/** Which responses are stored, which of their fields, and for how long (RFC 9111 §3). */
import {
  keepMs,
  refusal,
  refusedOutright,
  type StorageRules,
  storedFields,
} from '../../src/cache/storable.ts'
import { parseCacheControl } from '../../src/http/cache-control.ts'
import { entryOf, fieldsOf, type Lines, linesOf, marksOf, type Row, T0, table } from './table.ts'

const asUsual: StorageRules = {
  shared: true,
  force: false,
  forcePrivate: false,
  storeCookies: true,
  maxEntryBytes: 1000,
}

interface StoringRow extends Row<string> {
  readonly method?: string
  readonly request?: Lines
  readonly response: Lines
  readonly rules?: Partial<StorageRules>
}

const fresh = 'Cache-Control: max-age=60'

const rows: readonly StoringRow[] = [
  // §3: what must be there
  { rfc: '9111 §3', name: 'a lifetime', response: [fresh], want: 'stored' },
  { rfc: '9111 §3', name: 'Expires', response: ['Expires: {60}'], want: 'stored' },
  { rfc: '9111 §3', name: 'neither lifetime nor validator', response: [], want: 'no-freshness' },
  { rfc: '9111 §3', name: 'an entity tag, to be asked about', response: ['ETag: "a"'], want: 'stored' },
  {
    rfc: '9111 §3',
    name: 'an entity tag of no characters is none',
    response: ['ETag:'],
    want: 'no-freshness',
  },
  { rfc: '9111 §3', name: 'a date of the last change', response: ['Last-Modified: {-1000}'], want: 'stored' },
  {
    rfc: '9111 §3',
    name: 'a status that is not cacheable by default',
    response: [201, 'ETag: "a"'],
    want: 'status-uncacheable',
  },
  {
    rfc: '9111 §3',
    name: 'no-cache is no permission to store it',
    response: [201, 'ETag: "a"', 'Cache-Control: no-cache'],
    want: 'status-uncacheable',
  },
  {
    rfc: '9111 §3',
    name: 'public is',
    response: [201, 'ETag: "a"', 'Cache-Control: public'],
    want: 'stored',
  },
  {
    rfc: '9111 §3',
    name: 'private is in the cache of a single user',
    response: [201, 'ETag: "a"', 'Cache-Control: private'],
    rules: { shared: false },
    want: 'stored',
  },
  { rfc: '9111 §3', name: 'any final status with a lifetime: 299', response: [299, fresh], want: 'stored' },
  { rfc: '9111 §3', name: 'any final status with a lifetime: 302', response: [302, fresh], want: 'stored' },
  { rfc: '9111 §3', name: 'any final status with a lifetime: 499', response: [499, fresh], want: 'stored' },
  { rfc: '9111 §3', name: 'any final status with a lifetime: 599', response: [599, fresh], want: 'stored' },
  { rfc: '9111 §3', name: 'a status that is not final', response: [103, fresh], want: 'status-uncacheable' },
  {
    rfc: '9111 §3',
    name: 'a 304 that there is nothing to update by',
    response: [304, fresh, 'ETag: "a"'],
    want: 'not-modified',
  },
  {
    rfc: '9111 §4.2',
    name: 'it came stale and cannot be asked about',
    response: ['Cache-Control: max-age=0'],
    want: 'already-stale',
  },
  { rfc: '9111 §4.2', name: 'its Age is its lifetime', response: [fresh, 'Age: 60'], want: 'already-stale' },
  {
    rfc: '9111 §4.2',
    name: 'it came stale and can be asked about',
    response: ['Cache-Control: max-age=0', 'ETag: "a"'],
    want: 'stored',
  },
  {
    rfc: '5861 §3',
    name: 'it came stale and may be served so',
    response: ['Cache-Control: max-age=0, stale-while-revalidate=9'],
    want: 'stored',
  },
  {
    rfc: '5861 §4',
    name: 'it came stale and may be served so on an error',
    response: ['Cache-Control: max-age=0, stale-if-error=9'],
    want: 'stored',
  },
  {
    rfc: '9111 §5.4',
    name: 'Pragma says nothing in a response',
    response: [fresh, 'Pragma: no-cache, no-store'],
    want: 'stored',
  },

  {
    rfc: '9111 §3',
    name: 'nothing said, in the cache of a single user',
    response: [201, 'ETag: "a"'],
    rules: { shared: false },
    want: 'status-uncacheable',
  },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST that was redirected',
    method: 'POST',
    response: [300, fresh, 'Content-Location: /'],
    want: 'method',
  },
  // §5.2.2.5, §5.2.1.5
  {
    rfc: '9111 §5.2.2.5',
    name: 'no-store',
    response: ['Cache-Control: max-age=60, No-Store'],
    want: 'no-store',
  },
  {
    rfc: '9111 §5.2.2.5',
    name: 'no-store on a line of its own',
    response: [fresh, 'Cache-Control: no-store'],
    want: 'no-store',
  },
  {
    rfc: '9111 §5.2',
    name: 'no-store behind a quote that is never closed',
    response: ['Cache-Control: max-age=60, x="y, no-store'],
    want: 'no-store',
  },
  {
    rfc: '9111 §5.2',
    name: 'no-store inside a quoted argument is no directive',
    response: ['Cache-Control: max-age=60, x="no-store, y"'],
    want: 'stored',
  },
  {
    rfc: '9111 §5.2.1.5',
    name: 'no-store of the request',
    request: ['Cache-Control: no-store'],
    response: [fresh],
    want: 'req-no-store',
  },
  {
    rfc: '9111 §5.2.1.4',
    name: 'no-cache of the request does not matter',
    request: ['Cache-Control: no-cache'],
    response: [fresh],
    want: 'stored',
  },

  // §5.2.2.3
  {
    rfc: '9111 §5.2.2.3',
    name: 'must-understand goes before no-store',
    response: [200, 'Cache-Control: max-age=60, must-understand, no-store'],
    want: 'stored',
  },
  {
    rfc: '9111 §5.2.2.3',
    name: 'not where the status is not understood',
    response: [299, 'Cache-Control: max-age=60, must-understand'],
    want: 'must-understand',
  },
  {
    rfc: '9111 §5.2.2.3',
    name: 'nor with no-store',
    response: [599, 'Cache-Control: max-age=60, must-understand, no-store'],
    want: 'must-understand',
  },
  {
    rfc: '9111 §5.2.1.5',
    name: 'it does not go before no-store of the request',
    request: ['Cache-Control: no-store'],
    response: ['Cache-Control: max-age=60, must-understand'],
    want: 'req-no-store',
  },

  // §5.2.2.7
  {
    rfc: '9111 §5.2.2.7',
    name: 'private',
    response: ['Cache-Control: max-age=60, PRIVATE'],
    want: 'private',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'private in the cache of a single user',
    response: ['Cache-Control: max-age=60, private'],
    rules: { shared: false },
    want: 'stored',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'private fields only',
    response: ['Cache-Control: max-age=60, private="x-foo"'],
    want: 'stored',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'private fields, and private',
    response: ['Cache-Control: private="x-foo", max-age=60, private'],
    want: 'private',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'a private field that cannot be left out',
    response: ['Cache-Control: max-age=60, private="content-encoding"'],
    want: 'private',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'a semicolon for a comma',
    response: ['Cache-Control: private; max-age=60', 'ETag: "a"'],
    want: 'private',
  },

  // §3.5
  {
    rfc: '9111 §3.5',
    name: 'Authorization',
    request: ['Authorization: Basic eDp5'],
    response: [fresh],
    want: 'authorization',
  },
  {
    rfc: '9111 §3.5',
    name: 'with public',
    request: ['Authorization: x'],
    response: ['Cache-Control: max-age=60, public'],
    want: 'stored',
  },
  {
    rfc: '9111 §3.5',
    name: 'with must-revalidate',
    request: ['Authorization: x'],
    response: ['Cache-Control: max-age=60, must-revalidate'],
    want: 'stored',
  },
  {
    rfc: '9111 §3.5',
    name: 'with s-maxage',
    request: ['Authorization: x'],
    response: ['Cache-Control: s-maxage=60'],
    want: 'stored',
  },
  {
    rfc: '9111 §3.5',
    name: 'proxy-revalidate permits nothing',
    request: ['Authorization: x'],
    response: ['Cache-Control: max-age=60, proxy-revalidate'],
    want: 'authorization',
  },
  {
    rfc: '9111 §3.5',
    name: 'in the cache of a single user',
    request: ['Authorization: x'],
    response: [fresh],
    rules: { shared: false },
    want: 'stored',
  },

  // RFC 9213
  {
    rfc: '9213 §2.2',
    name: 'CDN-Cache-Control goes before no-store',
    response: ['CDN-Cache-Control: max-age=60', 'Cache-Control: no-store'],
    want: 'stored',
  },
  {
    rfc: '9213 §2.2',
    name: 'and before private',
    response: ['CDN-Cache-Control: max-age=60', 'Cache-Control: private'],
    want: 'stored',
  },
  {
    rfc: '9213 §2.2',
    name: 'its no-store goes before max-age',
    response: ['CDN-Cache-Control: no-store', fresh],
    want: 'no-store',
  },
  {
    rfc: '9213 §2.2',
    name: 'its private goes before public',
    response: ['CDN-Cache-Control: private', 'Cache-Control: public, max-age=60'],
    want: 'private',
  },
  {
    rfc: '9213 §2.2',
    name: 'a public that it replaces permits nothing',
    request: ['Authorization: x'],
    response: ['CDN-Cache-Control: max-age=60', 'Cache-Control: public'],
    want: 'authorization',
  },
  {
    rfc: '9213 §2.1',
    name: 'invalid it is not there',
    response: ['CDN-Cache-Control: max-age=60, &&', 'Cache-Control: no-store'],
    want: 'no-store',
  },
  {
    rfc: '9213 §2.1',
    name: 'a String for a number gives no lifetime',
    response: ['CDN-Cache-Control: max-age="60"', fresh],
    want: 'already-stale',
  },
  {
    rfc: '9213 §2.1',
    name: 'an Inner List is the whole response',
    response: ['CDN-Cache-Control: max-age=60, private=("x-a")'],
    want: 'private',
  },

  // §4.1
  { rfc: '9111 §4.1', name: 'Vary', response: [fresh, 'Vary: Accept'], want: 'stored' },
  { rfc: '9111 §4.1', name: 'Vary: *', response: [fresh, 'Vary: *'], want: 'vary-star' },
  {
    rfc: '9111 §4.1',
    name: 'a star among others, on the second line',
    response: [fresh, 'Vary: Accept', 'Vary: , *'],
    want: 'vary-star',
  },
  {
    rfc: '9111 §4.1',
    name: 'what we write from the address of the client',
    response: [fresh, 'Vary: X-Forwarded-For'],
    want: 'vary-star',
  },

  // §3.3, RFC 9110 §14
  { rfc: '9111 §3.3', name: 'a part', response: [206, fresh, 'Content-Range: bytes 0-4/10'], want: 'stored' },
  {
    rfc: '9110 §14.4',
    name: 'a part of one byte',
    response: [206, fresh, 'Content-Range: bytes 3-3/10'],
    want: 'stored',
  },
  {
    rfc: '9111 §3.3',
    name: 'a part of something of unknown length',
    response: [206, fresh, 'Content-Range: bytes 0-4/*'],
    want: 'range',
  },
  { rfc: '9111 §3.3', name: 'a part that does not say which', response: [206, fresh], want: 'range' },
  {
    rfc: '9111 §3.3',
    name: 'several parts',
    response: [206, fresh, 'Content-Type: multipart/byteranges; boundary=x'],
    want: 'range',
  },
  {
    rfc: '9111 §3.3',
    name: 'the whole in answer to a Range',
    request: ['Range: bytes=0-4'],
    response: [fresh],
    want: 'stored',
  },
  {
    rfc: '9110 §15.5.17',
    name: 'a Range that cannot be satisfied says nothing to those who ask without',
    request: ['Range: bytes=99-'],
    response: [416, fresh, 'Content-Range: bytes */10'],
    want: 'range',
  },
  {
    rfc: '9110 §14.2',
    name: 'nor does another error that a Range may have brought about',
    request: ['Range: bytes=99-'],
    response: [500, fresh],
    want: 'range',
  },
  {
    rfc: '9111 §3.3',
    name: 'two Content-Ranges',
    response: [206, fresh, 'Content-Range: bytes 0-4/10', 'Content-Range: bytes 0-4/10'],
    want: 'range',
  },
  {
    rfc: '9110 §14.4',
    name: 'a part that goes beyond the whole',
    response: [206, fresh, 'Content-Range: bytes 5-10/10'],
    want: 'range',
  },

  // RFC 9110 §9.3
  { rfc: '9111 §3', name: 'the answer to HEAD', method: 'HEAD', response: [fresh], want: 'method' },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST with a lifetime and Content-Location',
    method: 'POST',
    response: [fresh, 'Content-Location: /'],
    want: 'stored',
  },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST without Content-Location',
    method: 'POST',
    response: [fresh],
    want: 'method',
  },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST whose lifetime would be guessed',
    method: 'POST',
    response: ['Last-Modified: {-1000}', 'Content-Location: /'],
    want: 'method',
  },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST that failed',
    method: 'POST',
    response: [404, fresh, 'Content-Location: /'],
    want: 'method',
  },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST answered by a part',
    method: 'POST',
    response: [206, fresh, 'Content-Location: /', 'Content-Range: bytes 0-4/10'],
    want: 'method',
  },
  {
    rfc: '9110 §9.3.3',
    name: 'a POST with no-store',
    method: 'POST',
    response: ['Cache-Control: max-age=60, no-store', 'Content-Location: /'],
    want: 'no-store',
  },
  {
    rfc: '9110 §9.3.4',
    name: 'a PUT',
    method: 'PUT',
    response: [fresh, 'Content-Location: /'],
    want: 'method',
  },

  // ours to decide
  { rfc: '9111 §7.3', name: 'a cookie', response: [fresh, 'Set-Cookie: a=b'], want: 'stored' },
  {
    rfc: '9111 §7.3',
    name: 'a cookie with an entity tag alone',
    response: ['ETag: "a"', 'Set-Cookie: a=b'],
    want: 'set-cookie-policy',
  },
  {
    rfc: '9111 §3',
    name: 'a cookie with nothing that would let it be stored without one',
    response: ['Set-Cookie: a=b'],
    want: 'no-freshness',
  },
  {
    rfc: '9111 §7.3',
    name: 'a cookie with freshness that is a guess',
    response: ['Last-Modified: {-9999}', 'Set-Cookie: a=b'],
    want: 'set-cookie-policy',
  },
  {
    rfc: '9111 §7.3',
    name: 'a cookie and no lifetime',
    response: ['Cache-Control: max-age=0', 'ETag: "a"', 'Set-Cookie: a=b'],
    want: 'set-cookie-policy',
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'a cookie and no-cache',
    response: [`${fresh}, no-cache`, 'ETag: "a"', 'Set-Cookie: a=b'],
    want: 'set-cookie-policy',
  },
  {
    rfc: '9111 §7.3',
    name: 'a cookie in the cache of a single user',
    response: ['ETag: "a"', 'Set-Cookie: a=b'],
    rules: { shared: false },
    want: 'stored',
  },
  {
    rfc: '9111 §7.3',
    name: 'a cookie where none may be stored',
    response: [fresh, 'Set-Cookie: a=b'],
    rules: { storeCookies: false },
    want: 'set-cookie-policy',
  },
  {
    rfc: '9111 §3',
    name: 'an endless stream',
    response: [fresh, 'Content-Type: Text/Event-Stream; x'],
    want: 'streaming',
  },
  { rfc: '9111 §3', name: 'as large as may be', response: [fresh, 'Content-Length: 1000'], want: 'stored' },
  { rfc: '9111 §3', name: 'larger', response: [fresh, 'Content-Length: 1001'], want: 'too-large' },
]

table('stored or not', rows, ({ method = 'GET', request, response, rules }) => {
  const marks = marksOf(request)
  const req = {
    method,
    authorization: marks.authorization,
    range: marks.range !== undefined,
    directives: parseCacheControl(marks.cacheControl),
  }
  const entry = entryOf(response)
  const by = { ...asUsual, ...rules }
  const word = method === 'GET' ? refusedOutright(entry.status, entry.fields, by) : undefined
  const all = refusal(req, entry, by)
  // The short way says nothing but what the long one says.
  return word !== undefined && word !== all ? `outright ${word}, in full ${all}` : (all ?? 'stored')
})

const forced = { by: 'force' as const, seconds: 60 }
const forceRows: readonly StoringRow[] = [
  {
    rfc: '9111 §5.2.2.5',
    name: 'no-store is overridden',
    response: ['Cache-Control: no-store'],
    want: 'stored',
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'private is overridden',
    response: ['Cache-Control: private'],
    want: 'stored',
  },
  {
    rfc: '9111 §3.5',
    name: 'Authorization is not',
    request: ['Authorization: x'],
    response: [],
    want: 'authorization',
  },
  {
    rfc: '9111 §3.5',
    name: 'Authorization, when asked for',
    request: ['Authorization: x'],
    response: [],
    rules: { forcePrivate: true },
    want: 'stored',
  },
  {
    rfc: '9111 §7.3',
    name: 'a cookie with no-store',
    response: ['Set-Cookie: a', 'Cache-Control: no-store'],
    want: 'no-store',
  },
  { rfc: '9111 §4.1', name: 'Vary: * is not', response: ['Vary: *'], want: 'vary-star' },
  {
    rfc: '9111 §3',
    name: 'a 404 with no-store is not',
    response: [404, 'Cache-Control: no-store'],
    want: 'no-store',
  },
  { rfc: '9111 §3', name: 'too large is not', response: ['Content-Length: 1001'], want: 'too-large' },
  {
    rfc: '9111 §3',
    name: 'a redirect with no-store is not',
    response: [300, 'Cache-Control: no-store'],
    want: 'no-store',
  },
  {
    rfc: '9111 §3',
    name: 'a part is not',
    response: [206, 'Cache-Control: no-store', 'Content-Range: bytes 0-4/10'],
    want: 'no-store',
  },
  {
    rfc: '9111 §3',
    name: 'an endless stream is not',
    response: ['Content-Type: text/event-stream'],
    want: 'streaming',
  },
  {
    rfc: '9111 §4.1',
    name: 'what varies by the address of the client is not',
    response: ['Vary: Forwarded'],
    want: 'vary-star',
  },
]

table('stored or not, forced', forceRows, ({ request, response, rules }) => {
  const { authorization } = marksOf(request)
  return (
    refusal(
      { method: 'GET', authorization, range: false, directives: new Map() },
      entryOf(response, { ruled: forced }),
      {
        ...asUsual,
        force: true,
        ...rules,
      },
    ) ?? 'stored'
  )
})

interface FieldsRow extends Row<readonly string[]> {
  readonly response: Lines
}

const fieldRows: readonly FieldsRow[] = [
  {
    rfc: '9111 §3.1',
    name: 'unknown fields and cookies are',
    response: ['X-Foo: 1', 'Set-Cookie: a=b'],
    want: ['Set-Cookie: a=b', 'X-Foo: 1'],
  },
  {
    rfc: '9110 §7.6.1',
    name: 'what concerns the connection is not',
    response: [
      'Connection: close',
      'Keep-Alive: 5',
      'TE: x',
      'Trailer: x',
      'Transfer-Encoding: chunked',
      'Upgrade: x',
      'Proxy-Connection: x',
      'A: 1',
    ],
    want: ['A: 1'],
  },
  {
    rfc: '9110 §7.6.1',
    name: 'nor what Connection names',
    response: ['Connection: X-Foo, close', 'x-foo: 1', 'A: 1'],
    want: ['A: 1'],
  },
  {
    rfc: '9110 §7.6.1',
    name: 'unless it is meant for all',
    response: [
      'Connection: Age, Cache-Control, CDN-Cache-Control, Content-Encoding, Content-Length, Content-Range, Content-Type, Date, Expires, Set-Cookie, Vary',
      'Age: 1',
      'Cache-Control: a',
      'CDN-Cache-Control: a',
      'Content-Encoding: a',
      'Content-Length: 1',
      'Content-Range: a',
      'Content-Type: a',
      'Date: a',
      'Expires: a',
      'Set-Cookie: a',
      'Vary: a',
    ],
    want: [
      'Age: 1',
      'CDN-Cache-Control: a',
      'Cache-Control: a',
      'Content-Encoding: a',
      'Content-Length: 1',
      'Content-Range: a',
      'Content-Type: a',
      'Date: a',
      'Expires: a',
      'Set-Cookie: a',
      'Vary: a',
    ],
  },
  {
    rfc: '9111 §3.1',
    name: 'what concerns a proxy is not',
    response: ['Proxy-Authenticate: x', 'Proxy-Authentication-Info: x', 'Proxy-Authorization: x', 'A: 1'],
    want: ['A: 1'],
  },
  {
    rfc: '9111 §5.2.2.4',
    name: 'nor the fields of no-cache',
    response: ['Cache-Control: no-cache="x-foo, Set-Cookie"', 'X-Foo: 1', 'Set-Cookie: a', 'A: 1'],
    want: ['A: 1', 'Cache-Control: no-cache="x-foo, Set-Cookie"'],
  },
  {
    rfc: '9111 §5.2.2.7',
    name: 'nor those of private',
    response: ['Cache-Control: private=x-foo', 'X-Foo: 1'],
    want: ['Cache-Control: private=x-foo'],
  },
  {
    rfc: '9213 §2.2',
    name: 'those of the Cache-Control that is replaced are',
    response: ['Cache-Control: private=x-foo', 'CDN-Cache-Control: private="x-bar"', 'X-Foo: 1', 'X-Bar: 1'],
    want: ['CDN-Cache-Control: private="x-bar"', 'Cache-Control: private=x-foo', 'X-Foo: 1'],
  },
]

table('stored fields', fieldRows, ({ response }) => linesOf(storedFields(fieldsOf(response))))

const singleFieldRows: readonly FieldsRow[] = [
  {
    rfc: '9111 §5.2.2.7',
    name: 'private by name is for shared caches only',
    response: ['Cache-Control: private=x-foo', 'X-Foo: 1'],
    want: ['Cache-Control: private=x-foo', 'X-Foo: 1'],
  },
  {
    rfc: '9213 §3.1',
    name: 'and so is CDN-Cache-Control',
    response: [
      'Cache-Control: no-cache=x-foo',
      'CDN-Cache-Control: no-cache="x-bar"',
      'X-Foo: 1',
      'X-Bar: 1',
    ],
    want: ['CDN-Cache-Control: no-cache="x-bar"', 'Cache-Control: no-cache=x-foo', 'X-Bar: 1'],
  },
]
table('fields stored by the cache of a single user', singleFieldRows, ({ response }) =>
  linesOf(storedFields(fieldsOf(response), false)),
)

const day = 24 * 3600
interface KeepRow extends Row<number> {
  readonly response: Lines
}
const keepRows: readonly KeepRow[] = [
  { rfc: '9111 §4.2.4', name: 'a day beyond its lifetime', response: [fresh], want: 60 + day },
  {
    rfc: '9111 §4.2.3',
    name: 'its lifetime is shorter by its age',
    response: [fresh, 'Age: 20'],
    want: 40 + day,
  },
  {
    rfc: '5861 §4',
    name: 'longer when it may be served stale for longer',
    response: [`Cache-Control: max-age=60, stale-if-error=${2 * day}`],
    want: 60 + 2 * day,
  },
]
table('seconds that it is worth keeping', keepRows, ({ response }) => keepMs(entryOf(response), T0) / 1000)
