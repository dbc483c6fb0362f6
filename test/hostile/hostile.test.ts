/** The hostile cases against the built program. `npm run hostile` shows which of them other proxies fail. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { cases } from './cases.ts'
import { revproxy } from './contestants.ts'
import { type Arena, arena } from './play.ts'

let here: Arena
before(async () => {
  here = await arena(revproxy)
})
after(() => here.close())

for (const one of cases)
  test(`${one.theme}: ${one.name} — ${one.want}`, async () => {
    assert.deepEqual(await here.play(one), { unsafe: undefined, remark: undefined })
  })

test('none of them was a fault of the program', () => {
  assert.doesNotMatch(here.said(), /fault|unexpected|Error|\n +at /)
})
