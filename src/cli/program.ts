/** The command line: commander built from the table of options, the run, and the exit code. */
import { readFileSync } from 'node:fs'
import { Argument, Command, CommanderError, Option } from 'commander'
import { Refused } from '../ci/refused.ts'
import { envName, type OptionName, type OptionSpec, options as table } from '../options.ts'
import { adminOptions } from './admin-command.ts'
import { withoutCommand } from './command-line.ts'
import { exitCodes } from './exit-codes.ts'
import {
  badOption,
  demoTarget,
  misplacedOption,
  missingArgument,
  missingValue,
  noCommand,
  othersFlag,
  switchWithValue,
  tooMany,
  unknownOption,
} from './messages.ts'
import { toleratePipes } from './output.ts'
import { type Given, splitEnv, UsageError } from './settings.ts'
import { addTopCommand } from './top.ts'
import { addTraceCommand } from './trace.ts'

const entries = Object.entries(table) as Array<[OptionName, OptionSpec<unknown>]>

/** Version of the package, as package.json beside the built files has it. */
export const version = (): string => {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8'))
      if (name === 'revproxy') return version
    } catch {
      // Not there: the next place.
    }
  }
  return 'unknown'
}

const attribute = (flag: string): string => new Option(flag).attributeName()

const addOptions = (command: Command): Command => {
  for (const [, spec] of entries) {
    for (const flags of [
      spec.flags,
      ...(spec.alias === undefined ? [] : [`${spec.alias} ${spec.flags.split(' ').slice(1).join(' ')}`]),
    ]) {
      const option = new Option(flags, describe(spec)).helpGroup(`${spec.group}:`)
      if (flags !== spec.flags) option.hideHelp()
      if (spec.counted === true) option.argParser((_: string, before: number = 0) => before + 1)
      else if (spec.boolean !== true) {
        // Kept as text; the table's own parsers check it, wherever it came from.
        option.argParser((text: string, before: string[] | undefined) => [
          ...(spec.repeatable === true ? (before ?? []) : []),
          ownValue(command, option, text),
        ])
      }
      command.addOption(option)
    }
  }
  return command
}

/** What an option was given, unless that is the next option: then its value was left out. */
const ownValue = (command: Command, option: Option, text: string): string => {
  if (!command.options.some(({ long, short }) => text === long || text === short)) return text
  throw new UsageError(missingValue(option.long!, placeholderOf(option)))
}

