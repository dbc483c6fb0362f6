/** A bare connection to the proxy, and answers read from it. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** How long anything may take that should come at once. */
export const PATIENCE_MS = 4000
/** How long it is listened for what should not come. */
const SETTLE_MS = 60

/** One answer on a connection. */
export interface Answered {
  readonly status: number
  readonly head: string
  readonly body: string
  /** Its body ended as its framing says. */
  readonly whole: boolean
}

/** Reads all answers that stand in the bytes, 1xx among them. `closed`: no more will come. */
export const answersIn = (text: string, closed: boolean, method = 'GET'): Answered[] => {
  const out: Answered[] = []
  let at = 0
  while (at < text.length) {
    const end = text.indexOf('\r\n\r\n', at)
    const [, code] = /^HTTP\/1\.[01] (\d{3})/.exec(text.slice(at, at + 16)) ?? []
    if (end === -1 || code === undefined) {
      out.push({ status: 0, head: text.slice(at), body: '', whole: false })
      return out
    }
    const head = text.slice(at, end + 4)
    const status = Number(code)
    at = end + 4
    if (status < 200 || status === 204 || status === 304 || method === 'HEAD') {
      out.push({ status, head, body: '', whole: true })
      continue
    }
    const [, length] = /^content-length: *(\d+)/im.exec(head) ?? []
    if (/^transfer-encoding: *chunked/im.test(head)) {
      let body = ''
      let whole = false
      for (;;) {
        const [line, size] = /^([\da-f]+)[^\r\n]*\r\n/i.exec(text.slice(at)) ?? []
        if (line === undefined) break
        const bytes = Number.parseInt(size!, 16)
        at += line.length
        body += text.slice(at, at + bytes)
        at += bytes
        if (bytes === 0) {
          const trailers = /^(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(at))
          whole = trailers !== null
          at += trailers?.[0].length ?? 0
          break
        }
        at += 2
      }
      out.push({ status, head, body, whole })
      if (!whole) return out
    } else if (length !== undefined) {
      const body = text.slice(at, at + Number(length))
      at += Number(length)
      out.push({ status, head, body, whole: body.length === Number(length) })
    } else {
      out.push({ status, head, body: text.slice(at), whole: closed })
      return out
    }
  }
  return out
}

/** A connection. */
export interface Line {
  readonly socket: Socket
  text(): string
  closed(): boolean
  /** Final answers so far. */
  answers(method?: string): Answered[]
  send(bytes: string | Buffer): void
  /** Resolves with true once it holds, or with false when it does not in time. */
  until(holds: () => boolean, ms?: number): Promise<boolean>
  /** Resolves when there is a final answer and nothing more comes, or the connection is closed, or in vain. */
  settled(method?: string): Promise<void>
}

/** Opens a connection; `host` as the proxy listens. */
export const open = (port: number): Line => {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  let closed = false
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1')
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    closed = true
  })
  const until = async (holds: () => boolean, ms = PATIENCE_MS): Promise<boolean> => {
    const deadline = performance.now() + ms
    while (!holds()) {
      if (performance.now() > deadline) return false
      await sleep(5)
    }
    return true
  }
  const answers = (method?: string) =>
    answersIn(text, closed, method).filter(({ status }) => status === 0 || status >= 200)
  return {
    socket,
    text: () => text,
    closed: () => closed,
    answers,
    send: (bytes) => void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    until,
    async settled(method) {
      await until(() => closed || answers(method).some(({ whole, status }) => whole || status === 0))
      if (!closed) await sleep(SETTLE_MS)
    },
  }
}
