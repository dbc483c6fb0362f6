/** Where the time of one request went, drawn in the terminal; and the list of the last requests. */
import { escapeControl, shownJson } from '../observe/escape.ts'
import { type ColorLevel, palette } from '../observe/palette.ts'
import type { TraceLine, TraceView } from '../observe/trace-view.ts'
import { formatDuration } from '../observe/units.ts'
import { madeOf, waterfall } from '../observe/waterfall.ts'
import { adminUrl, callAdmin } from './admin-client.ts'
import { type AdminFlags, guarded, stdoutColor } from './admin-command.ts'
import { exitCodes } from './exit-codes.ts'

const COLUMNS = 100

/** Shows one, by its number, its trace id, or `last`. */
export const showTrace = (what: string, flags: AdminFlags, env: NodeJS.ProcessEnv): Promise<number> =>
  guarded(async () => {
    const path = `/traces/${encodeURIComponent(what)}`
    const view = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path,
      query: [],
    })) as TraceView
    const width = process.stdout.columns || COLUMNS
    process.stdout.write(
      flags.json === true
        ? `${shownJson(view)}\n`
        : traceText(view, { width, color: stdoutColor(flags, env) }),
    )
    return exitCodes.fine
  })

/** Lists the last ones, newest first. */
export const listTraces = (limit: string, flags: AdminFlags, env: NodeJS.ProcessEnv): Promise<number> =>
  guarded(async () => {
    const { traces } = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path: '/traces',
      query: [['limit', limit]],
    })) as { traces: TraceLine[] }
    if (flags.json === true) {
      process.stdout.write(`${shownJson(traces)}\n`)
      return exitCodes.fine
    }
    const paint = palette(stdoutColor(flags, env))
    for (const line of traces) {
      const id = String(line.id).padStart(6)
      process.stdout.write(
        `${paint.strong(id)}  ${summaryLine(line)}${line.traceId === undefined ? '' : paint.quiet(`  ${line.traceId}`)}\n`,
      )
    }
    return exitCodes.fine
  })

const summaryLine = (line: TraceLine): string => {
  const { cause, method, url, status, durationMs } = line
  const what = cause === 'refresh' ? '↻' : escapeControl(method)
  return [
    what,
    escapeControl(url),
    status === 0 ? '-' : String(status),
    outcomeOf(line),
    formatDuration(durationMs),
  ]
    .filter((part) => part !== '')
    .join('  ')
}

const outcomeOf = ({ error, limited, cache, reason }: TraceLine): string => {
  if (error !== undefined) return error
  if (limited === true) return 'rate-limited'
  if (cache === undefined) return ''
  return cache === reason ? cache : `${cache} ${reason}`
}

/** Words on lines of at most that width, where no word is longer. */
const wrapped = (text: string, width: number): string[] => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line += line === '' ? word : ` ${word}`
  }
  return [...lines, line]
}

/** The view as text: what it is, the drawing, what else there is to know. Ends with a line end. */
export const traceText = (
  view: TraceView,
  { width, color }: { width: number; color: ColorLevel },
): string => {
  const paint = palette(color)
  const traceId = view.traceId === undefined ? '' : `, trace ${view.traceId}`
  const lines = [
    summaryLine(view),
    paint.quiet(`request ${view.id} at ${new Date(view.startedAt).toISOString()}${traceId}`),
    '',
    waterfall(view.spans, { width, color }).trimEnd(),
  ]
  const parts = madeOf(view.spans)
  if (parts !== '') lines.push('', ...wrapped(`Made of ${parts}.`, width))
  if (view.notes.length > 0)
    lines.push('', ...view.notes.flatMap((note) => wrapped(escapeControl(note), width)).map(paint.quiet))
  return `${lines.join('\n')}\n`
}