const placeholderOf = ({ flags }: Option): string => /[<[].*$/.exec(flags)?.[0] ?? ''

const describe = (spec: OptionSpec<unknown>): string => {
  if (spec.boolean === true) return spec.help
  const fallback = spec.defaultHint ?? spec.default
  const repeat = spec.repeatable === true ? '; repeatable' : ''
  return `${spec.help}${repeat}${fallback === undefined ? '' : ` (default: ${fallback})`}`
}

/**
 * Texts as given, by option, with the name that a message should use; a flag goes before the environment. An option
 * may stand before the name of a command and behind it.
 */
const gather = (
  commands: readonly Command[],
  positional: string | undefined,
  env: NodeJS.ProcessEnv,
): Given => {
  const given: Given = {}
  for (const [name, spec] of entries) {
    const texts = commands.flatMap((command) =>
      [spec.alias, `--${name}`].flatMap((flag) => (flag === undefined ? [] : flagTexts(command, flag))),
    )
    const variable = env[envName(name)] ?? ''
    if (texts.length > 0) given[name] = { name: `--${name}`, texts }
    // An empty variable is as good as none; lists are split as the option's kind asks for.
    else if (variable !== '') given[name] = { name: envName(name), texts: splitEnv(spec, variable) }
  }
  if (positional !== undefined) given.target = { name: 'target', texts: [positional] }
  return given
}

const flagTexts = (command: Command, flag: string): readonly string[] => {
  const key = attribute(flag)
  const value: unknown = command.getOptionValue(key)
  if (command.getOptionValueSource(key) !== 'cli') return []
  // commander files --no-x as x: false.
  if (flag.startsWith('--no-')) return value === false ? ['true'] : []
  if (typeof value === 'number') return [String(value)]
  return value === false ? [] : value === true ? ['true'] : (value as string[])
}

const HELP_OF_COMMAND = 'print the help of a command'

/** Help is wrapped for a terminal, and one line an option for whoever searches it: `revproxy --help | grep trace`. */
const helpWidth = (): number =>
  process.stdout.isTTY === true ? process.stdout.columns || 80 : Number.MAX_SAFE_INTEGER

/** Commands that talk to a running proxy. */
const addAdminCommands = (
  program: Command,
  env: NodeJS.ProcessEnv,
  set: (work: () => Promise<number>) => void,
): void => {
  const header = (text: string, before: string[] | undefined): string[] => [...(before ?? []), text]
  const explain = adminOptions(program.command('explain <url>'))
    .description('say why a request to a running proxy is a hit or a miss')
    .option('-H, --header <"Name: value">', 'a field of the request; repeatable', header)
    .option('-X, --method <method>', 'its method', 'GET')
  explain.action((url: string) => {
    const { method, header: headers = [], ...flags } = explain.opts()
    set(async () => (await import('./cache.ts')).explainRequest(url, method, headers, flags, env))
  })
  const cache = program
    .command('cache')
    .description('list, show or purge what a running proxy has stored')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', HELP_OF_COMMAND)
  const list = adminOptions(cache.command('ls [prefix]')).description('what is stored, under a path or URL')
  list.action((prefix: string | undefined) =>
    set(async () => (await import('./cache.ts')).listCache(prefix, list.opts(), env)),
  )
  const show = adminOptions(cache.command('get <url>'))
    .description('one stored response')
    .option('-H, --header <"Name: value">', 'a field of the request, to select a variant; repeatable', header)
  show.action((url: string) => {
    const { header: headers = [], ...flags } = show.opts()
    set(async () => (await import('./cache.ts')).getCache(url, headers, flags, env))
  })
  const purge = adminOptions(cache.command('purge [what]'))
    .description('forget a path or URL, all that begins so (ending in *), or everything')
    .option('--all', 'everything')
  purge.action((what: string | undefined) => {
    const { all = false, ...flags } = purge.opts()
    set(async () => (await import('./cache.ts')).purgeCache(what, all, flags, env))
  })
}

/** The completion of shells, from the same table. */
const addCompletion = (program: Command, set: (work: () => Promise<number>) => void): void => {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .helpOption('-h, --help', 'print this help')
    .addArgument(new Argument('<shell>', 'which one').choices(['bash', 'zsh', 'fish']))
    .action((shell: string) =>
      set(async () => {
        const [{ completion }, { vocabulary }] = await Promise.all([
          import('../ci/completion/completion.ts'),
          import('./vocabulary.ts'),
        ])
        process.stdout.write(completion(shell, vocabulary(program)) ?? '')
        return exitCodes.fine
      }),
    )
}

/** Runs the program. Gives the exit code; never rejects. */
export const main = async (
  argv: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<number> => {
  // Started by ourselves, with a channel: one of --workers.
  if (env.REVPROXY_IS_WORKER !== undefined && process.send !== undefined)
    return (await import('./worker.ts')).serveAsWorker(env)
  toleratePipes([process.stdout, process.stderr], (error) => {
    process.exitCode = exitCodes.internal
    process.stderr.write(`revproxy: what it says cannot be written: ${error.message}\n`)
  })
  const program = new Command('revproxy')
  const { own, command } = withoutCommand(argv)
  let run: (() => Promise<number>) | undefined
  const configure = (command: Command): Command =>
    addOptions(command)
      .exitOverride()
      .configureOutput({ writeErr: () => {}, getOutHelpWidth: helpWidth })
      // Beside our longest flag a terminal of 80 columns has 35 left.
      .configureHelp({ minWidthToWrap: 24 })
      .showSuggestionAfterError(false)
  const start = (given: Given, mode: { demo: boolean; backendOnly: boolean }): void => {
    run = async () => {
      const { settleAndRun } = await import('./run.ts')
      return settleAndRun({ given, ...mode, command, env, version: version() })
    }
  }
  configure(program)
    .description("A developer's reverse proxy: caches, and says why not; limits, measures and traces.")
    .usage(
      '[target] [options] [-- command args…]\n       revproxy demo [options]\n       revproxy explain <url> [-H "Name: value"]\n       revproxy cache ls|get|purge\n       revproxy doctor [target]\n       revproxy completion bash|zsh|fish',
    )
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .argument('[target]', 'the upstream, such as http://localhost:3000')
    .enablePositionalOptions()
    .helpCommand('help [command]', HELP_OF_COMMAND)
    .action((target: string | undefined) =>
      start(gather([program], target, env), { demo: false, backendOnly: false }),
    )
    .hook('preSubcommand', (_, command) => refuseBefore(command.name(), program))
    .addHelpText(
      'after',
      `
Each option is also an environment variable, such as REVPROXY_CACHE_SIZE for
--cache-size; a flag goes before it.
Durations: 250ms 30s 5m 2h 1d 1m30s. Sizes: 64kb 10mb 1gb.
Rates: 5/m 100/s 20/10s.

Examples:
  revproxy http://localhost:3000
  revproxy :3000 --rate 100/s --trace http://localhost:4318
  revproxy :3000 --start "npm run dev" --expect "5xx==0" --url-env BASE_URL -- npm test
  revproxy demo`,
    )
  const demo = configure(program.command('demo'))
    .description('proxy the built-in demo backend')
    .helpOption('-h, --help', 'print this help')
    .option('--backend-only', 'run the demo backend alone, on --host and --port (default: 3000)')
    .action(() => {
      const { target, ...given } = gather([program, demo], undefined, env)
      if (target?.name === '--target') throw new UsageError(demoTarget())
      start(given, { demo: true, backendOnly: demo.getOptionValue('backendOnly') === true })
    })
  const set = (work: () => Promise<number>): void => {
    run = work
  }
  addAdminCommands(program, env, set)
  addTraceCommand(program, env, set)
  addTopCommand(program, env, set)
  const doctor = configure(program.command('doctor [target]'))
    .description('look for what could be wrong on this machine, and say what to do')
    .helpOption('-h, --help', 'print this help')
    .action((target: string | undefined) =>
      set(async () => (await import('./doctor.ts')).doctor(gather([program, doctor], target, env), env)),
    )
  addCompletion(program, set)
  try {
    if (command?.length === 0) return refuse('after -- a command must stand, such as: -- npm test.')
    await program.parseAsync([...own], { from: 'user' })
    return (await run?.()) ?? exitCodes.fine
  } catch (error) {
    if (error instanceof UsageError) return refuse(error.message)
    if (error instanceof Refused)
      return refuse(error.message, error.kind === 'usage' ? undefined : exitCodes.cannotStart)
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return exitCodes.fine
      return refuse(wording(error, program, own))
    }
    process.stderr.write(`revproxy: ${(error as Error).stack ?? error}\n`)
    return exitCodes.internal
  }
}

const refuse = (message: string, code: number = exitCodes.usage): number => {
  process.stderr.write(`revproxy: ${message}\n`)
  return code
}

/** Options of the proxy before a command that has none of them. */
const refuseBefore = (command: string, program: Command): void => {
  if (command === 'demo' || command === 'doctor') return
  const before = program.options.find(
    (option) => program.getOptionValueSource(option.attributeName()) === 'cli',
  )
  if (before !== undefined) throw new UsageError(misplacedOption(before.long!, command))
}

/** The command that the words at the beginning name, and its name in full; the program itself where they name none. */
const commandOf = (program: Command, argv: readonly string[]): { command: Command; path: string } => {
  let command = program
  let path = ''
  for (const word of argv) {
    const next = command.commands.find((each) => each.name() === word)
    if (next === undefined) break
    command = next
    path += path === '' ? word : ` ${word}`
  }
  return { command, path }
}

const wording = (error: CommanderError, program: Command, argv: readonly string[]): string => {
  const flag = /'(?:[^',]*, )?(--?[^' =]+)(?:[ =]([^']*))?'/.exec(error.message)
  const { command, path } = commandOf(program, argv)
  const word = argv[path === '' ? 0 : path.split(' ').length] ?? ''
  switch (error.code) {
    case 'commander.unknownOption': {
      const given =
        argv.find((text) => flag !== null && (text === flag[1] || text.startsWith(`${flag[1]}=`))) ??
        flag?.[1] ??
        /'([^']*)'/.exec(error.message)?.[1] ??
        ''
      const name = given.split('=', 1)[0]!
      if (command.options.some(({ long, short }) => name === long || name === short))
        return switchWithValue(name)
      return othersFlag(given) ?? unknownOption(given, nearest(name, command))
    }
    case 'commander.optionMissingArgument':
      return missingValue(flag?.[1] ?? '', flag?.[2] ?? '')
    case 'commander.missingArgument':
      return missingArgument(path, command.registeredArguments[0]?.name() ?? '')
    case 'commander.excessArguments':
      if (path === '')
        return 'more than one target. Quote URLs that hold & or ?; a command stands after --: revproxy :3000 -- npm test.'
      return path === 'demo' ? demoTarget() : tooMany(path)
    // One of the words that an argument may be.
    case 'commander.invalidArgument':
      return badOption(path, word, `one of ${command.registeredArguments[0]?.argChoices?.join(', ')}`)
    case 'commander.help':
    case 'commander.unknownCommand':
      return path === ''
        ? noCommand('help', argv[1] ?? '', program.commands)
        : noCommand(path, word, command.commands)
    default:
      return error.message.replace(/^error: /, '')
  }
}

/** The long flag nearest to what was written, when it is near enough to be meant. */
const nearest = (wanted: string, command: Command): string | undefined => {
  let best: { flag: string; distance: number } | undefined
  for (const { long } of command.options) {
    if (!long) continue
    const distance = editDistance(wanted, long)
    if (best === undefined || distance < best.distance) best = { flag: long, distance }
  }
  return best !== undefined && best.distance <= Math.max(1, Math.floor(wanted.length / 3))
    ? best.flag
    : undefined
}

const editDistance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]!
}
