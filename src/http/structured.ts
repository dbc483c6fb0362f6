/** As much of Structured Fields (RFC 9651) as the cache reads: dictionaries of items. */

/** Value of a bare item: integers and decimals as numbers (decimals marked by class), strings, tokens, booleans. */
export type BareItem =
  | number
  | string
  | boolean
  | { readonly kind: 'decimal' | 'bytes' | 'date' | 'display string' | 'list' }

/** Serialises text as a String (§4.1.6); characters that cannot stand in one are percent-encoded. */
export const sfString = (text: string): string => (PLAIN.test(text) ? `"${text}"` : `"${escaped(text)}"`)

/** What stands in a String as it is. */
const PLAIN = /^[ !#-[\]-~]*$/

const escaped = (text: string): string =>
  text
    .replace(/[\ud800-\udfff]/gu, '\ufffd') // half a pair, which has no percent-encoding
    .replace(/[^\x20-\x7e]/gu, encodeURIComponent)
    .replace(/["\\]/g, '\\$&')

/** Members of a dictionary, the last of a name winning (§4.2.2); undefined when the text is not a valid one. */
export const parseDictionary = (text: string): Map<string, BareItem> | undefined => {
  const input = new Input(text)
  const members = new Map<string, BareItem>()
  input.skip(/ */y)
  while (!input.done) {
    const key = input.take(/[a-z*][a-z0-9_\-.*]*/y)
    if (key === undefined) return undefined
    let value: BareItem | undefined = true
    if (input.skip(/=/y)) value = input.peek('(') ? innerList(input) : bareItem(input)
    if (value === undefined || !parameters(input)) return undefined
    members.delete(key)
    members.set(key, value)
    input.skip(/[ \t]*/y)
    if (input.done) return members
    if (!input.skip(/,/y)) return undefined
    input.skip(/[ \t]*/y)
    if (input.done) return undefined
  }
  return members
}

class Input {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    let end = text.length
    while (end > 0 && text[end - 1] === ' ') end--
    this.#text = text.slice(0, end)
  }

  get done(): boolean {
    return this.#at >= this.#text.length
  }

  peek(char: string): boolean {
    return this.#text[this.#at] === char
  }

  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found === undefined || found === '') return undefined
    this.#at += found.length
    return found
  }

  skip(pattern: RegExp): boolean {
    return this.take(pattern) !== undefined
  }
}

const bareItem = (input: Input): BareItem | undefined => {
  const number = input.take(/-?\d+(?:\.\d+)?/y)
  if (number !== undefined) {
    if (number.includes('.')) return /^-?\d{1,12}\.\d{1,3}$/.test(number) ? { kind: 'decimal' } : undefined
    return /^-?\d{1,15}$/.test(number) ? Number(number) : undefined
  }
  const string = input.take(/"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/y)
  if (string !== undefined) return string.slice(1, -1).replace(/\\(.)/g, '$1')
  const token = input.take(/[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*/y)
  if (token !== undefined) return token
  const boolean = input.take(/\?[01]/y)
  if (boolean !== undefined) return boolean === '?1'
  if (input.skip(/:[A-Za-z0-9+/=]*:/y)) return { kind: 'bytes' }
  if (input.skip(/%"(?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*"/y)) return { kind: 'display string' }
  if (input.skip(/@-?\d{1,15}/y)) return { kind: 'date' }
  return undefined
}

const innerList = (input: Input): BareItem | undefined => {
  input.skip(/\(/y)
  while (!input.done) {
    input.skip(/ */y)
    if (input.skip(/\)/y)) return { kind: 'list' }
    if (bareItem(input) === undefined || !parameters(input)) return undefined
    if (!input.peek(' ') && !input.peek(')')) return undefined
  }
  return undefined
}

const parameters = (input: Input): boolean => {
  while (input.skip(/;/y)) {
    input.skip(/ */y)
    if (!input.skip(/[a-z*][a-z0-9_\-.*]*/y)) return false
    if (input.skip(/=/y) && bareItem(input) === undefined) return false
  }
  return true
}
