/** An upstream that speaks bytes: for answers that no HTTP server would give. */

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** A running upstream of bytes. */
export interface RawUpstream {
  readonly url: string
  readonly port: number
  /** Heads of requests as they came, in order. */
  readonly heads: string[]
  /** Every byte that came, of all connections together. */
  received(): string
  /** Connections so far. */
  connections(): number
  readonly sockets: Set<Socket>
}

/**
 * Starts it; it ends with the test. `answer` is called for each head, with its number among all and its number on its
 * connection, both from 0; what it gives is written if it is a string.
 */
export const startRawUpstream = async (
  t: TestContext,
  answer: (socket: Socket, nth: number, nthHere: number) => unknown,
): Promise<RawUpstream> => {
  const heads: string[] = []
  const sockets = new Set<Socket>()
  let received = ''
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let pending = ''
    let here = 0
    socket.on('data', (chunk) => {
      const text = chunk.toString('latin1')
      received += text
      pending += text
      for (;;) {
        const begin = /(?:^|\n)[A-Z-]+ \S+ HTTP\/1\.1\r\n/.exec(pending)
        const end = begin === null ? -1 : pending.indexOf('\r\n\r\n', begin.index)
        if (end === -1) return
        heads.push(pending.slice(0, end + 4))
        pending = pending.slice(end + 4)
        const bytes = answer(socket, heads.length - 1, here++)
        if (typeof bytes === 'string') socket.write(bytes, 'latin1')
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    heads,
    received: () => received,
    connections: () => connections,
    sockets,
  }
}
