/** The parts of the README that are made from the program's own tables. */
import { reasons, storageReasons } from '../../src/core/reasons.ts'
import { envName, groups, type OptionSpec, options, redactedByDefault } from '../../src/options.ts'

const cell = (text: string): string => text.replaceAll('|', '\\|')

/** Every flag, by group, as Markdown tables. */
export const flagTables = (): string =>
  groups
    .map((group) => {
      const rows = (Object.entries(options) as Array<[string, OptionSpec<unknown>]>)
        .filter(([, spec]) => spec.group === group)
        .map(([name, spec]) => {
          const flags = spec.alias === undefined ? spec.flags : `${spec.flags} (also ${spec.alias})`
          const fallback = spec.boolean === true ? 'off' : (spec.defaultHint ?? spec.default ?? '–')
          const repeat = spec.repeatable === true ? '; repeatable' : ''
          return `| \`${cell(flags)}\` | ${cell(spec.help)}${repeat} | ${cell(fallback)} | \`${envName(name)}\` |`
        })
      return [
        `**${group}**`,
        '',
        '| flag | meaning | default | environment |',
        '|---|---|---|---|',
        ...rows,
      ].join('\n')
    })
    .join('\n\n')

/** The catalogue of reasons. */
export const reasonTables = (): string =>
  [
    '| reason | meaning |',
    '|---|---|',
    ...Object.entries(reasons).map(([code, text]) => `| \`${code}\` | ${cell(text)} |`),
    '',
    '| not stored | because |',
    '|---|---|',
    ...Object.entries(storageReasons).map(([code, text]) => `| \`${code}\` | ${cell(text)} |`),
  ].join('\n')

/** What a scrape tells of its metrics, without those of the process: name, type, labels and help. */
export const metricTable = (scrape: string): string => {
  const rows: string[] = []
  let help = ''
  for (const line of scrape.split('\n')) {
    const [, helped, text] = /^# HELP (\S+) (.*)$/.exec(line) ?? []
    if (helped !== undefined) help = text!
    const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (name === undefined || /^(?:process|nodejs)_/.test(name)) continue
    const labels = new Set<string>()
    for (const [, sample] of scrape.matchAll(new RegExp(`^${name}(?:_bucket|_sum|_count)?\\{(.*)\\} `, 'gm')))
      for (const [, label] of sample!.matchAll(/(\w+)="/g)) labels.add(label!)
    const shown = [...labels].filter((label) => label !== 'le' && label !== 'quantile')
    rows.push(
      `| \`${name}\` | ${type} | ${shown.map((label) => `\`${label}\``).join(', ')} | ${cell(help)} |`,
    )
  }
  return ['| metric | type | labels | |', '|---|---|---|---|', ...rows].join('\n')
}

/** The names that are always redacted. */
export const redactedNames = (): string => redactedByDefault.map((name) => `\`${name}\``).join(', ')

/** Replaces what stands between `<!-- name -->` and `<!-- /name -->`. */
export const withBlock = (readme: string, name: string, text: string): string => {
  const [open, close] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [readme.indexOf(open), readme.indexOf(close)]
  if (from === -1 || to === -1) throw new Error(`README.md has no place for ${name}`)
  return `${readme.slice(0, from + open.length)}\n${text}\n${readme.slice(to)}`
}
