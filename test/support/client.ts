/** A plain client: one request, the whole answer. */
import { type Agent, request } from 'node:http'
import { connect } from 'node:net'

/** An answer, read to its end. */
export interface Got {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly rawHeaders: string[]
  readonly body: Buffer
  readonly text: string
  readonly trailers: NodeJS.Dict<string>
  /** 1xx answers that came before. */
  readonly information: Array<{ status: number; headers: Record<string, unknown> }>
}

/** What to ask. Header values that are lists become several lines. */
export interface Ask {
  readonly method?: string
  readonly headers?: Record<string, string | string[]>
  readonly body?: string | Buffer
  readonly agent?: Agent
  readonly signal?: AbortSignal
}

/** Rejects when the answer does not come or is cut short. */
export const get = (url: string, ask: Ask = {}): Promise<Got> =>
  new Promise((resolve, reject) => {
    const information: Got['information'] = []
    const { pathname, search, hostname, port } = new URL(url)
    // The path as written: URL would tidy it up.
    const written = /^https?:\/\/[^/]+(\/[^#]*)/.exec(url)?.[1] ?? pathname + search
    const req = request(
      {
        host: hostname.replace(/^\[|\]$/g, ''),
        port,
        path: written,
        method: ask.method ?? 'GET',
        // As browsers and clients with agents ask: what says `close` goes past the lane (edge/lane.ts).
        headers: { connection: 'keep-alive', ...ask.headers },
        agent: ask.agent ?? false,
        ...(ask.signal === undefined ? {} : { signal: ask.signal }),
      },
      (res) => {
        const chunks: Buffer[] = []
        res.on('data', (chunk: Buffer) => chunks.push(chunk))
        res.on('error', reject)
        res.on('end', () => {
          const body = Buffer.concat(chunks)
          resolve({
            status: res.statusCode!,
            headers: res.headers,
            rawHeaders: res.rawHeaders,
            body,
            text: body.toString(),
            trailers: res.trailers,
            information,
          })
        })
      },
    )
    req.on('information', (info) => information.push({ status: info.statusCode, headers: info.headers }))
    req.on('error', reject)
    req.end(ask.body)
  })

/** Bytes on a bare connection: everything that comes back until it closes (or until `stop` says so). */
export const raw = (
  port: number,
  bytes: string | Buffer,
  stop?: (sofar: string) => boolean,
): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no end within 5 s, got so far: ${JSON.stringify(text)}`))
    }, 5000)
    const done = (): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(text)
    }
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      if (stop?.(text) === true) done()
    })
    socket.on('error', done)
    socket.on('close', done)
    socket.write(bytes)
  })

/** A promise and its two ends. */
export const gate = <T = void>(): { promise: Promise<T>; open: (value: T) => void } => {
  let open: (value: T) => void = () => {}
  const promise = new Promise<T>((resolve) => {
    open = resolve
  })
  return { promise, open }
}
