/**
 * Rot shows as a ratio: what a hit and a pass-through cost beside others on the same machine at the same moment. Noise
 * cannot fail it: only a ratio more than 30 % below the one on record, three times in a row.
 */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, test } from 'node:test'
import { endAll } from './children.ts'
import { bare, type Contestant, revproxy, temporary, undiciPipe } from './contestants.ts'
import { measure, type Plan } from './measure.ts'
import { paths } from './servers/payload.ts'
import { median, timesCheaper } from './table.ts'

const plan: Plan = {
  rounds: 1,
  seconds: 1,
  warmUp: { requests: 15_000, seconds: 3 },
  serverCore: undefined,
  loadCore: undefined,
}
const ATTEMPTS = 3
const ALLOWED = 0.7

after(() => {
  endAll()
  rmSync(temporary, { recursive: true, force: true })
})

for (const [name, path, cached, other, recorded] of [
  ['a hit of 1 KB, beside a bare node:http server', paths.hit, true, bare, 0.95],
  ['a pass-through of 1 KB, beside a careful undici pipe', paths.pass, false, undiciPipe, 0.95],
] satisfies Array<[string, string, boolean, Contestant, number]>) {
  test(`${name}: ${recorded} of its speed per CPU on record`, async (t) => {
    const seen: number[] = []
    while (seen.length < ATTEMPTS) {
      const contestants = [other, revproxy('revproxy', [])]
      const [theirs, ours] = await measure({ name, path, cached, contestants }, plan)
      seen.push(median(timesCheaper(ours!, theirs!)))
      t.diagnostic(`measured ${seen.at(-1)!.toFixed(2)}`)
      // Where the system tells no CPU times there is nothing to hold it to.
      if (Number.isNaN(seen.at(-1)!) || seen.at(-1)! >= recorded * ALLOWED) return
    }
    assert.fail(`${seen.map((ratio) => ratio.toFixed(2)).join(', ')}: all below ${ALLOWED} of ${recorded}`)
  })
}
