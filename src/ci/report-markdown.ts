/** The report as GitHub-flavoured Markdown, for step summaries and merge requests. */
import { escapeControl } from '../observe/escape.ts'
import { formatDuration, formatSpan } from '../observe/units.ts'
import type { Report, RouteRow } from './report.ts'
import { percent } from './report-text.ts'

const ROUTES = 20

/** Ends with a line end. */
export const reportMarkdown = (report: Report): string => {
  const { exit, totals, expectations, costliestMisses, problems, warnings, command, all, routes } = report
  const good = exit.code === 0
  const parts: string[] = [
    `### ${good ? '✅' : '❌'} revproxy: ${good ? 'fine' : exit.reason.replaceAll('-', ' ')}`,
  ]
  const sentences = [...problems.map(inline), ...warnings.map((text) => `⚠️ ${inline(text)}`)]
  if (sentences.length > 0) parts.push(sentences.map((text) => `> ${text}`).join('\n>\n'))
  const facts = [
    `${totals.requests} ${totals.requests === 1 ? 'request' : 'requests'} in ${formatSpan(report.durationMs)}`,
    ...(totals.hitRatio === null ? [] : [`${percent(totals.hitRatio)} hits`]),
    `${totals.upstreamRequests} to the upstream`,
    `${totals.errors} errors`,
    ...(totals.rateLimited === 0 ? [] : [`${totals.rateLimited} rate-limited`]),
  ]
  const ran =
    command === undefined ? '' : `${code(command.text)} ended with ${command.signal ?? command.code}. `
  parts.push(`${ran}${facts.join(' · ')}`)
  if (expectations.length > 0) {
    const rows = expectations.map(({ text, outcome, actualText, because }) => {
      const mark = { passed: '✅', failed: '❌', skipped: '⏭️' }[outcome]
      return `| ${mark} | ${code(text)} | ${inline(actualText)} | ${outcome === 'passed' ? '' : inline(because)} |`
    })
    parts.push(['| | expected | was | |', '|---|---|---|---|', ...rows].join('\n'))
    const offenders = expectations.flatMap((each) => each.offenders)
    if (offenders.length > 0) {
      const lines = [
        ...new Set(
          offenders.map(
            ({ curl, status, durationMs }) => `${curl}  # ${status}, ${formatDuration(durationMs)}`,
          ),
        ),
      ]
      parts.push(`The worst requests:\n\n${fenced(lines.map(escapeControl).join('\n'))}`)
    }
  }
  if (all.requests > 0) {
    const rows = [...routes.slice(0, ROUTES), ...(routes.length > 1 ? [{ ...all, route: 'all' }] : [])].map(
      row,
    )
    parts.push(
      [
        '| route | requests | hits | p50 | p95 | p99 | max | failed |',
        '|---|--:|--:|--:|--:|--:|--:|--:|',
        ...rows,
      ].join('\n'),
    )
  }
  const misses = costliestMisses.filter(({ remedy }) => remedy !== undefined)
  if (misses.length > 0) {
    parts.push(
      [
        '| misses that cost most | | upstream | what would help |',
        '|---|---|--:|---|',
        ...misses.map(
          ({ route, count, reason, storage, upstreamMs, remedy }) =>
            `| ${code(route)} ×${count} | ${storage ?? reason} | ${formatDuration(upstreamMs)} | ${inline(remedy!)} |`,
        ),
      ].join('\n'),
    )
  }
  return `${parts.join('\n\n')}\n`
}

const row = ({ route, requests, hitRatio, p50Ms, p95Ms, p99Ms, maxMs, failed }: RouteRow): string => {
  const times = [p50Ms, p95Ms, p99Ms, maxMs].map((value) => (value === null ? '–' : formatDuration(value)))
  return `| ${code(route)} | ${requests} | ${percent(hitRatio)} | ${times.join(' | ')} | ${failed} |`
}

/** A text within a line or a cell of a table: what would be markup stands for itself. */
const inline = (text: string): string =>
  escapeControl(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replace(/[\\`*_{}[\]|~@#]/g, '\\$&')

/** Code within a cell; a `|` would end the cell even there, and a backtick the code. */
const code = (text: string): string =>
  `<code>${escapeControl(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('|', '&#124;')
    .replace(/[`*_[\]~@#\\]/g, (c) => `&#${c.charCodeAt(0)};`)}</code>`

const fenced = (text: string): string => {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length))
  const fence = '`'.repeat(longest + 1)
  return `${fence}sh\n${text}\n${fence}`
}
