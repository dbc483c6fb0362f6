/** What answers say of their trace and of where the time went. Outermost in the chain, so that it sees every answer. */
import type { Clock } from '../core/clock.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Stage } from '../core/types.ts'
import { joinedValue } from '../http/fields.ts'

/** Which fields are added. */
export interface ResponseFieldOptions {
  /** `x-trace-id`. */
  readonly traceId: boolean
  /** `Server-Timing`: the cache's verdict, the upstream's time and ours up to the head of the answer. */
  readonly serverTiming: boolean
  readonly clock: Clock
}

/**
 * Adds the fields to each answer of the chain, and notes what the upstream says of its own time (W3C Server Timing).
 * To an answer made of an error the edge adds them (`addedFields`), since it makes that.
 */
export const responseFields =
  (options: ResponseFieldOptions): Stage =>
  (next) =>
  (req) =>
    // Not async and await: that costs a hit as much again.
    next(req).then((response) => {
      const { exchange } = req
      if (exchange.upstream !== undefined) noteServerTiming(exchange, response.headers)
      const added = addedFields(exchange, options)
      if (added.length === 0) return response
      // Written out: a spread of the response costs more than the rest.
      const { status, headers, known, body, trailers } = response
      const all = headers.concat(added)
      return trailers === undefined
        ? { status, headers: all, known, body }
        : { status, headers: all, body, trailers }
    })

/** The fields of one answer: name, value … */
export const addedFields = (exchange: Readonly<Exchange>, options: ResponseFieldOptions): string[] => {
  const added: string[] = []
  const { trace } = exchange
  if (options.traceId && trace !== undefined) added.push('x-trace-id', trace.traceId)
  if (options.serverTiming) added.push('Server-Timing', timingOf(exchange, options.clock.now()))
  return added
}

/** Only an answer that comes from the upstream now tells of its time: a stored one would tell of another day. */
const noteServerTiming = (exchange: Exchange, headers: readonly string[]): void => {
  const { upstream, cache } = exchange
  if (upstream?.status === undefined) return
  if (cache !== undefined && cache.status !== 'miss' && cache.status !== 'bypass') return
  const value = joinedValue(headers, 'server-timing')
  if (value !== undefined) upstream.serverTiming = value
}

/** W3C Server Timing §3. Reasons are words of our own catalogue, so that nothing needs escaping. */
const timingOf = (
  { cache, upstream, startedAt, queuedMs, heldMs }: Readonly<Exchange>,
  now: number,
): string => {
  let value = ''
  if (cache !== undefined)
    value +=
      cache.status === cache.reason
        ? `cache;desc=${cache.status}, `
        : `cache;desc="${cache.status} ${cache.reason}", `
  if (queuedMs !== undefined) value += `queue;dur=${tenths(queuedMs)}, `
  if (heldMs !== undefined) value += `hold;dur=${tenths(heldMs)}, `
  if (upstream?.headAt !== undefined)
    value += `upstream;dur=${tenths(upstream.headAt - upstream.startedAt)}, `
  return `${value}total;dur=${tenths(now - startedAt)}`
}

/** Milliseconds, as text with at most one decimal. Of two whole numbers, since one with decimals takes five times as long. */
const tenths = (ms: number): string => {
  const all = Math.round(Math.max(0, ms) * 10)
  return all % 10 === 0 ? String(all / 10) : `${Math.floor(all / 10)}.${all % 10}`
}
