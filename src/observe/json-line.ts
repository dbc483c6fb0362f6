import { quoteJson } from './escape.ts'
import type { Redactor } from './redact.ts'
import { type EndedExchange, upstreamMs } from './timing.ts'
import { failed } from './verdict.ts'

/**
 * One JSON object a line for an ended exchange; the names are stable, durations are in ms, and facts that are absent
 * are left out. Strings are escaped so that the line can be shown on a terminal as it is.
 */
export const jsonLine = ({
  redact,
  verbose,
}: {
  redact: Redactor
  verbose: boolean
}): ((ended: EndedExchange) => string) => {
  const isoTime = utcTime()
  // Written by hand: JSON.stringify over an object built for it costs about twice as much.
  return (over) => {
    const { exchange, ended, durationMs, slow } = over
    const { cache, limit, upstream } = exchange
    let line =
      `{"time":"${isoTime(ended.at)}","level":"${levelOf(over)}","event":"request",` +
      `"id":${exchange.id},"method":${quoteJson(exchange.method)},"url":${quoteJson(redact.url(exchange.url))},` +
      `"host":${quoteJson(exchange.host)},"status":${ended.status}`
    if (cache !== undefined) {
      line += `,"cache":"${cache.status}","reason":"${cache.reason}"`
      if (cache.detail !== undefined) line += `,"detail":${quoteJson(cache.detail)}`
      if (cache.storage !== undefined) line += `,"stored":"${cache.storage}"`
      if (cache.ageSeconds !== undefined) line += `,"ageSeconds":${cache.ageSeconds}`
      if (cache.ttlSeconds !== undefined) line += `,"ttlSeconds":${cache.ttlSeconds}`
      if (cache.leader !== undefined) line += `,"leader":${cache.leader}`
    }
    line += `,"durationMs":${hundredths(durationMs)}`
    const upstreamDuration = upstreamMs(exchange)
    if (upstreamDuration !== undefined) line += `,"upstreamMs":${hundredths(upstreamDuration)}`
    if (upstream?.headAt !== undefined) {
      line += `,"upstreamHeadMs":${hundredths(upstream.headAt - upstream.startedAt)}`
    }
    if (exchange.queuedMs !== undefined) line += `,"queueMs":${hundredths(exchange.queuedMs)}`
    if (limit !== undefined) {
      line += `,"limitMs":${hundredths(limit.endedAt - limit.startedAt)}`
      if (!limit.allowed) line += `,"limited":true,"retrySeconds":${Math.ceil(limit.resetSeconds)}`
    }
    if (cache?.lookupAt !== undefined && cache.lookedUpAt !== undefined) {
      line += `,"cacheMs":${hundredths(cache.lookedUpAt - cache.lookupAt)}`
    }
    line +=
      `,"bytes":${ended.bytes},"requestBytes":${exchange.requestBytes},` +
      `"client":${quoteJson(exchange.clientAddress)}`
    if (upstream !== undefined) {
      line += `,"upstream":${quoteJson(upstream.address)}`
      if (upstream.status !== undefined) line += `,"upstreamStatus":${upstream.status}`
    }
    if (exchange.trace !== undefined) line += `,"traceId":${quoteJson(exchange.trace.traceId)}`
    if (exchange.upgraded !== undefined) line += `,"upgraded":${quoteJson(exchange.upgraded)}`
    if (ended.error !== undefined) line += `,"error":"${ended.error}"`
    if (ended.errorMessage !== undefined) line += `,"errorMessage":${quoteJson(ended.errorMessage)}`
    line += `,"cause":"${exchange.cause}"`
    if (exchange.parent !== undefined) line += `,"parent":${exchange.parent}`
    if (slow) line += ',"slow":true'
    if (verbose) {
      line += `,"requestHeaders":${fieldList(redact, exchange.requestHeaders)}`
      if (exchange.responseHeaders !== undefined) {
        line += `,"responseHeaders":${fieldList(redact, exchange.responseHeaders)}`
      }
    }
    return `${line}}\n`
  }
}

const levelOf = ({ exchange, ended, slow }: EndedExchange): 'info' | 'warn' | 'error' => {
  if (failed(ended)) return exchange.limit?.allowed === false && ended.status === 429 ? 'warn' : 'error'
  return slow || ended.status === 429 || ended.error === 'client-gone' ? 'warn' : 'info'
}

/** Pairs, not an object: repeats and order are facts too. */
const fieldList = (redact: Redactor, fields: readonly string[]): string => {
  const lines = redact.fields(fields).map(([name, value]) => `[${quoteJson(name)},${quoteJson(value)}]`)
  return `[${lines.join(',')}]`
}

const hundredths = (ms: number): number => Math.max(0, Math.round(ms * 100) / 100)

/** `2026-01-02T03:04:05.678Z`; the part that changes once a second is kept. */
const utcTime = (): ((at: number) => string) => {
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
