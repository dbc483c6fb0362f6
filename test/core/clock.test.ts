import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'

/** Both clocks of the system, moved by hand: the wall clock, and the ticks that only rise. */
const clocks = (t: TestContext) => {
  const at = { wall: 1_700_000_000_000, tick: 50 }
  t.mock.method(Date, 'now', () => at.wall)
  t.mock.method(performance, 'now', () => at.tick)
  const clock = systemClock()
  return {
    now: () => clock.now(),
    pass(ms: number) {
      at.wall += ms
      at.tick += ms
    },
    step(ms: number) {
      at.wall += ms
    },
  }
}

test('the clock begins at the time of day and counts ticks, with fractions', (t) => {
  const { now, pass } = clocks(t)
  assert.equal(now(), 1_700_000_000_000)
  pass(0.25)
  assert.equal(now(), 1_700_000_000_000.25)
})

test('what the wall clock does between two looks changes no duration, in either direction', (t) => {
  const { now, pass, step } = clocks(t)
  const from = now()
  step(-3_600_000)
  pass(10)
  assert.equal(now() - from, 10)
  step(2 * 3_600_000)
  pass(10)
  assert.equal(now() - from, 20)
})

test('a clock that was set is followed in the end, one that only drifts is not', (t) => {
  const { now, pass, step } = clocks(t)
  const from = now()
  step(900)
  pass(6000)
  assert.equal(now() - from, 6000)
  step(3_600_000)
  pass(6000)
  assert.equal(now() - from, 12_000 + 900 + 3_600_000)
})
