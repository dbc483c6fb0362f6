/** Writes the report in every form that was asked for. */
import { writeFileSync } from 'node:fs'
import type { ColorLevel } from '../observe/palette.ts'
import type { Options } from '../options.ts'
import { annotations, writeStepSummary } from './github.ts'
import { junitXml } from './junit.ts'
import type { Report } from './report.ts'
import { reportJson } from './report-json.ts'
import { reportMarkdown } from './report-markdown.ts'
import { reportText } from './report-text.ts'

/** The text of the totals for a width and a depth of colour. */
export type TotalsText = (options: { color: ColorLevel; width: number | undefined }) => string

/** Writes all; what could not be written is said and ends nothing. */
export const writeReports = (
  report: Report,
  {
    options,
    env,
    totals,
    color,
    width,
    write,
    say,
  }: {
    options: Options
    env: NodeJS.ProcessEnv
    totals: TotalsText
    color: ColorLevel
    width: number | undefined
    write: (text: string) => void
    say: (sentence: string) => void
  },
): void => {
  const file = options['summary-file']
  const form = options.summary ?? (file === undefined ? 'text' : formOf(file))
  const text = (depth: ColorLevel, columns: number | undefined): string =>
    reportText(report, { totals: totals({ color: depth, width: columns }), color: depth, width: columns })
  const forms = {
    text: () => text(0, undefined),
    json: () => reportJson(report),
    markdown: () => reportMarkdown(report),
    off: () => '',
  }
  const save = (path: string, content: string): void => {
    try {
      writeFileSync(path, content)
    } catch (error) {
      say(`${path} could not be written (${(error as NodeJS.ErrnoException).code ?? error}).`)
    }
  }
  // A file is for programs; whoever looks on still sees the text.
  if (file !== undefined && form !== 'off') {
    if (file === '-') process.stdout.write(forms[form]())
    else save(file, forms[form]())
  }
  if (form !== 'off') write(file === undefined && form !== 'text' ? forms[form]() : `\n${text(color, width)}`)
  if (options.junit !== undefined) save(options.junit, junitXml(report))
  write(annotations(report, env))
  const problem = writeStepSummary(report, env)
  if (problem !== undefined) say(problem)
}

const formOf = (file: string): 'text' | 'json' | 'markdown' =>
  file.endsWith('.json') ? 'json' : /\.(?:md|markdown)$/.test(file) ? 'markdown' : 'text'
