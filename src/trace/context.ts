/**
 * Trace context on the wire: read from what a client sent, written to the upstream. Formats: W3C Trace Context,
 * Jaeger's `uber-trace-id`, B3. Nothing here exports spans.
 */
import { randomFillSync } from 'node:crypto'
import type { TraceFacts } from '../core/exchange.ts'
import type { Fields } from '../core/types.ts'

/** A format of trace context that can be written to the upstream. */
export type TraceFormat = 'w3c' | 'jaeger' | 'b3' | 'b3multi'

/** Gives that many random lower-case hex digits. */
export type RandomHex = (digits: 16 | 32) => string

/** What a client says of the trace its request belongs to. */
interface RemoteContext {
  readonly traceId: string
  readonly spanId: string
  /** Undefined: the client leaves the decision to us. */
  readonly sampled: boolean | undefined
  readonly traceState?: string | undefined
}

/** Lines of a request that speak of traces. */
interface TraceLines {
  traceparent?: string
  /** A second `traceparent` makes both invalid. */
  parents: number
  tracestate?: string
  uberTraceId?: string
  baggage?: string[]
  b3?: string
  b3TraceId?: string
  b3SpanId?: string
  b3Sampled?: string
  b3Flags?: string
}

const NO_TRACE = '0'.repeat(32)
const NO_SPAN = '0'.repeat(16)
const BAGGAGE_PREFIX = 'uberctx-'

/** The trace of a request: the one its fields name, or a new one. `sample` is the share of new traces to record. */
export const continueTrace = (
  headers: Fields,
  { sample, random = randomHex }: { sample: number; random?: RandomHex },
): TraceFacts => {
  const lines = traceLines(headers)
  const remote = lines === undefined ? undefined : (readW3c(lines) ?? readJaeger(lines) ?? readB3(lines))
  const traceId = remote?.traceId ?? random(32)
  const decided = remote === undefined ? b3Decision(lines) : remote.sampled
  const facts: TraceFacts = {
    traceId,
    spanId: random(16),
    upstreamSpanId: random(16),
    sampled: decided ?? inSample(traceId, sample),
  }
  if (remote !== undefined) facts.parentSpanId = remote.spanId
  if (remote?.traceState !== undefined) facts.traceState = remote.traceState
  if (lines?.baggage !== undefined) facts.baggage = lines.baggage
  return facts
}

/** The facts of what an exchange starts by itself, such as a background refresh: same trace, below its span. */
export const childTrace = (parent: TraceFacts, random: RandomHex = randomHex): TraceFacts => ({
  ...parent,
  spanId: random(16),
  upstreamSpanId: random(16),
  parentSpanId: parent.spanId,
})

/** The lines that tell the upstream its parent, our client span, in each of the formats. */
export const traceFields = (facts: TraceFacts, formats: readonly TraceFormat[]): Fields => {
  const { traceId, spanId, upstreamSpanId, sampled } = facts
  const fields: string[] = []
  for (const format of formats) {
    if (format === 'w3c') {
      // W3C Trace Context §3.2.2: version 00; flags this version does not know are sent as zero.
      fields.push('traceparent', `00-${traceId}-${upstreamSpanId}-${sampled ? '01' : '00'}`)
      if (facts.traceState !== undefined) fields.push('tracestate', facts.traceState)
    } else if (format === 'jaeger') {
      // Jaeger docs, "Propagation Format": {trace-id}:{span-id}:{parent-span-id}:{flags}
      fields.push('uber-trace-id', `${traceId}:${upstreamSpanId}:${spanId}:${sampled ? '1' : '0'}`)
      if (facts.baggage !== undefined) fields.push(...facts.baggage)
    } else if (format === 'b3multi') {
      // B3 "Multiple Headers"
      fields.push('X-B3-TraceId', traceId, 'X-B3-SpanId', upstreamSpanId)
      fields.push('X-B3-ParentSpanId', spanId, 'X-B3-Sampled', sampled ? '1' : '0')
    } else {
      // B3 "Single Header": {TraceId}-{SpanId}-{SamplingState}-{ParentSpanId}
      fields.push('b3', `${traceId}-${upstreamSpanId}-${sampled ? '1' : '0'}-${spanId}`)
    }
  }
  return fields
}

