import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clockByLead, leadOf } from '../../src/cluster/clock.ts'
import { systemClock } from '../../src/core/clock.ts'

test('a process that is set aside while it reads two clocks does not have the others run late', () => {
  const clock = systemClock()
  let readings = 0
  const lead = leadOf({
    now() {
      const now = clock.now()
      const until = performance.now() + (readings++ === 0 ? 30 : 0)
      while (performance.now() < until);
      return now
    },
  })
  const ms = clockByLead(lead).now() - clock.now()
  assert.ok(Math.abs(ms) < 10, `${ms} ms`)
})
