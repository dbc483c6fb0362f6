import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeJson, decodeProtobuf } from '../../src/trace/otlp-decode.ts'
import { attribute, bytes, double, fixed32, fixed64, int } from '../support/protobuf.ts'

const T = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const PARENT = 'b7ad6b7169203331'
const AT = 1_700_000_000_000
const nanos = (ms: number): bigint => BigInt(AT) * 1_000_000n + BigInt(Math.round(ms * 1e6))

const want = {
  traceId: T,
  spanId: SPAN,
  parentSpanId: PARENT,
  name: 'SELECT users',
  kind: 'client',
  startMs: AT + 1.5,
  endMs: AT + 4.25,
  status: 'error',
  service: 'shop',
  attributes: { 'db.system': 'postgres', cached: true, rows: -3, share: 0.5 },
  events: [{ name: 'retry', atMs: AT + 2, attributes: { attempt: 'second' } }],
}

/** Every field of the message, those that nobody reads too. */
const protobuf = (more: readonly Buffer[] = []): Buffer =>
  bytes(1, [
    bytes(1, [attribute(1, 'host.name', 'h'), attribute(1, 'service.name', 'shop'), int(2, 0)]),
    bytes(2, [
      bytes(1, [bytes(1, 'a scope')]),
      bytes(2, [
        bytes(1, Buffer.from(T, 'hex')),
        bytes(2, Buffer.from(SPAN, 'hex')),
        bytes(3, 'a=1'),
        bytes(4, Buffer.from(PARENT, 'hex')),
        bytes(5, 'SELECT users'),
        int(6, 3),
        fixed64(7, nanos(1.5)),
        fixed64(8, nanos(4.25)),
        attribute(9, 'db.system', 'postgres'),
        bytes(9, [bytes(1, 'cached'), bytes(2, [int(2, 1)])]),
        bytes(9, [bytes(1, 'rows'), bytes(2, [int(3, -3n)])]),
        bytes(9, [bytes(1, 'share'), bytes(2, [double(4, 0.5)])]),
        bytes(9, [bytes(1, 'list'), bytes(2, [bytes(5, [bytes(1, [bytes(1, 'not shown')])])])]),
        int(10, 0),
        bytes(11, [fixed64(1, nanos(2)), bytes(2, 'retry'), attribute(3, 'attempt', 'second')]),
        bytes(13, [bytes(1, Buffer.from(T, 'hex'))]),
        bytes(15, [bytes(2, 'it broke'), int(3, 2)]),
        fixed32(16, 1),
        ...more,
      ]),
      bytes(3, 'a schema'),
    ]),
    bytes(3, 'a schema'),
  ])

const json = (span: object = {}): object => ({
  resourceSpans: [
    {
      resource: { attributes: [{ key: 'service.name', value: { stringValue: 'shop' } }] },
      scopeSpans: [
        {
          scope: { name: 'a scope' },
          spans: [
            {
              traceId: T.toUpperCase(),
              spanId: SPAN,
              parentSpanId: PARENT,
              name: 'SELECT users',
              kind: 3,
              startTimeUnixNano: String(nanos(1.5)),
              endTimeUnixNano: String(nanos(4.25)),
              attributes: [
                { key: 'db.system', value: { stringValue: 'postgres' } },
                { key: 'cached', value: { boolValue: true } },
                { key: 'rows', value: { intValue: '-3' } },
                { key: 'share', value: { doubleValue: 0.5 } },
                { key: 'list', value: { arrayValue: { values: [] } } },
              ],
              events: [
                {
                  timeUnixNano: String(nanos(2)),
                  name: 'retry',
                  attributes: [{ key: 'attempt', value: { stringValue: 'second' } }],
                },
              ],
              status: { code: 2, message: 'it broke' },
              ...span,
            },
          ],
        },
      ],
    },
  ],
})

test('both encodings give the same span', () => {
  assert.deepEqual(decodeProtobuf(protobuf()), [want])
  assert.deepEqual(decodeJson(JSON.stringify(json())), [want])
})

test('an empty message has no spans', () => {
  assert.deepEqual(decodeProtobuf(Buffer.alloc(0)), [])
  assert.deepEqual(decodeJson('{}'), [])
})

for (const [name, span] of Object.entries({
  'no trace id': { traceId: '' },
  'a trace id of zeros': { traceId: '0'.repeat(32) },
  'a short span id': { spanId: 'abc' },
  'a trace id that is no hex': { traceId: 'x'.repeat(32) },
  'no start': { startTimeUnixNano: undefined },
  'a start that is no number': { startTimeUnixNano: 'soon' },
})) {
  test(`a span with ${name} is left out`, () => assert.deepEqual(decodeJson(JSON.stringify(json(span))), []))
}

test('a span that ends before it begins ends where it begins, and a bad parent is none', () => {
  const [span] = decodeJson(JSON.stringify(json({ endTimeUnixNano: '1', parentSpanId: 'zz' })))
  assert.equal(span!.endMs, span!.startMs)
  assert.equal(span!.parentSpanId, undefined)
})

test('what is kept of a span is bounded, and no name of an attribute is special', () => {
  const many = Array.from({ length: 100 }, (_, i) => ({
    key: `k${i}`,
    value: { stringValue: 'v'.repeat(5000) },
  }))
  const [span] = decodeJson(
    JSON.stringify(
      json({
        name: 'n'.repeat(5000),
        attributes: [{ key: '__proto__', value: { stringValue: 'x' } }, ...many],
        events: Array.from({ length: 100 }, () => ({ name: 'e', timeUnixNano: '1' })),
      }),
    ),
  )
  assert.equal(span!.name.length, 256)
  assert.equal(Object.keys(span!.attributes).length, 32)
  assert.equal(Object.getPrototypeOf(span!.attributes), Object.prototype)
  assert.ok(Object.values(span!.attributes).every((value) => String(value).length <= 256))
  assert.equal(span!.events.length, 16)
})

test('a message cut short at any byte, or with any byte changed, is refused or read, and never hangs', () => {
  const whole = protobuf()
  for (let i = 1; i < whole.length; i++)
    assert.throws(() => decodeProtobuf(whole.subarray(0, i)), RangeError, `cut at ${i}`)
  for (let i = 0; i < whole.length; i++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const changed = Buffer.from(whole)
      changed[i]! ^= flip
      try {
        decodeProtobuf(changed)
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error))
      }
    }
  }
})

for (const [name, text] of Object.entries({
  'a list': '[]',
  null: 'null',
  'no JSON': '{',
  'a number': '1',
})) {
  test(`JSON that is ${name} is refused`, () => assert.throws(() => decodeJson(text), SyntaxError))
}

test('JSON of any other shape has no spans', () => {
  for (const odd of [
    { resourceSpans: 1 },
    { resourceSpans: [null, 1, { scopeSpans: [{ spans: [null, 'x'] }] }] },
    { resourceSpans: [{ resource: { attributes: [{ key: 1, value: null }] }, scopeSpans: {} }] },
  ])
    assert.deepEqual(decodeJson(JSON.stringify(odd)), [])
})
