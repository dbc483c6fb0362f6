/** Spans as the tree they are, and which of them the whole time is made of. */
import type { SpanRecord } from './spans.ts'

/** What is drawn of a span; `service` names another program's. */
export type DrawnSpan = Pick<
  SpanRecord,
  'spanId' | 'parentSpanId' | 'name' | 'kind' | 'startMs' | 'endMs' | 'status' | 'events'
> & { readonly service?: string | undefined }

/** A span, or a phase of a request to the upstream, with what lies below it in the order it began. */
export interface Part {
  readonly name: string
  readonly startMs: number
  /** Never before `startMs`. */
  readonly endMs: number
  /** Undefined for a phase. */
  readonly span: DrawnSpan | undefined
  readonly parts: Part[]
}

/** A phase has a part of its own when it took this share of the request. */
const TELLING_SHARE = 0.02

/** The spans without a parent among them, or whose parent is themselves, with all below; at most `max` parts. */
export const spanTree = (spans: readonly DrawnSpan[], max: number): Part[] => {
  const known = new Set(spans.map(({ spanId }) => spanId))
  const children = new Map<string | undefined, DrawnSpan[]>()
  for (const span of spans) {
    const { parentSpanId: id } = span
    const parent = id !== undefined && known.has(id) ? id : undefined
    const siblings = children.get(parent)
    if (siblings === undefined) children.set(parent, [span])
    else siblings.push(span)
  }
  const seen = new Set<DrawnSpan>()
  const partOf = (span: DrawnSpan): Part => {
    seen.add(span)
    const { name, service, startMs } = span
    const endMs = Math.max(startMs, span.endMs)
    const parts = partsBelow(children.get(span.spanId) ?? [])
    return {
      name: service === undefined ? name : `${service}: ${name}`,
      startMs,
      endMs,
      span,
      parts: parts.length > 0 ? parts : phases({ ...span, endMs }),
    }
  }
  const partsBelow = (below: DrawnSpan[]): Part[] =>
    below
      .sort((a, b) => a.startMs - b.startMs)
      // A program may claim that two spans are each other's parents.
      .flatMap((span) => (seen.has(span) || seen.size >= max ? [] : [partOf(span)]))
  return partsBelow(children.get(undefined) ?? [])
}

/** The phases of a request to the upstream, where at least two of them tell something. */
const phases = ({ kind, startMs, endMs, events }: DrawnSpan): Part[] => {
  if (kind !== 'client') return []
  const sent = events.find(({ name }) => name === 'request sent')?.atMs
  const head = events.find(({ name }) => name === 'response head')?.atMs
  if (sent === undefined || head === undefined) return []
  const phase = (name: string, from: number, to: number): Part => ({
    name,
    startMs: from,
    endMs: Math.max(from, to),
    span: undefined,
    parts: [],
  })
  const all = [phase('connect', startMs, sent), phase('wait', sent, head), phase('download', head, endMs)]
  const telling = all.filter((one) => one.endMs - one.startMs >= (endMs - startMs) * TELLING_SHARE)
  return telling.length < 2 ? [] : telling
}

/** When a part itself held the whole up, not one below it: from, to … in ms, rising. */
export type Stretches = Array<readonly [fromMs: number, toMs: number]>

/**
 * The critical path: each moment of the root belongs to exactly one part, the one that was last to end of those that
 * were waited for then. Where a part's clock disagrees with its parent's, the parent's counts.
 */
export const criticalPath = (root: Part): Map<Part, Stretches> => {
  const path = new Map<Part, Stretches>()
  const walk = (part: Part, from: number, until: number): void => {
    const own: Stretches = []
    const left = new Set(part.parts.filter(isWaitedFor))
    let at = until
    for (;;) {
      let last: Part | undefined
      let lastEnd = from
      for (const below of left) {
        const end = Math.min(below.endMs, at)
        if (below.startMs >= at || end <= from) left.delete(below)
        else if (end > lastEnd || (end === lastEnd && below.startMs < (last?.startMs ?? at))) {
          last = below
          lastEnd = end
        }
      }
      if (last === undefined) break
      left.delete(last)
      if (lastEnd < at) own.push([lastEnd, at])
      const start = Math.max(from, last.startMs)
      walk(last, start, lastEnd)
      at = start
    }
    if (from < at) own.push([from, at])
    path.set(part, own.reverse())
  }
  walk(root, root.startMs, root.endMs)
  return path
}

/** What we do beside the request: nobody waits for a refresh, or for what is stored. */
const isWaitedFor = ({ span }: Part): boolean =>
  span === undefined ||
  span.service !== undefined ||
  !(span.name === 'cache set' || span.name.startsWith('refresh '))
