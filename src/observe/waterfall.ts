/**
 * The spans of an exchange as a drawing in the terminal: what took how long, and when within the whole. A bar is solid
 * where the whole time is made of it, and a line where it lies in what is below it or nobody waited.
 */
import { escapeControl } from './escape.ts'
import { columnsOf, cutEnd, padded } from './fit.ts'
import { type ColorLevel, type Palette, palette } from './palette.ts'
import { criticalPath, type DrawnSpan, type Part, type Stretches, spanTree } from './span-tree.ts'
import { formatDuration } from './units.ts'

export type { DrawnSpan } from './span-tree.ts'

/** A row of the drawing. */
interface Row {
  readonly label: string
  readonly startMs: number
  readonly endMs: number
  readonly solid: Stretches
  readonly paint: (text: string) => string
}

const MAX_ROWS = 60
/** Spans that are looked at; the drawing says how many have no row. */
const MAX_PARTS = MAX_ROWS * 4
const MAX_DEPTH = 12
const WIDEST_LABEL = 44
const NARROWEST_BAR = 8
const DURATION = 7

/**
 * One line a span, children below their parent in the order they began; no line is wider than `width`. Where there is
 * no room for bars, names and durations are left. Ends with a line end; empty without spans.
 */
export const waterfall = (
  spans: readonly DrawnSpan[],
  { width, color }: { width: number; color: ColorLevel },
): string => {
  const paint = palette(color)
  const rows = rowsOf(spans, paint)
  const shown = rows.slice(0, MAX_ROWS)
  if (shown.length === 0) return ''
  const start = Math.min(...shown.map(({ startMs }) => startMs))
  const whole = Math.max(...shown.map(({ endMs }) => endMs)) - start
  const longest = Math.max(...shown.map(({ label }) => columnsOf(label)))
  const forBars = Math.max(1, Math.min(longest, WIDEST_LABEL, Math.floor(width * 0.45)))
  const cells = width - forBars - DURATION - 2
  const labels = cells < NARROWEST_BAR ? Math.max(1, Math.min(longest, width - DURATION)) : forBars
  const lines = shown.map((row) => {
    const duration = formatDuration(row.endMs - row.startMs).padStart(DURATION)
    const label = padded(cutEnd(row.label, labels), labels)
    if (cells < NARROWEST_BAR) return label + duration
    return `${label} ${painted(bar(row, { start, whole, cells }), row.paint, paint.quiet)} ${duration}`
  })
  if (rows.length > shown.length) lines.push(cutEnd(`… ${rows.length - shown.length} more spans`, width))
  return `${lines.join('\n')}\n`
}

/**
 * What the whole time of the first span is made of, longest first: `upstream wait 15.0ms (75%), connect 2.0ms (10%)`. Parts
 * below 1 % are left out; empty where there is nothing to tell apart.
 */
export const madeOf = (spans: readonly DrawnSpan[]): string => {
  const root = spanTree(spans, MAX_PARTS).find(({ span }) => span === spans[0])
  if (root === undefined || root.endMs === root.startMs) return ''
  const sums = new Map<string, number>()
  for (const [part, stretches] of criticalPath(root)) {
    const name = part === root ? 'revproxy' : toldName(part)
    const ms = stretches.reduce((sum, [from, to]) => sum + to - from, 0)
    sums.set(name, (sums.get(name) ?? 0) + ms)
  }
  const share = (ms: number): number => Math.round((ms / (root.endMs - root.startMs)) * 100)
  const telling = [...sums].filter(([, ms]) => share(ms) >= 1).sort(([, a], [, b]) => b - a)
  if (telling.length < 2) return ''
  return telling
    .map(([name, ms]) => `${escapeControl(name)} ${formatDuration(ms)} (${share(ms)}%)`)
    .join(', ')
}

