/** Writes protobuf by hand (protobuf.dev, "Encoding"), sharing nothing with the reader under test. */

const varint = (value: bigint): number[] => {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, value)
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0))
    rest >>= 7n
  } while (rest > 0n)
  return bytes
}

/** A field of the wire type 0. */
export const int = (field: number, value: number | bigint): Buffer =>
  Buffer.from([...varint(BigInt(field << 3)), ...varint(BigInt(value))])

/** A field of the wire type 1 that holds an unsigned number. */
export const fixed64 = (field: number, value: bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return Buffer.concat([Buffer.from(varint(BigInt((field << 3) | 1))), bytes])
}

/** A field of the wire type 1 that holds a double. */
export const double = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([Buffer.from(varint(BigInt((field << 3) | 1))), bytes])
}

/** A field of the wire type 5. */
export const fixed32 = (field: number, value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return Buffer.concat([Buffer.from(varint(BigInt((field << 3) | 5))), bytes])
}

/** A field of the wire type 2: text, bytes, or a message of further fields. */
export const bytes = (field: number, value: string | Buffer | readonly Buffer[]): Buffer => {
  const content =
    typeof value === 'string' ? Buffer.from(value) : Buffer.isBuffer(value) ? value : Buffer.concat(value)
  return Buffer.concat([
    Buffer.from([...varint(BigInt((field << 3) | 2)), ...varint(BigInt(content.length))]),
    content,
  ])
}

/** A KeyValue of OTLP with text in it. */
export const attribute = (field: number, key: string, value: string): Buffer =>
  bytes(field, [bytes(1, key), bytes(2, [bytes(1, value)])])
