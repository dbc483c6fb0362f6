/** The spans of an exchange as a drawing in the terminal: what took how long, and when within the whole. */
import { escapeControl } from './escape.ts'
import { type ColorLevel, type Palette, palette } from './palette.ts'
import type { SpanRecord } from './spans.ts'
import { formatDuration } from './units.ts'

/** What is drawn of a span; `service` names another program's. */
export type DrawnSpan = Pick<
  SpanRecord,
  'spanId' | 'parentSpanId' | 'name' | 'kind' | 'startMs' | 'endMs' | 'status' | 'events'
> & { readonly service?: string | undefined }

/** A row of the drawing. */
interface Row {
  readonly label: string
  readonly startMs: number
  readonly endMs: number
  readonly paint: (text: string) => string
}

const MAX_ROWS = 60
const MAX_DEPTH = 12
const WIDEST_LABEL = 44
const NARROWEST_BAR = 8
const DURATION = 7
/** A phase of the upstream's span has a row of its own when it took this share of it. */
const TELLING_SHARE = 0.02

/**
 * One line a span, children below their parent in the order they began; no line is wider than `width`. Where there is
 * no room for bars, names and durations are left. Ends with a line end; empty without spans.
 */
export const waterfall = (
  spans: readonly DrawnSpan[],
  { width, color }: { width: number; color: ColorLevel },
): string => {
  const rows = rowsOf(spans, palette(color))
  const shown = rows.slice(0, MAX_ROWS)
  if (shown.length === 0) return ''
  const start = Math.min(...shown.map(({ startMs }) => startMs))
  const whole = Math.max(...shown.map(({ endMs }) => endMs)) - start
  const longest = Math.max(...shown.map(({ label }) => label.length))
  const forBars = Math.max(1, Math.min(longest, WIDEST_LABEL, Math.floor(width * 0.45)))
  const cells = width - forBars - DURATION - 2
  const labels = cells < NARROWEST_BAR ? Math.max(1, Math.min(longest, width - DURATION)) : forBars
  const lines = shown.map(({ label, startMs, endMs, paint }) => {
    const duration = formatDuration(endMs - startMs).padStart(DURATION)
    if (cells < NARROWEST_BAR) return `${cut(label, labels).padEnd(labels)}${duration}`
    const drawn = bar((startMs - start) / whole, (endMs - start) / whole, cells)
    return `${cut(label, labels).padEnd(labels)} ${paint(drawn)} ${duration}`
  })
  if (rows.length > shown.length) lines.push(cut(`… ${rows.length - shown.length} more spans`, width))
  return `${lines.join('\n')}\n`
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/**
 * From one share of the whole to another, never nothing. The length is true to an eighth of a cell, the place to half
 * a cell: there are no characters that begin within theirs.
 */
const bar = (from: number, to: number, cells: number): string => {
  // A whole of no time at all.
  if (!Number.isFinite(to)) return EIGHTHS[1].padEnd(cells)
  const before = Math.min(Math.round(from * cells), cells - 1)
  const eighths = Math.max(1, Math.min(Math.round((to - from) * cells * 8), (cells - before) * 8))
  return `${' '.repeat(before)}${'█'.repeat(eighths >> 3)}${EIGHTHS[eighths % 8]}`.padEnd(cells)
}

const cut = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1)}…`

const byStart = (a: DrawnSpan, b: DrawnSpan): number => a.startMs - b.startMs

/** The spans as a tree, flattened from the top; a span whose parent is not there stands at the top itself. */
const rowsOf = (spans: readonly DrawnSpan[], paint: Palette): Row[] => {
  const known = new Set(spans.map(({ spanId }) => spanId))
  const children = new Map<string | undefined, DrawnSpan[]>()
  for (const span of spans) {
    const parent =
      span.parentSpanId !== undefined && known.has(span.parentSpanId) ? span.parentSpanId : undefined
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [span])
    else siblings.push(span)
  }
  const rows: Row[] = []
  const seen = new Set<DrawnSpan>()
  const add = (span: DrawnSpan, first: string, next: string, depth: number): void => {
    // A program may claim that two spans are each other's parents.
    if (seen.has(span) || rows.length > MAX_ROWS * 4) return
    seen.add(span)
    const { service, name } = span
    rows.push({
      label: first + escapeControl(service === undefined ? name : `${service}: ${name}`),
      startMs: span.startMs,
      endMs: Math.max(span.startMs, span.endMs),
      paint: paintOf(span, paint),
    })
    const parts: Array<DrawnSpan | Phase> = [...(children.get(span.spanId) ?? []).sort(byStart)]
    if (parts.length === 0) parts.push(...phases(span))
    for (const [i, part] of parts.entries()) {
      const last = i === parts.length - 1
      const [own, below] =
        depth >= MAX_DEPTH ? [next, next] : [`${next}${last ? '└ ' : '├ '}`, `${next}${last ? '  ' : '│ '}`]
      if ('spanId' in part) add(part, own, below, depth + 1)
      else rows.push({ ...part, label: own + part.label, paint: paint.quiet })
    }
  }
  for (const span of (children.get(undefined) ?? []).sort(byStart)) add(span, '', '', 0)
  return rows
}

type Phase = Pick<Row, 'label' | 'startMs' | 'endMs'>

/** The parts of a request to the upstream, where at least two of them tell something. */
const phases = ({ kind, startMs, endMs, events }: DrawnSpan): Phase[] => {
  if (kind !== 'client') return []
  const sent = events.find(({ name }) => name === 'request sent')?.atMs
  const head = events.find(({ name }) => name === 'response head')?.atMs
  if (sent === undefined || head === undefined) return []
  const all = [
    { label: 'connect', startMs, endMs: sent },
    { label: 'wait', startMs: sent, endMs: head },
    { label: 'download', startMs: head, endMs },
  ]
  const telling = all.filter((phase) => phase.endMs - phase.startMs >= (endMs - startMs) * TELLING_SHARE)
  return telling.length < 2 ? [] : telling
}

const paintOf = ({ status, kind, service, name }: DrawnSpan, paint: Palette): Row['paint'] => {
  if (status === 'error') return paint.failure
  if (service !== undefined) return paint.renewed
  if (kind === 'client') return paint.fetched
  if (kind === 'server') return paint.strong
  if (name.startsWith('cache')) return paint.fresh
  return name === 'rate limit' || name === 'queue' || name === 'hold' ? paint.limited : paint.quiet
}
