/**
 * The upstream of the hostile cases: it speaks bytes, and reads requests as a careless backend would. A coding that it
 * does not know it takes for none, and of several lengths the first counts, so that whatever a proxy lets through is
 * read otherwise here and shows as a request that nobody sent.
 */
import { type AddressInfo, createServer, type Socket } from 'node:net'

/** A request as it was read. */
export interface Heard {
  readonly method: string
  readonly target: string
  /** The head as it came, with its line ends. */
  readonly head: string
  readonly socket: Socket
  body: string
  /** Its body as it came, with its framing. */
  raw: string
  /** All of its body has come. */
  whole: boolean
}

/** What is done with a request once its head is there; by default it is answered `ok` once it is whole. */
export type Answer = (heard: Heard) => void

/** A running upstream. */
export interface HostileUpstream {
  readonly port: number
  readonly heard: Heard[]
  /** Answers otherwise until `reset`. */
  answer: Answer | undefined
  /** Called when a body is whole. */
  onWhole: Answer | undefined
  /** Connections on which a request is not done with. */
  busy(): number
  /** Forgets what was heard, and answers `ok` again. */
  reset(): void
  close(): Promise<void>
}

export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

const field = (head: string, name: string): string | undefined =>
  new RegExp(`^${name}:[ \\t]*([^\\r\\n]*)`, 'im').exec(head)?.[1]?.trim()

/** Takes a body from the front of the bytes; gives the rest, and whether it was whole. */
const takeBody = (heard: Heard, bytes: string): { rest: string; whole: boolean } => {
  if (field(heard.head, 'transfer-encoding')?.toLowerCase() === 'chunked') {
    let at = 0
    let body = ''
    for (;;) {
      const [line, digits] = /^([\da-f]+)[^\r\n]*\r?\n/i.exec(bytes.slice(at)) ?? []
      if (line === undefined) return { rest: bytes, whole: false }
      const size = Number.parseInt(digits!, 16)
      at += line.length
      if (size === 0) {
        const end = /^(?:[^\r\n]+\r?\n)*\r?\n/.exec(bytes.slice(at))
        if (end === null) return { rest: bytes, whole: false }
        heard.body = body
        return { rest: bytes.slice(at + end[0].length), whole: true }
      }
      if (bytes.length < at + size + 2) return { rest: bytes, whole: false }
      body += bytes.slice(at, at + size)
      at += size + 2
    }
  }
  const length = Number.parseInt(field(heard.head, 'content-length') ?? '0', 10) || 0
  if (bytes.length < length) return { rest: bytes, whole: false }
  heard.body = bytes.slice(0, length)
  return { rest: bytes.slice(length), whole: true }
}

/** Starts it on a free port of 127.0.0.1. */
export const startHostileUpstream = async (): Promise<HostileUpstream> => {
  const sockets = new Map<Socket, number>()
  const server = createServer((socket) => {
    sockets.set(socket, 0)
    let pending = ''
    let reading: Heard | undefined
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (chunk) => {
      pending += chunk.toString('latin1')
      for (;;) {
        if (reading === undefined) {
          const [head] = /^[^\r\n][\s\S]*?\r?\n\r?\n/.exec(pending.replace(/^[\r\n]+/, '')) ?? []
          if (head === undefined) return
          pending = pending.replace(/^[\r\n]+/, '').slice(head.length)
          const [method = '', target = ''] = head.split(/\s/, 2)
          reading = { method, target, head, socket, body: '', raw: '', whole: false }
          upstream.heard.push(reading)
          sockets.set(socket, (sockets.get(socket) ?? 0) + 1)
          upstream.answer?.(reading)
        }
        const { rest, whole } = takeBody(reading, pending)
        if (!whole) {
          reading.body = pending
          return
        }
        reading.raw = pending.slice(0, pending.length - rest.length)
        pending = rest
        reading.whole = true
        if (upstream.onWhole !== undefined) upstream.onWhole(reading)
        else if (upstream.answer === undefined) {
          socket.write(OK)
          sockets.set(socket, (sockets.get(socket) ?? 1) - 1)
        }
        reading = undefined
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const upstream: HostileUpstream = {
    port: (server.address() as AddressInfo).port,
    heard: [],
    answer: undefined,
    onWhole: undefined,
    busy: () => [...sockets.values()].filter((requests) => requests > 0).length,
    reset() {
      upstream.heard.length = 0
      upstream.answer = undefined
      upstream.onWhole = undefined
    },
    async close() {
      for (const socket of sockets.keys()) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return upstream
}

/** Why a head could be read in more than one way; undefined for one that cannot. */
export const ambiguity = (head: string): string | undefined => {
  const all = (name: string): string[] =>
    [...head.matchAll(new RegExp(`^${name}[ \\t]*:[ \\t]*([^\\r\\n]*)`, 'gim'))].map(([, value]) =>
      value!.trim(),
    )
  const lengths = all('content-length')
  const codings = all('transfer-encoding')
  if (/\0/.test(head)) return 'NUL in the head'
  if (/\r(?!\n)/.test(head)) return 'a bare CR in the head'
  if (/(?<!\r)\n/.test(head)) return 'a bare LF in the head'
  if (/\n[ \t]/.test(head)) return 'a folded field'
  if (/^[^\s:]+[ \t]+:/m.test(head.split('\n').slice(1).join('\n'))) return 'a blank before a colon'
  if (lengths.length > 1) return 'several lengths'
  if (lengths.some((length) => !/^\d+$/.test(length))) return `a length of ${lengths}`
  if (codings.some((coding) => coding.toLowerCase() !== 'chunked') || codings.length > 1)
    return `the coding ${codings.join(' and ')}`
  if (lengths.length > 0 && codings.length > 0) return 'a length and a coding'
  if (all('host').length !== 1) return `${all('host').length} Hosts`
  return undefined
}
