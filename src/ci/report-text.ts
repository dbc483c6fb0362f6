/** The report for people: what fits a screen, the most telling first. */
import { escapeControl } from '../observe/escape.ts'
import { type ColorLevel, type Palette, palette } from '../observe/palette.ts'
import { formatDuration } from '../observe/units.ts'
import type { Report, ReportedExpectation, RouteRow } from './report.ts'

const ROUTES = 6
const MISSES = 3
const OFFENDERS = 3
const WIDEST = 100
const NUMBERS = 8 + 6 + 4 * 8 + 7

/** `totals` is the text of the totals, which stands first. Ends with a line end. */
export const reportText = (
  report: Report,
  { totals, color, width = WIDEST }: { totals: string; color: ColorLevel; width: number | undefined },
): string => {
  const paint = palette(color)
  const columns = Math.max(60, Math.min(WIDEST, width || WIDEST))
  return [
    totals,
    routesText(report, columns, paint),
    missesText(report, columns, paint),
    expectationsText(report, paint),
  ]
    .filter((part) => part !== '')
    .join('\n')
}

const ms = (value: number | null): string => (value === null ? '–' : formatDuration(value))
/** A share in whole percent; `–` without one. */
export const percent = (share: number | null): string =>
  share === null ? '–' : `${Math.round(share * 100)}%`

const routesText = ({ all, routes }: Report, columns: number, paint: Palette): string => {
  if (all.requests === 0) return ''
  const shown = routes.slice(0, ROUTES)
  const widest = Math.max(20, ...shown.map(({ route }) => route.length))
  const room = Math.min(widest, columns - NUMBERS - 2)
  const line = (name: string, cells: readonly string[]): string => {
    const [requests = '', hits = '', ...rest] = cells
    const failed = rest.pop() ?? ''
    return `  ${cutMiddle(name, room).padEnd(room)}${requests.padStart(8)}${hits.padStart(6)}${rest.map((cell) => cell.padStart(8)).join('')}${failed.padStart(7)}`
  }
  const row = ({ route, requests, hitRatio, p50Ms, p95Ms, p99Ms, maxMs, failed }: RouteRow): string => {
    const text = line(escapeControl(route), [
      String(requests),
      percent(hitRatio),
      ms(p50Ms),
      ms(p95Ms),
      ms(p99Ms),
      ms(maxMs),
      String(failed),
    ])
    return failed === 0 ? text : text.slice(0, -7) + paint.failure(text.slice(-7))
  }
  const lines = [paint.quiet(line('route', ['requests', 'hits', 'p50', 'p95', 'p99', 'max', 'failed']))]
  lines.push(...shown.map(row))
  if (routes.length > 1)
    lines.push(row({ ...all, route: routes.length > ROUTES ? `all ${routes.length} routes` : 'all' }))
  return `${lines.join('\n')}\n`
}

const missesText = ({ costliestMisses }: Report, columns: number, paint: Palette): string => {
  // A first request that was stored is as it should be; nothing is to be said of it.
  const shown = costliestMisses.filter(({ remedy }) => remedy !== undefined).slice(0, MISSES)
  if (shown.length === 0) return ''
  const lines = shown.flatMap(({ route, count, reason, storage, upstreamMs, remedy }) => {
    const why = storage === undefined || storage === reason ? reason : `${reason}, not stored: ${storage}`
    return [
      `  ${escapeControl(route)} ×${count}  ${paint.fetched(why)}  ${formatDuration(upstreamMs)} upstream`,
      ...wrapped(escapeControl(remedy!), columns - 4).map((line) => `    ${paint.quiet(line)}`),
    ]
  })
  return `${[`  ${paint.quiet('misses that cost most, and what would help')}`, ...lines].join('\n')}\n`
}

const MARKS = { passed: '✓', failed: '✗', skipped: '-' } as const

const expectationsText = ({ expectations }: Report, paint: Palette): string => {
  if (expectations.length === 0) return ''
  const painted = { passed: paint.fresh, failed: paint.failure, skipped: paint.quiet }
  const lines = expectations.flatMap((each) => {
    const { text, outcome, actualText, because } = each
    const mark = painted[outcome](MARKS[outcome])
    if (outcome === 'passed')
      return [`  ${mark} ${escapeControl(text)}  ${paint.quiet(`it was ${actualText}`)}`]
    return [
      `  ${mark} ${paint.strong(escapeControl(text))}  ${escapeControl(because)}`,
      ...offendersText(each, paint),
    ]
  })
  return `${lines.join('\n')}\n`
}

const offendersText = ({ offenders }: ReportedExpectation, paint: Palette): string[] =>
  offenders.slice(0, OFFENDERS).map(({ status, durationMs, error, curl }) => {
    const what = `${status === 0 ? '-' : status} ${formatDuration(durationMs)}${error === undefined ? '' : ` ${error}`}`
    return `      ${paint.quiet(what)}  ${escapeControl(curl)}`
  })

/** The text in lines of at most `width` columns, broken between words. */
const wrapped = (text: string, width: number): string[] => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = ''
    }
    line = line === '' ? word : `${line} ${word}`
  }
  return line === '' ? lines : [...lines, line]
}

const cutMiddle = (text: string, length: number): string => {
  if (text.length <= length) return text
  const tail = Math.floor((length - 1) / 2)
  return `${text.slice(0, length - 1 - tail)}…${text.slice(text.length - tail)}`
}
