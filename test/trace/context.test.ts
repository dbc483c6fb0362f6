import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancel } from '../../src/core/cancel.ts'
import type { TraceFacts } from '../../src/core/exchange.ts'
import { Exchange } from '../../src/core/exchange.ts'
import type { Fields, ProxyRequest } from '../../src/core/types.ts'
import {
  childTrace,
  continueTrace,
  type RandomHex,
  randomHex,
  replacedFields,
  type TraceFormat,
  traceFields,
} from '../../src/trace/context.ts'
import { propagate } from '../../src/trace/stage.ts'

const T = '4bf92f3577b34da6a3ce929d0e0e4736'
const T64 = 'a3ce929d0e0e4736'
const S = '00f067aa0ba902b7'
const P = '05e3ac9a4f6e3b90'
const PAD = '0'.repeat(16)
const W3C = `00-${T}-${S}-01`

/** What is read: `sampled: undefined` stands for "our own decision". */
interface Read {
  trace?: string
  parent?: string
  sampled?: boolean
  state?: string
}

const fresh: Read = {}
const w3c: Read = { trace: T, parent: S, sampled: true }
const state = (value: string, want: string | undefined = value) => ({
  headers: ['traceparent', W3C, 'tracestate', value],
  want: want === undefined ? w3c : { ...w3c, state: want },
})
const chars = (n: number, char = 'a') => char.repeat(n)
const members = (n: number) => Array.from({ length: n }, (_, i) => `k${i}=v`).join(',')

