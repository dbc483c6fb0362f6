/** Requests other than GET and HEAD: they go through, and the unsafe ones invalidate (RFC 9111 §4.4). */
import type { Fields, Handler, ProxyResponse } from '../core/types.ts'
import type { Asked, CacheOptions } from './asked.ts'
import type { Fetching } from './fetching.ts'
import { isSafeMethod } from './key.ts'
import { plain, type Serving } from './serving.ts'
import type { Dropped, Shelf } from './shelf.ts'
import { isOwnRepresentation, namedTargets } from './unsafe.ts'

/** What a PURGE is answered, by what it came to. 503 where only this process knows of it yet, so that scripts try again. */
const purgeAnswers: Readonly<Record<Dropped, (key: string) => ProxyResponse>> = {
  dropped: (key) => plain(200, `purged ${key}`),
  nothing: (key) => plain(404, `nothing is stored under ${key}`),
  owed: (key) => {
    const { status, headers, body } = plain(
      503,
      `the shared cache does not answer: ${key} is purged for this proxy, and for others as soon as it answers again. Purge again to be sure.`,
    )
    return { status, headers: [...headers, 'Retry-After', '1'], body }
  },
}

/** What passing other methods needs. */
export interface MethodTools {
  readonly next: Handler
  readonly shelf: Shelf
  readonly keyFor: (scheme: string, host: string, url: string, headers: Fields) => string
  readonly fetching: Fetching
  readonly serving: Serving
}

/** Gives the handler of such requests. */
export const otherMethods = (
  options: CacheOptions,
  tools: MethodTools,
): ((asked: Asked) => Promise<ProxyResponse>) => {
  const { next, shelf, keyFor } = tools
  const { keepPost } = tools.fetching
  const { label } = tools.serving

  const passMethod = async (asked: Asked): Promise<ProxyResponse> => {
    const { req, facts } = asked
    if (req.method === 'PURGE' && options.purge) return purge(asked)
    const response = await next(req)
    facts.forwardStatus = response.status
    if (isSafeMethod(req.method) || response.status < 200 || response.status > 399)
      return label(response, facts)
    const others = namedTargets(req, response.headers).map((url) =>
      keyFor(req.exchange.scheme, req.exchange.host, url, req.headers),
    )
    await Promise.all([asked.key, ...others].map((key) => shelf.drop(key, 'invalidated-by-unsafe')))
    const stored =
      req.method === 'POST' && isOwnRepresentation(req, response.headers)
        ? keepPost(asked, response)
        : response
    return label(stored, facts)
  }

  const purge = async ({ key, facts }: Asked): Promise<ProxyResponse> => {
    const dropped = await shelf.drop(key, 'purged')
    return label(purgeAnswers[dropped](key), facts)
  }

  return passMethod
}
