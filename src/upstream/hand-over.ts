/**
 * An answer that is not plain, and what comes behind it on its connection, goes to undici: it is given the socket as one
 * newly dialled, what it writes (the request) is left out, and it reads what was read already.
 */
import type { Socket } from 'node:net'
import type { buildConnector, Dispatcher } from 'undici'
import Client from 'undici/lib/dispatcher/client.js'
import type { Attempt } from './attempt.ts'
import { MAX_HEAD_KB } from './errors.ts'
import { endPausedAnswers } from './paused-end.ts'
import type { UpstreamRequest } from './transport.ts'
import type { Upload } from './upload.ts'

/** What is handed over. */
export interface HandedOver {
  readonly socket: Socket
  /** The beginning of the answer. */
  readonly read: Buffer
  readonly asked: UpstreamRequest
  readonly attempt: Attempt
  /** The rest of the request, if it is still on its way: it goes on as before. */
  readonly upload: Upload | undefined
}

/** Hands an answer over to a client of its own, which closes the connection behind it. */
export const handOver = (origin: string, { asked, attempt, read, socket, upload }: HandedOver): Client => {
  attempt.connection = socket
  endPausedAnswers(socket)
  let given = false
  // One that is closed by now: undici would dial again for ever.
  const connect: buildConnector.connector = (_asked, callback) =>
    queueMicrotask(() => {
      if (given || socket.destroyed)
        callback(Object.assign(new Error('other side closed'), { code: 'ECONNRESET' }), null)
      else callback(null, socket)
      given = true
    })
  const client = new Client(origin, {
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    maxHeaderSize: MAX_HEAD_KB * 1024,
    connect,
  })
  const write = socket.write.bind(socket) as (...given: unknown[]) => boolean
  const requestLine = `${asked.method} ${asked.path} HTTP/1.1\r\n`
  socket.write = ((...given: unknown[]) => {
    if (typeof given[0] !== 'string' || !given[0].startsWith(requestLine)) return write(...given)
    Reflect.deleteProperty(socket, 'write')
    socket.unshift(read)
    return true
  }) as Socket['write']
  const handler = {
    onConnect: (abort: (error?: Error) => void) => attempt.abortedBy(abort),
    onHeaders: attempt.onHeaders.bind(attempt),
    onData: attempt.onData.bind(attempt),
    onComplete(trailers: Parameters<Attempt['onComplete']>[0]) {
      upload?.stop()
      attempt.onComplete(trailers)
    },
    onError(error: Error) {
      upload?.stop()
      attempt.onError(error)
    },
  }
  client.dispatch({ ...asked, body: null }, handler as unknown as Dispatcher.DispatchHandler)
  // Not before the answer is whole.
  void client.close().catch(() => {})
  return client
}
