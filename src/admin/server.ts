import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import { isIP } from 'node:net'
import { hostname } from 'node:os'

/** A request to the admin listener, already known to come from no foreign page. */
export interface AdminRequest {
  readonly url: URL
  readonly method: string
  readonly headers: IncomingHttpHeaders
  /** The whole body; rejects, and the answer becomes 413, when it is larger than a megabyte. */
  body(): Promise<Buffer>
}

/** What a route answers. */
export interface AdminAnswer {
  readonly status: number
  readonly contentType: string
  readonly body: string | Buffer
}

/** One thing the admin listener does. GET changes nothing; HEAD is answered by GET. */
export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** The exact path, or everything below one: `/cache/entries/*`. */
  readonly path: string
  /** Half a line for the list at `/`. */
  readonly about: string
  /** A rejection is answered with 500 and its message. */
  readonly handle: (request: AdminRequest) => Promise<AdminAnswer>
}

/** Where to listen, and what to answer. */
export interface AdminOptions {
  /** undefined: loopback only, 127.0.0.1 and ::1. */
  readonly host: string | undefined
  /** 0 takes a free one. */
  readonly port: number
  /** Whether a taken port leads to the next one (up to 20 further) instead of an error. */
  readonly tryNext: boolean
  /** Beside `/`, `/metrics` and `/healthz`; the first whose path and method match answers. */
  readonly routes: readonly AdminRoute[]
  /** Gives /metrics; without it there is none. */
  readonly scrape?: ((accept?: string) => Promise<{ contentType: string; body: string }>) | undefined
  /** Whether new requests are no longer wanted; /healthz tells. */
  readonly draining?: (() => boolean) | undefined
  /** Further names the listener answers to when a host is given, such as that of its container. */
  readonly names?: readonly string[] | undefined
  /** Told of what made a route (`GET /metrics`) or the listener fail; whoever asked is answered anyway. Must not throw. */
  readonly onError?: ((error: unknown, where: string) => void) | undefined
}

/** The admin listener while it runs. */
export interface Admin {
  readonly url: string
  readonly port: number
  /** Stops listening; what is being answered has half a second left. */
  close(): Promise<void>
}

const MAX_BODY_BYTES = 1024 * 1024
const FURTHER_PORTS = 20
const CLOSE_MS = 500
const LOOPBACK = ['127.0.0.1', '::1']

/** On every answer: no page may read, frame or keep it, and no browser guess what it is. */
const guardFields = {
  // By which `revproxy top` and its kind know that they asked the right port.
  server: 'revproxy',
  'cache-control': 'no-store',
  'content-security-policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
}

/** An answer instead of what was asked for; `message` is the sentence. */
class Refusal extends Error {
  readonly status: number
  readonly fields: Record<string, string>

  constructor(status: number, message: string, fields: Record<string, string> = {}) {
    super(message)
    this.status = status
    this.fields = fields
  }
}

const text = (status: number, body: string): AdminAnswer => ({
  status,
  contentType: 'text/plain; charset=utf-8',
  body: `${body}\n`,
})

const bracketed = (host: string): string => (isIP(host) === 6 ? `[${host}]` : host)
const matches = (path: string, wanted: string): boolean =>
  wanted.endsWith('/*') ? path.startsWith(wanted.slice(0, -1)) : path === wanted

const builtIn = (options: AdminOptions, all: () => readonly AdminRoute[]): AdminRoute[] => {
  const { scrape, draining } = options
  const list: AdminRoute = {
    method: 'GET',
    path: '/',
    about: 'this list',
    handle: async () =>
      text(
        200,
        [
          'revproxy admin',
          '',
          ...all().map((route) => `${route.method.padEnd(6)} ${route.path}  ${route.about}`),
        ].join('\n'),
      ),
  }
  const health: AdminRoute = {
    method: 'GET',
    path: '/healthz',
    about: '200 ok, or 503 draining',
    handle: async () => (draining?.() ? text(503, 'draining') : text(200, 'ok')),
  }
  if (scrape === undefined) return [list, health]
  const metrics: AdminRoute = {
    method: 'GET',
    path: '/metrics',
    about: 'Prometheus metrics',
    handle: async ({ headers }) => ({ status: 200, ...(await scrape(headers.accept)) }),
  }
  return [list, health, metrics]
}

/**
 * Throws when the request comes through a page of somebody else: under a name that is not ours (DNS rebinding: the
 * page's own name, pointed at us), or with fields by which browsers tell that another site asks.
 */
const guard = (headers: IncomingHttpHeaders, options: AdminOptions, port: number): void => {
  const host = headers.host?.toLowerCase() ?? ''
  const [, name = '', given] = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(\d+))?$/.exec(host) ?? []
  if (!isOurs(name.replace(/^\[|\]$/g, ''), Number(given ?? 80), options, port)) {
    const names = [
      'localhost',
      ...LOOPBACK.map(bracketed),
      ...(options.host === undefined ? [] : [bracketed(options.host)]),
    ]
    throw new Refusal(
      421,
      `This admin listener does not answer to the name it was asked by; use ${names[0]}:${port}` +
        `${options.host === undefined ? '' : `, ${names.at(-1)}:${port} or an IP address`}.`,
    )
  }
  const { origin } = headers
  if (origin !== undefined && origin.toLowerCase() !== `http://${host}`) {
    throw new Refusal(403, 'Requests from pages of another origin are refused.')
  }
  if (headers['sec-fetch-site'] === 'cross-site') {
    throw new Refusal(403, 'Requests from other sites are refused; open this address by hand.')
  }
}

