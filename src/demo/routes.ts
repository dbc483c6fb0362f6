import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { fibonacci } from './fibonacci.ts'
import { greet } from './greeting.ts'
import { page } from './page.ts'
import { BadRequest, decode, integer, parameters } from './query.ts'

/** What a route is given to answer: HEAD is answered like GET, node leaves out the body. */
export interface Ask {
  readonly req: IncomingMessage
  readonly res: ServerResponse
  /** As it was sent, without its query. */
  readonly path: string
  /** As it was sent, without the `?`. */
  readonly query: string
}

/** One path of the demo, or a family of paths, and what it allows. */
export interface Route {
  readonly matches: (path: string) => boolean
  readonly methods: readonly string[]
  /** May throw BadRequest. Whoever leaves before the answer stops its timers and its work. */
  readonly answer: (ask: Ask) => void | Promise<void>
}

type Head = Readonly<Record<string, string>>

/** Sends a whole text answer; `headers` may replace the content type. */
export const send = (res: ServerResponse, status: number, text: string, headers: Head = {}): void => {
  const body = Buffer.from(text)
  res.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': body.length,
    ...headers,
  })
  res.end(body)
}

const cacheable: Head = { 'Cache-Control': 'max-age=60' }
const readOnly = ['GET', 'HEAD'] as const
const withBody = ['POST', 'PUT', 'PATCH'] as const

const at = (path: string, answer: Route['answer'], methods: readonly string[] = readOnly): Route => ({
  matches: (asked) => asked === path,
  methods,
  answer,
})

const echo = ({ req, res, query }: Ask): void => {
  if (req.method === 'GET' || req.method === 'HEAD') {
    send(res, 200, parameters(query).get('echo') ?? '', cacheable)
    return
  }
  const length = req.headers['content-length']
  res.writeHead(200, {
    'Content-Type': req.headers['content-type'] ?? 'application/octet-stream',
    'X-Content-Type-Options': 'nosniff',
    ...(length !== undefined && { 'Content-Length': length }),
  })
  res.flushHeaders()
  // Either side that breaks ends the other; there is nobody left to tell.
  pipeline(req, res, () => {})
}

const slowNumber = async ({ res, query }: Ask): Promise<void> => {
  const pos = integer(query, 'pos', { min: 0, max: 20_000, example: '/api/fibonacci?pos=10000' })
  const number = await fibonacci(pos, () => !res.destroyed)
  if (number !== undefined) send(res, 200, number, cacheable)
}

const slow = ({ res, query }: Ask): void => {
  const ms = integer(query, 'ms', { min: 0, max: 60_000, example: '/api/slow?ms=2000' })
  const timer = setTimeout(() => send(res, 200, `answered after ${ms} ms\n`), ms)
  res.on('close', () => clearTimeout(timer))
}

const STATUS = /^\/api\/status(?:\/|$)/

const status = ({ res, path }: Ask): void => {
  const text = path.replace(STATUS, '')
  const code = /^\d{3}$/.test(text) ? Number(text) : 0
  if (code < 200 || code > 599) {
    throw new BadRequest(`"${text}" is not a status: give one from 200 to 599, such as /api/status/503.`)
  }
  if (code === 204 || code === 304) {
    res.writeHead(code)
    res.end()
    return
  }
  // RFC 9110 §15.3.6: a 205 has no content, though it is framed like any other.
  send(res, code, code === 205 ? '' : `status ${code}\n`)
}

const vary = ({ req, res }: Ask): void => {
  const { language, text } = greet(req.headers['accept-language'])
  send(res, 200, `${text}\n`, { ...cacheable, 'Content-Language': language, Vary: 'Accept-Language' })
}

const stream = ({ req, res, query }: Ask): void => {
  const example = '/api/stream?n=10&ms=500'
  const count = integer(query, 'n', { min: 1, max: 1000, otherwise: 10, example })
  const ms = integer(query, 'ms', { min: 0, max: 60_000, otherwise: 500, example })
  res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' })
  if (req.method === 'HEAD') {
    res.end()
    return
  }
  res.flushHeaders()
  let id = 0
  const timer = setInterval(() => {
    id++
    res.write(`id: ${id}\ndata: event ${id} of ${count} at ${new Date().toISOString()}\n\n`)
    if (id < count) return
    clearInterval(timer)
    res.end()
  }, ms)
  res.on('close', () => clearInterval(timer))
}

const cache = ({ res, query }: Ask): void => {
  const directives = decode(query).trim()
  // RFC 9110 §5.5: what a field value may hold, leaving out obs-text.
  if (/[^\t\x20-\x7e]/.test(directives)) {
    throw new BadRequest(
      'the directives hold characters that no field can: write something like /api/cache?max-age=5,stale-while-revalidate=30.',
    )
  }
  const said = directives === '' ? 'without Cache-Control' : `with Cache-Control: ${directives}`
  send(
    res,
    200,
    `generated at ${new Date().toISOString()} ${said}\n`,
    directives === '' ? {} : { 'Cache-Control': directives },
  )
}

const webSocketOnly = ({ res }: Ask): void =>
  // RFC 9110 §15.5.22, with the fields it asks for.
  send(res, 426, 'this is a WebSocket: ask for it with Upgrade: websocket (RFC 6455).\n', {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
  })

/** Every path of the demo that a plain request can ask for. */
export const routes: readonly Route[] = [
  at('/', ({ res }) => send(res, 200, page, { 'Content-Type': 'text/html; charset=utf-8' })),
  at('/api/echo', echo, [...readOnly, ...withBody]),
  at('/api/fibonacci', slowNumber),
  at('/api/slow', slow),
  { matches: (path) => STATUS.test(path), methods: readOnly, answer: status },
  at('/api/vary', vary),
  at('/api/stream', stream),
  at('/api/cache', cache),
  at('/ws', webSocketOnly),
]
