/**
 * `npm run bench`: what a request costs us, beside others, in one run on one machine. Only the ratios mean anything
 * elsewhere. `--quick` takes a minute on an idle machine and is a hint; words after the options choose scenarios by name.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { withBlock } from '../support/readme.ts'
import { canPin, endAllWithUs } from './children.ts'
import { comparedTable } from './compared.ts'
import { missing, nginx, revproxy, squid, startRedis, temporary, varnish } from './contestants.ts'
import { CONNECTIONS, generator } from './load.ts'
import { allowedCores, machine } from './machine.ts'
import { type Measured, measure, type Plan } from './measure.ts'
import { observation } from './observation.ts'
import { scenarios, us } from './scenarios.ts'
import { size } from './size.ts'
import { startUp } from './start-up.ts'
import { storm } from './storm.ts'
import { type Budget, budgetTable, heldUp, scenarioTable, startUpTable, timesCheaper } from './table.ts'

const words = process.argv.slice(2)
const quick = words.includes('--quick')
const wanted = words.filter((word) => !word.startsWith('-'))
const isWanted = (name: string): boolean => wanted.length === 0 || wanted.some((word) => name.includes(word))
const [serverCore, loadCore] = canPin ? allowedCores() : []
const pinned = serverCore !== undefined && loadCore !== undefined
const plan: Plan = {
  rounds: quick ? 1 : 5,
  seconds: quick ? 1 : 3,
  warmUp: quick ? { requests: 10_000, seconds: 1 } : { requests: 60_000, seconds: 10 },
  serverCore: pinned ? serverCore : undefined,
  loadCore: pinned ? loadCore : undefined,
}

/** What DESIGN §6 asks, as far as those who are asked for are here. */
const budgetsOf = (results: ReadonlyMap<string, readonly Measured[]>): Budget[] => {
  const budgets: Budget[] = []
  const add = (scenario: string, one: string, other: string, least: number): void => {
    const all = results.get(scenario)
    const [ours, theirs] = [one, other].map((start) => all?.find(({ name }) => name.startsWith(start)))
    if (ours === undefined || theirs === undefined) return
    budgets.push({
      what: `${scenario}: ${other} ÷ ${one}`,
      wanted: least,
      atLeast: true,
      values: timesCheaper(ours, theirs),
    })
  }
  add('pass-through, 1 KB, not cacheable', us, 'undici', 0.85)
  add('pass-through, 1 KB, not cacheable', us, 'http-proxy', 1.6)
  add('pass-through, 1 KB, not cacheable', us, 'Caddy', 1)
  add('hit, 1 KB', us, 'bare', 0.85)
  add('hit, 1 KB', us, 'Varnish', 1)
  add('hit, 1 KB', us, 'Squid', 1)
  add('hit, 100 KB', us, 'nginx', 1)
  add('hit, 100 KB', us, 'Varnish', 1)
  add('hit, 100 KB', us, 'Squid', 1)
  add('hit, 1 KB, log to a file', us, 'bare', 0.7)
  return budgets
}

const readme = fileURLToPath(new URL('../../../README.md', import.meta.url))
const writeIntoReadme = (block: string, text: string): void =>
  writeFileSync(readme, withBlock(readFileSync(readme, 'utf8'), block, text))

const conditions = (): string =>
  `Medians of ${plan.rounds} rounds of ${plan.seconds} s in turn, ${CONNECTIONS} connections, ${generator}, node ${process.version}, ${machine().replace(/, load .*/, '')}; CPU of all processes of the server, to be read as ratios.`

const main = async (): Promise<void> => {
  console.log(`${quick ? 'Quick run: a hint, not a measurement.\n' : ''}
- node ${process.version}, ${machine()}
- load: ${generator}, ${CONNECTIONS} connections; ${plan.rounds} × ${plan.seconds} s each, in turn; median (least–most)
- ${pinned ? `servers on core ${serverCore}; load, upstream and Redis on core ${loadCore}` : 'not pinned to cores: more noise'}${missing.length === 0 ? '' : `\n- not here, so left out: ${missing.join(', ')}`}
- CPU is that of all processes of a server, user and system; × is how many times less of it, higher is better
`)
  const results = new Map<string, readonly Measured[]>()
  const redis = isWanted('hit, 1 KB, Redis') ? await startRedis(plan.loadCore) : undefined
  for (const scenario of scenarios(redis?.port, quick).filter(({ name }) => isWanted(name))) {
    const measured = await measure(scenario, plan)
    results.set(scenario.name, measured)
    const second = measured.find(({ name }) => name.startsWith('http-proxy'))
    console.log(`### ${scenario.name}\n\n${scenarioTable(measured, second)}\n`)
    const remark = heldUp(measured)
    if (remark !== undefined) console.log(`${remark}\n`)
  }
  await redis?.stop()
  if (isWanted('storm') && !quick) {
    const players = [nginx(), varnish, squid, revproxy(us, [])].filter((each) => each !== undefined)
    console.log(`### storm\n\n${await storm(players, plan)}\n`)
  }
  // Only where it is asked for by name: it measures nobody else.
  if (wanted.includes('observation')) {
    const text = await observation(plan, { intoReadme: words.includes('--readme') })
    console.log(`### observation\n\n${text}\n`)
  }
  if (words.includes('--readme') && results.size > 0)
    writeIntoReadme('bench', `${comparedTable(results)}\n\n${conditions()}`)
  if (wanted.includes('size')) {
    const keep = words.includes('--readme') ? writeIntoReadme : () => {}
    const text = await size(plan, wanted, keep)
    console.log(`### size\n\n${text}\n`)
  }
  const budgets = budgetsOf(results)
  if (isWanted('start-up')) {
    const times = await startUp(quick ? 3 : 15, plan.serverCore, plan.loadCore)
    console.log(`### start-up\n\n${startUpTable(times)}\n`)
    if (words.includes('--readme')) writeIntoReadme('start-up', startUpTable(times))
    const ratios = (some: readonly number[]): number[] => some.map((time, i) => time / times.node[i]!)
    budgets.push(
      { what: 'start-up: --version ÷ node -e 0', wanted: 2, atLeast: false, values: ratios(times.version) },
      {
        what: 'start-up: first request ÷ node -e 0',
        wanted: 4,
        atLeast: false,
        values: ratios(times.firstRequest),
      },
    )
  }
  if (budgets.length > 0) console.log(`### budgets (DESIGN §6)\n\n${budgetTable(budgets)}`)
}

endAllWithUs()
process.on('exit', () => rmSync(temporary, { recursive: true, force: true }))
try {
  await main()
  process.exit(0)
} catch (error) {
  console.error(`bench: ${(error as Error).message}`)
  process.exit(1)
}
