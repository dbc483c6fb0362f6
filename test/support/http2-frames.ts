/** HTTP/2 frames by hand, for what no client library would send (RFC 9113 §4.1, RFC 7541 §6.2.2). */

/** What opens a connection: the preface and empty SETTINGS. */
export const opening = (): Buffer =>
  Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)])

/** One frame. */
export const frame = (type: number, flags: number, stream: number, payload = Buffer.alloc(0)): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** HEADERS with END_HEADERS; names and values of up to 126 bytes. */
export const headers = (stream: number, fields: Record<string, string>, endStream: boolean): Buffer =>
  frame(
    1,
    endStream ? 5 : 4,
    stream,
    Buffer.concat(
      Object.entries(fields).flatMap(([name, value]) => [
        Buffer.from([0, name.length]),
        Buffer.from(name),
        Buffer.from([value.length]),
        Buffer.from(value),
      ]),
    ),
  )

/** DATA without END_STREAM. */
export const data = (stream: number, text: string): Buffer => frame(0, 0, stream, Buffer.from(text))

/** RST_STREAM; 8 is CANCEL. */
export const reset = (stream: number, code: number): Buffer => {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(code)
  return frame(3, 0, stream, payload)
}
