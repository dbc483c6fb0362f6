/** A client that speaks HTTP/2, over TLS or with prior knowledge. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type SecureClientSessionOptions,
} from 'node:http2'
import type { TestContext } from 'node:test'

/** An answer, read to its end. */
export interface Http2Got {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** Names and values in the order in which they came. */
  readonly raw: readonly string[]
  readonly body: Buffer
  readonly text: string
  readonly trailers: IncomingHttpHeaders | undefined
  /** 1xx answers that came before. */
  readonly information: IncomingHttpHeaders[]
}

/** A session of one test. */
export interface Http2Client {
  readonly session: ClientHttp2Session
  /** Rejects when the stream was reset. */
  ask(headers: OutgoingHttpHeaders, body?: string | Buffer): Promise<Http2Got>
  /** A stream to write on and read from. */
  open(headers: OutgoingHttpHeaders): ClientHttp2Stream
}

/** Connects; the session ends with the test. */
export const http2Client = (
  t: TestContext,
  url: string,
  options: SecureClientSessionOptions = {},
): Http2Client => {
  const session = connect(url, options)
  session.on('error', () => {})
  t.after(() => session.destroy())
  const open = (headers: OutgoingHttpHeaders): ClientHttp2Stream => {
    const bodiless = headers[':method'] === undefined || /^(?:GET|HEAD|DELETE)$/.test(`${headers[':method']}`)
    return session.request({ ':path': '/', ...headers }, { endStream: bodiless })
  }
  return {
    session,
    open,
    ask: (headers, body) => {
      const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined })
      if (body !== undefined) stream.end(body)
      return whole(stream)
    },
  }
}

/** Reads a stream to its end; rejects when it was reset or the connection was lost. */
export const whole = (stream: ClientHttp2Stream): Promise<Http2Got> =>
  new Promise((resolve, reject) => {
    const information: IncomingHttpHeaders[] = []
    const chunks: Buffer[] = []
    let head: IncomingHttpHeaders = {}
    let raw: readonly string[] = []
    let trailers: IncomingHttpHeaders | undefined
    let ended = false
    stream.on('headers', (headers) => information.push(headers))
    stream.on('response', (headers, _flags, rawHeaders?: string[]) => {
      head = headers
      raw = rawHeaders ?? []
    })
    stream.on('trailers', (headers) => {
      trailers = headers
    })
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('end', () => {
      ended = true
    })
    stream.on('error', reject)
    stream.on('close', () => {
      if (!ended || stream.rstCode !== 0) {
        reject(new Error(`the stream was reset with code ${stream.rstCode}`))
        return
      }
      const body = Buffer.concat(chunks)
      resolve({
        status: Number(head[':status']),
        headers: head,
        raw,
        body,
        text: body.toString(),
        trailers,
        information,
      })
    })
  })