const rows: ReadonlyArray<{ name: string; headers: Fields; want: Read }> = [
  { name: 'no fields', headers: [], want: fresh },
  {
    name: 'fields of no interest',
    headers: ['Host', 'a', 'TE', 'x', 'X-B3', T, 'B3x', '1', 'Uber', S],
    want: fresh,
  },

  // W3C Trace Context §3.2
  { name: 'traceparent', headers: ['traceparent', W3C], want: w3c },
  { name: 'traceparent, name in any case', headers: ['TraceParent', W3C], want: w3c },
  { name: 'traceparent, spaces around', headers: ['traceparent', ` ${W3C}\t`], want: w3c },
  {
    name: 'traceparent, not sampled',
    headers: ['traceparent', `00-${T}-${S}-00`],
    want: { ...w3c, sampled: false },
  },
  { name: 'traceparent, unknown flags, sampled', headers: ['traceparent', `00-${T}-${S}-ff`], want: w3c },
  {
    name: 'traceparent, unknown flags only',
    headers: ['traceparent', `00-${T}-${S}-fe`],
    want: { ...w3c, sampled: false },
  },
  { name: 'traceparent, random flag', headers: ['traceparent', `00-${T}-${S}-03`], want: w3c },
  {
    name: 'traceparent, upper-case trace id',
    headers: ['traceparent', `00-${T.toUpperCase()}-${S}-01`],
    want: fresh,
  },
  {
    name: 'traceparent, upper-case parent id',
    headers: ['traceparent', `00-${T}-${S.toUpperCase()}-01`],
    want: fresh,
  },
  { name: 'traceparent, upper-case flags', headers: ['traceparent', `00-${T}-${S}-0B`], want: fresh },
  { name: 'traceparent, no hex', headers: ['traceparent', `00-${chars(32, 'g')}-${S}-01`], want: fresh },
  {
    name: 'traceparent, zero trace id',
    headers: ['traceparent', `00-${chars(32, '0')}-${S}-01`],
    want: fresh,
  },
  { name: 'traceparent, zero parent id', headers: ['traceparent', `00-${T}-${PAD}-01`], want: fresh },
  {
    name: 'traceparent, trace id too short',
    headers: ['traceparent', `00-${T.slice(1)}-${S}-01`],
    want: fresh,
  },
  { name: 'traceparent, trace id too long', headers: ['traceparent', `00-${T}0-${S}-01`], want: fresh },
  {
    name: 'traceparent, parent id too short',
    headers: ['traceparent', `00-${T}-${S.slice(1)}-01`],
    want: fresh,
  },
  { name: 'traceparent, flags too short', headers: ['traceparent', `00-${T}-${S}-1`], want: fresh },
  { name: 'traceparent, flags too long', headers: ['traceparent', `00-${T}-${S}-001`], want: fresh },
  { name: 'traceparent, no flags', headers: ['traceparent', `00-${T}-${S}`], want: fresh },
  { name: 'traceparent, empty', headers: ['traceparent', ''], want: fresh },
  { name: 'traceparent, more in version 00', headers: ['traceparent', `${W3C}-x`], want: fresh },
  { name: 'traceparent, dash at the end in version 00', headers: ['traceparent', `${W3C}-`], want: fresh },
  { name: 'traceparent, version ff', headers: ['traceparent', `ff-${T}-${S}-01`], want: fresh },
  { name: 'traceparent, version of one digit', headers: ['traceparent', `0-${T}-${S}-01`], want: fresh },
  { name: 'traceparent, upper-case version', headers: ['traceparent', `0A-${T}-${S}-01`], want: fresh },
  { name: 'traceparent, twice', headers: ['traceparent', W3C, 'traceparent', W3C], want: fresh },
  { name: 'traceparent, twice in two cases', headers: ['traceparent', W3C, 'Traceparent', W3C], want: fresh },
  { name: 'traceparent, two in a list', headers: ['traceparent', `${W3C},${W3C}`], want: fresh },
  // §4.3, versions to come
  { name: 'future version', headers: ['traceparent', `01-${T}-${S}-01`], want: w3c },
  { name: 'future version with more', headers: ['traceparent', `cc-${T}-${S}-01-what-will-be`], want: w3c },
  { name: 'future version, dash at the end', headers: ['traceparent', `cc-${T}-${S}-01-`], want: w3c },
  {
    name: 'future version, more without dash',
    headers: ['traceparent', `cc-${T}-${S}-01.what`],
    want: fresh,
  },
  {
    name: 'future version, zero trace id',
    headers: ['traceparent', `cc-${chars(32, '0')}-${S}-01`],
    want: fresh,
  },
  {
    name: 'future version, state kept',
    headers: ['traceparent', `01-${T}-${S}-01`, 'tracestate', 'a=1'],
    want: { ...w3c, state: 'a=1' },
  },

  // W3C Trace Context §3.3
  { name: 'tracestate', ...state('congo=t61rcWkgMzE') },
  { name: 'tracestate, several members', ...state('rojo=00f067aa0ba902b7,congo=t61rcWkgMzE') },
  {
    name: 'tracestate, several lines',
    headers: ['traceparent', W3C, 'tracestate', 'a=1', 'x', 'y', 'TraceState', 'b=2'],
    want: { ...w3c, state: 'a=1,b=2' },
  },
  { name: 'tracestate, spaces and empty members', ...state('a=1 , ,\tb=2,') },
  { name: 'tracestate, empty', ...state('', undefined), want: w3c },
  { name: 'tracestate, commas only', headers: ['traceparent', W3C, 'tracestate', ' ,,'], want: w3c },
  { name: 'tracestate, 32 members', ...state(members(32)) },
  { name: 'tracestate, 33 members', headers: ['traceparent', W3C, 'tracestate', members(33)], want: w3c },
  {
    name: 'tracestate, more than 512 characters',
    ...state(`a=${chars(250)},b=${chars(250)},c=${chars(250)}`),
  },
  {
    name: 'tracestate, oversize',
    headers: ['traceparent', W3C, 'tracestate', `${'a=1,'.repeat(2048)}b=2`],
    want: w3c,
  },
  { name: 'tracestate, key of 256', ...state(`${chars(256)}=1`) },
  {
    name: 'tracestate, key of 257',
    headers: ['traceparent', W3C, 'tracestate', `${chars(257)}=1`],
    want: w3c,
  },
  { name: 'tracestate, tenant and system', ...state(`0${chars(240)}@s${chars(13)}=1`) },
  {
    name: 'tracestate, system of 15',
    headers: ['traceparent', W3C, 'tracestate', `t@${chars(15)}=1`],
    want: w3c,
  },
  { name: 'tracestate, key with all characters', ...state('a0_-*/=1') },
  { name: 'tracestate, upper-case key', headers: ['traceparent', W3C, 'tracestate', 'FOO=1'], want: w3c },
  {
    name: 'tracestate, key begins with a digit',
    headers: ['traceparent', W3C, 'tracestate', '0a=1'],
    want: w3c,
  },
  { name: 'tracestate, @ without system', headers: ['traceparent', W3C, 'tracestate', 'foo@=1'], want: w3c },
  {
    name: 'tracestate, one bad member spoils all',
    headers: ['traceparent', W3C, 'tracestate', 'a=1,b'],
    want: w3c,
  },
  { name: 'tracestate, value of 256', ...state(`a=${chars(256, '!')}`) },
  {
    name: 'tracestate, value of 257',
    headers: ['traceparent', W3C, 'tracestate', `a=${chars(257)}`],
    want: w3c,
  },
  { name: 'tracestate, blank within value', ...state('a=x y') },
  { name: 'tracestate, = in value', headers: ['traceparent', W3C, 'tracestate', 'a=b=c'], want: w3c },
  { name: 'tracestate, empty value', headers: ['traceparent', W3C, 'tracestate', 'a='], want: w3c },
  {
    name: 'tracestate, control character',
    headers: ['traceparent', W3C, 'tracestate', 'a=\x01b'],
    want: w3c,
  },
  { name: 'tracestate, beyond ASCII', headers: ['traceparent', W3C, 'tracestate', 'a=é1'], want: w3c },
  { name: 'tracestate without traceparent', headers: ['tracestate', 'a=1'], want: fresh },
  {
    name: 'tracestate of an invalid traceparent',
    headers: ['traceparent', 'x', 'tracestate', 'a=1'],
    want: fresh,
  },

  // Jaeger
  { name: 'uber-trace-id', headers: ['uber-trace-id', `${T}:${S}:${P}:1`], want: w3c },
  { name: 'uber-trace-id, name in any case', headers: ['Uber-Trace-Id', `${T}:${S}:0:1`], want: w3c },
  { name: 'uber-trace-id, percent-encoded', headers: ['uber-trace-id', `${T}%3A${S}%3a0%3A1`], want: w3c },
  {
    name: 'uber-trace-id, 64 bits',
    headers: ['uber-trace-id', `${T64}:${S}:0:1`],
    want: { ...w3c, trace: PAD + T64 },
  },
  {
    name: 'uber-trace-id, short ids',
    headers: ['uber-trace-id', 'abc:1:0:1'],
    want: { trace: 'abc'.padStart(32, '0'), parent: '1'.padStart(16, '0'), sampled: true },
  },
  {
    name: 'uber-trace-id, upper-case',
    headers: ['uber-trace-id', `${T.toUpperCase()}:${S.toUpperCase()}:0:1`],
    want: w3c,
  },
  {
    name: 'uber-trace-id, not sampled',
    headers: ['uber-trace-id', `${T}:${S}:0:0`],
    want: { ...w3c, sampled: false },
  },
  { name: 'uber-trace-id, debug', headers: ['uber-trace-id', `${T}:${S}:0:3`], want: w3c },
  { name: 'uber-trace-id, debug alone', headers: ['uber-trace-id', `${T}:${S}:0:2`], want: w3c },
  {
    name: 'uber-trace-id, firehose alone',
    headers: ['uber-trace-id', `${T}:${S}:0:8`],
    want: { ...w3c, sampled: false },
  },
  { name: 'uber-trace-id, flags of two digits', headers: ['uber-trace-id', `${T}:${S}:0:01`], want: w3c },
  {
    name: 'uber-trace-id, flags of three digits',
    headers: ['uber-trace-id', `${T}:${S}:0:001`],
    want: fresh,
  },
  { name: 'uber-trace-id, no flags', headers: ['uber-trace-id', `${T}:${S}:0:`], want: fresh },
  { name: 'uber-trace-id, empty parent', headers: ['uber-trace-id', `${T}:${S}::1`], want: w3c },
  { name: 'uber-trace-id, zero trace id', headers: ['uber-trace-id', `0:${S}:0:1`], want: fresh },
  { name: 'uber-trace-id, zero span id', headers: ['uber-trace-id', `${T}:0000:0:1`], want: fresh },
  { name: 'uber-trace-id, trace id too long', headers: ['uber-trace-id', `${T}0:${S}:0:1`], want: fresh },
  { name: 'uber-trace-id, span id too long', headers: ['uber-trace-id', `${T}:${S}0:0:1`], want: fresh },
  { name: 'uber-trace-id, three parts', headers: ['uber-trace-id', `${T}:${S}:1`], want: fresh },
  { name: 'uber-trace-id, five parts', headers: ['uber-trace-id', `${T}:${S}:0:1:1`], want: fresh },
  { name: 'uber-trace-id, no hex', headers: ['uber-trace-id', `${T}:xyz:0:1`], want: fresh },
  {
    name: 'uber-trace-id, oversize',
    headers: ['uber-trace-id', `${T}:${S}:0:1${chars(5000, ' ')}`],
    want: fresh,
  },
  {
    name: 'uber-trace-id, twice: the first',
    headers: ['uber-trace-id', `${T}:${S}:0:1`, 'uber-trace-id', `${T}:1:0:0`],
    want: w3c,
  },

  // B3, single header
  { name: 'b3', headers: ['b3', `${T}-${S}-1-${P}`], want: w3c },
  { name: 'b3, name in any case', headers: ['B3', `${T}-${S}-1`], want: w3c },
  { name: 'b3, 64 bits', headers: ['b3', `${T64}-${S}-1`], want: { ...w3c, trace: PAD + T64 } },
  { name: 'b3, denied', headers: ['b3', `${T}-${S}-0`], want: { ...w3c, sampled: false } },
  { name: 'b3, debug', headers: ['b3', `${T}-${S}-d`], want: w3c },
  { name: 'b3, deferred', headers: ['b3', `${T}-${S}`], want: { trace: T, parent: S } },
  { name: 'b3, deny alone', headers: ['b3', '0'], want: { sampled: false } },
  { name: 'b3, accept alone', headers: ['b3', '1'], want: { sampled: true } },
  { name: 'b3, debug alone', headers: ['b3', 'd'], want: { sampled: true } },
  { name: 'b3, unknown state', headers: ['b3', `${T}-${S}-2`], want: fresh },
  { name: 'b3, unknown state alone', headers: ['b3', 'x'], want: fresh },
  { name: 'b3, upper-case', headers: ['b3', `${T.toUpperCase()}-${S}-1`], want: fresh },
  { name: 'b3, zero trace id', headers: ['b3', `${chars(32, '0')}-${S}-1`], want: fresh },
  { name: 'b3, zero 64-bit trace id', headers: ['b3', `${PAD}-${S}-1`], want: fresh },
  { name: 'b3, zero span id', headers: ['b3', `${T}-${PAD}-1`], want: fresh },
  { name: 'b3, trace id of 24 digits', headers: ['b3', `${T.slice(8)}-${S}-1`], want: fresh },
  { name: 'b3, bad parent', headers: ['b3', `${T}-${S}-1-x`], want: fresh },
  { name: 'b3, oversize', headers: ['b3', `${T}-${S}-1-${chars(5000)}`], want: fresh },

  // B3, multiple headers
  {
    name: 'x-b3',
    headers: ['X-B3-TraceId', T, 'X-B3-SpanId', S, 'X-B3-ParentSpanId', P, 'X-B3-Sampled', '1'],
    want: w3c,
  },
  {
    name: 'x-b3, 64 bits',
    headers: ['x-b3-traceid', T64, 'x-b3-spanid', S, 'x-b3-sampled', '1'],
    want: { ...w3c, trace: PAD + T64 },
  },
  {
    name: 'x-b3, denied',
    headers: ['x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-sampled', '0'],
    want: { ...w3c, sampled: false },
  },
  {
    name: 'x-b3, denied in a word',
    headers: ['x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-sampled', 'false'],
    want: { ...w3c, sampled: false },
  },
  {
    name: 'x-b3, accepted in a word',
    headers: ['x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-sampled', 'true'],
    want: w3c,
  },
  { name: 'x-b3, debug', headers: ['x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-flags', '1'], want: w3c },
  {
    name: 'x-b3, debug beats denied',
    headers: ['x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-sampled', '0', 'x-b3-flags', '1'],
    want: w3c,
  },
  {
    name: 'x-b3, deferred',
    headers: ['x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-flags', '0'],
    want: { trace: T, parent: S },
  },
  { name: 'x-b3, decision alone', headers: ['x-b3-sampled', '0'], want: { sampled: false } },
  { name: 'x-b3, no span id', headers: ['x-b3-traceid', T], want: fresh },
  { name: 'x-b3, no trace id', headers: ['x-b3-spanid', S], want: fresh },
  { name: 'x-b3, upper-case', headers: ['x-b3-traceid', T.toUpperCase(), 'x-b3-spanid', S], want: fresh },
  { name: 'x-b3, zero span id', headers: ['x-b3-traceid', T, 'x-b3-spanid', PAD], want: fresh },
  {
    name: 'b3 before x-b3',
    headers: ['x-b3-traceid', P + P, 'x-b3-spanid', P, 'x-b3-sampled', '0', 'b3', `${T}-${S}-1`],
    want: w3c,
  },
  {
    name: 'x-b3 behind an invalid b3',
    headers: ['b3', 'junk', 'x-b3-traceid', T, 'x-b3-spanid', S, 'x-b3-sampled', '1'],
    want: w3c,
  },

  // Several families
  {
    name: 'w3c before the others',
    headers: ['b3', `${P}${P}-${P}-0`, 'uber-trace-id', `${P}:${P}:0:0`, 'traceparent', W3C],
    want: w3c,
  },
  {
    name: 'jaeger before b3',
    headers: ['b3', `${P}${P}-${P}-0`, 'uber-trace-id', `${T}:${S}:0:1`],
    want: w3c,
  },
  {
    name: 'jaeger behind an invalid traceparent',
    headers: ['traceparent', 'junk', 'tracestate', 'a=1', 'uber-trace-id', `${T}:${S}:0:1`],
    want: w3c,
  },
  {
    name: 'b3 behind two invalid ones',
    headers: ['traceparent', W3C, 'traceparent', W3C, 'uber-trace-id', 'junk', 'b3', `${T}-${S}-1`],
    want: w3c,
  },
  {
    name: 'an invalid one takes no decision',
    headers: ['traceparent', `00-${chars(32, '0')}-${S}-00`],
    want: fresh,
  },
]

