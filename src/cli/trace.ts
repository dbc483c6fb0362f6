/** `revproxy trace`: where the time of one request went, drawn in the terminal. */
import type { Command } from 'commander'
import { escapeControl } from '../observe/escape.ts'
import { type ColorLevel, palette } from '../observe/palette.ts'
import type { TraceLine, TraceView } from '../observe/trace-view.ts'
import { formatDuration } from '../observe/units.ts'
import { waterfall } from '../observe/waterfall.ts'
import { adminUrl, callAdmin } from './admin-client.ts'
import { type AdminFlags, adminOptions, guarded, stdoutColor } from './admin-command.ts'
import { exitCodes } from './exit-codes.ts'

const COLUMNS = 100

/** `revproxy trace [id|last]` and `revproxy traces`. */
export const addTraceCommand = (
  program: Command,
  env: NodeJS.ProcessEnv,
  set: (work: () => Promise<number>) => void,
): void => {
  const trace = adminOptions(program.command('trace [id]')).description(
    'show where the time of a request to a running proxy went: its number, its trace id, or last',
  )
  trace.action((id: string | undefined) => set(() => showTrace(id ?? 'last', trace.opts(), env)))
  const traces = adminOptions(program.command('traces'))
    .description('list the last requests of a running proxy')
    .option('-n, --limit <n>', 'how many', '20')
  traces.action(() => {
    const { limit, ...flags } = traces.opts()
    set(() => listTraces(limit, flags, env))
  })
}

const showTrace = (what: string, flags: AdminFlags, env: NodeJS.ProcessEnv): Promise<number> =>
  guarded(async () => {
    const path = `/traces/${encodeURIComponent(what)}`
    const view = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path,
      query: [],
    })) as TraceView
    const width = process.stdout.columns || COLUMNS
    process.stdout.write(
      flags.json === true
        ? `${JSON.stringify(view)}\n`
        : traceText(view, { width, color: stdoutColor(flags, env) }),
    )
    return exitCodes.fine
  })

const listTraces = (limit: string, flags: AdminFlags, env: NodeJS.ProcessEnv): Promise<number> =>
  guarded(async () => {
    const { traces } = (await callAdmin(adminUrl(flags.admin ?? env.REVPROXY_ADMIN), {
      path: '/traces',
      query: [['limit', limit]],
    })) as { traces: TraceLine[] }
    if (flags.json === true) {
      process.stdout.write(`${JSON.stringify(traces)}\n`)
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

const summaryLine = ({ cause, method, url, status, cache, reason, error, durationMs }: TraceLine): string => {
  const what = cause === 'refresh' ? '↻' : escapeControl(method)
  const outcome = error ?? (cache === undefined ? '' : cache === reason ? cache : `${cache} ${reason}`)
  return [what, escapeControl(url), status === 0 ? '-' : String(status), outcome, formatDuration(durationMs)]
    .filter((part) => part !== '')
    .join('  ')
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
  if (view.notes.length > 0) lines.push('', ...view.notes.map((note) => paint.quiet(escapeControl(note))))
  return `${lines.join('\n')}\n`
}
