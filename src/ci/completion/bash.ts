/** A completion script for bash, 3.2 and newer, with or without the package bash-completion. */
import type { Flag, Word } from './vocabulary.ts'

/** The script; to be sourced. */
export const bashCompletion = (words: readonly Word[]): string => {
  const flags = new Map<string, Flag>()
  for (const word of words) {
    for (const flag of word.flags) if (!flags.has(flag.long)) flags.set(flag.long, flag)
  }
  const taking = [...flags.values()].filter(({ takes }) => takes === 'a value')
  const names = ({ long, short }: Flag): string => (short === undefined ? long : `${long}|${short}`)
  const cases = taking.map((flag) => {
    const reply =
      flag.choices.length > 0
        ? `COMPREPLY=($(compgen -W '${flag.choices.join(' ')}' -- "$cur"))`
        : flag.file
          ? 'COMPREPLY=($(compgen -f -- "$cur")); compopt -o filenames 2>/dev/null'
          : ':'
    return `    ${names(flag)}) ${reply}; return ;;`
  })
  const commands = words.filter(({ path }) => path !== '')
  const offers = (word: Word): string => [...word.values, ...word.flags.map(({ long }) => long)].join(' ')
  return `# bash completion of revproxy. Use it now: source <(revproxy completion bash)
# Use it always: revproxy completion bash > ~/.local/share/bash-completion/completions/revproxy
_revproxy() {
  local cur prev word path i
  COMPREPLY=()
  cur=\${COMP_WORDS[COMP_CWORD]}
  prev=\${COMP_WORDS[COMP_CWORD - 1]}
  # bash takes --flag=value apart.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  path=
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ $word == -- ]]; then
      # The command and its own words.
      if declare -F _command_offset >/dev/null; then
        _command_offset $((i + 1))
      elif ((COMP_CWORD == i + 1)); then
        COMPREPLY=($(compgen -c -- "$cur"))
      else
        COMPREPLY=($(compgen -f -- "$cur"))
      fi
      return
    fi
    case "$path $word" in
${commands.map(({ path }) => `      ${caseOf(path)}) path='${path}' ;;`).join('\n')}
    esac
  done
  case $prev in
${cases.join('\n')}
  esac
  case $path in
${words.map((word) => `    '${word.path}') COMPREPLY=($(compgen -W '${offers(word)}' -- "$cur")) ;;`).join('\n')}
  esac
}
complete -F _revproxy revproxy
`
}

/** The path so far and the word that leads on. */
const caseOf = (path: string): string => {
  const at = path.lastIndexOf(' ')
  return at === -1 ? `' ${path}'` : `'${path.slice(0, at)} ${path.slice(at + 1)}'`
}
