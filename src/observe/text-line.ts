import type { EndFacts, Exchange } from '../core/exchange.ts'
import { escapeControl } from './escape.ts'
import { cutMiddle, wrapped } from './fit.ts'
import { messageLines } from './message-lines.ts'
import { type ColorLevel, type Palette, palette } from './palette.ts'
import type { Redactor } from './redact.ts'
import { type EndedExchange, timeParts, upstreamMs } from './timing.ts'
import { formatDuration, formatSize } from './units.ts'
import { verdict } from './verdict.ts'

const REQUEST_COLUMN = 24
const VERDICT_COLUMN = 18
const SPLIT_AND_SIZE = 24
/** All columns at their narrowest, but for the request: the times, the status, the duration and the gaps too. */
const OTHER_COLUMNS = 13 + 7 + VERDICT_COLUMN + 8 + SPLIT_AND_SIZE
const COMFORTABLE_URL = 28
const NARROWEST_URL = 12
const SHORT_REASON = 12
/** From so many columns on there is room for … */
const WITH_MILLISECONDS = 100
const NAMED_REFRESH = 80
const WIDEST_WATERFALL = 120
const NARROWEST_BELOW = 20

/** How lines are laid out. */
export interface TextLineOptions {
  /** `pretty`: kept within the width of the terminal; `plain`: uncoloured and uncut. */
  readonly format: 'pretty' | 'plain'
  readonly color: ColorLevel
  readonly verbose: boolean
  readonly redact: Redactor
  readonly width: () => number | undefined
  /** What verbose lines show of the time, below them. */
  readonly waterfall?: ((exchange: Readonly<Exchange>, width: number) => string) | undefined
}

/** One line for an ended exchange, for people: columns, colours by meaning, and notes below it. */
export const textLine = (options: TextLineOptions): ((ended: EndedExchange) => string) => {
  const { format, redact, verbose } = options
  const paint = palette(format === 'plain' ? 0 : options.color)
  const clockTime = localTime()
  const requestColumn = column(REQUEST_COLUMN)
  const verdictColumn = column(VERDICT_COLUMN)

  return ({ exchange, ended, durationMs, slow }) => {
    // A terminal of width 0 does not know its own.
    const width = (format === 'pretty' ? options.width() : undefined) || Number.POSITIVE_INFINITY
    const time = clockTime(ended.at, width >= WITH_MILLISECONDS)
    const refresh = width >= NAMED_REFRESH ? '  ↻ refresh' : '  ↻'
    const method = exchange.cause === 'refresh' ? refresh : escapeControl(exchange.method).padEnd(4)
    const status = ended.status === 0 ? '  -' : String(ended.status)
    const { word, detail: reason, meaning } = verdict(exchange)
    const head = word === '' || reason === '' ? word : `${word.padEnd(5)} `
    const duration = formatDuration(durationMs).padStart(6)
    const mark = slow ? '  SLOW' : ''

    const fixed = `${time} ${method}   ${status}  ${head}  ${duration}${mark}`.length
    const { url, detail, split, size, room } = fitted(width - fixed, {
      url: escapeControl(redact.url(exchange.url)),
      detail: reason,
      split: timeSplit(exchange),
      size: ended.bytes === 0 || word === 'LIMIT' ? '' : formatSize(ended.bytes),
    })

    // Padding aligns the columns as far as the window has room for it.
    let left = room
    const pad = (wish: number): string => {
      const spaces = Math.max(0, Math.min(wish, left))
      left -= spaces
      return ' '.repeat(spaces)
    }
    const requestWidth = method.length + 1 + url.length
    const verdictWidth = head.length + detail.length
    const afterUrl = pad(requestColumn(requestWidth, Math.min(60, width - OTHER_COLUMNS)) - requestWidth)
    const afterReason = pad(verdictColumn(verdictWidth, width < 120 ? 24 : 40) - verdictWidth)
    const afterSplit = size === '' ? '' : ` ${pad(SPLIT_AND_SIZE - split.length - 1 - size.length)}`

    const line =
      `${paint.quiet(time)} ${method} ${url}${afterUrl}  ${paintStatus(paint, ended.status)(status)}  ` +
      `${paint[meaning](head)}${detail}${afterReason}  ${duration}${paint.quiet(split)}${afterSplit}` +
      `${paint.quiet(size)}${paint.warning(mark)}`
    const note = noteOf(ended, slow ? exchange : undefined)
    const noted = note === '' ? '' : format === 'plain' ? ` · ${note}` : below(note, width)
    if (!verbose) return `${line}${noted}\n`
    const details =
      messages(exchange, ended, { redact, paint, width: width - INDENT.length }) +
      timeLines(exchange, options, width)
    return `${line}${noted}${details}\n`
  }
}

interface Parts {
  readonly url: string
  readonly detail: string
  readonly split: string
  readonly size: string
}

/**
 * The parts of a line that may shrink, in `width` columns, and the columns left over. First goes the size, then the
 * split of the time, then what follows the first word of the reason, then the middle of the URL, and last the reason.
 */
