/**
 * A careful pipe on undici's dispatch: what a proxy must do at the least. Connection-level fields stay behind both ways,
 * X-Forwarded-For is set, a slow client slows the upstream, a client that leaves ends the request, an upstream that
 * fails is a 502 or, after the head, a cut connection.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Dispatcher, Pool } from 'undici'

const target = new URL(process.argv[2]!)
const pool = new Pool(target.origin, { connections: 64, pipelining: 1, keepAliveTimeout: 60_000 })
const connectionLevel = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const forwarded = (req: IncomingMessage): string[] => {
  const { rawHeaders } = req
  const fields: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (connectionLevel.has(name)) continue
    fields.push(rawHeaders[i]!, name === 'host' ? target.host : rawHeaders[i + 1]!)
  }
  fields.push('X-Forwarded-For', req.socket.remoteAddress ?? '')
  return fields
}

class Pipe {
  readonly #res: ServerResponse
  #abort: ((error?: Error) => void) | undefined

  constructor(res: ServerResponse) {
    this.#res = res
    res.on('close', () => {
      if (!res.writableFinished) this.#abort?.()
    })
  }

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort
    if (this.#res.destroyed) abort()
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void): boolean {
    if (status < 200) return true
    const fields: string[] = []
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i]!.toString('latin1')
      if (!connectionLevel.has(name.toLowerCase())) fields.push(name, raw[i + 1]!.toString('latin1'))
    }
    this.#res.on('drain', resume)
    this.#res.writeHead(status, fields)
    return true
  }

  onData(chunk: Buffer): boolean {
    return this.#res.write(chunk)
  }

  onComplete(): void {
    this.#res.end()
  }

  onError(): void {
    if (this.#res.headersSent) this.#res.destroy()
    else this.#res.writeHead(502).end()
  }
}

const server = createServer({ keepAliveTimeout: 120_000, noDelay: true }, (req, res) => {
  const hasBody =
    req.headers['transfer-encoding'] !== undefined || Number(req.headers['content-length'] ?? 0) > 0
  const options: Dispatcher.DispatchOptions = {
    path: req.url!,
    method: req.method as Dispatcher.HttpMethod,
    headers: forwarded(req),
    body: hasBody ? req : null,
  }
  pool.dispatch(options, new Pipe(res) as unknown as Dispatcher.DispatchHandler)
})
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
process.on('disconnect', () => process.exit())
