/** A bare connection that a test talks on step by step. */
import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** What came on a connection, and how to wait for more. */
export interface Talk {
  readonly socket: Socket
  /** Everything so far, one character a byte. */
  text(): string
  send(bytes: string | Buffer): void
  /** Resolves with all that came once it matches; rejects when the connection ends before, or after 5 s. */
  until(wanted: RegExp | ((text: string) => boolean)): Promise<string>
  /** Resolves with all that came when the connection is closed. */
  closed(): Promise<string>
  /** How it ended: `end` cleanly, or the code of an error. */
  ending(): string | undefined
}

/** Opens a connection to the proxy; it ends with the test. */
export const talk = (t: TestContext, port: number, host = '127.0.0.1'): Talk => {
  const socket = connect(port, host)
  let text = ''
  let ending: string | undefined
  let closed = false
  const waiting = new Set<() => void>()
  const look = (): void => {
    for (const check of waiting) check()
  }
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
    look()
  })
  socket.on('end', () => {
    ending ??= 'end'
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    ending = error.code ?? error.message
  })
  socket.on('close', () => {
    closed = true
    look()
  })
  t.after(() => socket.destroy())
  const wait = (done: () => boolean, what: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        waiting.delete(check)
        reject(new Error(`${what} did not come within 5 s, but ${JSON.stringify(text.slice(-2000))}`))
      }, 5000)
      const check = (): void => {
        if (!done() && !closed) return
        clearTimeout(timer)
        waiting.delete(check)
        if (done()) resolve(text)
        else
          reject(new Error(`closed (${ending}) before ${what}, after ${JSON.stringify(text.slice(-2000))}`))
      }
      waiting.add(check)
      check()
    })
  return {
    socket,
    text: () => text,
    send: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    until: (wanted) =>
      wait(() => (wanted instanceof RegExp ? wanted.test(text) : wanted(text)), String(wanted)),
    closed: () => wait(() => closed, 'the end of the connection'),
    ending: () => ending,
  }
}

/** Resolves once the condition holds; looks again every few ms, and rejects after 5 s. */
export const eventually = async (condition: () => boolean, what = String(condition)): Promise<void> => {
  const deadline = performance.now() + 5000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within 5 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
