/**
 * The report as JUnit XML, valid by both schemas that readers of CI hosts are built to: Ant's (which wants the order,
 * an id, a package and both outputs, and no attributes on the root) and Jenkins' (junit-10.xsd). Each expectation is a
 * test case; so are the command and the target's readiness.
 */
import { hostname } from 'node:os'
import type { Report, ReportedExpectation } from './report.ts'

interface TestCase {
  readonly name: string
  readonly classname: string
  readonly seconds: number
  readonly outcome?: {
    readonly tag: 'failure' | 'error' | 'skipped'
    readonly type: string
    readonly message: string
    readonly text: string
  }
}

/** The whole document. Ends with a line end. */
export const junitXml = (report: Report): string => {
  const cases = [...ownCases(report), ...report.expectations.map(expectationCase)]
  const having = (tag: string): number => cases.filter(({ outcome }) => outcome?.tag === tag).length
  const counts = `tests="${cases.length}" failures="${having('failure')}" errors="${having('error')}"`
  const time = (report.durationMs / 1000).toFixed(3)
  const timestamp = report.startedAt.toISOString().slice(0, 19)
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites>',
    `  <testsuite id="0" name="revproxy" package="revproxy" ${counts} skipped="${having('skipped')}" time="${time}" timestamp="${timestamp}" hostname="${attribute(hostname() || 'localhost')}">`,
    '    <properties>',
    ...Object.entries({
      target: report.target,
      requests: report.totals.requests,
      'exit.code': report.exit.code,
      'exit.reason': report.exit.reason,
    }).map(([name, value]) => `      <property name="${name}" value="${attribute(String(value))}"/>`),
    '    </properties>',
    ...cases.map(caseXml),
    '    <system-out/>',
    report.warnings.length === 0
      ? '    <system-err/>'
      : `    <system-err>${content(report.warnings.join('\n'))}</system-err>`,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n')
}

const caseXml = ({ name, classname, seconds, outcome }: TestCase): string => {
  const open = `    <testcase name="${attribute(name)}" classname="${attribute(classname)}" time="${seconds.toFixed(3)}"`
  if (outcome === undefined) return `${open}/>`
  const { tag, type, message, text } = outcome
  const inner =
    tag === 'skipped'
      ? `<skipped message="${attribute(message)}"/>`
      : `<${tag} message="${attribute(message)}" type="${attribute(type)}">${content(text)}</${tag}>`
  return `${open}>\n      ${inner}\n    </testcase>`
}

/** Cases of what is not an expectation. */
const ownCases = ({ command, problems, exit, durationMs }: Report): TestCase[] => {
  const cases: TestCase[] = []
  if (problems.length > 0) {
    cases.push({
      name: exit.reason.replaceAll('-', ' '),
      classname: 'revproxy.run',
      seconds: durationMs / 1000,
      outcome: { tag: 'error', type: exit.reason, message: problems[0]!, text: problems.join('\n') },
    })
  }
  if (command !== undefined) {
    const how =
      command.signal === undefined ? `ended with code ${command.code}` : `ended by ${command.signal}`
    cases.push({
      name: command.text,
      classname: 'revproxy.command',
      seconds: command.durationMs / 1000,
      ...(exit.reason !== 'command-failed'
        ? {}
        : { outcome: { tag: 'failure', type: 'command-failed', message: `the command ${how}`, text: how } }),
    })
  }
  return cases
}

const expectationCase = ({ text, outcome, because, offenders }: ReportedExpectation): TestCase => ({
  name: text,
  classname: 'revproxy.expectation',
  seconds: 0,
  ...(outcome === 'passed'
    ? {}
    : {
        outcome: {
          tag: outcome === 'failed' ? 'failure' : 'skipped',
          type: 'expectation-failed',
          message: because,
          text: [
            because,
            ...offenders.map(({ status, durationMs, curl }) => `${status} ${durationMs}ms ${curl}`),
          ].join('\n'),
        },
      }),
})

// Characters that XML 1.0 §2.2 does not allow, not even as references.
const NOT_XML = /[^\t\n\r\x20-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

const content = (text: string): string =>
  text.replace(NOT_XML, '\ufffd').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const attribute = (text: string): string =>
  content(text)
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;')
    .replaceAll('\r', '&#13;')
    .replaceAll('\t', '&#9;')
