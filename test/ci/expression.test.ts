import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseExpectation } from '../../src/ci/expression.ts'
import { BadValue } from '../../src/cli/values.ts'

describe('an expression is understood', () => {
  const rows: Array<[text: string, metric: string, selector: object, operator: string, bound: object]> = [
    ['p99<250ms', 'p99', {}, '<', { kind: 'fixed', value: 250 }],
    [' p50 <= 1.5s ', 'p50', {}, '<=', { kind: 'fixed', value: 1500 }],
    ['p99 < 1m 30 s', 'p99', {}, '<', { kind: 'fixed', value: 90_000 }],
    ['max<0', 'max', {}, '<', { kind: 'fixed', value: 0 }],
    ['hit-ratio>=0.6', 'hit-ratio', {}, '>=', { kind: 'fixed', value: 0.6 }],
    ['hit-ratio >= 60 %', 'hit-ratio', {}, '>=', { kind: 'fixed', value: 0.6 }],
    ['5xx==0', '5xx', {}, '==', { kind: 'fixed', value: 0 }],
    ['5xx<1%', '5xx', {}, '<', { kind: 'percent', share: 0.01 }],
    ['requests>10', 'requests', {}, '>', { kind: 'fixed', value: 10 }],
    [
      'upstream-p99{route=/api/*}<1s',
      'upstream-p99',
      { route: '/api/*' },
      '<',
      { kind: 'fixed', value: 1000 },
    ],
    [
      'misses{ route = /users/:id , method=get, reason=vary-miss }==0',
      'misses',
      { route: '/users/:id', method: 'GET', reason: 'vary-miss' },
      '==',
      { kind: 'fixed', value: 0 },
    ],
    ['misses{reason=no-freshness}<3', 'misses', { reason: 'no-freshness' }, '<', { kind: 'fixed', value: 3 }],
    [
      'errors{reason=upstream-refused}==0',
      'errors',
      { reason: 'upstream-refused' },
      '==',
      { kind: 'fixed', value: 0 },
    ],
    ['4xx{route="/a,b}"}==0', '4xx', { route: '/a,b}' }, '==', { kind: 'fixed', value: 0 }],
    ['p95<=baseline', 'p95', {}, '<=', { kind: 'baseline', factor: 1, plus: 0 }],
    ['p95<=baseline*1.2', 'p95', {}, '<=', { kind: 'baseline', factor: 1.2, plus: 0 }],
    ['p95 <= baseline * 1.2 + 5ms', 'p95', {}, '<=', { kind: 'baseline', factor: 1.2, plus: 5 }],
    ['hit-ratio>=baseline-5%', 'hit-ratio', {}, '>=', { kind: 'baseline', factor: 1, plus: -0.05 }],
    [
      'upstream-requests<=baseline+3',
      'upstream-requests',
      {},
      '<=',
      { kind: 'baseline', factor: 1, plus: 3 },
    ],
  ]
  for (const [text, metric, selector, operator, bound] of rows) {
    test(text, () => {
      const found = parseExpectation(text)
      assert.deepEqual(
        { metric: found.metric, selector: found.selector, operator: found.operator, bound: found.bound },
        { metric, selector, operator, bound },
      )
      assert.equal(found.text, text.trim())
    })
  }
})

describe('what is wrong is said with its column', () => {
  const rows: Array<[text: string, column: number, says: RegExp]> = [
    ['', 1, /a metric is missing/],
    ['p98<250ms', 1, /p98 is not a metric\. Did you mean p99\?/],
    ['hits>0.5', 1, /hits is not a metric/],
    ['hit_ratio>0.5', 1, /Did you mean hit-ratio\?/],
    ['p99', 4, /one of < <= == >= > is missing/],
    ['p99=250ms', 4, /to be equal is ==/],
    ['p99<', 5, /a value is missing/],
    ['p99<250', 5, /250 of what\? 250ms, 250s/],
    ['p99<fast', 5, /a duration such as/],
    ['5xx==none', 6, /counted: a whole number/],
    ['requests>=50%', 11, /a whole number/],
    ['hit-ratio>=60', 12, /from 0 to 1, or from 0% to 100%/],
    ['p99{route}<1s', 10, /= is missing: route=/],
    ['p99{path=/a}<1s', 5, /route, method or reason/],
    ['p99{route=api}<1s', 11, /a route begins with \//],
    ['p99{route=/a?page=1}<1s', 11, /a route is a path without query/],
    ['p99{route=/a<1s', 16, /\} is missing/],
    ['p99{route=/a,route=/b}<1s', 14, /twice/],
    ['p99{reason=expired}<1s', 12, /takes no reason; these do: requests/],
    ['misses{reason=cold}==0', 15, /cold is not a reason of misses/],
    ['errors{reason=expired}==0', 15, /expired is not a reason of errors/],
    ['p95<=baseline^2', 6, /baseline\*1\.2/],
    ['p95<=baseline+5', 15, /5 of what/],
  ]
  for (const [text, column, says] of rows) {
    test(text || '(nothing)', () => {
      assert.throws(
        () => parseExpectation(text),
        (error) => {
          assert.ok(error instanceof BadValue)
          assert.match(error.message, says)
          assert.equal(error.at! + 1, column)
          return true
        },
      )
    })
  }
})
