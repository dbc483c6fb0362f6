/** The request cannot be understood: answered with 400 and `message`, a sentence that says what would be right. */
export class BadRequest extends Error {}

/** Decodes one piece of a query as a form does, `+` being a space. Throws BadRequest on malformed percent-encoding. */
export const decode = (text: string): string => {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    throw new BadRequest(
      `"${text}" is not valid percent-encoding: write % and two hex digits for each byte of UTF-8.`,
    )
  }
}

/** The decoded parameters of a query without its `?`; of a repeated name the first counts. Throws BadRequest. */
export const parameters = (query: string): ReadonlyMap<string, string> => {
  const found = new Map<string, string>()
  for (const pair of query.split('&')) {
    if (pair === '') continue
    const equals = pair.indexOf('=')
    const name = decode(equals < 0 ? pair : pair.slice(0, equals))
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1))
    if (!found.has(name)) found.set(name, value)
  }
  return found
}

/** What `integer` accepts, and an example for the sentence that refuses. */
export interface Bounds {
  readonly min: number
  readonly max: number
  /** Used when the parameter is absent; without it absence is refused. */
  readonly otherwise?: number
  readonly example: string
}

/** A whole number within bounds, decimal digits only. Throws BadRequest. */
export const integer = (query: string, name: string, bounds: Bounds): number => {
  const text = parameters(query).get(name)
  if (text === undefined && bounds.otherwise !== undefined) return bounds.otherwise
  const value = text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= bounds.min && value <= bounds.max) return value
  const given = text === undefined ? `${name} is missing` : `${name}=${text} is not right`
  throw new BadRequest(
    `${given}: give a whole number from ${bounds.min} to ${bounds.max}, such as ${bounds.example}.`,
  )
}
