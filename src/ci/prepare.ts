/** What can be known to be wrong before anything is started. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Options } from '../options.ts'
import { type Baseline, readBaseline } from './baseline.ts'
import { findCommand } from './command.ts'
import type { Expectation } from './expression.ts'
import { boundOf, type JudgedBound } from './judge.ts'
import { Refused } from './refused.ts'

/** What a run in CI mode is given, checked. */
export interface Prepared {
  readonly expectations: ReadonlyArray<{ expectation: Expectation; bound: JudgedBound | undefined }>
  /** There is no baseline yet, and this run may write it. */
  readonly firstBaseline: boolean
}

/** Checks what belongs together, the files and the command. Throws Refused. */
export const prepare = (
  options: Options,
  command: readonly string[] | undefined,
  env: NodeJS.ProcessEnv,
): Prepared => {
  checkTogether(options, command)
  for (const [flag, file] of [
    ['--summary-file', options['summary-file']],
    ['--junit', options.junit],
    ['--har', options.har],
    ['--save-baseline', options['save-baseline']],
  ] as const) {
    if (file !== undefined && !(flag === '--summary-file' && file === '-')) checkWritable(flag, file)
  }
  const baseline = options.baseline === undefined ? undefined : readGiven(options)
  const expectations = options.expect.map((expectation) => ({
    expectation,
    bound: boundOf(expectation, baseline),
  }))
  const without = expectations.find(({ bound }) => bound === undefined)
  if (without !== undefined && baseline !== undefined) {
    throw new Refused(
      'usage',
      `${options.baseline} has no value for ${without.expectation.text}. Write it anew with this --expect and --save-baseline.`,
    )
  }
  if (command !== undefined) checkCommand(command[0]!, env)
  return { expectations, firstBaseline: without !== undefined }
}

const checkTogether = (options: Options, command: readonly string[] | undefined): void => {
  const usage = (message: string): never => {
    throw new Refused('usage', message)
  }
  if (command !== undefined) {
    for (const name of ['exit-after', 'max-requests'] as const) {
      if (options[name] !== undefined)
        usage(`--${name} is for runs without a command; with one, the run ends when the command does.`)
    }
  }
  const relative = options.expect.find(({ bound }) => bound.kind === 'baseline')
  if (relative !== undefined && options.baseline === undefined)
    usage(`--expect "${relative.text}" needs --baseline <file>.`)
}

/** As mkdir -p; node's own never ends where a parent is there and takes no folders (/proc). */
const ensureFolder = (folder: string): void => {
  try {
    mkdirSync(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(folder) === folder) throw error
    ensureFolder(dirname(folder))
    mkdirSync(folder)
  }
}

const checkWritable = (flag: string, file: string): void => {
  const folder = dirname(resolve(file))
  try {
    ensureFolder(folder)
    const there = statSync(file, { throwIfNoEntry: false })
    if (there?.isDirectory() === true) throw Object.assign(new Error('it is a folder'), { code: 'EISDIR' })
    // What is there (also /dev/stderr, or a shell's >(…)) need not be in a folder that takes new files.
    accessSync(there === undefined ? folder : file, constants.W_OK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Refused('usage', `${flag} ${file}: must be a file that can be written (${code ?? error}).`)
  }
}

/** The baseline; undefined where this run may be the first to write it. */
const readGiven = (options: Options): Baseline | undefined => {
  const file = options.baseline!
  let baseline: Baseline | undefined
  try {
    baseline = readBaseline(file)
  } catch (error) {
    throw new Refused('usage', `--baseline ${file} ${(error as Error).message}.`)
  }
  const saved = options['save-baseline']
  if (baseline === undefined && (saved === undefined || resolve(saved) !== resolve(file))) {
    throw new Refused(
      'usage',
      `--baseline ${file} is not there. A first run writes it with --save-baseline ${file}.`,
    )
  }
  return baseline
}

const checkCommand = (name: string, env: NodeJS.ProcessEnv): void => {
  const found = findCommand(name, env)
  if (found === 'missing') {
    throw new Refused(
      'cannot-start',
      /\s/.test(name)
        ? `there is no program "${name}". The command is not run by a shell; for that: -- sh -c '${name}'.`
        : `the command ${name} is not found. Is it installed, and on the PATH? Programs of a package run with: -- npx ${name}.`,
    )
  }
  if (found === 'forbidden')
    throw new Refused('cannot-start', `${name} may not be run. Is it executable? chmod +x ${name}.`)
}