for (const { name, headers, want } of rows) {
  test(`reads ${name}`, () => {
    const yes = continueTrace(headers, { sample: 1 })
    const no = continueTrace(headers, { sample: 0 })
    for (const facts of [yes, no]) {
      assert.match(facts.traceId, /^[\da-f]{32}$/)
      assert.match(facts.spanId, /^[\da-f]{16}$/)
      assert.match(facts.upstreamSpanId, /^[\da-f]{16}$/)
      assert.notEqual(facts.spanId, facts.upstreamSpanId)
      assert.equal(facts.parentSpanId, want.parent)
      assert.equal(facts.traceState, want.state)
      if (want.trace !== undefined) assert.equal(facts.traceId, want.trace)
      else assert.ok(!headers.some((value) => value.includes(facts.traceId)))
    }
    assert.deepEqual([yes.sampled, no.sampled], [want.sampled ?? true, want.sampled ?? false])
  })
}

test('baggage lines are kept as they came, whatever the family of the ids', () => {
  const baggage = ['uberctx-user', 'a b', 'UberCtx-Tier', 'gold']
  assert.deepEqual(
    continueTrace(['uber-trace-id', `${T}:${S}:0:1`, ...baggage], { sample: 1 }).baggage,
    baggage,
  )
  assert.deepEqual(continueTrace(['traceparent', W3C, ...baggage], { sample: 1 }).baggage, baggage)
  assert.equal(continueTrace(['traceparent', W3C], { sample: 1 }).baggage, undefined)
})