/** Names of every family, so that the upstream never sees two contexts that contradict each other. */
const contextNames: ReadonlySet<string> = new Set([
  'traceparent',
  'tracestate',
  'uber-trace-id',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
])

/**
 * Lower-case names of the lines that `traceFields` of the same arguments stands for: all families, and Jaeger's
 * baggage where it is written again (otherwise it passes as it came: baggage contradicts nothing).
 */
export const replacedFields = (facts: TraceFacts, formats: readonly TraceFormat[]): ReadonlySet<string> => {
  if (facts.baggage === undefined || !formats.includes('jaeger')) return contextNames
  const names = new Set(contextNames)
  for (let i = 0; i < facts.baggage.length; i += 2) names.add(facts.baggage[i]!.toLowerCase())
  return names
}

const POOL_BYTES = 4096
const pool = Buffer.allocUnsafe(POOL_BYTES)
let poolAt = POOL_BYTES

/** Random ids out of a pool, so that a request does not pay for a call to the system. Never all zero (W3C Trace Context §3.2.2.3). */
export const randomHex: RandomHex = (digits) => {
  for (;;) {
    const bytes = digits / 2
    if (poolAt + bytes > POOL_BYTES) {
      randomFillSync(pool)
      poolAt = 0
    }
    const id = pool.toString('hex', poolAt, poolAt + bytes)
    poolAt += bytes
    if (id !== NO_SPAN && id !== NO_TRACE) return id
  }
}

/**
 * OpenTelemetry, "Probability sampling": a function of the id alone, so that everyone on the way decides alike. The
 * last 52 of its 56 random bits are what a double holds.
 */
const inSample = (traceId: string, sample: number): boolean =>
  Number.parseInt(traceId.slice(-13), 16) / 2 ** 52 >= 1 - sample

const traceLines = (headers: Fields): TraceLines | undefined => {
  let lines: TraceLines | undefined
  for (let i = 0; i < headers.length; i += 2) {
    const first = headers[i]!.charCodeAt(0) | 0x20
    // b, t, u, x: most names are done with here.
    if (first !== 0x62 && first !== 0x74 && first !== 0x75 && first !== 0x78) continue
    const name = headers[i]!.toLowerCase()
    if (!contextNames.has(name) && !name.startsWith(BAGGAGE_PREFIX)) continue
    lines ??= { parents: 0 }
    keepLine(lines, name, headers[i]!, headers[i + 1]!)
  }
  return lines
}

const keepLine = (lines: TraceLines, name: string, given: string, value: string): void => {
  switch (name) {
    case 'traceparent':
      lines.traceparent ??= value
      lines.parents++
      break
    case 'tracestate':
      // W3C Trace Context §3.3: several lines are one list (RFC 9110 §5.3).
      lines.tracestate = lines.tracestate === undefined ? value : `${lines.tracestate},${value}`
      break
    case 'uber-trace-id':
      lines.uberTraceId ??= value
      break
    case 'b3':
      lines.b3 ??= value
      break
    case 'x-b3-traceid':
      lines.b3TraceId ??= value
      break
    case 'x-b3-spanid':
      lines.b3SpanId ??= value
      break
    case 'x-b3-sampled':
      lines.b3Sampled ??= value
      break
    case 'x-b3-flags':
      lines.b3Flags ??= value
      break
    case 'x-b3-parentspanid':
      break
    default:
      lines.baggage ??= []
      lines.baggage.push(given, value)
  }
}

/** W3C Trace Context §3.2. Lower-case only; later versions are read as far as this one knows them (§4.3). */
const readW3c = ({ traceparent, parents, tracestate }: TraceLines): RemoteContext | undefined => {
  if (traceparent === undefined || parents !== 1) return undefined
  const match = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/.exec(traceparent.trim())
  if (match === null) return undefined
  const [, version, traceId, spanId, flags, rest] = match
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  return {
    traceId: traceId!,
    spanId: spanId!,
    sampled: (Number.parseInt(flags!, 16) & 1) === 1,
    traceState: tracestate === undefined ? undefined : validState(tracestate),
  }
}

