/** From ProxyResponse to bytes on the client's connection. */
import type { ServerResponse } from 'node:http'
import type { Readable } from 'node:stream'
import type { Fields, ProxyResponse } from '../core/types.ts'
import { hasField } from '../http/fields.ts'
import { interimHead } from './refusals.ts'

/** What sending tells as it goes. */
export interface Sending {
  /** Body bytes given to the connection. */
  sent(bytes: number): void
  /** The body will never be whole; the connection is to be destroyed. */
  broken(error: unknown): void
}

/** Answers that never have content, whatever their fields say (RFC 9110 §6.4.1). */
export const hasContent = (method: string | undefined, status: number): boolean =>
  method !== 'HEAD' && status !== 204 && status !== 304

/** Writes an answer. Throws before the first byte where a status or a field cannot be written at all. */
export const send = (answer: ProxyResponse, res: ServerResponse, to: Sending): void => {
  const { status, headers, body } = answer
  if (hasField(headers, 'date')) res.sendDate = false
  const content = hasContent(res.req.method, status)
  if (Buffer.isBuffer(body)) {
    if (content) sendWhole(answer, body, res, to)
    else {
      // A HEAD out of the cache says how long the GET would be; one from the upstream has no body to tell by.
      const told = res.req.method !== 'HEAD' || body.length === 0 || hasField(headers, 'content-length')
      const fields = told ? headers : [...headers, 'Content-Length', String(body.length)]
      res.writeHead(status, fields as string[])
      res.end()
    }
    return
  }
  try {
    res.writeHead(status, headers as string[])
  } catch (error) {
    body.destroy()
    throw error
  }
  if (!content) {
    body.on('error', () => {}).destroy()
    res.end()
    return
  }
  sendStream(answer, body, res, to)
}

const sendWhole = (answer: ProxyResponse, body: Buffer, res: ServerResponse, to: Sending): void => {
  const { status, headers } = answer
  const trailers = answer.trailers?.()
  if (trailers !== undefined && trailers.length > 0 && res.useChunkedEncodingByDefault) {
    // Trailers need chunked framing (RFC 9112 §7.1.2).
    res.writeHead(status, withoutLength(headers) as string[])
    res.write(body)
    res.addTrailers(pairs(trailers))
    res.end()
    to.sent(body.length)
    return
  }
  res.writeHead(
    status,
    (hasField(headers, 'content-length')
      ? headers
      : [...headers, 'Content-Length', String(body.length)]) as string[],
  )
  res.end(body)
  to.sent(body.length)
}

const sendStream = (answer: ProxyResponse, body: Readable, res: ServerResponse, to: Sending): void => {
  body.on('data', (chunk: Buffer) => to.sent(chunk.length))
  body.on('error', (error) => to.broken(error))
  body.on('close', () => {
    if (!body.readableEnded) to.broken(undefined)
  })
  res.on('close', () => body.destroy())
  if (body.destroyed && !body.readableEnded) {
    // It broke before anybody listened.
    to.broken(body.errored)
    return
  }
  if (answer.trailers !== undefined) {
    body.on('end', () => {
      // Known only now; node sends them where the framing is chunked.
      const trailers = answer.trailers!()
      if (trailers.length > 0 && res.chunkedEncoding) res.addTrailers(pairs(trailers))
    })
  }
  body.pipe(res)
  // writeHead waits for the first byte of the body, which may be long in coming. (flushHeaders writes UTF-8.)
  if (body.readableLength === 0) res.write('', 'latin1')
}

/** Passes an interim answer on where the client can understand it (RFC 9110 §15.2). */
export const sendInterim = (res: ServerResponse, status: number, headers: Fields): void => {
  if (res.headersSent || res.destroyed || res.req.httpVersionMinor === 0) return
  // A response that waits for its turn on the connection has no socket yet.
  res.socket?.write(interimHead(status, headers), 'latin1')
}

const withoutLength = (headers: Fields): Fields =>
  headers.filter((_, i) => headers[i - (i % 2)]!.toLowerCase() !== 'content-length')

const pairs = (fields: Fields): Array<[string, string]> => {
  const out: Array<[string, string]> = []
  for (let i = 0; i < fields.length; i += 2) out.push([fields[i]!, fields[i + 1]!])
  return out
}
