/** The JavaScript heap beside a large store. */
import { setFlagsFromString } from 'node:v8'

/** V8 may let a heap grow to four times what is alive before it collects; from here on to 1.6 times. */
const GROWTH_PERCENT = 60
let tight = false

/**
 * Lets V8 collect sooner, from now on. Measured on Node 20 with a million distinct URLs through a full store of 128 MB:
 * 409 MB resident without, 262 with; a miss costs 7 % more CPU then. Hits of a small store would too, so only a large one
 * asks for it.
 */
export const tightenHeap = (): void => {
  if (tight) return
  tight = true
  setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`)
}
