/** What one worker changes is told to those who may have something of it, from before they serve. */
import assert from 'node:assert/strict'
import { Duplex, PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type Attended, attend, type Hub } from '../../src/cluster/attendance.ts'
import { LeaseBook } from '../../src/cluster/leases.ts'
import { Link } from '../../src/cluster/link.ts'
import { systemClock } from '../../src/core/clock.ts'
import { until } from './support.ts'

const noFault = (error: unknown): void => assert.fail(String(error))

const startAttending = (): { attended: Attended; worker: Link } => {
  const [there, back] = [new PassThrough(), new PassThrough()]
  const hub = { leases: new LeaseBook(), observers: [], clock: systemClock(), notices: {} } as unknown as Hub
  const attended = attend(new Link(Duplex.from({ writable: back, readable: there }), noFault), 1, hub)
  return { attended, worker: new Link(Duplex.from({ writable: there, readable: back }), noFault) }
}

test('a worker is told of changes as soon as it says that it may have something, though it does not serve yet', async () => {
  const { attended, worker } = startAttending()
  assert.equal(attended.mayHold(), false)
  worker.tell('holds')
  await until('it was heard', () => attended.mayHold())
})
