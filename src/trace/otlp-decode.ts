/**
 * Reads what an OpenTelemetry SDK posts to `/v1/traces`: an ExportTraceServiceRequest, as protobuf or as JSON
 * (opentelemetry-proto, trace/v1/trace.proto; OTLP, "JSON Protobuf Encoding"). Only what is drawn is kept of it.
 */
import type { AttributeValue, SpanEvent, SpanRecord } from '../observe/spans.ts'
import { ProtoReader } from './proto-reader.ts'

/** A span of another program. */
export interface ReceivedSpan
  extends Pick<
    SpanRecord,
    'traceId' | 'spanId' | 'parentSpanId' | 'name' | 'kind' | 'startMs' | 'endMs' | 'status' | 'events'
  > {
  /** Its `service.name`. */
  readonly service: string
  readonly attributes: Readonly<Record<string, AttributeValue>>
}

/** Bounds of what is kept of one span; the rest of it is passed on, and not shown. */
const MAX_ATTRIBUTES = 32
const MAX_EVENTS = 16
const MAX_TEXT = 256
const NO_SERVICE = 'unknown'

const TRACE_ID = /^(?!0{32})[\da-f]{32}$/
const SPAN_ID = /^(?!0{16})[\da-f]{16}$/
const cut = (text: string): string => (text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT - 1)}…`)
/** Numbers of SpanKind: server 2, client 3; producers and consumers are drawn like any other part. */
const kindOf = (kind: number): ReceivedSpan['kind'] =>
  kind === 2 ? 'server' : kind === 3 ? 'client' : 'internal'
const STATUS_ERROR = 2

type Attributes = Record<string, AttributeValue>

/** A span as both encodings say it. */
interface Parts {
  traceId: string
  spanId: string
  parentSpanId: string
  name: string
  kind: number
  startMs: number
  endMs: number
  status: number
  attributes: Attributes
  events: SpanEvent[]
}

const noParts = (): Parts => ({
  traceId: '',
  spanId: '',
  parentSpanId: '',
  name: '',
  kind: 0,
  startMs: 0,
  endMs: 0,
  status: 0,
  attributes: {},
  events: [],
})

/** The span; undefined without ids that are ids, or times. */
const spanOf = (parts: Parts, service: string): ReceivedSpan | undefined => {
  const { traceId, spanId, parentSpanId, startMs } = parts
  if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId) || !(startMs > 0)) return undefined
  return {
    traceId,
    spanId,
    parentSpanId: SPAN_ID.test(parentSpanId) ? parentSpanId : undefined,
    name: cut(parts.name),
    kind: kindOf(parts.kind),
    startMs,
    endMs: Math.max(startMs, parts.endMs),
    status: parts.status === STATUS_ERROR ? 'error' : 'unset',
    service: cut(service),
    attributes: parts.attributes,
    events: parts.events,
  }
}

const put = (attributes: Attributes, name: string, value: AttributeValue | undefined): void => {
  if (value === undefined || name === '' || Object.keys(attributes).length >= MAX_ATTRIBUTES) return
  // Not by assignment: a name may be `__proto__`.
  Object.defineProperty(attributes, cut(name), {
    value: typeof value === 'string' ? cut(value) : value,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

/** A number of nanoseconds since the epoch, in ms with fractions. */
const msOf = (nanos: bigint): number => Number(nanos / 1_000_000n) + Number(nanos % 1_000_000n) / 1e6

/** All spans of a protobuf message. Throws RangeError when it is none. */
export const decodeProtobuf = (bytes: Buffer): ReceivedSpan[] => {
  const spans: ReceivedSpan[] = []
  new ProtoReader(bytes).each((field, reader) => {
    if (field === 1) resourceSpans(reader.message(), spans)
    else reader.skip()
  })
  return spans
}

const resourceSpans = (message: ProtoReader, spans: ReceivedSpan[]): void => {
  const resource: Attributes = {}
  const found: Parts[] = []
  message.each((field, reader) => {
    if (field === 1) {
      reader.message().each((inner, attribute) => {
        if (inner === 1) keyValue(attribute.message(), resource)
        else attribute.skip()
      })
    } else if (field === 2) {
      reader.message().each((inner, scope) => {
        if (inner === 2) found.push(protoSpan(scope.message()))
        else scope.skip()
      })
    } else reader.skip()
  })
  const service = String(resource['service.name'] ?? NO_SERVICE)
  for (const parts of found) keep(spanOf(parts, service), spans)
}

const keep = (span: ReceivedSpan | undefined, spans: ReceivedSpan[]): void => {
  if (span !== undefined) spans.push(span)
}

const protoSpan = (message: ProtoReader): Parts => {
  const parts = noParts()
  message.each((field, reader) => {
    if (field === 1) parts.traceId = reader.bytes().toString('hex')
    else if (field === 2) parts.spanId = reader.bytes().toString('hex')
    else if (field === 4) parts.parentSpanId = reader.bytes().toString('hex')
    else if (field === 5) parts.name = reader.text()
    else if (field === 6) parts.kind = Number(reader.varint())
    else if (field === 7) parts.startMs = msOf(reader.fixed64())
    else if (field === 8) parts.endMs = msOf(reader.fixed64())
    else if (field === 9) keyValue(reader.message(), parts.attributes)
    else if (field === 11 && parts.events.length < MAX_EVENTS) parts.events.push(protoEvent(reader.message()))
    else if (field === 15) {
      reader.message().each((inner, status) => {
        if (inner === 3) parts.status = Number(status.varint())
        else status.skip()
      })
    } else reader.skip()
  })
  return parts
}

const protoEvent = (message: ProtoReader): SpanEvent => {
  let atMs = 0
  let name = ''
  const attributes: Attributes = {}
  message.each((field, reader) => {
    if (field === 1) atMs = msOf(reader.fixed64())
    else if (field === 2) name = cut(reader.text())
    else if (field === 3) keyValue(reader.message(), attributes)
    else reader.skip()
  })
  return { atMs, name, attributes }
}

const keyValue = (message: ProtoReader, into: Attributes): void => {
  let name = ''
  let value: AttributeValue | undefined
  message.each((field, reader) => {
    if (field === 1) name = reader.text()
    else if (field === 2) value = anyValue(reader.message())
    else reader.skip()
  })
  put(into, name, value)
}

/** Lists, maps and bytes are not shown. */
const anyValue = (message: ProtoReader): AttributeValue | undefined => {
  let value: AttributeValue | undefined
  message.each((field, reader) => {
    if (field === 1) value = reader.text()
    else if (field === 2) value = reader.varint() !== 0n
    else if (field === 3) value = Number(BigInt.asIntN(64, reader.varint()))
    else if (field === 4) value = reader.double()
    else reader.skip()
  })
  return value
}

type Json = Readonly<Record<string, unknown>>

const list = (value: unknown): Json[] =>
  Array.isArray(value) ? value.filter((member) => typeof member === 'object' && member !== null) : []
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '')
const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {})

/** All spans of a JSON message. Throws SyntaxError when it is none. */
export const decodeJson = (text: string): ReceivedSpan[] => {
  const message: unknown = JSON.parse(text)
  if (typeof message !== 'object' || message === null || Array.isArray(message))
    throw new SyntaxError('not an ExportTraceServiceRequest')
  const spans: ReceivedSpan[] = []
  for (const group of list((message as Json).resourceSpans)) {
    const resource = jsonAttributes(object(group.resource).attributes)
    const service = String(resource['service.name'] ?? NO_SERVICE)
    for (const scope of list(group.scopeSpans))
      for (const span of list(scope.spans)) keep(spanOf(jsonSpan(span), service), spans)
  }
  return spans
}

const jsonSpan = (span: Json): Parts => ({
  // OTLP, "JSON Protobuf Encoding": ids are hex there, of either case.
  traceId: textOf(span.traceId).toLowerCase(),
  spanId: textOf(span.spanId).toLowerCase(),
  parentSpanId: textOf(span.parentSpanId).toLowerCase(),
  name: textOf(span.name),
  kind: Number(span.kind ?? 0),
  startMs: jsonTime(span.startTimeUnixNano),
  endMs: jsonTime(span.endTimeUnixNano),
  status: Number(object(span.status).code ?? 0),
  attributes: jsonAttributes(span.attributes),
  events: list(span.events)
    .slice(0, MAX_EVENTS)
    .map((event) => ({
      atMs: jsonTime(event.timeUnixNano),
      name: cut(textOf(event.name)),
      attributes: jsonAttributes(event.attributes),
    })),
})

/** 64-bit numbers are strings in JSON, or numbers where somebody does not care for their end. */
const jsonTime = (value: unknown): number => {
  if (typeof value === 'number' && value >= 0) return value / 1e6
  return typeof value === 'string' && /^\d{1,20}$/.test(value) ? msOf(BigInt(value)) : 0
}

const jsonAttributes = (given: unknown): Attributes => {
  const attributes: Attributes = {}
  for (const { key, value } of list(given).slice(0, MAX_ATTRIBUTES)) {
    const { stringValue, boolValue, intValue, doubleValue } = object(value)
    if (typeof stringValue === 'string') put(attributes, textOf(key), stringValue)
    else if (typeof boolValue === 'boolean') put(attributes, textOf(key), boolValue)
    else if (intValue !== undefined) put(attributes, textOf(key), Number(intValue))
    else if (typeof doubleValue === 'number') put(attributes, textOf(key), doubleValue)
  }
  return attributes
}
