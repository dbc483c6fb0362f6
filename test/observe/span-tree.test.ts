import assert from 'node:assert/strict'
import { test } from 'node:test'
import { criticalPath, type DrawnSpan, type Part, spanTree } from '../../src/observe/span-tree.ts'
import { madeOf } from '../../src/observe/waterfall.ts'

const span = (
  spanId: string,
  parentSpanId: string | undefined,
  startMs: number,
  endMs: number,
  more: Partial<DrawnSpan> = {},
): DrawnSpan => ({
  spanId,
  parentSpanId,
  name: spanId,
  kind: 'internal',
  startMs,
  endMs,
  status: 'unset',
  events: [],
  ...more,
})

/** When each part held the whole up, as `name from-to`. */
const pathOf = (spans: DrawnSpan[]): string[] => {
  const [root] = spanTree(spans, 1000)
  return [...criticalPath(root!)]
    .flatMap(([{ name }, stretches]) => stretches.map(([from, to]) => ({ name, from, to })))
    .sort((a, b) => a.from - b.from)
    .map(({ name, from, to }) => `${name} ${from}-${to}`)
}

const table: Array<{ name: string; spans: DrawnSpan[]; want: string[] }> = [
  { name: 'a span alone is its own time', spans: [span('a', undefined, 0, 10)], want: ['a 0-10'] },
  {
    name: 'parts one after the other, and what lies between them',
    spans: [span('a', undefined, 0, 10), span('b', 'a', 1, 4), span('c', 'a', 5, 9)],
    want: ['a 0-1', 'b 1-4', 'a 4-5', 'c 5-9', 'a 9-10'],
  },
  {
    name: 'of parts side by side the one that ends last',
    spans: [span('a', undefined, 0, 10), span('b', 'a', 1, 8), span('c', 'a', 2, 9)],
    want: ['a 0-1', 'b 1-2', 'c 2-9', 'a 9-10'],
  },
  {
    name: 'of two that end together the longer one',
    spans: [span('a', undefined, 0, 10), span('b', 'a', 3, 9), span('c', 'a', 1, 9)],
    want: ['a 0-1', 'c 1-9', 'a 9-10'],
  },
  {
    name: 'a part of another clock counts within its parent',
    spans: [
      span('a', undefined, 0, 10),
      span('b', 'a', 2, 8),
      span('c', 'b', -5, 7, { service: 's' }),
      span('d', 'b', 7.5, 99, { service: 's' }),
    ],
    want: ['a 0-2', 's: c 2-7', 'b 7-7.5', 's: d 7.5-8', 'a 8-10'],
  },
  {
    name: 'nobody waits for a refresh or for what is stored, but another program’s may be called so',
    spans: [
      span('a', undefined, 0, 10),
      span('b', 'a', 1, 99, { name: 'refresh GET /' }),
      span('c', 'a', 2, 9, { name: 'cache set' }),
      span('d', 'a', 8, 9, { name: 'cache set', service: 's' }),
    ],
    want: ['a 0-8', 's: cache set 8-9', 'a 9-10'],
  },
  {
    name: 'the phases of a request to the upstream',
    spans: [
      span('a', undefined, 0, 10),
      span('b', 'a', 1, 9, {
        kind: 'client',
        events: [
          { name: 'request sent', atMs: 2, attributes: {} },
          { name: 'response head', atMs: 8, attributes: {} },
        ],
      }),
    ],
    want: ['a 0-1', 'connect 1-2', 'wait 2-8', 'download 8-9', 'a 9-10'],
  },
  {
    name: 'parts of no time hold nothing up, and do not hang the walk',
    spans: [span('a', undefined, 0, 10), span('b', 'a', 5, 5), span('c', 'a', 5, 5), span('d', 'a', 10, 10)],
    want: ['a 0-5', 'a 5-10'],
  },
]
for (const { name, spans, want } of table) test(name, () => assert.deepEqual(pathOf(spans), want))

test('whatever the spans, each moment of the first one belongs to exactly one part', () => {
  let seed = 1
  const random = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  for (let round = 0; round < 300; round++) {
    const spans = [span('s0', undefined, 0, 100)]
    for (let i = 1; i < 2 + random(30); i++) {
      const from = random(120) - 10
      spans.push(span(`s${i}`, `s${random(i)}`, from, from + random(40) - 2, { service: 's' }))
    }
    const [root] = spanTree(spans, 1000)
    const stretches = [...criticalPath(root as Part).values()].flat().sort(([a], [b]) => a - b)
    let at = 0
    for (const [from, to] of stretches) {
      assert.equal(from, at, 'neither gap nor overlap')
      assert.ok(to > from)
      at = to
    }
    assert.equal(at, 100)
  }
})

test('what the total is made of is told longest first, control characters written out', () => {
  const spans = [
    span('a', undefined, 0, 100),
    span('b', 'a', 10, 80, { name: 'x\x1b[2J' }),
    span('c', 'a', 80, 80.2, { name: 'too short to tell' }),
  ]
  assert.equal(madeOf(spans), 'x\\x1b[2J 70.0ms (70%), revproxy 29.8ms (30%)')
  assert.equal(madeOf([span('a', undefined, 0, 100)]), '')
  assert.equal(madeOf([]), '')
})
