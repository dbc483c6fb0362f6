/** After the run: what it was, judged and written in every form that was asked for. */
import { writeFileSync } from 'node:fs'
import { exitCodes } from '../cli/exit-codes.ts'
import type { ColorLevel } from '../observe/palette.ts'
import type { Redactor } from '../observe/redact.ts'
import type { Summary } from '../observe/summary.ts'
import type { Options } from '../options.ts'
import type { ProcessEnd } from './backend.ts'
import { makeBaseline } from './baseline.ts'
import { curlCommand, shellQuoted } from './curl.ts'
import { proxiedLoopback } from './doctor/machine.ts'
import { endEvent, expectationEvent } from './events.ts'
import { type Judged, judge, noTraffic } from './judge.ts'
import type { Ledger } from './ledger.ts'
import { type Happened, outcomeOf } from './outcome.ts'
import { type Exit, type Report, reported } from './report.ts'
import { reportObject } from './report-json.ts'
import { writeReports } from './write-reports.ts'

/** A run that is over. */
export interface Run extends Omit<Happened, 'failedExpectations' | 'command'> {
  readonly options: Options
  readonly env: NodeJS.ProcessEnv
  readonly version: string
  readonly ledger: Ledger
  readonly totals: Summary
  readonly redact: Redactor
  readonly url: string
  readonly startedAt: Date
  readonly durationMs: number
  /** The command that was given. */
  readonly words: readonly string[] | undefined
  /** How it ended; undefined when it was not run. */
  readonly commandEnd: ProcessEnd | undefined
  readonly problems: readonly string[]
  readonly warnings: readonly string[]
  /** No baseline was there before. */
  readonly firstBaseline: boolean
  /** Output of the backends that was kept back for the case of a failure. */
  readonly held: string
}

/** Where the conclusion is told. */
export interface Telling {
  readonly color: ColorLevel
  readonly width: number | undefined
  readonly write: (text: string) => void
  readonly say: (sentence: string) => void
  /** Takes an event of `--json`; undefined without it. */
  readonly emit: ((line: string) => void) | undefined
}

/** Judges the run and writes everything. Gives how it ended. */
export const conclude = (run: Run, telling: Telling): Exit => {
  const { options, commandEnd, words, ledger, url, totals } = run
  const { say, emit } = telling
  const variables = words === undefined ? undefined : ['REVPROXY_URL', ...options['url-env']]
  const place = { url, variables, proxiedBy: proxiedLoopback(run.env) }
  const cameToIt = !run.notReached && (words === undefined || commandEnd !== undefined)
  const judged = cameToIt ? judge({ ledger, ...place }) : ledger.accounts.map(notJudged)
  const exit = outcomeOf.run({
    ...run,
    command: words === undefined ? 'none' : (commandEnd ?? 'not run'),
    failedExpectations: judged.filter(({ outcome }) => outcome === 'failed').length,
  })
  const report: Report = {
    version: run.version,
    startedAt: run.startedAt,
    durationMs: run.durationMs,
    exit,
    target: options.target!.display,
    url,
    ...commandFacts(words, commandEnd, run.redact),
    problems: run.problems,
    warnings: run.warnings,
    totals: totals.facts(),
    ...reported(ledger, judged, {
      redactUrl: run.redact.url,
      curl: curlCommand(options.target!, run.redact),
    }),
  }
  if (exit.code === exitCodes.fine) saveBaseline(run, say)
  if (exit.code !== exitCodes.fine) telling.write(run.held)
  writeReports(report, { ...telling, options, env: run.env, totals: totals.text })
  const untouched = report.all.requests === 0 && run.signalled === undefined
  if (cameToIt && untouched && variables !== undefined && judged.length === 0) say(noTraffic(place))
  // Said when it was seen, and by now far up.
  for (const sentence of run.warnings) say(sentence)
  if (exit.code !== exitCodes.fine) say(lastSentence(report))
  for (const each of judged) emit?.(expectationEvent(each))
  emit?.(endEvent(exit, reportObject(report)))
  return exit
}

const notJudged = ({ expectation: { text, metric } }: Ledger['accounts'][number]): Judged => ({
  text,
  metric,
  outcome: 'skipped',
  actual: null,
  actualText: 'nothing',
  bound: null,
  because: 'the run did not come to it.',
  offenders: [],
})

const commandFacts = (
  words: readonly string[] | undefined,
  end: ProcessEnd | undefined,
  redact: Redactor,
): Pick<Report, 'command'> =>
  words === undefined || end === undefined
    ? {}
    : {
        command: {
          text: shownCommand(words, redact),
          code: end.code,
          ...(end.signal === undefined ? {} : { signal: end.signal }),
          durationMs: Math.round(end.afterMs),
        },
      }

const LONGEST_COMMAND = 120

/** The command as it may stand in a report: cut where a script stands in it, secrets in URLs and fields hidden. */
const shownCommand = (words: readonly string[], redact: Redactor): string => {
  const shown = words.map((word) => {
    const field = /^([\w-]+):\s*(.*)$/s.exec(word)
    return shellQuoted(
      field === null ? redact.url(word) : `${field[1]}: ${redact.value(field[1]!, field[2]!)}`,
    )
  })
  const text = shown.join(' ')
  return text.length <= LONGEST_COMMAND ? text : `${text.slice(0, LONGEST_COMMAND - 1)}…`
}

const saveBaseline = ({ options, ledger, firstBaseline }: Run, say: Telling['say']): void => {
  const file = options['save-baseline']
  if (file === undefined) return
  try {
    writeFileSync(file, `${JSON.stringify(makeBaseline(ledger, new Date()), undefined, 2)}\n`)
    if (firstBaseline) say(`wrote the first baseline to ${file}.`)
  } catch (error) {
    say(`${file} could not be written (${(error as NodeJS.ErrnoException).code ?? error}).`)
  }
}

/** Why the exit code is not 0. */
const lastSentence = ({ exit: { code, reason }, expectations, command }: Report): string => {
  const failed = expectations.filter(({ outcome }) => outcome === 'failed').length
  const because = {
    ok: 'fine',
    'command-failed': `the command ended ${command?.signal === undefined ? `with ${command?.code}` : `by ${command.signal}`}`,
    'cannot-start': 'the command could not be run',
    'target-not-ready': 'the target was not ready',
    'backend-ended': 'a command of --start ended before its time',
    'expectation-failed': `${failed} of ${expectations.length} ${expectations.length === 1 ? 'expectation' : 'expectations'} failed`,
    'internal-error': 'a fault of the proxy itself',
    interrupted: 'interrupted',
    terminated: 'told to end',
    'hung-up': 'the terminal is gone',
  }[reason]
  return `exit code ${code}: ${because}.`
}
