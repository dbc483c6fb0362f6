import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { options } from '../../src/options.ts'
import { runProgram } from '../support/program.ts'
import { flagTables, reasonTables, withBlock } from '../support/readme.ts'
import { recipesText } from '../support/recipes.ts'

const path = fileURLToPath(new URL('../../../README.md', import.meta.url))

test('the tables of the README are the program’s own, its recipes those that tests run (UPDATE_README=1 npm test readme writes them)', () => {
  const readme = readFileSync(path, 'utf8')
  const made = { flags: flagTables(), reasons: reasonTables(), recipes: recipesText() }
  const right = Object.entries(made).reduce((text, [name, block]) => withBlock(text, name, block), readme)
  if (process.env.UPDATE_README === '1') writeFileSync(path, right)
  else assert.equal(readme, right)
})

test('every flag that the README mentions is one, and --help has them all', async (t) => {
  const known = new Set([
    '--help',
    '--version',
    '--backend-only',
    '--all',
    '--method',
    '--tracing',
    ...Object.keys(options).map((name) => `--${name}`),
  ])
  // Of other programs.
  const others = new Set(['--build', '--quick', '--test', '--cacert', '--http'])
  const readme = readFileSync(path, 'utf8')
  const mentioned = [...readme.matchAll(/(?<![\w-])--[a-z][a-z-]*/g)].map(([flag]) => flag)
  assert.deepEqual(
    [...new Set(mentioned)].filter((flag) => !known.has(flag) && !others.has(flag)),
    [],
  )
  const { stdout } = await runProgram(t, ['--help'])
  assert.deepEqual(
    Object.keys(options).filter((name) => !stdout.includes(`--${name}`)),
    [],
  )
})
