/** A completion script for fish. */
import type { Flag, Word } from './vocabulary.ts'

/** The script; to be sourced, or a file `revproxy.fish` among fish's completions. */
export const fishCompletion = (words: readonly Word[]): string => {
  const commands = words.filter(({ path }) => path !== '')
  const top = commands.filter(({ path }) => !path.includes(' '))
  const names = top.map(({ path }) => path).join(' ')
  const lines = [
    '# fish completion of revproxy. Use it now: revproxy completion fish | source',
    '# Use it always: revproxy completion fish > ~/.config/fish/completions/revproxy.fish',
    'function __revproxy_before_command',
    '  not contains -- -- (commandline -opc)',
    'end',
    'function __revproxy_none',
    `  __revproxy_before_command; and not __fish_seen_subcommand_from ${names}`,
    'end',
    'complete -c revproxy -f',
    // The command after -- and its own words.
    'function __revproxy_command',
    '  set -l words (commandline -opc)',
    '  set -l at (contains -i -- -- $words)',
    '  set -l own',
    '  test $at -lt (count $words); and set own (string escape -- $words[(math $at + 1)..-1])',
    '  complete -C (string join " " -- $own (commandline -ct))',
    'end',
    "complete -c revproxy -n 'not __revproxy_before_command' -xa '(__revproxy_command)'",
  ]
  for (const { path, help } of top)
    lines.push(`complete -c revproxy -n __revproxy_none -a ${quoted(path)} -d ${quoted(help)}`)
  for (const word of words) {
    const when =
      word.path === '' ? '__revproxy_none' : `__revproxy_before_command; and ${pathTest(word.path)}`
    for (const flag of word.flags) lines.push(flagLine(flag, when))
    for (const value of word.path === '' ? [] : word.values)
      lines.push(`complete -c revproxy -n ${quoted(when)} -a ${quoted(value)}`)
  }
  return `${lines.join('\n')}\n`
}

const pathTest = (path: string): string =>
  path
    .split(' ')
    .map((word) => `__fish_seen_subcommand_from ${word}`)
    .join('; and ')

const flagLine = ({ long, short, help, takes, choices, file }: Flag, when: string): string => {
  const parts = [`complete -c revproxy -n ${quoted(when)}`, `-l ${long.slice(2)}`]
  if (short !== undefined) parts.push(`-s ${short.slice(1)}`)
  // -x: needs a value that is no file; -r -F: one that is.
  if (takes === 'a value') parts.push(file ? '-r -F' : '-x')
  if (choices.length > 0) parts.push(`-a ${quoted(choices.join(' '))}`)
  parts.push(`-d ${quoted(help)}`)
  return parts.join(' ')
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