test('new traces are sampled by their id, in the ratio asked for', () => {
  let hits = 0
  for (let i = 0; i < 20_000; i++) if (continueTrace([], { sample: 0.25 }).sampled) hits++
  // 25 % ± 7 standard deviations
  assert.ok(hits > 4570 && hits < 5430, `${hits} of 20000`)
  const same: RandomHex = (digits) => (digits === 32 ? T : S)
  const decisions = Array.from({ length: 5 }, () => continueTrace([], { sample: 0.5, random: same }).sampled)
  assert.equal(new Set(decisions).size, 1)
})

test('random ids are never all zero and do not repeat', () => {
  const seen = new Set(Array.from({ length: 5000 }, (_, i) => randomHex(i % 2 === 0 ? 16 : 32)))
  assert.equal(seen.size, 5000)
  assert.ok(![...seen].some((id) => /^0+$/.test(id)))
})

const facts: TraceFacts = {
  traceId: T,
  spanId: S,
  upstreamSpanId: P,
  parentSpanId: 'b7ad6b7169203331',
  sampled: true,
}

test('a child stays in the trace, below the span of its parent', () => {
  const child = childTrace({ ...facts, traceState: 'a=1', sampled: false })
  assert.equal(child.traceId, T)
  assert.equal(child.parentSpanId, S)
  assert.equal(child.traceState, 'a=1')
  assert.equal(child.sampled, false)
  assert.equal(new Set([child.spanId, child.upstreamSpanId, S, P]).size, 4)
})

