/** What a GitHub Actions job shows beside the log: its step summary and its annotations. */
import { appendFileSync } from 'node:fs'
import { escapeControl } from '../observe/escape.ts'
import type { Report } from './report.ts'
import { reportMarkdown } from './report-markdown.ts'

/** Lines that the runner turns into annotations, from either output of a step; empty outside GitHub Actions. */
export const annotations = ({ expectations, problems, warnings }: Report, env: NodeJS.ProcessEnv): string => {
  if (env.GITHUB_ACTIONS !== 'true') return ''
  const failed = expectations.filter(({ outcome }) => outcome === 'failed')
  return [
    ...warnings.map((text) => annotation('warning', 'revproxy', [text])),
    ...problems.map((text) => annotation('error', 'revproxy', [text])),
    ...failed.map(({ text, because, offenders }) =>
      annotation('error', `revproxy: ${text}`, [because, ...offenders.map(({ curl }) => curl)]),
    ),
  ].join('')
}

/** Appends the report to the step's summary where there is one. Gives the sentence to say when that failed. */
export const writeStepSummary = (report: Report, env: NodeJS.ProcessEnv): string | undefined => {
  const file = env.GITHUB_STEP_SUMMARY
  if (file === undefined || file === '') return undefined
  try {
    appendFileSync(file, `${reportMarkdown(report)}\n`)
    return undefined
  } catch (error) {
    return `the step summary could not be written to ${file} (${(error as NodeJS.ErrnoException).code ?? error}).`
  }
}

// https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts has the same two escapes.
const data = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
const property = (text: string): string => data(text).replaceAll(':', '%3A').replaceAll(',', '%2C')

/** Elsewhere the lines are read in a terminal, as the rest is. */
const annotation = (level: 'error' | 'warning', title: string, lines: readonly string[]): string =>
  `::${level} title=${property(escapeControl(title))}::${data(lines.map(escapeControl).join('\n'))}\n`
