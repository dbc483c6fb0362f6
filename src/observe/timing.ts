import type { EndFacts, Exchange } from '../core/exchange.ts'

/** An exchange that is over, with what every format of the log says of its time. */
export interface EndedExchange {
  readonly exchange: Readonly<Exchange>
  readonly ended: EndFacts
  readonly durationMs: number
  /** It took longer than `--slow`, and that tells something. */
  readonly slow: boolean
}

/** From handing the request to the upstream's client until its answer had come in full; undefined without one. */
export const upstreamMs = (exchange: Readonly<Exchange>): number | undefined => {
  const { upstream, ended } = exchange
  if (upstream === undefined) return undefined
  const end = upstream.endedAt ?? ended?.at ?? upstream.headAt
  return end === undefined ? undefined : Math.max(0, end - upstream.startedAt)
}

/** Whether the answer lasts for as long as somebody listens (an upgrade, an event stream): its duration tells nothing. */
export const endless = (exchange: Readonly<Exchange>): boolean => {
  if (exchange.upgraded !== undefined || exchange.cache?.storage === 'streaming') return true
  const fields = exchange.responseHeaders
  if (fields === undefined) return false
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!
    if (name.length === 12 && name.toLowerCase() === 'content-type') {
      return fields[i + 1]!.toLowerCase().startsWith('text/event-stream')
    }
  }
  return false
}

/** Where the time of an ended exchange went, in the order it went by; parts below 1 ms are left out. */
export const timeParts = (exchange: Readonly<Exchange>): Array<[part: string, ms: number]> => {
  const { limit, cache, upstream, ended } = exchange
  if (ended === undefined) return []
  const parts: Array<[string, number]> = []
  const add = (part: string, from: number | undefined, to: number | undefined) => {
    if (from !== undefined && to !== undefined && to - from >= 1) parts.push([part, to - from])
  }
  add('limit', limit?.startedAt, limit?.endedAt)
  add('queue', 0, exchange.queuedMs)
  add('hold', 0, exchange.heldMs)
  add('cache', cache?.lookupAt, cache?.lookedUpAt)
  if (upstream === undefined) {
    add('send', exchange.headAt, ended.at)
    return parts
  }
  const { startedAt, sentAt = startedAt, headAt, endedAt } = upstream
  add('connect', startedAt, sentAt)
  // Without a head it was waited for until the end.
  add('upstream wait', sentAt, headAt ?? endedAt ?? ended.at)
  add('download', headAt, endedAt ?? ended.at)
  add('send', endedAt, ended.at)
  return parts
}
