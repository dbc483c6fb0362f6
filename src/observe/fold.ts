/** Failures that repeat themselves, folded into one line and a count. */
import { INDENT } from './text-line.ts'
import type { EndedExchange } from './timing.ts'
import { failed } from './verdict.ts'

/** A failure that comes after so long a pause is told anew. */
const SAME_WITHIN_MS = 10_000
/** The count is told once nothing more came for that long … */
const QUIET_MS = 1000
/** … and at the latest after that. */
const TELL_EVERY_MS = 10_000

/** Writes lines, and what is folded of them. */
export interface Folding {
  write(over: EndedExchange, render: (over: EndedExchange) => string): void
  flush(): void
}

/**
 * Lets a failure pass as a line and counts those that follow it directly and are the same (request, status and error):
 * `… 12 more like it`.
 */
export const folding = ({ write, enabled }: { write: (text: string) => void; enabled: boolean }): Folding => {
  if (!enabled) return { write: (over, render) => write(render(over)), flush: () => {} }
  let last: string | undefined
  let lastAt = 0
  let folded = 0
  let repeatedAt = 0
  let sinceTold = 0
  let timer: NodeJS.Timeout | undefined

  const flush = (): void => {
    clearInterval(timer)
    timer = undefined
    if (folded > 0) write(`${INDENT}… ${folded} more like it\n`)
    folded = 0
  }
  const look = (): void => {
    sinceTold += QUIET_MS
    if (Date.now() - repeatedAt >= QUIET_MS || sinceTold >= TELL_EVERY_MS) flush()
  }
  return {
    write(over, render) {
      const { ended } = over
      const same = failed(ended) ? identity(over) : undefined
      const again = same !== undefined && same === last && ended.at - lastAt < SAME_WITHIN_MS
      last = same
      lastAt = ended.at
      if (!again) {
        flush()
        write(render(over))
        return
      }
      folded++
      repeatedAt = Date.now()
      if (timer !== undefined) return
      sinceTold = 0
      timer = setInterval(look, QUIET_MS).unref()
    },
    flush,
  }
}

const identity = ({ exchange, ended }: EndedExchange): string =>
  `${exchange.cause} ${exchange.method} ${exchange.url} ${ended.status} ${ended.error} ${exchange.cache?.reason}`
