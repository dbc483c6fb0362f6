/** What requests other than GET and HEAD mean for what is stored (RFC 9111 §4.4). */
import type { Fields, ProxyRequest } from '../core/types.ts'
import { firstValue } from '../http/fields.ts'
import { cacheKey } from './key.ts'

const resolve = (value: string, base: string): URL | undefined =>
  URL.canParse(value, base) ? new URL(value, base) : undefined

const uriOf = (req: ProxyRequest): string => cacheKey(req.exchange.scheme, req.exchange.host, req.url)

/** Paths with query, of the request's own origin, that Location and Content-Location of its answer name. */
export const namedTargets = (req: ProxyRequest, fields: Fields): string[] => {
  const named = [firstValue(fields, 'location'), firstValue(fields, 'content-location')]
  const targets: string[] = []
  if (named[0] === undefined && named[1] === undefined) return targets
  const base = uriOf(req)
  const own = resolve(base, base)
  for (const value of named) {
    const url = value === undefined ? undefined : resolve(value, base)
    if (url !== undefined && url.origin === own?.origin) targets.push(url.pathname + url.search)
  }
  return targets
}

/** Whether Content-Location says that the answer is what a GET of this URI would get (RFC 9110 §8.7). */
export const isOwnRepresentation = (req: ProxyRequest, fields: Fields): boolean => {
  const value = firstValue(fields, 'content-location')
  if (value === undefined) return false
  const base = uriOf(req)
  const [named, own] = [resolve(value, base), resolve(base, base)]
  return named !== undefined && own !== undefined && named.href === own.href
}
