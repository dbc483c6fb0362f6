/** Spans of others by trace id, for as long as somebody may look at them: bounded in bytes, in spans a trace and in time. */
import type { AttributeValue } from '../observe/spans.ts'
import type { ReceivedSpan } from './otlp-decode.ts'

const MAX_BYTES = 32 * 1024 * 1024
const MAX_SPANS_A_TRACE = 500
const KEEP_MS = 600_000
/** Of a span beside its texts, measured on Node 20. */
const SPAN_BYTES = 600

/** What was received. */
export interface ReceivedSpans {
  add(spans: readonly ReceivedSpan[]): void
  /** The spans of a trace, in the order they came. */
  of(traceId: string): readonly ReceivedSpan[]
  /** Spans received since the start. */
  total(): number
}

/** How secrets are taken out; see `redactor`. */
export interface Redaction {
  url(text: string): string
  value(name: string, value: string): string
}

interface Kept {
  readonly spans: ReceivedSpan[]
  readonly sinceMs: number
  bytes: number
}

/** Keeps spans, secrets taken out. `now` gives monotonic ms. */
export const receivedSpans = ({
  redact,
  now = () => performance.now(),
  maxBytes = MAX_BYTES,
}: {
  redact: Redaction
  now?: () => number
  maxBytes?: number
}): ReceivedSpans => {
  const traces = new Map<string, Kept>()
  let bytes = 0
  let total = 0

  const forget = (traceId: string, kept: Kept): void => {
    traces.delete(traceId)
    bytes -= kept.bytes
  }
  /** The oldest traces are the first in the map. */
  const tidy = (): void => {
    const tooOld = now() - KEEP_MS
    for (const [traceId, kept] of traces) {
      if (bytes <= maxBytes && kept.sinceMs >= tooOld) return
      forget(traceId, kept)
    }
  }
  return {
    add(spans) {
      total += spans.length
      for (const span of spans) {
        let kept = traces.get(span.traceId)
        if (kept === undefined) {
          kept = { spans: [], sinceMs: now(), bytes: 0 }
          traces.set(span.traceId, kept)
        }
        if (kept.spans.length >= MAX_SPANS_A_TRACE) continue
        const shown = withoutSecrets(span, redact)
        const size = sizeOf(shown)
        kept.spans.push(shown)
        kept.bytes += size
        bytes += size
      }
      tidy()
    },
    of(traceId) {
      tidy()
      return traces.get(traceId)?.spans ?? []
    },
    total: () => total,
  }
}

const withoutSecrets = (span: ReceivedSpan, redact: Redaction): ReceivedSpan => ({
  ...span,
  name: redact.url(span.name),
  attributes: redacted(span.attributes, redact),
  events: span.events.map((event) => ({ ...event, attributes: redacted(event.attributes, redact) })),
})

const redacted = (
  attributes: Readonly<Record<string, AttributeValue>>,
  redact: Redaction,
): Record<string, AttributeValue> =>
  Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => {
      // `http.request.header.authorization`: the last part is the field's name.
      const field = name.replace(/^http\.(?:request|response)\.header\./, '')
      return [name, typeof value === 'string' ? redact.value(field, value) : value]
    }),
  )

const sizeOf = ({ name, service, attributes, events }: ReceivedSpan): number => {
  let size = SPAN_BYTES + name.length + service.length
  for (const of of [attributes, ...events.map((event) => event.attributes)])
    for (const [key, value] of Object.entries(of))
      size += key.length + (typeof value === 'string' ? value.length : 8) + 40
  return size
}