const written: ReadonlyArray<{
  name: string
  facts?: Partial<TraceFacts>
  formats: TraceFormat[]
  want: Fields
}> = [
  { name: 'w3c', formats: ['w3c'], want: ['traceparent', `00-${T}-${P}-01`] },
  {
    name: 'w3c, not sampled',
    facts: { sampled: false },
    formats: ['w3c'],
    want: ['traceparent', `00-${T}-${P}-00`],
  },
  {
    name: 'w3c with state',
    facts: { traceState: 'a=1' },
    formats: ['w3c'],
    want: ['traceparent', `00-${T}-${P}-01`, 'tracestate', 'a=1'],
  },
  { name: 'jaeger', formats: ['jaeger'], want: ['uber-trace-id', `${T}:${P}:${S}:1`] },
  {
    name: 'jaeger, not sampled, no state',
    facts: { sampled: false, traceState: 'a=1' },
    formats: ['jaeger'],
    want: ['uber-trace-id', `${T}:${P}:${S}:0`],
  },
  {
    name: 'jaeger with baggage',
    facts: { baggage: ['uberctx-a', '1'] },
    formats: ['jaeger'],
    want: ['uber-trace-id', `${T}:${P}:${S}:1`, 'uberctx-a', '1'],
  },
  { name: 'b3', formats: ['b3'], want: ['b3', `${T}-${P}-1-${S}`] },
  { name: 'b3, not sampled', facts: { sampled: false }, formats: ['b3'], want: ['b3', `${T}-${P}-0-${S}`] },
  {
    name: 'b3 over several fields',
    formats: ['b3multi'],
    want: ['X-B3-TraceId', T, 'X-B3-SpanId', P, 'X-B3-ParentSpanId', S, 'X-B3-Sampled', '1'],
  },
  {
    name: 'b3 over several fields, not sampled',
    facts: { sampled: false },
    formats: ['b3multi'],
    want: ['X-B3-TraceId', T, 'X-B3-SpanId', P, 'X-B3-ParentSpanId', S, 'X-B3-Sampled', '0'],
  },
  {
    name: 'all',
    formats: ['w3c', 'jaeger', 'b3'],
    want: ['traceparent', `00-${T}-${P}-01`, 'uber-trace-id', `${T}:${P}:${S}:1`, 'b3', `${T}-${P}-1-${S}`],
  },
]

