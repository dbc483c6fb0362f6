/** The report for programs; the names are stable. */
import { shownJson } from '../observe/escape.ts'
import type { Report } from './report.ts'

/** As a plain object. */
export const reportObject = ({ startedAt, all, ...report }: Report): Record<string, unknown> => ({
  revproxySummary: 1,
  startedAt: startedAt.toISOString(),
  ...report,
  durationMs: Math.round(report.durationMs),
  totals: { ...report.totals, p95Ms: all.p95Ms },
})

/** As text, indented. Ends with a line end. */
export const reportJson = (report: Report): string => `${shownJson(reportObject(report), 2)}\n`
