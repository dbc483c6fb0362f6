/** Secrets in JSON that stands within something else: a string of JSON, a form, a URL, a field. */
import { HIDDEN } from './redact-body.ts'

/** The quote as it is written there, a name, the same quote, and a colon. */
const NAME =
  /((?<!\\)\\*"|%(?:25)*22)((?:(?!\1)\S){1,100}?)\1((?:[\s+]|%(?:25)*20)*(?::|%(?:25)*3a)(?:[\s+]|%(?:25)*20)*)/gi
const SCALAR = /(?:(?!%(?:25)*(?:2c|7d|5d|26))[^\s,}\]&"'\\])*/iy
const OPENING = /[[{]|%(?:25)*[57]b/iy
const BRACKET = /([[{]|%(?:25)*[57]b)|[\]}]|%(?:25)*[57]d/gi
const ESCAPED = /\\$|%(?:25)*5c$/i

/** The text without the values of secret members, whose quotes may be escaped as `\"` or `%22`, also several times. */
export const withoutNested = (text: string, secret: (name: string) => boolean): string => {
  if (!text.includes('"') && !text.includes('22')) return text
  let shown = ''
  let from = 0
  NAME.lastIndex = 0
  for (let match = NAME.exec(text); match !== null; match = NAME.exec(text)) {
    const [, quote = '', name = ''] = match
    if (!secret(name)) {
      // What closed this string may open the next.
      NAME.lastIndex = match.index + quote.length
      continue
    }
    const start = NAME.lastIndex
    shown += text.slice(from, start) + quote + HIDDEN + quote
    from = valueEnd(text, start, quote)
    NAME.lastIndex = from
  }
  return from === 0 ? text : shown + text.slice(from)
}

/** Where the value ends; the end of the text where it was cut. */
const valueEnd = (text: string, start: number, quote: string): number => {
  if (text.startsWith(quote, start)) {
    let at = start + quote.length
    for (;;) {
      const end = text.indexOf(quote, at)
      if (end === -1) return text.length
      at = end + quote.length
      if (!ESCAPED.test(text.slice(Math.max(start, end - 20), end))) return at
    }
  }
  OPENING.lastIndex = start
  if (!OPENING.test(text)) {
    SCALAR.lastIndex = start
    SCALAR.exec(text)
    return SCALAR.lastIndex
  }
  let depth = 0
  BRACKET.lastIndex = start
  for (let match = BRACKET.exec(text); match !== null; match = BRACKET.exec(text)) {
    depth += match[1] === undefined ? -1 : 1
    if (depth === 0) return BRACKET.lastIndex
  }
  return text.length
}
