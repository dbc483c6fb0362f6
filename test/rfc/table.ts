/** What the tables of this folder are made of: rows that read like an exchange on paper. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Entry, type StoredParts } from '../../src/cache/entry.ts'
import { requestMarks } from '../../src/cache/key.ts'
import type { ReuseRequest } from '../../src/cache/reuse.ts'
import { parseCacheControl } from '../../src/http/cache-control.ts'
import { formatDate } from '../../src/http/date.ts'
import { firstValue } from '../../src/http/fields.ts'
import { parseContentRange } from '../../src/http/range.ts'
import { selectionOf, varyNames } from '../../src/http/vary.ts'

/** When every stored response was received: Thu, 15 Jan 2026 12:00:00 GMT. Rows count seconds from here. */
export const T0 = Date.UTC(2026, 0, 15, 12)

/** Lines of a head: `Name: value`. `{-60}` in a value is the date a minute before T0. A response may begin with its status. */
export type Lines = ReadonlyArray<string | number>

/** One row: where the rule stands, and what is true when it is followed. */
export interface Row<Want> {
  readonly rfc: string
  readonly name: string
  readonly want: Want
}

/** Runs a table: `answer` gives what is so of a row, and must give what the row wants. */
export const table = <R extends Row<unknown>>(
  question: string,
  rows: readonly R[],
  answer: (row: R) => unknown,
): void => {
  for (const row of rows) {
    test(`${question}: ${row.name} (RFC ${row.rfc})`, () => assert.deepEqual(answer(row), row.want))
  }
}

/** The raw fields of such lines. */
export const fieldsOf = (lines: Lines): string[] =>
  lines.flatMap((line) => {
    if (typeof line === 'number') return []
    const colon = line.indexOf(':')
    const value = line
      .slice(colon + 1)
      .trim()
      .replace(/\{(-?\d+)\}/g, (_, seconds: string) => formatDate(T0 + Number(seconds) * 1000))
    return [line.slice(0, colon), value]
  })

/** A response as it is stored, received at T0 in answer to a request with those lines. */
export const entryOf = (
  response: Lines,
  more: Partial<StoredParts> & { request?: Lines; text?: string } = {},
): Entry => {
  const { request = [], text = 'hello', ...parts } = more
  const fields = fieldsOf(response)
  const status = typeof response[0] === 'number' ? response[0] : 200
  const names = varyNames(fields)
  const part = status === 206 ? parseContentRange(firstValue(fields, 'content-range') ?? '') : undefined
  return new Entry({
    status,
    fields: response.some((line) => /^date:/i.test(String(line)))
      ? fields
      : [...fields, 'Date', formatDate(T0)],
    body: Buffer.from(text),
    requestedAt: T0,
    receivedAt: T0,
    selection: names === '*' ? [] : selectionOf(fieldsOf(request), names),
    url: '/',
    part,
    ...parts,
  })
}

/** What the cache reads of a request with these lines. */
export const marksOf = (request: Lines = []) => requestMarks(fieldsOf(request))

/** What the decision to reuse needs of a request with these lines. */
export const wishesOf = (request: Lines = []): ReuseRequest => {
  const { cacheControl, pragma } = marksOf(request)
  return {
    directives: parseCacheControl(cacheControl),
    pragmaNoCache: cacheControl === undefined && pragma === 'no-cache',
  }
}

/** Fields as lines, sorted, for comparing. */
export const linesOf = (fields: readonly string[]): string[] => {
  const lines: string[] = []
  for (let i = 0; i < fields.length; i += 2) lines.push(`${fields[i]}: ${fields[i + 1]}`)
  return lines.sort()
}
