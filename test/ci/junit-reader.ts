/** A reader of JUnit XML that knows nothing of ours: libxml2 by its command xmllint, which validates and is asked. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const schema = fileURLToPath(new URL('../../../test/ci/junit.xsd', import.meta.url))

/** One case, as a reader shows it. */
export interface JunitCase {
  readonly classname: string
  readonly name: string
  /** `passed`, `failure`, `error` or `skipped`. */
  readonly outcome: string
  readonly message: string
  readonly text: string
}

/** Validates a file, holds the suite's counts against its cases, and gives them. */
export const readJunit = (file: string): JunitCase[] => {
  const xmllint = (...args: string[]): string =>
    execFileSync('xmllint', ['--nonet', ...args, file], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  xmllint('--noout', '--schema', schema)
  // xmllint ends what it prints with a line end of its own.
  const ask = (xpath: string): string => xmllint('--xpath', xpath).replace(/\n$/, '')
  const count = Number(ask('count(//testcase)'))
  const cases = Array.from({ length: count }, (_, i) => {
    const at = `(//testcase)[${i + 1}]`
    return {
      classname: ask(`string(${at}/@classname)`),
      name: ask(`string(${at}/@name)`),
      outcome: ask(`name(${at}/*)`) || 'passed',
      message: ask(`string(${at}/*/@message)`),
      text: ask(`string(${at}/*)`),
    }
  })
  for (const [attribute, outcome] of [
    ['failures', 'failure'],
    ['errors', 'error'],
    ['skipped', 'skipped'],
  ]) {
    const said = Number(ask(`string(//testsuite/@${attribute})`))
    assert.equal(said, cases.filter((each) => each.outcome === outcome).length, attribute)
  }
  assert.equal(Number(ask('string(//testsuite/@tests)')), count)
  return cases
}
