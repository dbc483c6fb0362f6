import assert from 'node:assert/strict'
import { test } from 'node:test'
import { quantiles } from '../../src/observe/quantiles.ts'

const exact: Array<{ values: number[]; q: number; want: number | undefined }> = [
  { values: [], q: 0.5, want: undefined },
  { values: [Number.NaN], q: 0.5, want: undefined },
  { values: [7], q: 0, want: 7 },
  { values: [7], q: 1, want: 7 },
  { values: [3, 1, 2], q: 0.5, want: 2 },
  { values: [4, 3, 1, 2], q: 0.5, want: 2 },
  { values: [4, 3, 1, 2], q: 0.51, want: 3 },
  { values: [4, 3, 1, 2], q: 0.99, want: 4 },
  { values: [-5, 1], q: 0.5, want: 0 },
  { values: [10, 9, 100, 20], q: 0.5, want: 10 },
]
for (const { values, q, want } of exact) {
  test(`quantile ${q} of [${values}] is ${want}`, () => {
    const of = quantiles()
    for (const value of values) of.add(value)
    assert.equal(of.quantile(q), want)
  })
}

test('asking between additions sees what came later', () => {
  const of = quantiles()
  of.add(5)
  assert.equal(of.quantile(1), 5)
  of.add(1)
  assert.equal(of.quantile(0.5), 1)
  of.add(9)
  assert.equal(of.quantile(1), 9)
  assert.equal(of.count(), 3)
  assert.equal(of.max(), 9)
})

/** Values that are the same at each run. */
const random = (seed: number) => () => {
  seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
  return seed / 2_147_483_648
}
const shapes: Record<string, (next: () => number) => number> = {
  'even from 0 to 1000': (next) => next() * 1000,
  exponential: (next) => -Math.log(1 - next()) * 20,
  'over nine orders of magnitude': (next) => 10 ** (next() * 9 - 3),
  'all the same': () => 42.42,
  'two peaks': (next) => (next() < 0.9 ? 0.3 : 250),
}
for (const [name, shape] of Object.entries(shapes)) {
  test(`beyond the bound quantiles are within 1 %: ${name}`, () => {
    const next = random(7)
    const bounded = quantiles({ exactUpTo: 100 })
    const all = quantiles()
    for (let i = 0; i < 50_000; i++) {
      const value = shape(next)
      bounded.add(value)
      all.add(value)
    }
    for (const q of [0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1]) {
      const want = all.quantile(q)!
      const error = Math.abs(bounded.quantile(q)! - want) / want
      assert.ok(error <= 0.0101, `q ${q}: ${bounded.quantile(q)} for ${want}`)
    }
    assert.equal(bounded.max(), all.max())
    assert.equal(bounded.count(), 50_000)
  })
}
test('values out of all bounds break nothing', () => {
  const of = quantiles({ exactUpTo: 0 })
  for (const value of [0, 1e-9, 1e300, Number.POSITIVE_INFINITY]) of.add(value)
  assert.equal(of.quantile(0), 0)
  assert.equal(of.quantile(1), Number.POSITIVE_INFINITY)
  assert.ok(of.quantile(0.5)! <= 0.001)
})
