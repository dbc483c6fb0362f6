/**
 * One clock for processes of one machine. What was asked for before an invalidation is told by comparing times of
 * different processes, so that the millisecond by which their own clocks differ would count.
 */
import { type Clock, systemClock } from '../core/clock.ts'

/** The monotonic clock that all processes of a machine share, ms. */
const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6

/** How many times two clocks are read: on a busy machine a process may be set aside between one and the other. */
const READINGS = 5

/** How far one clock is ahead of another, ms, by the reading that took least time. */
const ahead = (one: () => number, other: () => number): number => {
  let [lead, shortest] = [0, Number.POSITIVE_INFINITY]
  for (let i = 0; i < READINGS; i++) {
    const before = other()
    const now = one()
    const took = other() - before
    if (took >= shortest) continue
    shortest = took
    lead = now - (before + took / 2)
  }
  return lead
}

/** How far a clock is ahead of the machine's monotonic one, ms. */
export const leadOf = (clock: Clock): number => ahead(() => clock.now(), machineMs)

/** How far a clock may drift from the system's before it follows that instead. */
const DRIFT_MS = 1000
const CHECK_EVERY_MS = 5000

/** The clock of another process of this machine, by its lead; the system's once that was set. */
export const clockByLead = (lead: number): Clock => {
  const anchor = lead + ahead(machineMs, () => performance.now())
  const system = systemClock()
  let checkAt = performance.now() + CHECK_EVERY_MS
  let stepped = false
  return {
    now() {
      if (stepped) return system.now()
      const tick = performance.now()
      if (tick >= checkAt) {
        checkAt = tick + CHECK_EVERY_MS
        stepped = Math.abs(Date.now() - (anchor + tick)) > DRIFT_MS
      }
      return anchor + tick
    },
  }
}