/** As the log says it (`timeParts`); ours to the upstream has its method for a name. */
const toldName = ({ name, span }: Part): string => {
  if (span === undefined) return name === 'wait' ? 'upstream wait' : name
  return span.service === undefined && span.kind === 'client' ? 'upstream' : name
}

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const

/**
 * The cells of a bar. The length of what is solid is true to an eighth of a cell, its place to half a cell: there are
 * no characters that begin within theirs. No bar is nothing.
 */
const bar = (
  { startMs, endMs, solid }: Row,
  { start, whole, cells }: { start: number; whole: number; cells: number },
): string[] => {
  const drawn = new Array<string>(cells).fill(' ')
  // A whole of no time at all.
  const at = (ms: number): number => (whole > 0 ? ((ms - start) / whole) * cells : 0)
  const first = (from: number): number => Math.min(Math.round(from), cells - 1)
  const halves = Math.max(1, Math.round((at(endMs) - at(startMs)) * 2))
  for (let i = 0; i < halves; i += 2) {
    const cell = first(at(startMs)) + i / 2
    if (cell < cells) drawn[cell] = i + 1 === halves ? '╴' : '─'
  }
  const isAll = solid.length === 1 && solid[0]![0] === startMs && solid[0]![1] === endMs
  for (const [from, to] of isAll || startMs < endMs ? solid : [[startMs, endMs] as const]) {
    const wanted = Math.round((at(to) - at(from)) * 8)
    const before = first(at(from))
    // A bar that is solid as a whole is always there; of others, what is too short to see is left out.
    const eighths = Math.min(isAll || startMs === endMs ? Math.max(1, wanted) : wanted, (cells - before) * 8)
    for (let i = 0; i < eighths; i += 8) drawn[before + i / 8] = EIGHTHS[eighths - i] ?? '█'
  }
  return drawn
}

/** What is solid by its meaning, lines quietly. */
const painted = (
  cells: readonly string[],
  paint: (text: string) => string,
  quiet: (text: string) => string,
): string => {
  let text = ''
  let run = ''
  const isLine = (cell: string): boolean => cell === '─' || cell === '╴'
  for (const [i, cell] of cells.entries()) {
    run += cell
    const next = cells[i + 1]
    if (next !== undefined && isLine(next) === isLine(cell)) continue
    text += isLine(cell) ? quiet(run) : run.trim() === '' ? run : paint(run)
    run = ''
  }
  return text
}

/** The tree, flattened from the top; a span whose parent is not there stands at the top itself. */
const rowsOf = (spans: readonly DrawnSpan[], paint: Palette): Row[] => {
  const tree = spanTree(spans, MAX_PARTS)
  // The first span is the exchange's own.
  const root = tree.find(({ span }) => span === spans[0]) ?? tree[0]
  const path = root === undefined ? undefined : criticalPath(root)
  const rows: Row[] = []
  const add = (part: Part, first: string, next: string, depth: number): void => {
    rows.push({
      label: first + escapeControl(part.name),
      startMs: part.startMs,
      endMs: part.endMs,
      solid: path?.get(part) ?? [],
      paint: paintOf(part.span, paint),
    })
    for (const [i, below] of part.parts.entries()) {
      const last = i === part.parts.length - 1
      if (depth >= MAX_DEPTH) add(below, next, next, depth + 1)
      else add(below, `${next}${last ? '└ ' : '├ '}`, `${next}${last ? '  ' : '│ '}`, depth + 1)
    }
  }
  for (const part of tree) add(part, '', '', 0)
  return rows
}

const paintOf = (span: DrawnSpan | undefined, paint: Palette): Row['paint'] => {
  if (span === undefined) return paint.fetched
  const { status, kind, service, name } = span
  if (status === 'error') return paint.failure
  if (service !== undefined) return paint.renewed
  if (kind === 'client') return paint.fetched
  if (kind === 'server') return paint.strong
  if (name.startsWith('cache')) return paint.fresh
  return name === 'rate limit' || name === 'queue' || name === 'hold' ? paint.limited : paint.quiet
}
