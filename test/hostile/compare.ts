/**
 * Plays the hostile cases against this program, stock http-proxy, nginx and a bare pipe, and prints a table of what each
 * fails. Ends with 1 where this program fails one.
 */
import { cases } from './cases.ts'
import { type Contestant, httpProxy, nginx, pipe, revproxy } from './contestants.ts'
import { arena, type Verdict } from './play.ts'

const wanted = process.argv[2]
const chosen = cases.filter(({ name, theme }) => wanted === undefined || `${theme}: ${name}`.includes(wanted))
const contestants: Contestant[] = [revproxy, httpProxy, ...(nginx === undefined ? [] : [nginx]), pipe]

const results = await Promise.all(
  contestants.map(async (contestant) => {
    const here = await arena(contestant)
    const verdicts: Verdict[] = []
    for (const one of chosen) verdicts.push(await here.play(one))
    await here.close()
    return verdicts
  }),
)

const cell = ({ unsafe, remark }: Verdict): string => unsafe ?? (remark === undefined ? '✓' : `✓ ${remark}`)
console.log(`| case | ${contestants.map(({ name }) => name).join(' | ')} |`)
console.log(`|---|${contestants.map(() => '---|').join('')}`)
for (const [i, { theme, name }] of chosen.entries())
  console.log(`| ${theme}: ${name} | ${results.map((verdicts) => cell(verdicts[i]!)).join(' | ')} |`)
for (const [c, { name }] of contestants.entries())
  console.log(
    `${name}: ${results[c]!.filter(({ unsafe }) => unsafe !== undefined).length} of ${chosen.length} failed`,
  )
const idle = chosen.filter((_, i) => results.slice(1).every((verdicts) => verdicts[i]!.unsafe === undefined))
if (idle.length > 0)
  console.log(`nobody fails: ${idle.map(({ theme, name }) => `${theme}: ${name}`).join('; ')}`)
process.exitCode = results[0]!.some(({ unsafe }) => unsafe !== undefined) ? 1 : 0
