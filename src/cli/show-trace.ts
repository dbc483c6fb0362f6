/** Where the time of one request went, drawn in the terminal; and the list of the last requests. */
import { escapeControl, shownJson } from '../observe/escape.ts'
import { cutMiddle, wrapped } from '../observe/fit.ts'
import { type ColorLevel, type Palette, palette } from '../observe/palette.ts'
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
    const window = process.stdout.columns || undefined
    process.stdout.write(
      flags.json === true
        ? `${shownJson(view)}\n`
        : traceText(view, { window, color: stdoutColor(flags, env) }),
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
    const width = process.stdout.columns || Number.POSITIVE_INFINITY
    for (const line of traces) process.stdout.write(`${listLine(line, width, paint)}\n`)
    return exitCodes.fine
  })

const ID = 6
const NARROWEST_URL = 12
/** Beside a trace id there is room for that much. */
const WITH_TRACE_ID = 48

const listLine = (line: TraceLine, width: number, paint: Palette): string => {
  const id = line.traceId === undefined ? '' : `  ${line.traceId}`
  const room = width - ID - 2
  const shownId = room - id.length >= WITH_TRACE_ID ? id : ''
  return `${paint.strong(String(line.id).padStart(ID))}  ${summaryLine(line, room - shownId.length)}${paint.quiet(shownId)}`
}

/** What it is, in one line of that width; the URL is cut. */
const summaryLine = (line: TraceLine, width: number): string => {
  const { cause, method, url, status, durationMs } = line
  const before = `${cause === 'refresh' ? '↻' : escapeControl(method)}  `
  const after = [status === 0 ? '-' : String(status), outcomeOf(line), formatDuration(durationMs)]
    .filter((part) => part !== '')
    .map((part) => `  ${part}`)
    .join('')
  const room = Math.max(NARROWEST_URL, width - before.length - after.length)
  return before + cutMiddle(escapeControl(url), room) + after
}

const outcomeOf = ({ error, limited, cache, reason }: TraceLine): string => {
  if (error !== undefined) return error
  if (limited === true) return 'rate-limited'
  if (cache === undefined) return ''
  return cache === reason ? cache : `${cache} ${reason}`
}

/** The view as text: what it is, the drawing, what else there is to know; where there is no window, nothing is cut. */
export const traceText = (
  view: TraceView,
  { window, color }: { window: number | undefined; color: ColorLevel },
): string => {
  const width = window ?? COLUMNS
  const paint = palette(color)
  const traceId = view.traceId === undefined ? '' : `, trace ${view.traceId}`
  const lines = [
    summaryLine(view, window ?? Number.POSITIVE_INFINITY),
    ...wrapped(`request ${view.id} at ${new Date(view.startedAt).toISOString()}${traceId}`, width).map(
      paint.quiet,
    ),
    '',
    waterfall(view.spans, { width, color }).trimEnd(),
  ]
  const parts = madeOf(view.spans)
  if (parts !== '') lines.push('', ...wrapped(`Made of ${parts}.`, width))
  if (view.notes.length > 0)
    lines.push('', ...view.notes.flatMap((note) => wrapped(escapeControl(note), width)).map(paint.quiet))
  return `${lines.join('\n')}\n`
}
