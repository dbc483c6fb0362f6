/**
 * How many connections of clients are open at once. One over the bound is answered 503 before anything is read of it,
 * and closed; node's own `maxConnections` would close it without a word.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { ProxyError } from '../core/errors.ts'
import { answerRaw } from './refusals.ts'

/**
 * So many refused connections are closed gently at once, and never many more than are let in: they need files too.
 * Further ones are closed without a word.
 */
const GENTLE_AT_ONCE = 32
const GENTLE_AT_LEAST = 10

/** What admission goes by. */
export interface AdmissionOptions {
  readonly max: number
  /** Connections that are open, those refused not counted. */
  readonly open: () => number
  /** Told of each connection refused. */
  readonly onRefused: (socket: Socket) => void
}

/** The door of an edge. */
export interface Admission {
  /** Puts the door before a server that has its listeners already. */
  guard(server: Server): void
  /** Destroys what is still being refused. */
  close(): void
}

/** Lets in so many connections at once. */
export const admission = ({ max, open, onRefused }: AdmissionOptions): Admission => {
  const gentle = Math.min(GENTLE_AT_ONCE, Math.max(GENTLE_AT_LEAST, max))
  const leaving = new Set<Socket>()
  const known = new WeakSet<Socket>()
  const refuse = (socket: Socket): void => {
    onRefused(socket)
    if (leaving.size >= gentle) {
      socket.destroy()
      return
    }
    leaving.add(socket)
    socket.on('error', () => socket.destroy())
    socket.once('close', () => leaving.delete(socket))
    answerRaw(socket, tooMany(max))
  }
  return {
    guard(server) {
      const inside = server.listeners('connection')
      server.removeAllListeners('connection')
      server.on('connection', (socket: Socket) => {
        // A connection whose upgrade was declined comes a second time.
        if (!known.has(socket) && open() >= max) {
          refuse(socket)
          return
        }
        known.add(socket)
        for (const listener of inside) listener.call(server, socket)
      })
    },
    close() {
      for (const socket of leaving) socket.destroy()
    },
  }
}

const tooMany = (max: number): ProxyError =>
  new ProxyError(
    503,
    'queue-full',
    `${max} connections are open, as many as --max-connections lets in; try again later.`,
    { fields: ['Retry-After', '1'] },
  )
