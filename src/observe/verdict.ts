import type { CacheStatus, EndFacts, Exchange } from '../core/exchange.ts'
import { escapeControl } from './escape.ts'
import type { Meaning } from './palette.ts'
import { formatSeconds } from './units.ts'

/** What became of an exchange, in the words of the log line. */
export interface Verdict {
  /** One of HIT STALE REVAL MISS COAL BYPASS PASS LIMIT ERROR GONE, or empty where none says it. */
  readonly word: string
  /** Why, or how fresh; free of control characters. */
  readonly detail: string
  readonly meaning: Meaning
}

const byCacheStatus = {
  hit: ['HIT', 'fresh'],
  stale: ['STALE', 'renewed'],
  revalidated: ['REVAL', 'renewed'],
  miss: ['MISS', 'fetched'],
  coalesced: ['COAL', 'fresh'],
  bypass: ['BYPASS', 'quiet'],
} as const satisfies Record<CacheStatus, readonly [string, Meaning]>

/** The word, its reason and its colour for an exchange that has ended. */
export const verdict = (exchange: Readonly<Exchange>): Verdict => {
  const { cache, limit, ended } = exchange
  if (ended?.error === 'client-gone') return { word: 'GONE', detail: 'client gone', meaning: 'quiet' }
  if (limit !== undefined && !limit.allowed && ended?.status === 429) {
    return {
      word: 'LIMIT',
      detail: `retry in ${formatSeconds(Math.ceil(limit.resetSeconds))}`,
      meaning: 'limited',
    }
  }
  if (ended?.error !== undefined) return { word: 'ERROR', detail: ended.error, meaning: 'failure' }
  if (exchange.upgraded !== undefined) {
    return { word: '', detail: escapeControl(exchange.upgraded), meaning: 'quiet' }
  }
  if (cache === undefined) {
    return { word: exchange.cause === 'refresh' ? '' : 'PASS', detail: '', meaning: 'quiet' }
  }
  const [word, meaning] = byCacheStatus[cache.status]
  return { word, detail: cacheDetail(cache), meaning }
}

/** Whether an exchange ended in a failure of the upstream or of ours. */
export const failed = (ended: EndFacts): boolean =>
  ended.status >= 500 || (ended.error !== undefined && ended.error !== 'client-gone')

const cacheDetail = (cache: NonNullable<Exchange['cache']>): string => {
  if (cache.status === 'hit' && cache.reason === 'hit') {
    if (cache.ttlSeconds !== undefined) return `ttl ${formatSeconds(cache.ttlSeconds)}`
    return cache.ageSeconds === undefined ? '' : `age ${formatSeconds(cache.ageSeconds)}`
  }
  let text: string = cache.reason
  if (cache.detail !== undefined && cache.detail !== '') text += ` ${escapeControl(cache.detail)}`
  const refused = cache.status === 'miss' || cache.status === 'revalidated' ? cache.storage : undefined
  if (refused !== undefined && refused !== 'stored' && refused !== cache.reason)
    text += ` · not stored: ${refused}`
  return text
}
