/** Redirects to the target that come back through us (RFC 9110 §10.2.2). */
import type { Exchange } from '../core/exchange.ts'
import type { ValueEdits } from './answers.ts'

/** What a URL of the target looks like. */
export interface RedirectOptions {
  readonly protocol: 'http:' | 'https:'
  /** The target's `host[:port]`. */
  readonly authority: string
  /** The Host it is sent: `target`, `client`, or a value. It may speak of itself by that name. */
  readonly hostHeader: string
  /** Put before every path at the target; clients do not see it. No slash at the end. */
  readonly basePath: string
}

/** How the client addressed us. */
export type RedirectSite = Pick<Exchange, 'host' | 'scheme'>

/** The edits of `Location`, `Content-Location` and `Refresh`. */
export const redirectEdits = (options: RedirectOptions): ValueEdits => {
  const url = (value: string, site: RedirectSite): string => localUrl(value, site, options)
  return new Map([
    ['location', url],
    ['content-location', url],
    // Seconds, then the URL, quoted or not (HTML, shared declarative refresh steps).
    [
      'refresh',
      (value, site) =>
        value.replace(
          /^(\s*[\d.]+\s*[;,]\s*(?:url\s*=\s*)?)(["']?)(.*?)(\2\s*)$/i,
          (_, before: string, open: string, named: string, after: string) =>
            before + open + url(named, site) + after,
        ),
    ],
  ])
}

/** `host[:port]` in lower case, without the port that the scheme has anyway. */
const plain = (authority: string, scheme: string): string =>
  authority.toLowerCase().replace(scheme === 'https' ? /:(?:443)?$/ : /:(?:80)?$/, '')

const loopback = /^(?:localhost|127\.0\.0\.1|\[::1\]|0\.0\.0\.0)(?=:|$)/

/** Whether two authorities are one; on this machine the upstream may call itself by another of its names. */
const same = (one: string, other: string): boolean =>
  one === other || (loopback.test(one) && one.replace(loopback, '') === other.replace(loopback, ''))

/**
 * A URL or path that the target named, as the client has to ask for it. What leads elsewhere stays as it is: another
 * scheme too, or a redirect to https would come back to where it started; and so does a path outside the target's own,
 * which nobody could ask us for.
 */
export const localUrl = (value: string, site: RedirectSite, options: RedirectOptions): string => {
  const { basePath, hostHeader, protocol } = options
  const absolute = /^(?:(https?):)?\/\/([^/?#\\]*)(.*)$/is.exec(value)
  if (absolute === null) return value.startsWith('/') ? (below(basePath, value) ?? value) : value
  const targetScheme = protocol.slice(0, -1)
  const scheme = absolute[1]?.toLowerCase() ?? targetScheme
  const authority = plain(absolute[2]!, scheme)
  const sentHost =
    hostHeader === 'client' ? site.host : hostHeader === 'target' ? options.authority : hostHeader
  const isTarget =
    scheme === targetScheme &&
    [options.authority, sentHost].some((each) => same(authority, plain(each, scheme)))
  // What a framework makes of X-Forwarded-Host is ours already, but for the path.
  const isOurs = scheme === site.scheme && authority === plain(site.host, scheme)
  if (!isTarget && !isOurs) return value
  const path = below(basePath, absolute[3]!)
  if (path === undefined) return value
  // HTTP/1.0 need not name a host.
  if (site.host === '') return path === '' ? '/' : path
  return `${absolute[1] === undefined ? '' : `${site.scheme}:`}//${site.host}${path}`
}

/** A path without the base path in front; undefined when it is not below that. */
const below = (basePath: string, path: string): string | undefined => {
  if (basePath === '') return path
  if (!path.startsWith(basePath)) return undefined
  const rest = path.slice(basePath.length)
  if (rest.startsWith('/')) return rest
  return rest === '' || /^[?#]/.test(rest) ? `/${rest}` : undefined
}
