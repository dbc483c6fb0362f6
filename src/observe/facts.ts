/** What the machine-readable formats of the log say of an exchange: one list of names and values for all of them. */
import { type BodyText, bodyText } from './body-text.ts'
import type { Redactor } from './redact.ts'
import { type EndedExchange, upstreamMs } from './timing.ts'
import { failed } from './verdict.ts'

/** Takes one fact. */
export type Put = (name: string, value: string | number | true) => void

/**
 * Puts each fact in a stable order; names are stable, durations are in ms, what is absent is left out. The time of the
 * end and the fields of request and answer are left to the format.
 */
export const eachFact = (over: EndedExchange, redact: Redactor, put: Put): void => {
  const { exchange, ended, durationMs, slow } = over
  const { cache, limit, upstream } = exchange
  put('level', levelOf(over))
  put('event', 'request')
  put('id', exchange.id)
  put('method', exchange.method)
  put('url', redact.url(exchange.url))
  put('host', exchange.host)
  put('status', ended.status)
  if (cache !== undefined) {
    put('cache', cache.status)
    put('reason', cache.reason)
    if (cache.detail !== undefined) put('detail', cache.detail)
    if (cache.storage !== undefined) put('stored', cache.storage)
    if (cache.ageSeconds !== undefined) put('ageSeconds', cache.ageSeconds)
    if (cache.ttlSeconds !== undefined) put('ttlSeconds', cache.ttlSeconds)
    if (cache.leader !== undefined) put('leader', cache.leader)
  }
  put('durationMs', hundredths(durationMs))
  const upstreamDuration = upstreamMs(exchange)
  if (upstreamDuration !== undefined) put('upstreamMs', hundredths(upstreamDuration))
  if (upstream?.headAt !== undefined) put('upstreamHeadMs', hundredths(upstream.headAt - upstream.startedAt))
  if (exchange.queuedMs !== undefined) put('queueMs', hundredths(exchange.queuedMs))
  if (exchange.heldMs !== undefined) put('heldMs', hundredths(exchange.heldMs))
  if (limit !== undefined) {
    put('limitMs', hundredths(limit.endedAt - limit.startedAt))
    if (!limit.allowed) {
      put('limited', true)
      put('retrySeconds', Math.ceil(limit.resetSeconds))
    }
  }
  if (cache?.lookupAt !== undefined && cache.lookedUpAt !== undefined)
    put('cacheMs', hundredths(cache.lookedUpAt - cache.lookupAt))
  put('bytes', ended.bytes)
  put('requestBytes', exchange.requestBytes)
  put('client', exchange.clientAddress)
  if (upstream !== undefined) {
    put('upstream', upstream.address)
    if (upstream.status !== undefined) put('upstreamStatus', upstream.status)
    if (upstream.error !== undefined) put('upstreamError', upstream.error)
  }
  if (exchange.trace !== undefined) put('traceId', exchange.trace.traceId)
  if (exchange.upgraded !== undefined) put('upgraded', exchange.upgraded)
  if (ended.error !== undefined) put('error', ended.error)
  if (ended.errorMessage !== undefined) put('errorMessage', ended.errorMessage)
  put('cause', exchange.cause)
  if (exchange.parent !== undefined) put('parent', exchange.parent)
  if (slow) put('slow', true)
}

/** Puts what is shown of the bodies (`-vv`), where they are text; `…More` are the bytes that are not there. */
export const eachBody = ({ exchange, ended }: EndedExchange, redact: Redactor, put: Put): void => {
  const { bodies, requestHeaders, responseHeaders = [], requestBytes } = exchange
  if (bodies === undefined) return
  const add = (name: string, body: BodyText | undefined): void => {
    if (body === undefined) return
    put(name, body.text)
    if (body.moreBytes > 0) put(`${name}More`, body.moreBytes)
  }
  add('requestBody', bodyText(bodies.request, { fields: requestHeaders, bytes: requestBytes, redact }))
  add('responseBody', bodyText(bodies.response, { fields: responseHeaders, bytes: ended.bytes, redact }))
}

const levelOf = ({ exchange, ended, slow }: EndedExchange): 'info' | 'warn' | 'error' => {
  if (failed(ended)) return exchange.limit?.allowed === false && ended.status === 429 ? 'warn' : 'error'
  return slow || ended.status === 429 || ended.error === 'client-gone' ? 'warn' : 'info'
}

const hundredths = (ms: number): number => Math.max(0, Math.round(ms * 100) / 100)

/** `2026-01-02T03:04:05.678Z`; the part that changes once a second is kept. */
export const utcTime = (): ((at: number) => string) => {
  let second = Number.NaN
  let text = ''
  return (at) => {
    const now = Math.floor(at / 1000)
    if (now !== second) {
      second = now
      text = new Date(now * 1000).toISOString().slice(0, 20)
    }
    return `${text}${String(Math.floor(at - now * 1000)).padStart(3, '0')}Z`
  }
}
