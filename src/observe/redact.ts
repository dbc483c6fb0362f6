import type { Fields } from '../core/types.ts'
import type { TextKind } from '../http/media-type.ts'
import { HIDDEN, redactedBody } from './redact-body.ts'
import { withoutNested } from './redact-nested.ts'

export type { TextKind }

/** Takes secrets out of what is shown, traced or saved. */
export interface Redactor {
  /** The URL (or any text that holds URLs) without userinfo and without the values of secret parameters. */
  url(text: string): string
  /** Field lines as pairs, with the values of secret ones hidden. */
  fields(fields: Fields): Array<[name: string, value: string]>
  /** One field's value: hidden when its name is a secret's, else with the URLs in it redacted. */
  value(name: string, value: string): string
  /** The text of a body, which may be cut at its end. */
  body(text: string, kind: TextKind): string
}

const TELLING_NAME = /token|secret|passw|api[-_]?key|session|credential|signature/i
const MAY_HOLD_SECRETS = /[?;#@"]|%(?:25)*(?:3f|22|40)/i
const USERINFO = /:\/\/[^/?#\s]*@/g
// Of a URL that is itself a parameter, and percent-encoded once or more often.
const ENCODED_USERINFO =
  /((?::|%(?:25)*3a)(?:\/|%(?:25)*2f){2})(?:(?!%(?:25)*(?:2f|3f|23|26))[^/?#&\s])*(?=%(?:25)*40)/gi
// A parameter of a query, of a path segment (`;jsessionid=`) or of a fragment (`#access_token=`); also one of a URL
// that is itself a parameter and therefore percent-encoded. Each delimiter ends the name of the one before it, so
// that the time stays linear in the length.
const PARAMETER =
  /(?:[?&;#]|%(?:25)*(?:3f|26|3b|23))((?:(?!%(?:25)*(?:3f|26|3b|23|3d))[^=&#?;\s])*)(=|%(?:25)*3d)/gi
/** What ends a value, by how often its `=` is percent-encoded: a delimiter that is so more often is part of it. */
const VALUE_ENDS: readonly RegExp[] = [
  /[&#\s]/g,
  ...[0, 1, 2, 3].map((more) => new RegExp(`[&#\\s]|%(?:25){0,${more}}(?:26|23)`, 'gi')),
]
/** `a=1,token=x` in a field's value. */
const LIST_MEMBER = /((?:^|[,;])\s*)([\w.-]{1,100})(\s*=\s*)([^,;]+)/g
/** What `--cache-key` adds to the URL in the key that `Cache-Status` shows. */
const KEY_PART = /(%0A)(cookie [^=%"]*=|[^:=%"]*:)((?:(?!%0A)[^"])*)/g

/** Names are encoded as often as the URL that they stand in. */
const decoded = (name: string): string => {
  let plain = name
  for (let times = 0; times < VALUE_ENDS.length && plain.includes('%'); times++) {
    try {
      plain = decodeURIComponent(plain)
    } catch {
      // Not UTF-8 behind the percent signs; the name as it stands is then all there is to compare.
      return plain
    }
  }
  return plain
}

const asTheyAre: Redactor = {
  url: (text) => text,
  fields: (fields) => pairs(fields, (_, value) => value),
  value: (_, value) => value,
  body: (text) => text,
}

const pairs = (fields: Fields, show: (name: string, value: string) => string): Array<[string, string]> => {
  const shown: Array<[string, string]> = []
  for (let i = 0; i + 1 < fields.length; i += 2) shown.push([fields[i]!, show(fields[i]!, fields[i + 1]!)])
  return shown
}

/**
 * Hides the values of the fields and query parameters in `names` (whatever their case) and of every name that speaks
 * of a token, secret, password, API key, session, credential or signature. With `enabled: false` all is shown.
 */
export const redactor = ({ names, enabled }: { names: readonly string[]; enabled: boolean }): Redactor => {
  if (!enabled) return asTheyAre
  const listed = new Set(names.map((name) => name.toLowerCase()))
  const secret = (name: string) => TELLING_NAME.test(name) || listed.has(name.toLowerCase())

  const withoutSecretParameters = (text: string): string => {
    let shown = ''
    let from = 0
    PARAMETER.lastIndex = 0
    for (let match = PARAMETER.exec(text); match !== null; match = PARAMETER.exec(text)) {
      if (!secret(decoded(match[1]!))) continue
      const start = PARAMETER.lastIndex
      // `=`, `%3d`, `%253d` …
      const end = VALUE_ENDS[Math.min((match[2]!.length - 1) / 2, VALUE_ENDS.length - 1)]!
      end.lastIndex = start
      const next = end.exec(text)?.index ?? text.length
      if (next > start) shown += text.slice(from, start) + HIDDEN
      else shown += text.slice(from, start)
      from = next
      PARAMETER.lastIndex = next
    }
    return from === 0 ? text : shown + text.slice(from)
  }

  const url = (text: string): string => {
    if (!MAY_HOLD_SECRETS.test(text)) return text
    let shown = text.includes('@') ? text.replace(USERINFO, `://${HIDDEN}@`) : text
    if (shown.includes('%')) shown = shown.replace(ENCODED_USERINFO, (_, slashes: string) => slashes + HIDDEN)
    return withoutNested(withoutSecretParameters(shown), secret)
  }
  const member = (all: string, before: string, name: string, equals: string): string =>
    secret(name) ? before + name + equals + HIDDEN : all
  const keyPart = (all: string, before: string, name: string): string =>
    secret(name.startsWith('cookie ') ? 'cookie' : name.slice(0, -1)) ? before + name + HIDDEN : all
  const value = (name: string, text: string): string => {
    if (secret(name)) return text === '' ? text : HIDDEN
    const shown = url(text)
    if (shown.includes('%0A') && name.toLowerCase() === 'cache-status')
      return shown.replace(KEY_PART, keyPart)
    return shown.includes('=') ? shown.replace(LIST_MEMBER, member) : shown
  }
  const body = (text: string, kind: TextKind): string => redactedBody(text, kind, { secret, url })
  return { url, value, body, fields: (fields) => pairs(fields, value) }
}
