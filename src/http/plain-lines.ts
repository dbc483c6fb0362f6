/**
 * Field lines in the plainest grammar there is, for heads that we read ourselves. What is written otherwise, or could be
 * read in two ways, is not read here at all: a parser that knows more has to look.
 */

/** More lines than programs send. */
const MAX_LINES = 100
const MAX_NAMES = 500
/** Longer ones are not remembered. */
const MAX_NAME = 100

const TOKEN = /^[!#$%&'*+.^_`|~\dA-Za-z-]+$/ // RFC 9110 §5.6.2
const NOT_IN_VALUES = /[^\t\x20-\x7e\x80-\xff]/ // RFC 9110 §5.5

/** Whether a field line can be written so (RFC 9110 §5.1, §5.5). */
export const isPlainValue = (value: string): boolean => !NOT_IN_VALUES.test(value)

/** What a name means for whoever reads a head; `plain`: nothing. */
export interface Name<Kind extends string> {
  /** As it was written, and always the same string: what is seen for the first time costs every later look-up its hash. */
  readonly text: string
  /** undefined for what is no name (RFC 9110 §5.1). */
  readonly kind: Kind | 'plain' | undefined
}

/** What the names of one kind of head mean. */
export class NameKinds<Kind extends string> {
  readonly #special: ReadonlyMap<string, Kind>
  /** Names seen before: a look-up costs a tenth of the test. */
  readonly #known = new Map<string, Name<Kind>>()

  /** By names in lower case. */
  constructor(special: Readonly<Record<string, Kind>>) {
    this.#special = new Map(Object.entries(special) as Array<[string, Kind]>)
  }

  of(written: string): Name<Kind> {
    const known = this.#known.get(written)
    if (known !== undefined) return known
    if (!TOKEN.test(written)) return { text: written, kind: undefined }
    const kind = this.#special.get(written.toLowerCase()) ?? 'plain'
    if (this.#known.size >= MAX_NAMES || written.length > MAX_NAME) return { text: written, kind }
    // A copy: as a part of its head it would keep all of that.
    const text = Buffer.from(written, 'latin1').toString('latin1')
    const name: Name<Kind> = { text, kind }
    this.#known.set(text, name)
    return name
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
    const name = kinds.of(text.slice(start, colon))
    let first = colon + 1
    let stop = lineEnd
    while (first < stop && isOws(text.charCodeAt(first))) first++
    while (stop > first && isOws(text.charCodeAt(stop - 1))) stop--
    const value = text.slice(first, stop)
    if (!isPlainValue(value)) return undefined
    const { kind } = name
    if (kind === undefined || (kind !== 'plain' && !take(kind, value))) return undefined
    fields.push(name.text, value)
  }
  return fields
}
