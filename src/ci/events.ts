/** The events of `--json` beside requests: one object a line, names that stay. */
import { shownJson } from '../observe/escape.ts'
import type { Judged } from './judge.ts'
import type { Exit } from './report.ts'

/** What all of them have. */
const line = (level: 'info' | 'error', event: string, facts: Record<string, unknown>): string =>
  `${shownJson({ time: new Date().toISOString(), level, event, ...facts })}\n`

/** The proxy listens, and where that was asked for the target is ready. */
export const startEvent = (facts: {
  version: string
  url: string
  target: string
  adminUrl: string | undefined
  command: readonly string[] | undefined
}): string => line('info', 'start', facts)

/** One expectation was judged. */
export const expectationEvent = ({ text, metric, outcome, actual, bound, because }: Judged): string =>
  line(outcome === 'failed' ? 'error' : 'info', 'expectation', {
    expectation: text,
    metric,
    outcome,
    actual,
    bound,
    because,
  })

/** The run is over; always the last line. */
export const endEvent = (exit: Exit, summary: object): string =>
  line(exit.code === 0 ? 'info' : 'error', 'end', { exit, summary })
