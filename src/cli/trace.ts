/** The commands `revproxy trace` and `revproxy traces`; what they do is loaded when one of them is run. */
import type { Command } from 'commander'
import { adminOptions } from './admin-command.ts'

/** `revproxy trace [id|last]` and `revproxy traces`. */
export const addTraceCommand = (
  program: Command,
  env: NodeJS.ProcessEnv,
  set: (work: () => Promise<number>) => void,
): void => {
  const trace = adminOptions(program.command('trace [id]')).description(
    'show where the time of a request to a running proxy went: its number, its trace id, or last',
  )
  trace.action((id: string | undefined) =>
    set(async () => (await import('./show-trace.ts')).showTrace(id ?? 'last', trace.opts(), env)),
  )
  const traces = adminOptions(program.command('traces'))
    .description('list the last requests of a running proxy')
    .option('-n, --limit <n>', 'how many', '20')
  traces.action(() => {
    const { limit, ...flags } = traces.opts()
    set(async () => (await import('./show-trace.ts')).listTraces(limit, flags, env))
  })
}
