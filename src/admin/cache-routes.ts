/** The cache over the admin listener: list, look into, purge, explain. */

import { type Reason, reasons } from '../core/reasons.ts'
import { shownJson } from '../observe/escape.ts'
import type { AdminAnswer, AdminRoute } from './server.ts'

/** A request; the URL as path and query, byte for byte as a client sends them. */
interface DescribedRequest {
  readonly method: string
  readonly scheme: string
  readonly host: string
  readonly url: string
  readonly headers: readonly string[]
}

/** Keys, by what they begin with and a test. */
export interface Selected {
  readonly passes: (key: string) => boolean
  readonly prefix: string
  /** Those that were named whole: also where nothing is stored under them, for an answer may be on its way. */
  readonly named: readonly string[]
}

/**
 * What the routes need of the cache. `passes` is asked of keys as they are filed: `http://localhost:8080/path?query`.
 * While the shared store is away all reject with an error whose `reason` says so.
 */
export interface CacheHandle {
  /** Entries whose key passes, at most `limit` of them. */
  list(
    passes: (key: string) => boolean,
    prefix: string,
    limit: number,
  ): Promise<{ entries: ListedEntry[]; more: boolean }>
  /** Drops what is stored under these keys: how many there were, and how many the store could not be told of yet. */
  purge(keys: Selected): Promise<{ purged: number; owed: number }>
  /** Explains one request. */
  explain(request: DescribedRequest): Promise<unknown>
  /** What is stored for one request, secrets concealed; undefined for nothing. */
  look(request: DescribedRequest): Promise<unknown>
  /** Where clients address the proxy when they do not say otherwise. */
  readonly origin: () => string
}

/** One line of a listing, secrets concealed. Times in ms since the epoch. */
export interface ListedEntry {
  readonly key: string
  readonly url: string
  readonly status: number
  readonly bytes: number
  readonly storedAt: number
  readonly ttlSeconds: number
  readonly hits: number
  /** Values that select the variant, `name: value`; empty when it varies on nothing. */
  readonly variant: string
}

const LIMIT = 1000

const json = (status: number, value: unknown): AdminAnswer => ({
  status,
  contentType: 'application/json; charset=utf-8',
  body: `${shownJson(value, 2)}\n`,
})

const refuse = (message: string): AdminAnswer => json(400, { error: message })

/** What `url`, `prefix` and `all` in a query select; a path alone selects it under every host. */
const selection = (query: URLSearchParams, origin: string): Selected | string => {
  const given = ['url', 'prefix', 'all'].filter((name) => query.has(name))
  if (given.length > 1) return `${given.join(' and ')} exclude each other`
  const url = query.get('url')
  const prefix = query.get('prefix')
  if (url === null && prefix === null) return { passes: () => true, prefix: '', named: [] }
  const text = (url ?? prefix)!
  if (text.startsWith('/')) {
    const path = (key: string) => key.replace(/^[^:]+:\/\/[^/]*/, '').split('\n', 1)[0]!
    return {
      passes: url === null ? (key) => path(key).startsWith(text) : (key) => path(key) === text,
      prefix: '',
      named: url === null ? [] : [origin + text],
    }
  }
  if (!/^https?:\/\//.test(text))
    return `a path such as /api/users or a URL such as ${origin}/api/users, not ${text}`
  return {
    passes: url === null ? (key) => key.startsWith(text) : (key) => key.split('\n', 1)[0] === text,
    prefix: text,
    named: url === null ? [] : [text],
  }
}

/** The request that `url`, `method` and `header` in a query describe; a sentence when they do not. */
const described = (query: URLSearchParams, origin: string): DescribedRequest | string => {
  const text = query.get('url') ?? ''
  const whole = text.startsWith('/') ? origin + text : text
  if (!URL.canParse(whole) || !/^https?:$/.test(new URL(whole).protocol))
    return `url must be a path or an http URL, not ${text === '' ? 'nothing' : text}`
  const headers: string[] = []
  for (const line of query.getAll('header')) {
    const match = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*)$/.exec(line)
    if (match === null) return `header must be "Name: value", not ${line}`
    headers.push(match[1]!, match[2]!)
  }
  const { protocol, host, pathname, search } = new URL(whole)
  // Keys are byte for byte, and `URL` writes some bytes anew: it has the word only where no client could send them so.
  const written = /^https?:\/\/[^/?#]*(\/[\x21\x22\x24-\x7e]*)(?:#.*)?$/i.exec(whole)?.[1]
  return {
    method: (query.get('method') ?? 'GET').toUpperCase(),
    scheme: protocol.slice(0, -1),
    host,
    url: written ?? pathname + search,
    headers,
  }
}

/** The same route, which says so when the store is away. */
const orAway = (route: AdminRoute): AdminRoute => ({
  ...route,
  async handle(request) {
    try {
      return await route.handle(request)
    } catch (error) {
      const { reason } = error as { reason?: Reason }
      if (reason !== 'store-down' && reason !== 'too-slow-store') throw error
      return json(503, { error: `${reasons[reason]}: nothing was done. Try again when it answers.` })
    }
  },
})

/** The routes below `/cache`. */
export const cacheRoutes = (cache: CacheHandle): AdminRoute[] => routes(cache).map(orAway)

const routes = (cache: CacheHandle): AdminRoute[] => [
  {
    method: 'GET',
    path: '/cache/entries',
    about: 'what is stored; ?url= or ?prefix= narrow it, ?limit=',
    async handle({ url }) {
      const chosen = selection(url.searchParams, cache.origin())
      if (typeof chosen === 'string') return refuse(chosen)
      const limit = Number(url.searchParams.get('limit') ?? LIMIT)
      if (!Number.isInteger(limit) || limit < 1) return refuse('limit must be a whole number from 1')
      return json(200, await cache.list(chosen.passes, chosen.prefix, limit))
    },
  },
  {
    method: 'DELETE',
    path: '/cache/entries',
    about: 'purges; ?url=, ?prefix= or ?all',
    async handle({ url }) {
      if (!['url', 'prefix', 'all'].some((name) => url.searchParams.has(name)))
        return refuse('say what to purge: url=, prefix= or all')
      const chosen = selection(url.searchParams, cache.origin())
      if (typeof chosen === 'string') return refuse(chosen)
      const { purged, owed } = await cache.purge(chosen)
      if (owed === 0) return json(200, { purged })
      const error = `the shared cache stopped answering: ${purged} purged, ${owed} for this proxy only until it answers again. Purge again to be sure.`
      return json(503, { error, purged, owed })
    },
  },
  {
    method: 'GET',
    path: '/cache/entry',
    about: 'one stored response: ?url=, ?header=Name: value',
    async handle({ url }) {
      const asked = described(url.searchParams, cache.origin())
      if (typeof asked === 'string') return refuse(asked)
      const found = await cache.look(asked)
      return found === undefined
        ? json(404, { error: `nothing is stored for ${asked.scheme}://${asked.host}${asked.url}` })
        : json(200, found)
    },
  },
  {
    method: 'GET',
    path: '/cache/explain',
    about: 'why a request is a hit or a miss: ?url=, ?method=, ?header=Name: value',
    async handle({ url }) {
      const asked = described(url.searchParams, cache.origin())
      return typeof asked === 'string' ? refuse(asked) : json(200, await cache.explain(asked))
    },
  },
]
