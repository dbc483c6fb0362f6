/** What the commands that talk to a running proxy share. */
import { type Command, Option } from 'commander'
import { escapeControl } from '../observe/escape.ts'
import type { ColorLevel } from '../observe/palette.ts'
import { AdminError } from './admin-client.ts'
import { colorLevel } from './color.ts'
import { badOption } from './messages.ts'
import { UsageError } from './settings.ts'

/** Options that all of these have. */
export interface AdminFlags {
  readonly admin?: string | undefined
  readonly json?: boolean | undefined
  readonly color?: string | undefined
}

/** Gives a command those options. */
export const adminOptions = (command: Command): Command =>
  command
    .exitOverride()
    .configureOutput({ writeErr: () => {} })
    .helpOption('-h, --help', 'print this help')
    .option('--admin <port|host:port>', 'admin listener of the running proxy (default: 9900)')
    .option('--json', 'print JSON')
    .addOption(new Option('--color <auto|always|never>', 'colours').default('auto').argParser(colorWord))

const COLOR_WORDS = ['auto', 'always', 'never']

const colorWord = (text: string): string => {
  if (COLOR_WORDS.includes(text)) return text
  throw new UsageError(badOption('--color', text, `one of ${COLOR_WORDS.join(', ')}`))
}

/** The colours for stdout. */
export const stdoutColor = (flags: AdminFlags, env: NodeJS.ProcessEnv): ColorLevel =>
  colorLevel({
    option: flags.color === 'always' || flags.color === 'never' ? flags.color : 'auto',
    env,
    isTTY: process.stdout.isTTY === true,
  })

/** Says on stderr what went wrong with the admin listener, and gives the exit code. */
export const guarded = async (work: () => Promise<number>): Promise<number> => {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    process.stderr.write(
      `revproxy: ${escapeControl(error.message)}${/[.?!]$/.test(error.message) ? '' : '.'}\n`,
    )
    return error.exitCode
  }
}
