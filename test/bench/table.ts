/** Medians, spreads and Markdown. */
import type { Measured, Round } from './measure.ts'
import type { StartUp } from './start-up.ts'

/** The middle of a list; NaN of an empty one. */
export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? sorted[Math.floor(middle)]!
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2
}

/** Median and, of several, the least and the most; a dash where there is nothing. */
const spread = (values: ReadonlyArray<number | undefined>, digits: number): string => {
  const known = values.filter((value) => value !== undefined && !Number.isNaN(value)) as number[]
  if (known.length === 0) return '–'
  const middle = median(known).toFixed(digits)
  return known.length === 1
    ? middle
    : `${middle} (${Math.min(...known).toFixed(digits)}–${Math.max(...known).toFixed(digits)})`
}

/**
 * How many times cheaper than another, round by round: both had the machine in nearly the same state. By CPU where it
 * is known, else by requests a second.
 */
export const timesCheaper = (one: Measured, other: Measured): number[] =>
  one.rounds.flatMap((round, i) => {
    const against = other.rounds[i]!
    const times =
      round.micros !== undefined && against.micros !== undefined
        ? against.micros / round.micros
        : rate(round) / rate(against)
    return Number.isNaN(times) ? [] : [times]
  })

const rate = ({ requests, seconds }: Round): number => requests / seconds

/** A table: the first column left-aligned, the others right. */
export const markdown = (head: readonly string[], rows: ReadonlyArray<readonly string[]>): string => {
  const all = [head, ...rows]
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]!.length)))
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`
  const rule = `| ${widths.map((width, i) => (i === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`)).join(' | ')} |`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

const percent = (shares: ReadonlyArray<number | undefined>): string => {
  const known = shares.filter((share) => share !== undefined)
  return known.length === 0 ? '–' : `${Math.round(median(known) * 100)} %`
}

/** A scenario's table; ratios are to its first contestant and to the one named by `second`. */
export const scenarioTable = (all: readonly Measured[], second: Measured | undefined): string => {
  const first = all[0]!
  return markdown(
    [
      'server',
      'CPU µs/request',
      'requests/s',
      'p50 ms',
      'p99 ms',
      'RSS MB',
      'its CPU',
      'load’s CPU',
      `× ${first.name}`,
      ...(second === undefined ? [] : ['× http-proxy']),
    ],
    all.map((each) => [
      each.name,
      spread(
        each.rounds.map(({ micros }) => micros),
        1,
      ),
      median(each.rounds.map(rate)).toFixed(0),
      median(each.rounds.map(({ p50 }) => p50)).toFixed(2),
      median(each.rounds.map(({ p99 }) => p99)).toFixed(2),
      each.residentMb?.toFixed(0) ?? '–',
      percent(each.rounds.map(({ serverShare }) => serverShare)),
      percent(each.rounds.map(({ share }) => share)),
      spread(timesCheaper(each, first), 2),
      ...(second === undefined ? [] : [spread(timesCheaper(each, second), 2)]),
    ]),
  )
}

/** Part of a core that counts as all of it. */
const FULL = 0.9

/** Whose requests a second say little, since it was not its own CPU that held it up; undefined when there is nobody. */
export const heldUp = (all: readonly Measured[]): string | undefined => {
  const names = all.flatMap(({ name, rounds }) => {
    const shares = rounds.flatMap(({ serverShare }) => (serverShare === undefined ? [] : [serverShare]))
    return shares.length > 0 && median(shares) < FULL ? [name] : []
  })
  return names.length === 0
    ? undefined
    : `Below ${FULL * 100} % of its core, so held up by the upstream, the load or other users of this machine: ${names.join('; ')}. Their requests/s and latencies say little.`
}

/** The table of the start-up times. */
export const startUpTable = ({ node, version, firstRequest }: StartUp): string => {
  const row = (name: string, times: readonly number[]): string[] => [
    name,
    spread(times, 0),
    spread(
      times.map((time, i) => time / node[i]!),
      1,
    ),
  ]
  return markdown(
    ['', 'ms', '× node -e 0'],
    [
      row('node -e 0', node),
      row('revproxy --version', version),
      row('revproxy, first request served', firstRequest),
    ],
  )
}

/** A budget of the design: what came out, and whether it is kept. */
export interface Budget {
  readonly what: string
  readonly wanted: number
  /** Whether more is better. */
  readonly atLeast: boolean
  /** By round; the median counts. */
  readonly values: readonly number[]
}

/** The table of the budgets. */
export const budgetTable = (budgets: readonly Budget[]): string =>
  markdown(
    ['budget', 'wanted', 'measured', 'kept'],
    budgets.map(({ what, wanted, atLeast, values }) => [
      what,
      `${atLeast ? '≥' : '≤'} ${wanted}`,
      spread(values, 2),
      values.length === 0
        ? '–'
        : (atLeast ? median(values) >= wanted : median(values) <= wanted)
          ? 'yes'
          : 'NO',
    ]),
  )
