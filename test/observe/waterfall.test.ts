import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DrawnSpan, waterfall } from '../../src/observe/waterfall.ts'

const AT = 1_700_000_000_000

/** A span from one time to another, in ms from the start. */
const span = (
  spanId: string,
  parentSpanId: string | undefined,
  name: string,
  [from, to]: [number, number],
  more: Partial<DrawnSpan> = {},
): DrawnSpan => ({
  spanId,
  parentSpanId,
  name,
  kind: 'internal',
  startMs: AT + from,
  endMs: AT + to,
  status: 'unset',
  events: [],
  ...more,
})
const event = (name: string, at: number) => ({ name, atMs: AT + at, attributes: {} })

const miss = [
  span('a', undefined, 'GET /api/echo', [0, 20], { kind: 'server' }),
  span('b', 'a', 'cache get', [0.5, 1]),
  span('c', 'a', 'GET', [1, 19], {
    kind: 'client',
    events: [event('request sent', 3), event('response head', 18)],
  }),
  span('d', 'a', 'cache set', [19, 19.75]),
]
const backend = [
  span('e', 'c', 'GET /echo', [4, 17], { kind: 'server', service: 'shop' }),
  span('f', 'e', 'SELECT', [6, 12], { kind: 'client', service: 'shop', status: 'error' }),
  span('g', 'e', 'redis', [6, 9], { kind: 'client', service: 'shop' }),
]

const table: Array<{ name: string; spans: DrawnSpan[]; width: number; want: string[] }> = [
  {
    name: 'a miss, with the phases of its request to the upstream',
    spans: miss,
    width: 60,
    want: [
      'GET /api/echo █───────────────────────────────────█▉  20.0ms',
      '├ cache get    █                                       0.5ms',
      '├ GET           ──────────────────────────────────    18.0ms',
      '│ ├ connect     ███▊                                   2.0ms',
      '│ ├ wait            ████████████████████████████▌     15.0ms',
      '│ └ download                                    █▉     1.0ms',
      '└ cache set                                       ─╴   0.8ms',
    ],
  },
  {
    name: 'the upstream’s own spans below ours, in place of the phases; solid is what the total is made of',
    spans: [...miss, ...backend],
    width: 60,
    want: [
      'GET /api/echo       ▊─────────────────────────────█▋  20.0ms',
      '├ cache get          ▊                                 0.5ms',
      '├ GET                 ████▊────────────────────███▎   18.0ms',
      '│ └ shop: GET /echo       ███▎─────────████████       13.0ms',
      '│   ├ shop: SELECT            █████████▋               6.0ms',
      '│   └ shop: redis             ─────                    3.0ms',
      '└ cache set                                       ─    0.8ms',
    ],
  },
  {
    name: 'no bars where there is no room for them',
    spans: miss,
    width: 24,
    want: [
      'GET /api/echo 20.0ms',
      '├ cache get    0.5ms',
      '├ GET         18.0ms',
      '│ ├ connect    2.0ms',
      '│ ├ wait      15.0ms',
      '│ └ download   1.0ms',
      '└ cache set    0.8ms',
    ],
  },
  {
    name: 'a long name is cut, a control character written out',
    spans: [span('a', undefined, `GET /\x1b[2J${'x'.repeat(100)}`, [0, 1])],
    width: 40,
    want: ['GET /\\x1b[2Jxxxxx… █████████████   1.0ms'],
  },
  {
    name: 'a name of wide characters takes two columns for each',
    spans: [
      span('a', undefined, 'GET /', [0, 10]),
      span('b', 'a', '日本', [0, 10], { service: '店' }),
      span('c', 'a', '日本語の名前がとても長い👧', [0, 10], { service: '店' }),
    ],
    width: 40,
    want: [
      'GET /              ─────────────  10.0ms',
      '├ 店: 日本         █████████████  10.0ms',
      '└ 店: 日本語の名…  ─────────────  10.0ms',
    ],
  },
  {
    name: 'what took no time is still there',
    spans: [span('a', undefined, 'GET /', [0, 0])],
    width: 30,
    want: ['GET / ▏                  0.0ms'],
  },
  {
    name: 'a span whose parent is missing stands by itself, before or after ours',
    spans: [span('a', undefined, 'GET /', [0, 10]), span('z', 'gone', 'late', [5, 15], { service: 'shop' })],
    width: 50,
    want: [
      'GET /      ████████████████████▋            10.0ms',
      'shop: late           ────────────────────╴  10.0ms',
    ],
  },
  {
    name: 'spans that are each other’s parents do not hang the drawing',
    spans: [
      span('a', 'b', 'one', [0, 1]),
      span('b', 'a', 'two', [0, 1]),
      span('c', undefined, 'top', [0, 1]),
    ],
    width: 30,
    want: ['top ██████████████████   1.0ms'],
  },
  { name: 'nothing of nothing', spans: [], width: 80, want: [] },
]
for (const { name, spans, width, want } of table) {
  test(name, () => {
    const lines = waterfall(spans, { width, color: 0 }).split('\n')
    assert.equal(lines.pop(), '')
    assert.deepEqual(lines, want)
    for (const line of lines) assert.ok(line.length <= width, `${line.length} > ${width}`)
  })
}

test('no line is wider than the window, whatever is drawn in it', () => {
  for (let width = 20; width < 200; width += 7) {
    for (const line of waterfall([...miss, ...backend], { width, color: 0 }).split('\n'))
      assert.ok(line.length <= width, `${width}: ${line}`)
  }
})

test('more spans than a window has lines are counted', () => {
  const many = Array.from({ length: 200 }, (_, i) => span(`s${i}`, 'a', `part ${i}`, [i, i + 1]))
  const lines = waterfall([span('a', undefined, 'GET /', [0, 200]), ...many], { width: 80, color: 0 })
    .trimEnd()
    .split('\n')
  assert.equal(lines.length, 61)
  assert.equal(lines.at(-1), '… 141 more spans')
})

test('colours go by meaning and leave the text as it is', () => {
  const drawn = waterfall([...miss, ...backend], { width: 60, color: 1 })
  assert.match(drawn, /\x1b\[31m +█+[▏▎▍▌▋▊▉]? +\x1b\[39m/, 'a failed span is red')
  assert.match(drawn, /\x1b\[90m─+╴?\x1b\[39m/, 'a line is quiet')
  assert.equal(drawn.replace(/\x1b\[\d+m/g, ''), waterfall([...miss, ...backend], { width: 60, color: 0 }))
})