const isOurs = (name: string, port: number, options: AdminOptions, ours: number): boolean => {
  const loopback = name === 'localhost' || LOOPBACK.includes(name)
  if (options.host === undefined) return loopback && port === ours
  // Rebinding needs a name: an address is safe whatever it is, and behind a port mapping neither it nor the port is ours.
  if (loopback || isIP(name) !== 0) return true
  return [options.host, hostname(), ...(options.names ?? [])].some((own) => own.toLowerCase() === name)
}

const readBody = async (req: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES)
      throw new Refusal(413, 'The body is larger than 1 MB.', { connection: 'close' })
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const send = (
  req: IncomingMessage,
  res: ServerResponse,
  answer: AdminAnswer,
  fields: Record<string, string> = {},
) => {
  const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
  res.writeHead(answer.status, {
    ...guardFields,
    ...fields,
    'content-type': answer.contentType,
    'content-length': body.length,
  })
  res.end(req.method === 'HEAD' ? undefined : body)
}

const handlerOf = (options: AdminOptions, port: () => number) => {
  const routes: AdminRoute[] = [...builtIn(options, () => routes), ...options.routes]

  const answer = async (req: IncomingMessage): Promise<AdminAnswer> => {
    guard(req.headers, options, port())
    const target = req.url ?? ''
    // An absolute target would carry a second host (RFC 9112 §3.2.2); nothing that talks to us sends one.
    if (!target.startsWith('/'))
      throw new Refusal(400, 'The target of a request is a path here, such as /metrics.')
    const url = new URL(`http://localhost:${port()}${target}`)
    const here = routes.filter((route) => matches(url.pathname, route.path))
    if (here.length === 0) throw new Refusal(404, 'There is nothing at this path; / lists what there is.')
    const method = req.method === 'HEAD' ? 'GET' : req.method
    const route = here.find((candidate) => candidate.method === method)
    if (route === undefined) {
      const allowed = [
        ...new Set(here.flatMap((one) => (one.method === 'GET' ? ['GET', 'HEAD'] : [one.method]))),
      ].join(', ')
      throw new Refusal(405, `This path takes ${allowed}.`, { allow: allowed })
    }
    return await route.handle({
      url,
      method: req.method ?? '',
      headers: req.headers,
      body: () => readBody(req),
    })
  }

  return async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    // What fails while an answer is read or written is the connection, which node closes.
    req.on('error', () => {})
    res.on('error', () => {})
    try {
      send(req, res, await answer(req))
    } catch (error) {
      if (error instanceof Refusal) return send(req, res, text(error.status, error.message), error.fields)
      options.onError?.(error, `${req.method} ${(req.url ?? '').split('?', 1)[0]}`)
      if (res.headersSent) res.destroy()
      else send(req, res, text(500, `This failed: ${error instanceof Error ? error.message : String(error)}`))
    }
  }
}

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code

const listen = (server: Server, host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    // Exclusive, or cluster workers would share the port and a scrape would reach any of them.
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject)
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })

/** One server an address, all on one port; a family the machine does not have is left out unless it is the only one. */
const listenOn = async (
  hosts: readonly string[],
  port: number,
  make: () => Server,
): Promise<{ servers: Server[]; port: number }> => {
  const servers: Server[] = []
  let bound = port
  let missing: unknown
  try {
    for (const host of hosts) {
      const server = make()
      try {
        bound = await listen(server, host, bound)
        servers.push(server)
      } catch (error) {
        if (!['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(codeOf(error) ?? '')) throw error
        missing = error
      }
    }
    if (servers.length === 0) throw missing
    return { servers, port: bound }
  } catch (error) {
    for (const server of servers) server.close()
    throw error
  }
}

/**
 * Starts the admin listener. Rejects with node's own error (its `code` kept) when it cannot listen: EADDRINUSE only
 * after the further ports when `tryNext`.
 */
export const startAdmin = async (options: AdminOptions): Promise<Admin> => {
  let port = options.port
  const handle = handlerOf(options, () => port)
  const make = () => {
    const server = createServer((req, res) => void handle(req, res))
    // Such as no file descriptor left for a connection: without a listener it would end the process.
    return server.on('error', (error) => server.listening && options.onError?.(error, 'listener'))
  }
  const hosts = options.host === undefined ? LOOPBACK : [options.host]

  // A free port of one family may be taken in the other: another free one then.
  const step = options.port === 0 ? 0 : 1
  const last = options.tryNext || step === 0 ? FURTHER_PORTS : 0
  let servers: Server[] = []
  for (let tried = 0, first: unknown; servers.length === 0; tried++) {
    try {
      ;({ servers, port } = await listenOn(hosts, options.port + tried * step, make))
    } catch (error) {
      first ??= error
      const next = options.port + (tried + 1) * step
      if (codeOf(error) !== 'EADDRINUSE' || tried >= last || next > 65_535)
        throw codeOf(error) === 'EADDRINUSE' ? first : error
    }
  }

  const name =
    options.host === undefined || ['0.0.0.0', '::'].includes(options.host) ? 'localhost' : options.host
  return {
    url: `http://${bracketed(name)}:${port}`,
    port,
    async close() {
      const cut = setTimeout(() => {
        for (const server of servers) server.closeAllConnections()
      }, CLOSE_MS)
      await Promise.all(
        servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))),
      )
      clearTimeout(cut)
    },
  }
}
