import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exchange } from '../../src/core/exchange.ts'
import { FilterError, parseFilter, pointedOut } from '../../src/observe/filter.ts'

/** GET /api/users?page=2, a miss that ended with 404 after 120 ms and 2048 bytes. */
const miss = new Exchange({
  id: 7,
  cause: 'client',
  method: 'GET',
  url: '/api/users?page=2',
  host: 'localhost:8080',
  scheme: 'http',
  clientAddress: '127.0.0.1',
  httpVersion: '1.1',
  startedAt: 1000,
  requestHeaders: [],
})
miss.cache = { status: 'miss', reason: 'vary-miss' }
miss.ended = { at: 1120, status: 404, bytes: 2048 }

/** The same without a cache, broken off by the upstream. */
const failure = Object.assign(Object.create(Exchange.prototype), miss, {
  cache: undefined,
  ended: { at: 1120, status: 502, bytes: 0, error: 'upstream-refused' },
}) as Exchange

const passes = (source: string, exchange = miss): boolean =>
  parseFilter(source)({ exchange, durationMs: 120, route: () => '/api/users' })

const table: Array<[filter: string, ofMiss: boolean, ofFailure?: boolean]> = [
  ['status>=400 and path~^/api', true, true],
  ['status=404', true, false],
  ['status!=404', false, true],
  ['status==404', true, false],
  ['status == 4xx', true, false],
  ['path==/api/users', true],
  ['path=~^/api', true],
  ['path="=/api"', false],
  ['status=4xx', true, false],
  ['status!=4XX', false, true],
  ['status<500', true, false],
  ['status~^4', true, false],
  ['method=GET', true],
  ['method=get', false],
  ['path=/api/users', true],
  ['path=/api/users?page=2', false],
  ['url=/api/users?page=2', true],
  ['url~page=\\d$', true],
  ['path!~users', false],
  ['path ~ ^/(api|v1)/', true],
  ['(path~^/(api|v1)/)', true],
  ['path~"^/(api|v1)/ "', false],
  ["path = '/api/users'", true],
  ['path="/api\\"users"', false],
  ['host=localhost:8080', true],
  ['cache=miss', true, false],
  ['cache', true, false],
  ['not cache', false, true],
  ['cache!=hit', true, true],
  ['reason=vary-miss', true, false],
  ['error', false, true],
  ['error~^upstream-', false, true],
  ['error=""', true, false],
  ['route=/api/users', true],
  ['client=127.0.0.1', true],
  ['id=7', true],
  ['id>7', false],
  ['duration>=120ms', true],
  ['duration>0.1s', true],
  ['duration<1m30s', true],
  ['duration>0', true],
  ['bytes=2kb', true, false],
  ['bytes>=2048', true, false],
  ['bytes<0.5mb', true],
  ['status=200 or status=404', true, false],
  ['status=200 or status=404 and cache=hit', false, false],
  ['(status=200 or status=404) and cache=miss', true, false],
  ['status=404 or status=200 and cache=hit', true, false],
  ['not status=404', false, true],
  ['not not status=404', true, false],
  ['not (status=404 or error)', false, false],
  ['NOT error AND Status=404', true, false],
  ['  status=404  ', true, false],
]
for (const [source, ofMiss, ofFailure = ofMiss] of table) {
  test(`${source} is ${ofMiss} of a 404 and ${ofFailure} of a 502`, () => {
    assert.equal(passes(source), ofMiss)
    assert.equal(passes(source, failure), ofFailure)
  })
}

const wrong: Array<[source: string, column: number, message: RegExp]> = [
  ['', 1, /a comparison belongs here/],
  ['   ', 1, /a comparison belongs here/],
  ['statsu=404', 1, /no such field; fields are status, .*path/],
  ['constructor', 1, /no such field/],
  ['status>=400 an path~^/api', 13, /and, or, or the end/],
  ['status>=', 9, /a value belongs here/],
  ['status>=fast', 9, /status such as 404/],
  ['status>4xx', 8, /status such as 404/],
  ['duration>250', 10, /duration such as 250ms/],
  ['bytes>1tb', 7, /size such as 500 or 10kb/],
  ['path>/api', 5, /a text has no order/],
  ['path~"^/(api"', 6, /no regular expression/],
  ["path='/api", 6, /' is never closed/],
  ['(status=404', 1, /never closed/],
  ['(status=404 status=200', 13, /and, or, or \)/],
  ['status=404)', 11, /closes none/],
  ['status=404 and', 15, /a comparison is missing/],
  ['not', 4, /a comparison is missing/],
  ['status===404', 9, /status such as 404/],
  ['!status=404', 1, /no such field/],
  ['id=-1', 4, /a number/],
]
for (const [source, column, message] of wrong) {
  test(`${JSON.stringify(source)} is refused at column ${column}`, () => {
    assert.throws(
      () => parseFilter(source),
      (error) => {
        assert.ok(error instanceof FilterError)
        assert.equal(error.column, column)
        assert.match(error.message, message)
        return true
      },
    )
  })
}

test('the place is pointed out below the filter, control characters written out', () => {
  assert.equal(
    pointedOut('path=\x1b[31m x status', new FilterError('and, or, or the end belongs here', 12)),
    '  path=\\x1b[31m x status\n                ^ and, or, or the end belongs here.',
  )
})

test('the route is asked for only by a filter that names it', () => {
  let asked = 0
  const route = () => {
    asked++
    return '/'
  }
  parseFilter('path=/x and status=404')({ exchange: miss, durationMs: 1, route })
  assert.equal(asked, 0)
  parseFilter('route=/x')({ exchange: miss, durationMs: 1, route })
  assert.equal(asked, 1)
})
