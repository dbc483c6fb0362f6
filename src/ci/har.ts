/**
 * The traffic as HAR 1.2, written while it goes by so that memory stays bounded. Secrets are hidden, bodies cut at a
 * bound, and where one is cut or not kept its entry says so.
 */

import { createWriteStream } from 'node:fs'
import { STATUS_CODES } from 'node:http'
import type { Exchange, KeptBody } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import { shownJson } from '../observe/escape.ts'
import type { Redactor } from '../observe/redact.ts'
import { lineSink } from '../observe/sink.ts'
import { type HarText, harText } from './har-text.ts'

/** A HAR file that is being written. */
export interface HarFile {
  readonly observer: Observer
  /** Completes the file. Resolves with the sentence to say when something is missing from it. */
  close(): Promise<string | undefined>
}

/** Entries wait in memory while the disk does not keep up; beyond that they are lost, and told of. */
const MAX_WAITING = 64 * 1024 * 1024
const CLOSE_MS = 10_000

/** Starts the file; whatever stood there is gone. */
export const harFile = (
  path: string,
  {
    redact,
    version,
    origin,
    maxBodyBytes,
  }: { redact: Redactor; version: string; origin: () => string; maxBodyBytes: number },
): HarFile => {
  const stream = createWriteStream(path)
  let failure: Error | undefined
  stream.on('error', (error) => {
    failure ??= error
  })
  const sink = lineSink(stream, { maxBytes: MAX_WAITING, notice: () => '' })
  const creator = { name: 'revproxy', version }
  sink.write(
    `{"log":{"version":"1.2","creator":${JSON.stringify(creator)},"comment":"Secrets are hidden.","entries":[`,
  )
  let entries = 0
  const how = { redact, maxBodyBytes }
  return {
    observer: {
      ended(exchange) {
        sink.write(`${entries++ === 0 ? '' : ','}\n${shownJson(harEntry(exchange, origin(), how))}`)
      },
    },
    async close() {
      sink.write('\n]}}\n')
      await sink.flush(CLOSE_MS)
      if (failure === undefined) {
        await new Promise<void>((resolve) => {
          stream.once('error', () => resolve())
          stream.end(resolve)
        })
      }
      if (failure !== undefined) return `${path} could not be written (${failure.message}).`
      return sink.dropped() === 0
        ? undefined
        : `${path} lacks ${sink.dropped()} entries: the disk did not keep up.`
    },
  }
}

/** One exchange as an entry, with the bodies that are taken from it (http://www.softwareishard.com/blog/har-12-spec/#entries). */
export const harEntry = (
  exchange: Readonly<Exchange>,
  origin: string,
  { redact, maxBodyBytes }: { redact: Redactor; maxBodyBytes: number },
): object => {
  const { ended, upstream, cache, copies, startedAt, method, requestBytes } = exchange
  const shown = redact.url(exchange.url)
  // A client may ask for anything (`//`, `*`, `host:443`); what is no URL then stands as it came.
  const written = shown.startsWith('/') ? origin + shown : shown
  const url = URL.canParse(written) ? new URL(written) : undefined
  const request = redact.fields(exchange.requestHeaders)
  const response = redact.fields(exchange.responseHeaders ?? [])
  const field = (fields: ReadonlyArray<[string, string]>, name: string): string =>
    fields.find(([each]) => each.toLowerCase() === name)?.[1] ?? ''
  const bodyText = (body: KeptBody | undefined, fields: ReadonlyArray<[string, string]>): HarText =>
    harText(body, {
      type: field(fields, 'content-type'),
      coding: field(fields, 'content-encoding'),
      maxBytes: maxBodyBytes,
      redact,
    })
  const { size, ...content } = bodyText(copies?.response?.take(), response)
  const end = ended?.at ?? startedAt
  const version = `HTTP/${exchange.httpVersion}`
  const status = ended?.status ?? 0
  return {
    startedDateTime: new Date(startedAt).toISOString(),
    time: ms(end - startedAt),
    request: {
      method,
      url: url?.href ?? written,
      httpVersion: version,
      cookies: cookies(request, 'cookie'),
      headers: pairs(request),
      queryString: [...(url?.searchParams ?? [])].map(([name, value]) => ({ name, value })),
      ...(requestBytes === 0
        ? {}
        : { postData: posted(field(request, 'content-type'), bodyText(copies?.request?.take(), request)) }),
      headersSize: -1,
      bodySize: requestBytes,
    },
    response: {
      status,
      statusText: STATUS_CODES[status] ?? '',
      httpVersion: version,
      cookies: cookies(response, 'set-cookie'),
      headers: pairs(response),
      content: {
        size: size ?? ended?.bytes ?? 0,
        mimeType: field(response, 'content-type') || 'x-unknown',
        ...content,
      },
      redirectURL: field(response, 'location'),
      headersSize: -1,
      bodySize: ended?.bytes ?? 0,
    },
    cache: {},
    timings: timings(exchange, end),
    ...(upstream === undefined ? {} : { _upstream: upstream.address }),
    ...(cache === undefined ? {} : { _cache: cache.status, _reason: cache.reason }),
    ...(ended?.error === undefined ? {} : { _error: ended.error }),
    ...(exchange.cause === 'client' ? {} : { _cause: exchange.cause }),
    ...(exchange.trace === undefined ? {} : { _traceId: exchange.trace.traceId }),
  }
}

/** HAR has no encoding for what is sent. */
const posted = (mimeType: string, { text = '', encoding, comment }: HarText): object =>
  encoding === undefined
    ? { mimeType, text, ...(comment === undefined ? {} : { comment }) }
    : { mimeType, text: '', comment: 'the body is no text' }

/** Where the time went; the parts add up to the whole. */
const timings = ({ startedAt, headAt, upstream, queuedMs = 0 }: Readonly<Exchange>, end: number): object => {
  const head = Math.min(end, Math.max(startedAt, headAt ?? end))
  const queued = Math.min(queuedMs, head - startedAt)
  const connect = upstream?.sentAt === undefined ? 0 : Math.max(0, upstream.sentAt - upstream.startedAt)
  const dialling = Math.min(connect, head - startedAt - queued)
  return {
    blocked: ms(queued),
    dns: -1,
    connect: upstream === undefined ? -1 : ms(dialling),
    ssl: -1,
    send: 0,
    wait: ms(head - startedAt - queued - dialling),
    receive: ms(end - head),
  }
}

const ms = (value: number): number => Math.max(0, Math.round(value * 1000) / 1000)

const pairs = (fields: ReadonlyArray<[string, string]>): object[] =>
  fields.map(([name, value]) => ({ name, value }))

const cookies = (fields: ReadonlyArray<[string, string]>, field: string): object[] =>
  fields
    .filter(([name]) => name.toLowerCase() === field)
    .flatMap(([, value]) => (field === 'cookie' ? value.split(/;\s*/) : [value.split(';', 1)[0]!]))
    .filter((pair) => pair.includes('='))
    .map((pair) => ({
      name: pair.slice(0, pair.indexOf('=')).trim(),
      value: pair.slice(pair.indexOf('=') + 1),
    }))
