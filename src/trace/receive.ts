/**
 * `--trace-receive`: an OTLP/HTTP receiver on loopback for the spans of the upstream. They are kept to be shown with
 * ours, and every message is passed on as it came.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { gunzip, inflate } from 'node:zlib'
import { decodeJson, decodeProtobuf, type ReceivedSpan } from './otlp-decode.ts'
import type { Message } from './relay.ts'

const MAX_BODY_BYTES = 4 * 1024 * 1024
const MAX_INFLATED_BYTES = 16 * 1024 * 1024
/** Bodies that are being read or inflated at once. */
const MAX_AT_ONCE = 16
const HOSTS = ['127.0.0.1', '::1']
const PROTOBUF = 'application/x-protobuf'
const JSON_TYPE = 'application/json'

const unpackers = { gzip: promisify(gunzip), deflate: promisify(inflate) } as const

/** Where to listen and who is told. */
export interface ReceiverOptions {
  /** 0 takes a free one. */
  readonly port: number
  /** The spans of a message. */
  readonly onSpans: (spans: readonly ReceivedSpan[]) => void
  /** The message as it came, of any signal. */
  readonly onMessage: (message: Message) => void
}

/** A running receiver. */
export interface Receiver {
  readonly port: number
  /** What the upstream is to be told, as OTEL_EXPORTER_OTLP_ENDPOINT. */
  readonly url: string
  close(): Promise<void>
}

/** An answer instead of the usual one. */
class Refusal extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Starts listening on both loopback families. Rejects with a sentence when the port cannot be had. */
export const startReceiver = async (options: ReceiverOptions): Promise<Receiver> => {
  let busy = 0
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    if (++busy > MAX_AT_ONCE) {
      req.resume()
      throw new Refusal(503, 'too many messages at once')
    }
    const type = (req.headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
    const signal = /^\/v1\/(traces|metrics|logs)$/.exec((req.url ?? '').split('?', 1)[0]!)?.[1]
    if (signal === undefined) throw new Refusal(404, 'OTLP is taken at /v1/traces')
    if (req.method !== 'POST') throw new Refusal(405, 'OTLP is sent with POST')
    // No page of another origin can send these without asking first, and it is not answered then.
    if (type !== PROTOBUF && type !== JSON_TYPE) throw new Refusal(415, `send ${PROTOBUF} or ${JSON_TYPE}`)
    const body = await wholeBody(req)
    const contentEncoding = req.headers['content-encoding']?.trim().toLowerCase()
    const plain = await unpacked(body, contentEncoding)
    const spans = signal === 'traces' ? decoded(plain, type) : []
    options.onSpans(spans)
    options.onMessage({ signal, contentType: type, contentEncoding, body, spans: spans.length })
    // OTLP, "OTLP/HTTP Response": an empty message in the encoding of the request.
    res.writeHead(200, { 'content-type': type }).end(type === JSON_TYPE ? '{}' : undefined)
  }
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    req.on('error', () => {})
    res.on('error', () => {})
    answer(req, res)
      .catch((error: unknown) => {
        const status = error instanceof Refusal ? error.status : 500
        const text = error instanceof Error ? error.message : String(error)
        if (!req.complete) res.shouldKeepAlive = false
        if (!res.headersSent) res.writeHead(status, { 'content-type': 'text/plain' }).end(`${text}\n`)
      })
      .finally(() => busy--)
  }
  const servers = await listenAll(() => createServer({ requestTimeout: 10_000 }, listener), options.port)
  const { port } = servers[0]!.address() as AddressInfo
  return {
    port,
    url: `http://localhost:${port}`,
    async close() {
      await Promise.all(
        servers.map((server) => {
          const closed = new Promise((resolve) => server.close(resolve))
          server.closeAllConnections()
          return closed
        }),
      )
    },
  }
}

const wholeBody = async (req: IncomingMessage): Promise<Buffer> => {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_BODY_BYTES) throw new Refusal(413, 'a message is larger than 4 MB')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const unpacked = async (body: Buffer, encoding: string | undefined): Promise<Buffer> => {
  if (encoding === undefined || encoding === '' || encoding === 'identity') return body
  if (encoding !== 'gzip' && encoding !== 'deflate') throw new Refusal(415, 'compression is gzip or deflate')
  try {
    return await unpackers[encoding](body, { maxOutputLength: MAX_INFLATED_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE')
      throw new Refusal(413, 'a message is larger than 16 MB when inflated')
    throw new Refusal(400, `this is not ${encoding}`)
  }
}

const decoded = (plain: Buffer, type: string): ReceivedSpan[] => {
  try {
    return type === JSON_TYPE ? decodeJson(plain.toString()) : decodeProtobuf(plain)
  } catch (error) {
    throw new Refusal(400, `this is not an ExportTraceServiceRequest: ${(error as Error).message}`)
  }
}

const ATTEMPTS = 20

/** One port on both families; one that the machine does not have is left out. */
const listenAll = async (make: () => Server, wanted: number): Promise<Server[]> => {
  for (let attempt = 1; ; attempt++) {
    const servers: Server[] = []
    let port = wanted
    try {
      for (const host of HOSTS) {
        const server = make()
        try {
          port = await listen(server, host, port)
          servers.push(server)
        } catch (error) {
          const { code = '' } = error as NodeJS.ErrnoException
          if (host === '127.0.0.1' || !['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(code)) throw error
        }
      }
      return servers
    } catch (error) {
      for (const server of servers) server.close()
      const { code } = error as NodeJS.ErrnoException
      // A free port of one family may be taken in the other.
      if (wanted === 0 && code === 'EADDRINUSE' && attempt < ATTEMPTS) continue
      if (code !== 'EADDRINUSE') throw error
      // Without the code: what is taken is not the proxy's port.
      throw new Error(
        `port ${wanted} of --trace-receive is in use, by a collector perhaps. ` +
          `Use --trace-receive ${wanted + 1}, and OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:${wanted + 1} for the target`,
      )
    }
  }
}

const listen = (server: Server, host: string, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', reject)
      server.on('error', () => {})
      // It is the proxy that keeps the process up.
      server.unref()
      resolve((server.address() as AddressInfo).port)
    })
  })
