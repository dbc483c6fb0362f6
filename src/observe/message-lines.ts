/** What `-v` and `-vv` show below a line of the log: the fields of a message, and its body. */
import type { BodySample } from '../core/exchange.ts'
import type { Fields } from '../core/types.ts'
import { firstValue } from '../http/fields.ts'
import { mediaType } from '../http/media-type.ts'
import { bodyText } from './body-text.ts'
import { escapeControl } from './escape.ts'
import { rowsOf } from './fit.ts'
import type { Palette } from './palette.ts'
import type { Redactor } from './redact.ts'
import { formatSize } from './units.ts'

/** A request or an answer. */
export interface Message {
  /** `>` or `<`. */
  readonly sign: string
  readonly fields: Fields
  /** Of its body. */
  readonly bytes: number
  readonly sample: BodySample | undefined
  /** Whether bodies are shown. */
  readonly withBody: boolean
}

const MAX_LINES = 60
const NARROWEST = 20
/** Columns beside its name in which a value begins. */
const WORTH_BEGINNING = 8
/** Before the rest of a field that has no room in its line. */
const CONTINUED = '    '

/** Lines without line ends, folded at `width`. */
export const messageLines = (
  { sign, fields, bytes, sample, withBody }: Message,
  { redact, paint, width }: { redact: Redactor; paint: Palette; width: number },
): string[] => {
  const lines = redact.fields(fields).flatMap(([name, value]) => {
    const label = `${sign} ${escapeControl(name)}:`
    const shown = escapeControl(value)
    const room = width - label.length - 1
    if (shown.length <= room) return [`${paint.quiet(label)} ${shown}`]
    // In a narrow window all of a value stands below a long name.
    const first = room < WORTH_BEGINNING ? 0 : room
    const rest = rowsOf(shown.slice(first), Math.max(NARROWEST, width - CONTINUED.length))
    const begin = first === 0 ? paint.quiet(label) : `${paint.quiet(label)} ${shown.slice(0, first)}`
    return [begin, ...rest.map((row) => CONTINUED + row)]
  })
  if (!withBody || bytes === 0) return lines
  const begin = `${paint.quiet(sign)} `
  lines.push(paint.quiet(sign))
  const body = bodyText(sample, { fields, bytes, redact })
  if (body === undefined) {
    const coding = firstValue(fields, 'content-encoding')
    const what = [mediaType(fields) || 'no type', ...(coding === undefined ? [] : [coding])].join(', ')
    return [...lines, begin + paint.quiet(escapeControl(`(${formatSize(bytes)}, ${what})`))]
  }
  const text = body.text
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
    .flatMap(foldedAt(width - sign.length - 1))
  for (const line of text.slice(0, MAX_LINES)) lines.push(begin + line)
  const more = [
    ...(text.length > MAX_LINES ? [`${text.length - MAX_LINES} more lines`] : []),
    ...(body.moreBytes > 0 ? [`${formatSize(body.moreBytes)} more`] : []),
  ]
  if (more.length > 0) lines.push(begin + paint.quiet(`… ${more.join(' and ')}`))
  return lines
}

/** A line of a body as rows of the window, nothing in it that steers a terminal. */
const foldedAt =
  (width: number) =>
  (line: string): string[] => {
    const shown = escapeControl(line.replaceAll('\t', '  '))
    return shown === '' ? [''] : rowsOf(shown, Math.max(NARROWEST, width))
  }
