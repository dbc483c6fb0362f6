import { escapeControl } from '../observe/escape.ts'
import { type ColorLevel, palette } from '../observe/palette.ts'
import { shownUrl } from './messages.ts'
import { quoted, trustCommand } from './trust.ts'

/** What runs, as a person would write it; absent facts have no line. */
export interface BannerFacts {
  /** Where the proxy listens; the first one is used in examples. */
  readonly urls: readonly string[]
  readonly target: string
  /** Such as `memory, 128 MB` or `redis://localhost:6379`. */
  readonly cache: string
  /** Such as `100/s by ip`. */
  readonly rate?: string | undefined
  readonly concurrency?: number | undefined
  /** Where spans go. */
  readonly trace?: readonly string[] | undefined
  /** Where the target may send its own spans. */
  readonly traceReceiverUrl?: string | undefined
  /** The certificate of our own CA, which clients are to trust. */
  readonly caFile?: string | undefined
  readonly metricsPath?: string | undefined
  readonly adminUrl?: string | undefined
  readonly color: ColorLevel
  /** Shows a first request to try. */
  readonly demo: boolean
  /** Columns of the terminal, undefined where there is none. */
  readonly width?: number | undefined
}

/** Where the facts begin. */
const INDENT = 13

/** The lines shown at the start: what listens where, what it does, and where to look. Ends with an empty line. */
export const banner = (facts: BannerFacts): string => {
  const paint = palette(facts.color)
  const url = (text: string) => paint.renewed(shownUrl(text))
  const first = facts.urls[0]?.replace(/\/+$/, '') ?? ''
  const cacert = facts.caFile === undefined ? '' : `--cacert ${escapeControl(quoted(facts.caFile))} `
  const limits = [
    ...(facts.rate === undefined ? [] : [facts.rate]),
    ...(facts.concurrency === undefined ? [] : [`${facts.concurrency} at once to the target`]),
  ]
  const tried = `curl ${cacert}-i '${first}/api/echo?echo=test'`
  const hint = '   twice: a miss, then a hit'
  const fits = INDENT + tried.length + hint.length <= (facts.width || Number.POSITIVE_INFINITY)
  const lines: Array<[name: string, text: string]> = [
    ['listening', facts.urls.map(url).join('  ')],
    ['trust', facts.caFile === undefined ? '' : escapeControl(trustCommand(facts.caFile))],
    ['target', url(facts.target)],
    ['cache', shownUrl(facts.cache)],
    ['limits', limits.join(' · ')],
    ['traces', (facts.trace ?? []).map(url).join('  ')],
    [
      'receives',
      facts.traceReceiverUrl === undefined
        ? ''
        : `spans of the target: OTEL_EXPORTER_OTLP_ENDPOINT=${url(facts.traceReceiverUrl)}`,
    ],
    ['metrics', facts.metricsPath === undefined ? '' : url(first + facts.metricsPath)],
    ['admin', facts.adminUrl === undefined ? '' : url(facts.adminUrl)],
    ['try', facts.demo ? tried + (fits ? hint : '') : ''],
  ]
  const shown = lines
    .filter(([, text]) => text !== '')
    .map(([name, text]) => `  ${paint.quiet(name.padEnd(9))}  ${text}\n`)
  return `${paint.strong('revproxy')}\n${shown.join('')}\n`
}
