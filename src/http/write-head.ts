/** Writing a head and a body that is whole. */
import type { Socket } from 'node:net'

/** Small bodies are copied behind their head: one piece is cheaper to write than two (3 µs at 1 KB, even at 8). */
const COPIED_BYTES = 8 * 1024
const DESK_BYTES = 2 * COPIED_BYTES
/** Where they are put together: a new piece of memory each time would cost as much again. */
let desk = Buffer.allocUnsafeSlow(DESK_BYTES)

/** Gives both to the connection; whether it takes more. The head is latin1. */
export const writeWhole = (socket: Socket, head: string, body: Buffer): boolean => {
  const length = head.length + body.length
  if (length > desk.length || body.length > COPIED_BYTES) {
    socket.cork()
    socket.write(head, 'latin1')
    const takesMore = socket.write(body)
    socket.uncork()
    return takesMore
  }
  desk.write(head, 0, head.length, 'latin1')
  body.copy(desk, head.length)
  const takesMore = socket.write(desk.subarray(0, length))
  // What the system has not taken yet is still read from there.
  if (socket.writableLength > 0) desk = Buffer.allocUnsafeSlow(DESK_BYTES)
  return takesMore
}
