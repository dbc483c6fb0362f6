/** The command `revproxy top`; what it does is loaded when it is run. */
import type { Command } from 'commander'
import { adminOptions } from './admin-command.ts'

/** `revproxy top`. */
export const addTopCommand = (
  program: Command,
  env: NodeJS.ProcessEnv,
  set: (work: () => Promise<number>) => void,
): void => {
  const top = adminOptions(program.command('top')).description(
    'watch a running proxy: rates, durations, slowest and most missed routes; q ends it',
  )
  top.action(() => set(async () => (await import('./watch.ts')).watch(top.opts(), env)))
}