for (const { name, facts: change, formats, want } of written) {
  test(`writes ${name}, which reads back as our client span`, () => {
    const sent = { ...facts, ...change }
    const fields = traceFields(sent, formats)
    assert.deepEqual(fields, want)
    const read = continueTrace(fields, { sample: 0.5 })
    assert.deepEqual([read.traceId, read.parentSpanId, read.sampled], [T, P, sent.sampled])
  })
}

const request = (headers: Fields, trace: TraceFacts | undefined): ProxyRequest => {
  const exchange = new Exchange({
    id: 1,
    cause: 'client',
    method: 'GET',
    url: '/',
    host: 'a',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: 0,
    requestHeaders: headers,
  })
  exchange.trace = trace
  return { method: 'GET', url: '/', headers, body: undefined, cancel: new Cancel(), exchange }
}

const passedOn = async (req: ProxyRequest, formats: TraceFormat[]): Promise<ProxyRequest> => {
  let seen: ProxyRequest | undefined
  await propagate(formats)(async (given) => {
    seen = given
    return { status: 204, headers: [], body: Buffer.alloc(0) }
  })(req)
  return seen!
}

test('the stage writes ours instead of all foreign families and leaves the rest as it is', async () => {
  const foreign = [
    'Host',
    'a',
    'Traceparent',
    W3C,
    'tracestate',
    'x=1',
    'Uber-Trace-Id',
    'u',
    'b3',
    '1',
    'X-B3-TraceId',
    T,
    'X-B3-SpanId',
    S,
    'x-b3-parentspanid',
    P,
    'X-B3-Sampled',
    '1',
    'x-b3-flags',
    '0',
    'uberctx-a',
    '1',
    'Accept',
    '*/*',
  ]
  const req = request(foreign, facts)
  const seen = await passedOn(req, ['w3c'])
  assert.deepEqual(seen.headers, [
    'Host',
    'a',
    'uberctx-a',
    '1',
    'Accept',
    '*/*',
    'traceparent',
    `00-${T}-${P}-01`,
  ])
  assert.equal(seen.exchange, req.exchange)
  assert.equal(seen.cancel, req.cancel)
  assert.deepEqual(req.headers, foreign)
})

test('the stage writes baggage once', async () => {
  const headers = ['UberCtx-A', '1', 'uberctx-a', '2', 'x', 'y']
  const trace = continueTrace(headers, { sample: 1 })
  const seen = await passedOn(request(headers, trace), ['jaeger'])
  assert.deepEqual(seen.headers.slice(0, 2), ['x', 'y'])
  assert.deepEqual(seen.headers.slice(4), ['UberCtx-A', '1', 'uberctx-a', '2'])
  assert.ok(replacedFields(trace, ['jaeger']).has('uberctx-a'))
  assert.ok(!replacedFields(trace, ['w3c']).has('uberctx-a'))
})

test('the stage passes a request without trace untouched', async () => {
  const req = request(['traceparent', W3C], undefined)
  assert.equal(await passedOn(req, ['w3c', 'jaeger', 'b3']), req)
})
