/** What `--cache-key` makes of keys and of Vary. Pure. */
import type { Fields } from '../core/types.ts'
import type { KeyRule } from '../core/values.ts'
import { firstValue, joinedValue, withoutFields } from '../http/fields.ts'

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

/** The query without the parameters that a `-query:` rule names and no `+query:` rule keeps; order and bytes stay. */
const keptQuery = (url: string, dropped: (name: string) => boolean): string => {
  const at = url.indexOf('?')
  if (at === -1) return url
  const kept = url
    .slice(at + 1)
    .split('&')
    .filter((parameter) => !dropped(decoded(parameter.split('=', 1)[0]!)))
  return kept.length === 0 ? url.slice(0, at) : `${url.slice(0, at)}?${kept.join('&')}`
}

const cookieOf = (headers: Fields, name: string): string | undefined => {
  for (const pair of (joinedValue(headers, 'cookie') ?? '').split(/;\s*|,\s*/)) {
    const equals = pair.indexOf('=')
    if (equals !== -1 && pair.slice(0, equals).trim() === name) return pair.slice(equals + 1)
  }
  return undefined
}

const withoutCookies = (headers: Fields, dropped: (name: string) => boolean): Fields => {
  const value = firstValue(headers, 'cookie')
  if (value === undefined) return headers
  const kept = value.split(/;\s*/).filter((pair) => !dropped(pair.split('=', 1)[0]!.trim()))
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
      for (const name of headers) key += `\n${name}:${joinedValue(fields, name) ?? ''}`
      for (const name of cookies) key += `\ncookie ${name}=${cookieOf(fields, name) ?? ''}`
      return key
    },
    selecting: (fields) => (droppedCookies.length === 0 ? fields : withoutCookies(fields, dropCookie)),
    ignored: new Set(of('-', 'header')),
  }
}