const fitted = (width: number, { url, detail, split, size }: Parts): Parts & { room: number } => {
  const wanted = detail.length + Math.min(url.length, COMFORTABLE_URL)
  const sized = size !== '' && wanted + split.length + 1 + size.length <= width ? size : ''
  const shownSplit = wanted + split.length <= width ? split : ''
  const end = shownSplit.length + (sized === '' ? 0 : 1 + sized.length)
  const word = Math.max(
    detail.split(' ', 1)[0]!.length,
    Math.min(detail.split(' · ', 1)[0]!.length, SHORT_REASON),
  )
  const reason = cutEnd(detail, Math.max(word, width - Math.min(url.length, COMFORTABLE_URL) - end))
  const shownUrl = cutMiddle(url, Math.max(NARROWEST_URL, width - reason.length - end))
  const shownDetail = cutEnd(reason, Math.max(0, width - shownUrl.length - end))
  const room = width - shownUrl.length - shownDetail.length - end
  return { url: shownUrl, detail: shownDetail, split: shownSplit, size: sized, room }
}

/** Where notes begin: below the request, behind the time. */
export const INDENT = ' '.repeat(13)

const paintStatus = (paint: Palette, status: number): ((text: string) => string) => {
  if (status >= 500) return paint.failure
  if (status >= 400) return paint.warning
  return status === 0 ? paint.quiet : same
}
const same = (text: string) => text

const timeSplit = (exchange: Readonly<Exchange>): string => {
  const { queuedMs = 0, heldMs = 0 } = exchange
  const upstream = upstreamMs(exchange)
  const parts: string[] = []
  if (queuedMs >= 1) parts.push(`queue ${bare(queuedMs)}`)
  if (heldMs >= 1) parts.push(`held ${bare(heldMs)}`)
  if (upstream !== undefined) parts.push(`upstream ${bare(upstream)}`)
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`
}

/** A duration in ms without saying so: beside one that does. */
const bare = (ms: number): string => {
  const text = formatDuration(ms)
  return text.endsWith('ms') ? text.slice(0, -2) : text
}

const noteOf = (ended: EndFacts, slow: Readonly<Exchange> | undefined): string => {
  const notes: string[] = []
  if (slow !== undefined) {
    const parts = timeParts(slow).map(([part, ms]) => `${part} ${formatDuration(ms)}`)
    if (parts.length > 0) notes.push(parts.join(', '))
  }
  if (ended.errorMessage !== undefined && ended.error !== 'client-gone')
    notes.push(escapeControl(ended.errorMessage))
  return notes.join(' · ')
}

/** A note as further lines; in a window that is hardly wider than their indent the terminal folds it. */
const below = (note: string, width: number): string =>
  wrapped(note, Math.max(NARROWEST_BELOW, width - INDENT.length))
    .map((line) => `\n${INDENT}${line}`)
    .join('')

const messages = (
  exchange: Readonly<Exchange>,
  { bytes }: EndFacts,
  options: { redact: Redactor; paint: Palette; width: number },
): string => {
  const { bodies, requestHeaders, requestBytes, responseHeaders = [] } = exchange
  const withBody = bodies !== undefined
  return [
    ...messageLines(
      { sign: '>', fields: requestHeaders, bytes: requestBytes, sample: bodies?.request, withBody },
      options,
    ),
    ...messageLines(
      { sign: '<', fields: responseHeaders, bytes, sample: bodies?.response, withBody },
      options,
    ),
  ]
    .map((line) => `\n${INDENT}${line}`)
    .join('')
}

/** The waterfall where there is a window to draw it in. */
const timeLines = (exchange: Readonly<Exchange>, { waterfall }: TextLineOptions, width: number): string => {
  const room = Math.min(width, WIDEST_WATERFALL) - INDENT.length
  if (waterfall === undefined || room < NARROWEST_BELOW) return ''
  const lines = waterfall(exchange, room).trimEnd()
  return lines === '' ? '' : `\n${INDENT}${lines.replaceAll('\n', `\n${INDENT}`)}`
}

/** Without a mark where a whole word ends there. */
const cutEnd = (text: string, length: number): string => {
  if (text.length <= length) return text
  if (text[length] === ' ') return text.slice(0, length).replace(/ ·$/, '')
  return length <= 1 ? '' : `${text.slice(0, length - 1).replace(/[ ·]+$/, '')}…`
}

/** A column that is as wide as the widest of what lately stood in it, from `narrowest` up to a bound. */
const column = (narrowest: number): ((length: number, upTo: number) => number) => {
  let width = narrowest
  let widest = narrowest
  let lines = 0
  return (length, upTo) => {
    if (length <= upTo) {
      if (length > widest) widest = length
      if (widest > width) width = widest
    }
    lines++
    if (lines === 100) {
      width = widest
      widest = narrowest
      lines = 0
    }
    return Math.max(narrowest, Math.min(width, upTo))
  }
}

/** `12:00:01.234` in local time; the part that changes once a second is kept. */
const localTime = (): ((at: number, withMilliseconds: boolean) => string) => {
  let second = Number.NaN
  let text = ''
  return (at, withMilliseconds) => {
    const now = Math.floor(at / 1000)
    if (now !== second) {
      second = now
      const date = new Date(now * 1000)
      text = [date.getHours(), date.getMinutes(), date.getSeconds()]
        .map((part) => String(part).padStart(2, '0'))
        .join(':')
    }
    return withMilliseconds ? `${text}.${String(Math.floor(at - now * 1000)).padStart(3, '0')}` : text
  }
}
