/** From what was written on the command line and in the environment to checked values, and where each came from. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { type OptionName, type OptionSpec, type Options, options as table } from '../options.ts'
import { badExpression, badOption, noTarget } from './messages.ts'
import { BadValue } from './values.ts'

/** Where a value came from: a flag, an environment name, or nowhere. */
export interface Origin {
  /** `--rate`, `REVPROXY_RATE`, `OTEL_SERVICE_NAME`; undefined for a default. */
  readonly name: string | undefined
  readonly texts: readonly string[]
}

/** What cannot be understood; the message is for the user. */
export class UsageError extends Error {}

/** Texts as given, by option; from the command line or from REVPROXY_…. */
export type Given = Partial<Record<OptionName, Origin>>

const entries = Object.entries(table) as Array<[OptionName, OptionSpec<unknown>]>

/** Checked values with their origins. Throws UsageError naming the first that is wrong. */
export const settle = (
  given: Given,
  env: NodeJS.ProcessEnv,
): { options: Options; origins: Record<OptionName, Origin> } => {
  const values: Record<string, unknown> = {}
  const origins = {} as Record<OptionName, Origin>
  for (const [name, spec] of entries) {
    const origin = given[name] ??
      fromEcosystem(spec, env) ?? { name: undefined, texts: spec.default === undefined ? [] : [spec.default] }
    origins[name] = origin
    const parsed = origin.texts.map((text) => {
      try {
        return spec.parse(text, env)
      } catch (error) {
        if (!(error instanceof BadValue)) throw error
        const flag = origin.name ?? `--${name}`
        throw new UsageError(
          error.at === undefined
            ? badOption(flag, spec.conceal?.(text) ?? text, error.message)
            : badExpression(flag, text.trim(), error.at, error.message),
        )
      }
    })
    values[name] = spec.repeatable === true ? parsed : parsed.at(-1)
  }
  values.adminGiven = origins.admin.name !== undefined
  preferFlag(values, origins)
  const options = values as unknown as Options
  // To be shown what there is, there need be none.
  if (options.target === undefined && !options['print-config'])
    throw new UsageError(noTarget(takenTarget(origins)))
  checkTogether(options, origins)
  return { options, origins }
}

const fromEcosystem = (spec: OptionSpec<unknown>, env: NodeJS.ProcessEnv): Origin | undefined => {
  const found = spec.alsoEnv?.(env)
  return found === undefined ? undefined : { name: found.name, texts: [found.value] }
}

/** `--json` and `--log` say the same thing in two ways: the one on the command line goes before one in the environment. */
const preferFlag = (values: Record<string, unknown>, { json, log }: Record<OptionName, Origin>): void => {
  if (json.name === '--json' && log.name !== '--log') values.log = undefined
  if (log.name === '--log' && json.name !== '--json') values.json = false
}

/** `--cors http://localhost:3000`: what was meant for the target is the flag's optional value. */
const takenTarget = ({ cors }: Record<OptionName, Origin>): { flag: string; text: string } | undefined => {
  const text = cors.texts.at(-1)
  return cors.name === '--cors' && text?.includes('://') ? { flag: cors.name, text } : undefined
}

/** Values that are fine each, and not together. */
const checkTogether = (options: Options, origins: Record<OptionName, Origin>): void => {
  const kinds = new Set(options.cache.map(({ kind }) => kind))
  if (kinds.size > 1 || (options.cache.length > 1 && !kinds.has('redis'))) {
    throw new UsageError(
      badOption(
        origins.cache.name ?? '--cache',
        origins.cache.texts.join(' '),
        'one of memory, off or Redis; only nodes of a Redis Cluster may be several',
      ),
    )
  }
  if (options.ttl === 0 && options['cache-mode'] === 'force') {
    throw new UsageError(
      '--ttl 0 with --cache-mode force would cache nothing. Use a longer --ttl, or --cache off.',
    )
  }
  checkCertificate(options)
  if (options.json && options.log !== undefined && options.log !== 'json') {
    throw new UsageError(`--json and --log ${options.log} contradict each other. Use one of them.`)
  }
}

const checkCertificate = ({ cert, key }: Options): void => {
  if (cert !== undefined && key === undefined)
    throw new UsageError('--cert needs its private key: --key <file>.')
  if (key !== undefined && cert === undefined)
    throw new UsageError('--key needs its certificate: --cert <file>.')
  if (cert !== undefined && !new X509Certificate(cert).checkPrivateKey(createPrivateKey(key!)))
    throw new UsageError(
      '--key is not the key of the certificate in --cert. Give the pair that belongs together.',
    )
}

/** Splits the value of an environment variable the way the option's kind asks for. */
export const splitEnv = (spec: OptionSpec<unknown>, value: string): string[] => {
  if (spec.repeatable !== true) return [value]
  return value.split(spec.separator === 'line' ? /\r?\n/ : /[\s,]+/).filter((text) => text.trim() !== '')
}

/** Every value and where it came from, one line each, secrets concealed. */
export const printConfig = (origins: Record<OptionName, Origin>): string => {
  const rows = entries
    .filter(([name]) => name !== 'print-config')
    .map(([name, spec]) => {
      const { texts, name: source } = origins[name]
      const shown = texts.map((text) => spec.conceal?.(text) ?? text).join('  ')
      return { name, value: shown === '' ? (spec.defaultHint ?? '–') : shown, source: source ?? 'default' }
    })
  const width = Math.max(...rows.map(({ name }) => name.length))
  const valueWidth = Math.min(48, Math.max(...rows.map(({ value }) => value.length)))
  return rows
    .map(({ name, value, source }) => `${name.padEnd(width)}  ${value.padEnd(valueWidth)}  ${source}\n`)
    .join('')
}
