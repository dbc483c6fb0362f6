import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { options } from '../../src/options.ts'
import { runProgram } from '../support/program.ts'
import { folder } from './support.ts'

const script = async (t: TestContext, shell: string): Promise<string> => {
  const { code, stdout } = await runProgram(t, ['completion', shell])
  assert.equal(code, 0)
  const file = join(folder(t), shell === 'zsh' ? '_revproxy' : `revproxy.${shell}`)
  writeFileSync(file, stdout)
  return file
}

/** What a shell offers for a line, as a list of words without their descriptions. */
type Offers = (words: string[]) => string[]

const shared = (offers: Offers): void => {
  const rows: Array<[line: string[], has: string[], hasNot?: string[]]> = [
    [['--lo'], ['--log']],
    [
      ['--log', ''],
      ['pretty', 'json', 'off'],
    ],
    [['--cache-mode', 'f'], ['force'], ['rfc']],
    [
      ['cache', ''],
      ['ls', 'get', 'purge'],
    ],
    [['cache', 'ls', '--a'], ['--admin']],
    [['explain', '--m'], ['--method'], ['--metrics']],
    [['demo', '--back'], ['--backend-only']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [['doct'], ['doctor']],
    [[':3000', '--', 'basenam'], ['basename']],
  ]
  for (const [line, has, hasNot = []] of rows) {
    const found = offers(line)
    for (const word of has)
      assert.ok(found.includes(word), `${line.join(' ')}: ${word} in ${found.join(' ')}`)
    for (const word of hasNot) assert.ok(!found.includes(word), `${line.join(' ')}: ${word}`)
  }
}

describe('in the real shells', () => {
  test('bash', async (t) => {
    const file = await script(t, 'bash')
    const offers: Offers = (words) =>
      execFileSync(
        'bash',
        [
          '-c',
          `source "$1"; shift; complete -p revproxy >/dev/null || exit 1
           COMP_WORDS=(revproxy "$@"); COMP_CWORD=$#; _revproxy; printf '%s\\n' "\${COMPREPLY[@]}"`,
          'bash',
          file,
          ...words,
        ],
        { encoding: 'utf8' },
      ).split('\n')
    shared(offers)
    // bash takes --flag=value apart.
    assert.deepEqual(offers(['--log', '=', 'js']), ['json', ''])
    assert.ok(offers(['--junit', `${file.slice(0, -3)}`]).includes(file))
    const all = offers(['--'])
    for (const name of Object.keys(options)) assert.ok(all.includes(`--${name}`), name)
  })

  test('fish', async (t) => {
    const file = await script(t, 'fish')
    const home = folder(t)
    shared((words) =>
      execFileSync('fish', ['-c', `source '${file}'; complete -C 'revproxy ${words.join(' ')}'`], {
        encoding: 'utf8',
        env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_DATA_HOME: home },
      })
        .split('\n')
        .map((line) => line.split('\t')[0]!),
    )
  })

  test('zsh', async (t) => {
    const file = await script(t, 'zsh')
    const home = folder(t)
    // zsh completes only at a terminal: one of its own, and what it lists there. (npm sets EDITOR to vi, and zsh would take
    // its keys from that.)
    const typing = `
      zmodload zsh/zpty
      zpty shell zsh -f -i
      zpty -w shell "PS1=; unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D; source $2"
      zpty -w shell "bindkey -e; bindkey '^I' list-choices; LISTMAX=10000; zstyle ':completion:*' list-prompt ''; unsetopt list_beep; stty columns 300 -echo; print -r REA'DY'"
      zpty -m -r shell out '*READY*'
      zpty -w -n shell "revproxy $3"$'\\t'
      zpty -w -n shell $'\\C-a\\C-kprint -r O\\'VER\\'\\n'
      zpty -m -r shell out '*OVER*'
      print -r -- $out`
    shared((words) => {
      // What is typed while its editor is not there yet is lost now and then: it is typed again.
      for (let attempt = 1; ; attempt++) {
        const args = ['-f', '-c', typing, 'zsh', home, file, words.join(' ')]
        const { stdout, error } = spawnSync('zsh', args, {
          encoding: 'utf8',
          env: { ...process.env, HOME: home, ZDOTDIR: home, TERM: 'dumb' },
          timeout: attempt * 20_000,
          killSignal: 'SIGKILL',
        })
        if (error === undefined) return stdout.split(/[\s\r]+/)
        if (attempt === 4) throw error
      }
    })
  })
})

test('another shell is refused', async (t) => {
  const { code, stderr } = await runProgram(t, ['completion', 'tcsh'])
  assert.equal(code, 2)
  assert.match(stderr, /bash, zsh, fish/)
})
