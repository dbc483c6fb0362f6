/** What an upstream said before it hung up is heard, though our own writing meets the hang-up first. */
import type { Socket } from 'node:net'

type Done = (error?: Error | null) => void

const broken = new WeakMap<object, Error>()

/** What broke a connection; known from the first write that failed, though that is told later. */
export const breakOf = (socket: { readonly errored: Error | null }): Error | undefined =>
  socket.errored ?? broken.get(socket)

/** Behind one wait for what has come on all connections. */
const afterReading = (then: () => void): void => void setImmediate(setImmediate, then)

/**
 * Lets an error of a write be told only once what has come until then was read. An upstream that refuses an upload (413)
 * answers and closes while we are still writing: at the first write that fails, node would destroy the socket, and with
 * it the answer that lies there.
 */
export const readBeforeWriteErrors = (socket: Socket): void => {
  const { _write, _writev } = socket
  const late =
    (done: Done): Done =>
    (error) => {
      if (!error) {
        done()
        return
      }
      broken.set(socket, error)
      afterReading(() => done(error))
    }
  socket._write = (chunk, encoding, done) => _write.call(socket, chunk, encoding, late(done))
  if (_writev) socket._writev = (chunks, done) => _writev.call(socket, chunks, late(done))
}
