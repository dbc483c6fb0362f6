import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redactor } from '../../src/observe/redact.ts'
import type { ReceivedSpan } from '../../src/trace/otlp-decode.ts'
import { receivedSpans } from '../../src/trace/received.ts'

const redact = redactor({ names: ['authorization'], enabled: true })
const trace = (n: number): string => n.toString(16).padStart(32, '0')
const span = (n: number, more: Partial<ReceivedSpan> = {}): ReceivedSpan => ({
  traceId: trace(n),
  spanId: 'ab'.repeat(8),
  parentSpanId: undefined,
  name: 'GET /x',
  kind: 'server',
  startMs: 1,
  endMs: 2,
  status: 'unset',
  service: 'shop',
  attributes: {},
  events: [],
  ...more,
})

test('spans are found by their trace, secrets taken out', () => {
  const spans = receivedSpans({ redact })
  spans.add([
    span(1, {
      name: 'GET /x?token=abc',
      attributes: {
        'http.request.header.authorization': 'Bearer abc',
        'url.full': 'http://u:p@host/?api_key=abc',
        'db.password': 'abc',
        rows: 3,
      },
      events: [{ name: 'e', atMs: 1, attributes: { secret: 'abc' } }],
    }),
  ])
  const [found] = spans.of(trace(1))
  assert.equal(found!.name, 'GET /x?token=***')
  assert.doesNotMatch(JSON.stringify(found), /abc"|:p@/)
  assert.equal(found!.attributes.rows, 3)
  assert.deepEqual(spans.of(trace(2)), [])
  assert.equal(spans.total(), 1)
})

test('the oldest traces go when there is no room, when their time is over, and a trace has so many spans', () => {
  let now = 0
  const spans = receivedSpans({ redact, now: () => now, maxBytes: 100_000 })
  for (let i = 0; i < 10_000; i++) spans.add([span(i)])
  assert.deepEqual(spans.of(trace(1)), [])
  const kept = Array.from({ length: 10_000 }, (_, i) => spans.of(trace(i)).length).reduce((a, b) => a + b)
  assert.ok(kept > 50 && kept < 170, String(kept))
  now = 600_001
  assert.deepEqual(spans.of(trace(9_999)), [])
  const large = receivedSpans({ redact })
  large.add(Array.from({ length: 2000 }, () => span(1)))
  assert.equal(large.of(trace(1)).length, 500)
  assert.equal(large.total(), 2000)
})
