/** Loaded into the proxy by `--import`: tells, when it is asked, how long the event loop stood at the longest, ms. */
import { monitorEventLoopDelay } from 'node:perf_hooks'

/** It looks that often; what it sees is later than that by as much as the loop stood. */
const RESOLUTION_MS = 1

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
delay.enable()
process.on('message', () => {
  process.send?.(delay.count === 0 ? 0 : Math.max(0, delay.max / 1e6 - RESOLUTION_MS))
  delay.reset()
})
process.channel?.unref()