/** At least 512 characters are to be passed on (W3C Trace Context §3.3.1.5); more than this is somebody's mistake. */
const STATE_CHARS = 8192
const STATE_MEMBERS = 32
const STATE_MEMBER =
  /^(?:[a-z][\da-z_\-*/]{0,255}|[\da-z][\da-z_\-*/]{0,240}@[a-z][\da-z_\-*/]{0,13})=[ -+\--<>-~]{0,255}[!-+\--<>-~]$/

/** `tracestate` as it came; undefined when it is empty or breaks W3C Trace Context §3.3.1, which spoils all of it. */
const validState = (state: string): string | undefined => {
  if (state.length > STATE_CHARS) return undefined
  let members = 0
  for (const member of state.split(',')) {
    const trimmed = member.trim()
    if (trimmed === '') continue
    if (++members > STATE_MEMBERS || !STATE_MEMBER.test(trimmed)) return undefined
  }
  return members === 0 ? undefined : state
}

/** Jaeger docs, "Propagation Format": hex of either case without leading zeros, colons possibly percent-encoded. */
const readJaeger = ({ uberTraceId }: TraceLines): RemoteContext | undefined => {
  if (uberTraceId === undefined || uberTraceId.length > 80) return undefined
  const plain = uberTraceId.trim().replace(/%3a/gi, ':')
  const match = /^([\da-f]{1,32}):([\da-f]{1,16}):[\da-f]{0,16}:([\da-f]{1,2})$/i.exec(plain)
  if (match === null) return undefined
  const traceId = match[1]!.toLowerCase().padStart(32, '0')
  const spanId = match[2]!.toLowerCase().padStart(16, '0')
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  // Bit 0 sampled, bit 1 debug, which means: by all means.
  return { traceId, spanId, sampled: (Number.parseInt(match[3]!, 16) & 3) !== 0 }
}

/** B3: the single header comes before the several (B3 "Single Header"); ids are 16 or 32 lower-hex digits. */
const readB3 = (lines: TraceLines): RemoteContext | undefined => {
  const single = /^([\da-f]{32}|[\da-f]{16})-([\da-f]{16})(?:-([01d])(?:-[\da-f]{16})?)?$/.exec(
    lines.b3?.trim() ?? '',
  )
  const givenTrace = single?.[1] ?? lines.b3TraceId?.trim() ?? ''
  const spanId = single?.[2] ?? lines.b3SpanId?.trim() ?? ''
  if (!/^(?:[\da-f]{32}|[\da-f]{16})$/.test(givenTrace) || !/^[\da-f]{16}$/.test(spanId)) return undefined
  const traceId = givenTrace.padStart(32, '0')
  if (traceId === NO_TRACE || spanId === NO_SPAN) return undefined
  return { traceId, spanId, sampled: single === null ? severalDecision(lines) : singleDecision(single[3]) }
}

/** A decision without ids, `b3: 0` or `x-b3-sampled: 0`, holds for the trace that begins here (B3 "Sampling State"). */
const b3Decision = (lines: TraceLines | undefined): boolean | undefined => {
  if (lines === undefined) return undefined
  const single = lines.b3?.trim()
  return single !== undefined && /^[01d]$/.test(single) ? singleDecision(single) : severalDecision(lines)
}

const singleDecision = (state: string | undefined): boolean | undefined =>
  state === undefined ? undefined : state !== '0'

/** B3 "Multiple Headers": flags 1 is debug and implies accept; some old clients send words. */
const severalDecision = ({ b3Sampled, b3Flags }: TraceLines): boolean | undefined => {
  if (b3Flags?.trim() === '1') return true
  const sampled = b3Sampled?.trim().toLowerCase()
  if (sampled === '1' || sampled === 'true' || sampled === 'd') return true
  return sampled === '0' || sampled === 'false' ? false : undefined
}
