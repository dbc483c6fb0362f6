/**
 * Reads Thrift's binary protocol (thrift-binary-protocol.md) and Jaeger's structs out of it, written against the
 * specifications and jaeger.thrift, sharing nothing with the library that writes them.
 */

/** A struct by field ids. */
export type Struct = Readonly<Record<number, unknown>>

/** A call as it stands in a packet to Jaeger's agent. */
export interface Message {
  readonly name: string
  readonly type: number
  readonly body: Struct
}

/** A tag or log field, with only the value that was sent. */
export interface JaegerTag {
  readonly key: string
  readonly value: string | number | boolean | bigint
}

export interface JaegerSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string
  readonly name: string
  readonly flags: number
  readonly startUs: bigint
  readonly durationUs: bigint
  readonly tags: Readonly<Record<string, JaegerTag['value']>>
  readonly logs: ReadonlyArray<{ atUs: bigint; fields: Readonly<Record<string, JaegerTag['value']>> }>
}

export interface JaegerBatch {
  readonly serviceName: string
  readonly processTags: Readonly<Record<string, JaegerTag['value']>>
  readonly spans: readonly JaegerSpan[]
}

class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  #take(length: number): Buffer {
    const end = this.#at + length
    if (length < 0 || end > this.#bytes.length) throw new RangeError(`thrift: ${length} bytes at ${this.#at}`)
    const taken = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return taken
  }

  get rest(): number {
    return this.#bytes.length - this.#at
  }

  i8 = (): number => this.#take(1).readInt8()
  i16 = (): number => this.#take(2).readInt16BE()
  i32 = (): number => this.#take(4).readInt32BE()
  i64 = (): bigint => this.#take(8).readBigInt64BE()
  double = (): number => this.#take(8).readDoubleBE()
  binary = (): Buffer => this.#take(this.i32())

  value(type: number): unknown {
    switch (type) {
      case 2:
        return this.i8() !== 0
      case 3:
        return this.i8()
      case 4:
        return this.double()
      case 6:
        return this.i16()
      case 8:
        return this.i32()
      case 10:
        return this.i64()
      case 11:
        return this.binary()
      case 12:
        return this.struct()
      case 14:
      case 15:
        return this.list()
      default:
        throw new TypeError(`thrift: type ${type}`)
    }
  }

  list(): unknown[] {
    const type = this.i8()
    return Array.from({ length: this.i32() }, () => this.value(type))
  }

  struct(): Struct {
    const fields: Record<number, unknown> = {}
    for (let type = this.i8(); type !== 0; type = this.i8()) fields[this.i16()] = this.value(type)
    return fields
  }
}

/** A whole packet: a strict message header, its arguments, and nothing behind. */
export const decodeMessage = (packet: Buffer): Message => {
  const reader = new Reader(packet)
  const head = reader.i32()
  if (head >>> 16 !== 0x8001) throw new TypeError('thrift: not the strict binary protocol')
  const name = reader.binary().toString()
  reader.i32() // sequence number
  const body = reader.struct()
  if (reader.rest !== 0) throw new TypeError(`thrift: ${reader.rest} bytes too many`)
  return { name, type: head & 0xff, body }
}

/** A whole body: one struct and nothing behind. */
export const decodeStruct = (bytes: Buffer): Struct => {
  const reader = new Reader(bytes)
  const struct = reader.struct()
  if (reader.rest !== 0) throw new TypeError(`thrift: ${reader.rest} bytes too many`)
  return struct
}

/** `jaeger.thrift`, struct Batch. */
export const jaegerBatch = (batch: Struct): JaegerBatch => {
  const process = batch[1] as Struct
  return {
    serviceName: text(process[1]),
    processTags: tags(process[2]),
    spans: (batch[2] as Struct[]).map(jaegerSpan),
  }
}

const text = (value: unknown): string => (value as Buffer).toString()
const hex = (value: unknown): string =>
  BigInt.asUintN(64, value as bigint)
    .toString(16)
    .padStart(16, '0')

const jaegerSpan = (span: Struct): JaegerSpan => ({
  traceId: hex(span[2]) + hex(span[1]),
  spanId: hex(span[3]),
  parentSpanId: hex(span[4]),
  name: text(span[5]),
  flags: span[7] as number,
  startUs: span[8] as bigint,
  durationUs: span[9] as bigint,
  tags: tags(span[10]),
  logs: ((span[11] ?? []) as Struct[]).map((log) => ({ atUs: log[1] as bigint, fields: tags(log[2]) })),
})

const tags = (list: unknown): Record<string, JaegerTag['value']> =>
  Object.fromEntries(((list ?? []) as Struct[]).map((tag) => [text(tag[1]), tagValue(tag)]))

/** The field that `vType` names must be there, and no other: readers go by either. */
const tagValue = (tag: Struct): JaegerTag['value'] => {
  const type = tag[2] as number
  const sent = Object.keys(tag).map(Number)
  if (sent.length !== 3 || !(3 + type in tag)) throw new TypeError(`jaeger: tag of type ${type} with ${sent}`)
  const value = tag[3 + type]
  return Buffer.isBuffer(value) ? value.toString() : (value as JaegerTag['value'])
}
