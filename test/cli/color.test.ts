import assert from 'node:assert/strict'
import { test } from 'node:test'
import { colorLevel } from '../../src/cli/color.ts'

type Option = 'auto' | 'always' | 'never'
const xterm = { TERM: 'xterm-256color' }
const table: Array<[option: Option, isTTY: boolean, env: NodeJS.ProcessEnv, want: number]> = [
  ['auto', true, { TERM: 'xterm' }, 1],
  ['auto', true, xterm, 2],
  ['auto', true, { TERM: 'xterm-direct' }, 3],
  ['auto', true, { ...xterm, COLORTERM: 'truecolor' }, 3],
  ['auto', true, { ...xterm, COLORTERM: '24bit' }, 3],
  ['auto', true, { TERM: 'dumb', COLORTERM: 'truecolor' }, 0],
  ['auto', true, {}, 0],
  ['auto', true, { OS: 'Windows_NT' }, 3],
  ['auto', true, { ...xterm, CI: 'true' }, 1],
  ['auto', true, { ...xterm, CI: 'false' }, 2],
  ['auto', false, xterm, 0],
  ['auto', false, { ...xterm, CI: 'true' }, 0],
  ['auto', true, { ...xterm, NO_COLOR: '1' }, 0],
  ['auto', true, { ...xterm, NO_COLOR: '' }, 2],
  ['auto', false, { FORCE_COLOR: '1' }, 1],
  ['auto', false, { FORCE_COLOR: '2' }, 2],
  ['auto', false, { FORCE_COLOR: '3' }, 3],
  ['auto', false, { FORCE_COLOR: 'true' }, 1],
  ['auto', false, { ...xterm, FORCE_COLOR: 'true' }, 2],
  ['auto', true, { ...xterm, FORCE_COLOR: '0' }, 0],
  ['auto', true, { ...xterm, FORCE_COLOR: 'false' }, 0],
  ['auto', true, { ...xterm, FORCE_COLOR: '' }, 2],
  ['auto', false, { FORCE_COLOR: '1', NO_COLOR: '1' }, 1],
  ['auto', true, { TERM: 'dumb', FORCE_COLOR: 'true' }, 1],
  ['always', false, {}, 1],
  ['always', false, { TERM: 'dumb' }, 1],
  ['always', false, xterm, 2],
  ['always', false, { ...xterm, NO_COLOR: '1' }, 2],
  ['always', false, { ...xterm, FORCE_COLOR: '0' }, 2],
  ['always', false, { FORCE_COLOR: '3' }, 3],
  ['never', true, { ...xterm, FORCE_COLOR: '3' }, 0],
]
for (const [option, isTTY, env, want] of table) {
  test(`${option}, ${isTTY ? 'terminal' : 'no terminal'}, ${JSON.stringify(env)}: level ${want}`, () => {
    assert.equal(colorLevel({ option, env, isTTY }), want)
  })
}
