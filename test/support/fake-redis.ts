/** A server that speaks RESP the way a test wants it. */

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** A running fake. */
export interface FakeRedis {
  readonly url: string
  /** Commands so far, their names in lower case. */
  readonly commands: string[][]
  readonly sockets: Set<Socket>
  /** Connections so far. */
  readonly connections: number
}

/** Reads whole commands off the front of what came; gives what is left. */
const readCommands = (bytes: Buffer, onCommand: (words: string[]) => void): Buffer => {
  let rest = bytes
  for (;;) {
    let at = 0
    const line = (): string | undefined => {
      const end = rest.indexOf('\r\n', at)
      if (end === -1) return undefined
      const text = rest.toString('latin1', at, end)
      at = end + 2
      return text
    }
    const head = line()
    if (head === undefined) return rest
    const words: string[] = []
    for (let count = Number(head.slice(1)); count > 0; count--) {
      const length = line()
      if (length === undefined) return rest
      const bytesOfWord = Number(length.slice(1))
      if (rest.length < at + bytesOfWord + 2) return rest
      words.push(rest.toString('latin1', at, at + bytesOfWord))
      at += bytesOfWord + 2
    }
    onCommand([words[0]?.toLowerCase() ?? '', ...words.slice(1)])
    rest = rest.subarray(at)
  }
}

/** Starts a server that answers each command with what `reply` gives, or not at all; it ends with the test. */
export const startFakeRedis = async (
  t: TestContext,
  reply: (words: string[], socket: Socket) => string | undefined,
): Promise<FakeRedis> => {
  const commands: string[][] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      rest = readCommands(Buffer.concat([rest, chunk]), (words) => {
        commands.push(words)
        const answer = reply(words, socket)
        if (answer !== undefined && !socket.destroyed) socket.write(answer, 'latin1')
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    commands,
    sockets,
    get connections() {
      return connections
    },
  }
}

/** What a Redis in good health answers to what is asked on connecting and to keep a connection alive. */
export const courtesy = ([command]: string[]): string | undefined =>
  command === 'client' ? '+OK\r\n' : command === 'ping' ? '+PONG\r\n' : undefined
