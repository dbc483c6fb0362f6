/**
 * Field lines in the plainest grammar there is, for heads that we read ourselves. What is written otherwise, or could be
 * read in two ways, is not read here at all: a parser that knows more has to look.
 */

/** More lines than programs send. */
const MAX_LINES = 100
const MAX_NAMES = 500

const TOKEN = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/ // RFC 9110 §5.6.2
const NOT_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/ // RFC 9110 §5.5

/** Whether a field line can be written so (RFC 9110 §5.1, §5.5). */
export const isPlainValue = (value: string): boolean => !NOT_IN_VALUES.test(value)

/** What the names of a kind of head mean for whoever reads it; `plain` is every name that says nothing about that. */
export class NameKinds<Kind extends string> {
  readonly #special: ReadonlyMap<string, Kind>
  /** Names seen before, as they were written: a look-up costs a tenth of the test. */
  readonly #known = new Map<string, Kind | 'plain' | undefined>()

  /** By names in lower case. */
  constructor(special: Readonly<Record<string, Kind>>) {
    this.#special = new Map(Object.entries(special) as Array<[string, Kind]>)
  }

  /** The name's kind; undefined for what is no name (RFC 9110 §5.1). */
  of(name: string): Kind | 'plain' | undefined {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const kind = TOKEN.test(name) ? (this.#special.get(name.toLowerCase()) ?? 'plain') : undefined
    if (this.#known.size < MAX_NAMES) this.#known.set(name, kind)
    return kind
  }
}

const SPACE = 0x20
const TAB = 0x09
const isOws = (code: number): boolean => code === SPACE || code === TAB

/**
 * Reads the lines between two positions, each with its CRLF, into name, value, name, value …; `take` is asked about
 * names that mean something. Undefined where a line is not plain, or `take` refuses one.
 */
export const plainLines = <Kind extends string>(
  text: string,
  from: number,
  end: number,
  kinds: NameKinds<Kind>,
  take: (kind: Kind, value: string) => boolean,
): string[] | undefined => {
  const fields: string[] = []
  let lineEnd = 0
  for (let start = from; start < end; start = lineEnd + 2) {
    lineEnd = text.indexOf('\r\n', start)
    const colon = text.indexOf(':', start)
    if (colon === -1 || colon > lineEnd || fields.length >= MAX_LINES * 2) return undefined
    const name = text.slice(start, colon)
    let first = colon + 1
    let stop = lineEnd
    while (first < stop && isOws(text.charCodeAt(first))) first++
    while (stop > first && isOws(text.charCodeAt(stop - 1))) stop--
    const value = text.slice(first, stop)
    if (!isPlainValue(value)) return undefined
    const kind = kinds.of(name)
    if (kind === undefined || (kind !== 'plain' && !take(kind, value))) return undefined
    fields.push(name, value)
  }
  return fields
}
