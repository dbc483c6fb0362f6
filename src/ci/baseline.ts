/** Values of one run, kept for expectations of a later one. */
import { readFileSync } from 'node:fs'
import { canonical, type Selector } from './expression.ts'
import type { Ledger } from './ledger.ts'
import { type Metric, metrics } from './metrics.ts'

/** A run's values by `metric{route=…}`; milliseconds, shares and counts. */
export interface Baseline {
  readonly revproxyBaseline: 1
  readonly savedAt: string
  readonly metrics: Readonly<Record<string, number>>
}

/** The key of a metric with its selector. */
export const baselineKey = (metric: Metric, selector: Selector): string => canonical(metric, selector)

/** Reads a baseline; undefined when the file is not there. Throws with a sentence when it is none. */
export const readBaseline = (file: string): Baseline | undefined => {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    throw new Error(`cannot be read (${code ?? error})`)
  }
  let found: Partial<Baseline> | null
  try {
    found = JSON.parse(text)
  } catch {
    throw new Error('is not JSON')
  }
  if (
    found?.revproxyBaseline !== 1 ||
    typeof found.metrics !== 'object' ||
    found.metrics === null ||
    !Object.values(found.metrics).every(Number.isFinite)
  )
    throw new Error('is not a baseline; --save-baseline writes one')
  return found as Baseline
}

/** The values of a run: of all traffic, of each route, and of what was expected. */
export const makeBaseline = (ledger: Ledger, savedAt: Date): Baseline => {
  const values: Record<string, number> = {}
  const put = (metric: Metric, selector: Selector, value: number | null): void => {
    if (value === null) return
    // A rounded share could be one that the same traffic does not reach again.
    values[baselineKey(metric, selector)] =
      metrics[metric].unit === 'duration' ? Math.round(value * 1000) / 1000 : value
  }
  const names = Object.keys(metrics) as Metric[]
  for (const metric of names) put(metric, {}, ledger.total.value(metric))
  for (const [route, tally] of ledger.routes()) {
    for (const metric of names) put(metric, { route }, tally.value(metric))
  }
  for (const { expectation, chosen } of ledger.accounts)
    put(expectation.metric, expectation.selector, chosen.value(expectation.metric))
  return { revproxyBaseline: 1, savedAt: savedAt.toISOString(), metrics: values }
}
