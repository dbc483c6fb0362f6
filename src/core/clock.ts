/** Where every time in the program comes from, so that tests can move it. */
export interface Clock {
  /** Milliseconds since the epoch, with fractions; never runs backwards while the system clock is steady. */
  now(): number
}

/** How far the wall clock may drift from the monotonic one before we follow it (a laptop woke up, NTP stepped). */
const DRIFT_MS = 1000
const CHECK_EVERY_MS = 5000

/** The real clock: monotonic with a wall-clock anchor, anchored anew when the system clock was stepped. */
export const systemClock = (): Clock => {
  let anchor = Date.now() - performance.now()
  let checkAt = performance.now() + CHECK_EVERY_MS
  return {
    now() {
      const tick = performance.now()
      if (tick >= checkAt) {
        checkAt = tick + CHECK_EVERY_MS
        const wall = Date.now()
        if (Math.abs(wall - (anchor + tick)) > DRIFT_MS) anchor = wall - tick
      }
      return anchor + tick
    },
  }
}
