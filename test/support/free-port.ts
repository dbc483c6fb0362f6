/**
 * Ports for programs that cannot choose one themselves. They lie below the range that the system gives out for port 0
 * (32768 and up on Linux), so that a test running beside this one never takes them between the look and the use.
 */
import { createServer } from 'node:net'

const LOWEST = 10_000
const COUNT = 10_000
/** Each process begins elsewhere: those that run beside each other rarely look at the same port. */
let next = (process.pid * 7919) % COUNT

/** A port that nobody listens on, on either loopback family, and that this process has not given out lately. */
export const freePort = async (): Promise<number> => {
  for (let attempt = 0; attempt < COUNT; attempt++) {
    const port = LOWEST + next
    next = (next + 1) % COUNT
    if ((await isFree(port, '127.0.0.1')) && (await isFree(port, '::1'))) return port
  }
  throw new Error(`no port from ${LOWEST} to ${LOWEST + COUNT - 1} is free`)
}

/** A machine without the family has nobody listening there. */
const isFree = (port: number, host: string): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      resolve(['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(error.code ?? '')),
    )
    server.listen(port, host, () => server.close(() => resolve(true)))
  })
