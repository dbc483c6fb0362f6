/**
 * Reads protobuf's wire format (protobuf.dev, "Encoding"), as far as OTLP needs it. Every method throws RangeError
 * when the bytes do not hold what is asked of them.
 */
export class ProtoReader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number
  #wireType = 0

  constructor(bytes: Buffer, from = 0, to = bytes.length) {
    this.#bytes = bytes
    this.#at = from
    this.#end = to
  }

  /** Calls `take` for each field of this message; it reads or skips the value before it returns. */
  each(take: (field: number, reader: ProtoReader) => void): void {
    while (this.#at < this.#end) {
      const tag = this.#varint()
      this.#wireType = Number(tag & 7n)
      const field = Number(tag >> 3n)
      if (field === 0) throw new RangeError('protobuf: no field has the number 0')
      take(field, this)
    }
  }

  varint(): bigint {
    this.#must(0)
    return this.#varint()
  }

  fixed64(): bigint {
    this.#must(1)
    const at = this.#take(8)
    return this.#bytes.readBigUInt64LE(at)
  }

  double(): number {
    this.#must(1)
    return this.#bytes.readDoubleLE(this.#take(8))
  }

  bytes(): Buffer {
    this.#must(2)
    const length = Number(this.#varint())
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  text(): string {
    return this.bytes().toString()
  }

  message(): ProtoReader {
    this.#must(2)
    const length = Number(this.#varint())
    const at = this.#take(length)
    return new ProtoReader(this.#bytes, at, at + length)
  }

  /** Passes the value of a field that nobody knows. */
  skip(): void {
    if (this.#wireType === 0) this.#varint()
    else if (this.#wireType === 1) this.#take(8)
    else if (this.#wireType === 2) this.#take(Number(this.#varint()))
    else if (this.#wireType === 5) this.#take(4)
    // Groups are gone since proto3, and OTLP never had them.
    else throw new RangeError(`protobuf: wire type ${this.#wireType}`)
  }

  #must(wireType: number): void {
    if (this.#wireType !== wireType)
      throw new RangeError(`protobuf: wire type ${this.#wireType} instead of ${wireType}`)
  }

  #take(length: number): number {
    const at = this.#at
    if (!(length >= 0 && at + length <= this.#end)) throw new RangeError(`protobuf: ${length} bytes at ${at}`)
    this.#at = at + length
    return at
  }

  #varint(): bigint {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#take(1)]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
    throw new RangeError('protobuf: a number of more than ten bytes')
  }
}
