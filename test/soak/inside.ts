/** Loaded into the proxy's process (`--import`): tells its parent what the process holds, whenever it asks. */

/** What the proxy's process holds at a moment. */
export interface Held {
  readonly rssBytes: number
  readonly heapBytes: number
  /** Open handles and timers by kind, as node names them. */
  readonly resources: Record<string, number>
  /** Listeners on `process`. */
  readonly listeners: number
  /** Warnings of node so far, such as of too many listeners. */
  readonly warnings: readonly string[]
}

const warnings: string[] = []
process.on('warning', ({ name, message }) => warnings.push(`${name}: ${message}`))

process.on('message', () => {
  // Twice: what the first finds dead is let go of by the second.
  globalThis.gc?.()
  globalThis.gc?.()
  const resources: Record<string, number> = {}
  for (const kind of process.getActiveResourcesInfo()) resources[kind] = (resources[kind] ?? 0) + 1
  const { rss, heapUsed } = process.memoryUsage()
  const held: Held = {
    rssBytes: rss,
    heapBytes: heapUsed,
    resources,
    listeners: process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0),
    warnings,
  }
  process.send?.(held)
})
process.channel?.unref()
