// C0, DEL and C1; format characters (bidi controls, joiners, tags, soft hyphen) and whatever else is drawn as nothing;
// lone surrogates; line and paragraph separators.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u
const EACH_UNSAFE = new RegExp(UNSAFE, 'gu')
const PRINTABLE_ASCII = /^[ -~]*$/
/** Printable ASCII without quotes and backslashes: most texts, and no escape is looked for. */
const NOTHING_TO_QUOTE = /^[ !#-[\]-~]*$/

const visible = (character: string): string => {
  const code = character.codePointAt(0)!
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, '0')}`
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, '0')}`
  return `\\u{${code.toString(16)}}`
}

const jsonVisible = (character: string): string => {
  let escapes = ''
  for (let i = 0; i < character.length; i++) {
    escapes += `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`
  }
  return escapes
}

/**
 * The text with everything that could steer a terminal or deceive a reader written out as `\x1b`, `\u202e` or
 * `\u{e0001}`: control characters (and so ANSI sequences), bidi and invisible characters, lone surrogates.
 */
export const escapeControl = (text: string): string => {
  if (PRINTABLE_ASCII.test(text) || !UNSAFE.test(text)) return text
  return text.replace(EACH_UNSAFE, visible)
}

/** The text as a JSON string in which the same characters stand as `\u…` escapes, so that it can be shown as it is. */
export const quoteJson = (text: string): string => {
  if (NOTHING_TO_QUOTE.test(text)) return `"${text}"`
  const quoted = JSON.stringify(text)
  if (PRINTABLE_ASCII.test(quoted) || !UNSAFE.test(quoted)) return quoted
  return quoted.replace(EACH_UNSAFE, jsonVisible)
}

/** The value as JSON in which the same characters stand as `\u…` escapes; over several lines with an `indent`. */
export const shownJson = (value: unknown, indent?: number): string => {
  const text = JSON.stringify(value, undefined, indent)
  if (PRINTABLE_ASCII.test(text) || !UNSAFE.test(text)) return text
  // Line ends stand between the members only: in strings they are escaped already.
  return text.replace(EACH_UNSAFE, (character) => (character === '\n' ? character : jsonVisible(character)))
}
