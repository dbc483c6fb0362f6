import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readServerTiming } from '../../src/http/server-timing.ts'

const table: Array<
  [value: string, want: Array<[name: string, ms: number | undefined, text: string | undefined]>]
> = [
  [
    'miss, db;dur=53, app;dur=47.2',
    [
      ['miss', undefined, undefined],
      ['db', 53, undefined],
      ['app', 47.2, undefined],
    ],
  ],
  ['cache;desc="Cache Read";dur=23.2', [['cache', 23.2, 'Cache Read']]],
  ['db ; dur = 5 ; desc = quick', [['db', 5, 'quick']]],
  [
    'a;desc="x, \\"y\\";z";dur=1,b',
    [
      ['a', 1, 'x, "y";z'],
      ['b', undefined, undefined],
    ],
  ],
  ['a;dur=1;dur=2', [['a', 1, undefined]]],
  [
    'a;dur=-1, b;dur=x, c;dur=1e3',
    [
      ['a', undefined, undefined],
      ['b', undefined, undefined],
      ['c', undefined, undefined],
    ],
  ],
  ['a;DUR=3;other=9', [['a', 3, undefined]]],
  ['a;dur="4.5"', [['a', 4.5, undefined]]],
  ['a, @, b', [['a', undefined, undefined]]],
  ['', []],
  ['x'.repeat(5000), []],
]
for (const [value, want] of table) {
  test(`Server-Timing: ${value.slice(0, 60)}`, () => {
    assert.deepEqual(
      readServerTiming(value).map(({ name, durationMs, description }) => [name, durationMs, description]),
      want,
    )
  })
}

test('no more metrics than anybody needs, in time that grows with the length alone', () => {
  assert.equal(readServerTiming(Array.from({ length: 500 }, (_, i) => `m${i}`).join()).length, 32)
  const startedAt = performance.now()
  readServerTiming(`a${';x="'.repeat(1000)}`)
  readServerTiming(`a${';"'.repeat(2000)}`)
  readServerTiming(`a${' ;'.repeat(2000)}`)
  assert.ok(performance.now() - startedAt < 1000)
})
