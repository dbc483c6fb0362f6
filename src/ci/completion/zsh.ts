/** A completion script for zsh. */
import type { Flag, Word } from './vocabulary.ts'

/** The script; a file named `_revproxy` on the fpath, or to be sourced after compinit. */
export const zshCompletion = (words: readonly Word[]): string => {
  const [main, ...commands] = words as [Word, ...Word[]]
  const top = commands.filter(({ path }) => !path.includes(' '))
  const described = top.map(({ path, help }) => `    ${quoted(`${path}:${help}`)}`).join('\n')
  return `#compdef revproxy
# zsh completion of revproxy. Use it now: source <(revproxy completion zsh)
# Use it always: revproxy completion zsh > "\${fpath[1]}/_revproxy"
_revproxy() {
  local -a subcommands
  local at place=
  # What stands after -- is another command with words of its own.
  at=\${words[(i)--]}
  if (( at < CURRENT )); then
    shift $at words
    (( CURRENT -= at ))
    if (( CURRENT == 1 )); then _command_names -e; else _normal; fi
    return
  fi
  case "\${words[2]} \${words[3]}" in
${commands
  .filter(({ path }) => path.includes(' '))
  .map(({ path }) => `    ${quoted(path)}) place=${quoted(path)} ;;`)
  .join('\n')}
${top.map(({ path }) => `    ${quoted(`${path} `)}*) place=${quoted(path)} ;;`).join('\n')}
  esac
  (( CURRENT == 2 )) && place=
  (( CURRENT == 3 )) && place=\${place%% *}
  case $place in
${commands.map((word) => `    ${quoted(word.path)}) ${argumentsOf(word, word.path.split(' ').length)} ;;`).join('\n')}
    *)
      subcommands=(
${described}
      )
      (( CURRENT == 2 )) && _describe command subcommands
      ${argumentsOf(main, 0)}
      ;;
  esac
}
if [[ \${funcstack[1]} == _revproxy ]]; then
  _revproxy "$@"
else
  compdef _revproxy revproxy
fi
`
}

const argumentsOf = ({ flags, values }: Word, depth: number): string => {
  const rest = values.length === 0 || depth === 0 ? `'*: :'` : quoted(`*: :(${values.join(' ')})`)
  return `_arguments ${flags.map(specOf).join(' ')} ${rest}`
}

const specOf = ({ long, short, help, takes, choices, file, repeatable }: Flag): string => {
  const what = file ? '_files' : choices.length > 0 ? `(${choices.join(' ')})` : ' '
  const value = takes === 'nothing' ? '' : `${takes === 'a value' ? ':' : '::'}value:${what}`
  const text = `[${help.replace(/[[\]\\:]/g, '\\$&')}]`
  const link = takes === 'nothing' ? '' : takes === 'a value' ? '=' : '=-'
  const star = repeatable ? '*' : ''
  return [long, ...(short === undefined ? [] : [short])]
    .map((name) =>
      quoted(`${star}${name}${name === long ? link : takes === 'a value' ? '+' : ''}${text}${value}`),
    )
    .join(' ')
}

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
