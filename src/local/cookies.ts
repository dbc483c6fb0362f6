/**
 * Cookies of the target that work where the client sees them: on http://localhost, say. A `Set-Cookie` is changed as
 * far as a browser would refuse it only because it came through us, and else left byte for byte.
 */
import type { ValueEdits } from './answers.ts'

/** What makes a cookie the target's own. */
export interface CookieOptions {
  /** Names by which the target is addressed: its host, and the Host it is sent. Without port. */
  readonly targetHosts: readonly string[]
  /** Put before every path at the target; clients do not see it. No slash at the end. */
  readonly basePath: string
}

/** How the client addressed us. */
export interface CookieSite {
  /** `host[:port]`. */
  readonly host: string
  readonly secure: boolean
}

/** The edit of `Set-Cookie`. */
export const cookieEdits = (options: CookieOptions): ValueEdits =>
  new Map([
    [
      'set-cookie',
      (line, { host, scheme }) => localCookie(line, { host, secure: scheme === 'https' }, options),
    ],
  ])

/** RFC 6265 §5.1.3: a host is covered by its own name and by those above it. */
const covers = (domain: string, host: string): boolean => host === domain || host.endsWith(`.${domain}`)

const hostname = (host: string): string =>
  host
    .toLowerCase()
    .replace(/:\d*$/, '')
    .replace(/^\[|\]$/g, '')

interface Attribute {
  readonly text: string
  /** Lower-case. */
  readonly name: string
  readonly value: string
}

const attribute = (text: string): Attribute => {
  const at = text.indexOf('=')
  return {
    text,
    name: (at === -1 ? text : text.slice(0, at)).trim().toLowerCase(),
    value: at === -1 ? '' : text.slice(at + 1).trim(),
  }
}

/** One `Set-Cookie` line of the target as the client needs it. */
export const localCookie = (line: string, site: CookieSite, options: CookieOptions): string => {
  const [pair, ...rest] = line.split(';')
  // Without a name it is nothing that could be mended (RFC 6265 §5.2).
  if (rest.length === 0 || !/^\s*[^\s=]/.test(pair!) || !pair!.includes('=')) return line
  const attributes = rest.map(attribute)
  // Browsers take such names only with Secure, and on plain http some (Chrome, Firefox) do so for localhost:
  // without Secure none would (RFC 6265bis §4.1.3).
  const needsSecure = /^\s*__(?:Secure|Host)-/i.test(pair!)
  const dropSecure = !site.secure && !needsSecure && attributes.some(({ name }) => name === 'secure')
  const dropDomain = isTargets(attributes.findLast(({ name }) => name === 'domain')?.value, site, options)
  const kept = attributes.flatMap((each): string[] => {
    switch (each.name) {
      case 'domain':
        return dropDomain ? [] : [each.text]
      case 'secure':
      // Only with Secure (CHIPS §2.1).
      case 'partitioned':
        return dropSecure ? [] : [each.text]
      case 'samesite':
        // Without Secure, None is refused altogether (RFC 6265bis §5.7); Lax is the widest that is left.
        return [dropSecure && /^none$/i.test(each.value) ? ' SameSite=Lax' : each.text]
      case 'path':
        return [localPath(each, options.basePath)]
      default:
        return [each.text]
    }
  })
  return [pair, ...kept].join(';')
}

/** Whether a Domain is one that the target may set and the host that the client addressed is not in. */
const isTargets = (
  value: string | undefined,
  { host }: CookieSite,
  { targetHosts }: CookieOptions,
): boolean => {
  // RFC 6265 §5.2.3: a leading dot means nothing.
  const domain = value?.replace(/^\./, '').toLowerCase() ?? ''
  if (domain === '') return false
  // A Domain of one label is refused by some browsers even where it is right.
  if (domain.includes('.') && covers(domain, hostname(host))) return false
  return targetHosts.some((name) => covers(domain, hostname(name)))
}

const localPath = ({ text, value }: Attribute, basePath: string): string => {
  if (basePath === '') return text
  if (value === basePath || value === `${basePath}/`) return ' Path=/'
  return value.startsWith(`${basePath}/`) ? ` Path=${value.slice(basePath.length)}` : text
}
