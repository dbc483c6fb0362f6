/**
 * The end of a connection on whose answer undici has paused: its reader is slow. undici 7 throws there where nobody
 * catches it, and tells its request nothing any more (nodejs/undici#5360); when the upstream meant to keep the
 * connection, it takes an answer for broken that is whole.
 */
import type { Socket } from 'node:net'
import symbols from 'undici/lib/core/symbols.js'

/** As much of undici's parser as is touched here. */
interface Parser {
  paused: boolean
  readonly ptr: number
  readonly llhttp: { llhttp_resume(ptr: number): void }
  resume(): void
}

/** Lets what was read to its end be complete, and what broke be told as broken. For sockets that undici is about to get. */
export const endPausedAnswers = (socket: Socket): void => {
  const paused = (): Parser | undefined => {
    const parser = (socket as unknown as Record<symbol, Parser | null | undefined>)[symbols.kParser]
    return parser?.paused ? parser : undefined
  }
  // Before undici's own listeners. There is nothing left to read, so nothing more is given to the reader.
  socket.on('end', () => {
    paused()?.resume()
    const parser = paused()
    // A body without a length ends with the connection only.
    if (parser === undefined) return
    parser.llhttp.llhttp_resume(parser.ptr)
    parser.paused = false
  })
  const broken = (): void => {
    const parser = paused()
    // But not its llhttp: it would take the end for that of a body.
    if (parser !== undefined) parser.paused = false
  }
  socket.on('error', broken)
  socket.on('close', broken)
}
