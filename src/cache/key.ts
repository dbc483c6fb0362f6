/** What a stored response is filed under, and which requests stay away from the cache altogether. */
import type { Reason } from '../core/reasons.ts'
import type { Fields, ProxyRequest } from '../core/types.ts'
import { asVariable } from '../http/fields.ts'

/**
 * The primary key (RFC 9111 §2): scheme and authority as the client addressed them, path and query byte for byte. The
 * authority counts since the upstream sees it in X-Forwarded-Host.
 */
export const cacheKey = (scheme: string, host: string, url: string): string =>
  `${scheme}://${host.toLowerCase()}${url}`

/** Key of a request. */
export const keyOf = (req: ProxyRequest): string => cacheKey(req.exchange.scheme, req.exchange.host, req.url)

/** Methods that change nothing (RFC 9110 §9.2.1); every other one, unknown ones too, invalidates. */
const safeMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PROPFIND',
  'REPORT',
  'SEARCH',
  'QUERY',
])

/** Whether a method is known to change nothing. */
export const isSafeMethod = (method: string): boolean => safeMethods.has(method)

/**
 * Fields by which some frameworks let a request pass for another one. They are not in the key, so what they lead to
 * must not be shared.
 */
const overriding: ReadonlySet<string> = new Set([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-uri',
  'x-original-host',
  'x-host',
  'x-http-host-override',
  'x-script-name',
  'x-url-scheme',
  'front-end-https',
  'x-envoy-original-path',
])
/** Preconditions for the upstream's own state (RFC 9110 §13.1): a cache has nothing to say to them. */
const preconditions: ReadonlySet<string> = new Set(['if-match', 'if-unmodified-since'])

/** The name of the field that makes a request pass for another one, or a precondition; undefined where none does. */
export const bypassingField = (headers: Fields): string | undefined =>
  headers.find((name, i) => i % 2 === 0 && bypasses(name.toLowerCase()))

const bypasses = (name: string): boolean => {
  const read = asVariable(name)
  return overriding.has(read) || preconditions.has(read)
}

/** What the cache needs to know of a request's fields, read in one pass. */
export interface RequestMarks {
  /** Why the request stays away from the cache. */
  bypass: Reason | undefined
  authorization: boolean
  range: string | undefined
  ifNoneMatch: string | undefined
  ifModifiedSince: string | undefined
  ifRange: string | undefined
  cacheControl: string | undefined
  pragma: string | undefined
}

/** Reads the marks of a request. */
export const requestMarks = (headers: Fields): RequestMarks => {
  const marks: RequestMarks = {
    bypass: undefined,
    authorization: false,
    range: undefined,
    ifNoneMatch: undefined,
    ifModifiedSince: undefined,
    ifRange: undefined,
    cacheControl: undefined,
    pragma: undefined,
  }
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!.toLowerCase()
    const value = headers[i + 1]!
    switch (name) {
      case 'authorization':
        marks.authorization = true
        break
      case 'range':
        marks.range = marks.range === undefined ? value : `${marks.range}, ${value}`
        break
      case 'if-none-match':
        marks.ifNoneMatch = marks.ifNoneMatch === undefined ? value : `${marks.ifNoneMatch}, ${value}`
        break
      case 'if-modified-since':
        marks.ifModifiedSince ??= value
        break
      case 'if-range':
        marks.ifRange ??= value
        break
      case 'cache-control':
        marks.cacheControl = marks.cacheControl === undefined ? value : `${marks.cacheControl}, ${value}`
        break
      case 'pragma':
        marks.pragma = marks.pragma === undefined ? value : `${marks.pragma}, ${value}`
        break
      default:
        if (bypasses(name)) marks.bypass = 'rule-bypass'
    }
  }
  return marks
}
