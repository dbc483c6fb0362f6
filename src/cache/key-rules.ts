/** What `--cache-key` makes of keys and of Vary. Pure. */
import type { Fields } from '../core/types.ts'
import type { KeyRule } from '../core/values.ts'
import { allValues, joinedValue, nominated, withoutFields } from '../http/fields.ts'

/** Reads requests the way the user's rules ask for. */
export interface KeyRules {
  /** The URL as it counts in the key, and what else counts. */
  part(url: string, headers: Fields): string
  /** The request's fields as Vary may see them. */
  selecting(headers: Fields): Fields
  /** Names that Vary may not name: what differs there does not matter. */
  readonly ignored: ReadonlySet<string>
}

const matcher = (pattern: string): ((name: string) => boolean) => {
  const parts = pattern.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  const expression = new RegExp(`^${parts.join('.*')}$`)
  return (name) => expression.test(name)
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    return text
  }
}

/**
 * The query without the parameters that a `-query:` rule names and no `+query:` rule keeps; order and bytes stay. One
 * with a semicolon stays: some servers read `a=1;b=2` as two, and the second may be one that counts.
 */
const keptQuery = (url: string, dropped: (name: string) => boolean): string => {
  const at = url.indexOf('?')
  if (at === -1) return url
  const kept = url
    .slice(at + 1)
    .split('&')
    .filter((parameter) => parameter.includes(';') || !dropped(decoded(parameter.split('=', 1)[0]!)))
  return kept.length === 0 ? url.slice(0, at) : `${url.slice(0, at)}?${kept.join('&')}`
}

/** Cookies of all lines, as they are sent (RFC 6265 §4.2.1). */
const cookiesOf = (headers: Fields): string[] => allValues(headers, 'cookie').join(';').split(/;\s*/)

/** All values of a cookie: of several with one name, each server has its own idea which counts. */
const cookieOf = (headers: Fields, name: string): string =>
  cookiesOf(headers)
    .filter((pair) => pair.includes('=') && pair.slice(0, pair.indexOf('=')).trim() === name)
    .map((pair) => pair.slice(pair.indexOf('=') + 1))
    .join(';')

const withoutCookies = (headers: Fields, dropped: (name: string) => boolean): Fields => {
  if (allValues(headers, 'cookie').length === 0) return headers
  const kept = cookiesOf(headers).filter((pair) => !dropped(pair.split('=', 1)[0]!.trim()))
  const fields = withoutFields(headers, new Set(['cookie']))
  if (kept.length > 0) fields.push('Cookie', kept.join('; '))
  return fields
}

/** A key as it may be shown: the URL and the values of the parts without what `redact` hides. */
export const shownKey = (
  key: string,
  redact: { url(text: string): string; value(name: string, value: string): string },
): string => {
  const [url = '', ...parts] = key.split('\n')
  const shown = parts.map((part) => {
    const [, name = '', separator = '', value = ''] = /^(.*?)([:=])(.*)$/s.exec(part) ?? []
    // A cookie's value is as secret as the field it stands in.
    const hidden = separator === '=' ? redact.value('cookie', value) : redact.value(name, value)
    return `${name}${separator}${hidden}`
  })
  return [redact.url(url), ...shown].join('\n')
}

/** The reader for a list of rules; undefined when there are none. */
export const keyRules = (rules: readonly KeyRule[]): KeyRules | undefined => {
  if (rules.length === 0) return undefined
  const of = (sign: '+' | '-', kind: KeyRule['kind']) =>
    rules.filter((rule) => rule.sign === sign && rule.kind === kind).map(({ name }) => name)
  const any = (patterns: readonly string[]) => {
    const tests = patterns.map(matcher)
    return (name: string) => tests.some((matches) => matches(name))
  }
  const dropped = any(of('-', 'query'))
  const kept = any(of('+', 'query'))
  const headers = of('+', 'header')
  const cookies = of('+', 'cookie')
  const droppedCookies = of('-', 'cookie')
  const dropCookie = any(droppedCookies)
  return {
    part(url, fields) {
      let key = keptQuery(url, (name) => dropped(name) && !kept(name))
      // What Connection names does not reach the upstream (RFC 9110 §7.6.1): its answer is for those who send none.
      const held = nominated(fields)
      const arrives = (name: string): boolean => held?.has(name) !== true
      for (const name of headers)
        key += `\n${name}:${(arrives(name) ? joinedValue(fields, name) : undefined) ?? ''}`
      for (const name of cookies) key += `\ncookie ${name}=${arrives('cookie') ? cookieOf(fields, name) : ''}`
      return key
    },
    selecting: (fields) => (droppedCookies.length === 0 ? fields : withoutCookies(fields, dropCookie)),
    ignored: new Set(of('-', 'header')),
  }
}
