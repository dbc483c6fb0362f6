import type { Exchange } from '../core/exchange.ts'

/** The label of everything beyond the bound. */
const OTHER = 'other'
/** Folded labels end in `/*` beyond so many segments or characters. */
const MAX_SEGMENTS = 8
const MAX_LABEL = 120
const MAX_SEGMENT = 64
/** Two generations of remembered results: together at most 1000 urls of at most 1024 characters. */
const GENERATION = 500
const MAX_REMEMBERED_URL = 1024

/** What may stand in a label as it came; a `%`, a quote or a byte outside ASCII may not. */
const plain = /^[\w.~@+=:,!$()*-]+$/
const uuid = /^[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}$/i
/** Numbers, and what is written in numbers: dates, versions, addresses, phone numbers. */
const numeric = /^[+-]?\d+(?:[.,:_-]\d+)*$/
const dateTime = /^\d{4}-?\d\d-?\d\dT[\d:.,+-]*Z?$/i
const ulid = /^[0-7][\dA-HJKMNP-TV-Z]{25}$/i
const emailish = /^[^@]+@[^@]+\.[^@]+$/
const hex = /^(?:0x)?[\da-f]{8,}$/i
const extension = /^(.+)(\.[a-z][a-z\d]{0,4})$/i

type Kind = 'digit' | 'small' | 'capital' | undefined
const kindOf = (code: number): Kind => {
  if (code >= 0x30 && code <= 0x39) return 'digit'
  if (code >= 0x61 && code <= 0x7a) return 'small'
  if (code >= 0x41 && code <= 0x5a) return 'capital'
  return undefined
}

/**
 * Whether a segment looks drawn by lot, as base64, base62 and base36 keys do. Names turn to a digit or a new capital
 * once a word (`package.v1.UserService`), random characters at every third place. One key in
 * ten slips through; the bound on routes is for those.
 */
const looksRandom = (segment: string): boolean => {
  let characters = 0
  let turns = 0
  let digitTurns = 0
  let before: Kind
  for (let at = 0; at < segment.length; at++) {
    const kind = kindOf(segment.charCodeAt(at))
    if (kind !== undefined) characters++
    if (kind !== undefined && before !== undefined && kind !== before) {
      if (kind === 'digit' || before === 'digit') digitTurns++
      if (kind !== 'small' || before === 'digit') turns++
    }
    before = kind
  }
  if (characters < 16) return false
  return turns / characters >= 0.3 || digitTurns >= 5
}

/** A segment as it stands in a label: itself where it is a name, else `:id`, `:uuid` or `:hash`. */
const fold = (segment: string): string => {
  if (segment === '') return ''
  if (segment.length > MAX_SEGMENT || !plain.test(segment)) return ':id'
  if (uuid.test(segment)) return ':uuid'
  if (numeric.test(segment) || dateTime.test(segment) || ulid.test(segment) || emailish.test(segment))
    return ':id'
  // Fewer than 16 hex digits may be a word (`facade`, `deadbeef`); two decimal digits among them settle it.
  if (hex.test(segment) && (segment.length >= 16 || /\d.*\d/.test(segment))) return ':hash'
  if (looksRandom(segment)) return ':hash'
  const [, stem, suffix] = extension.exec(segment) ?? []
  if (stem === undefined || suffix === undefined) return segment
  const folded = fold(stem)
  return folded === stem ? segment : folded + suffix
}

const foldPath = (path: string): string => {
  let label = ''
  let segments = 0
  for (let from = 1; from <= path.length; ) {
    const slash = path.indexOf('/', from)
    const to = slash === -1 ? path.length : slash
    const segment = `/${fold(path.slice(from, to))}`
    if (++segments > MAX_SEGMENTS || label.length + segment.length > MAX_LABEL) return `${label}/*`
    label += segment
    from = to + 1
    if (slash === path.length - 1) return segments === MAX_SEGMENTS ? `${label}/*` : `${label}/`
  }
  return label
}

/** The path of a request target (RFC 9112 §3.2); `*` for asterisk-form, undefined for authority-form. */
const pathOf = (url: string): string | undefined => {
  let target = url
  if (!target.startsWith('/')) {
    if (target === '*') return '*'
    const authority = /^[a-z][a-z\d+.-]*:\/\/[^/?#]*/i.exec(target)
    if (authority === null && target !== '' && !/^[?#]/.test(target)) return undefined
    target = target.slice(authority?.[0].length ?? 0)
    if (!target.startsWith('/')) return '/'
  }
  const query = target.indexOf('?')
  if (query !== -1) target = target.slice(0, query)
  const fragment = target.indexOf('#')
  return fragment === -1 ? target : target.slice(0, fragment)
}

/** A template as a predicate over the path's segments; a slash at the end of the path does not matter. */
const matcher = (template: string): ((segments: readonly string[]) => boolean) => {
  const wanted = template.split('/')
  const open = wanted.at(-1) === '*'
  if (open || (wanted.length > 2 && wanted.at(-1) === '')) wanted.pop()
  return (segments) => {
    const length =
      !open && segments.length > 2 && segments.at(-1) === '' ? segments.length - 1 : segments.length
    if (open ? length <= wanted.length : length !== wanted.length) return false
    return wanted.every((part, at) =>
      part.startsWith(':') || part === '*' ? segments[at] !== '' : part === segments[at],
    )
  }
}

/**
 * Names the route of an exchange, for metrics: the first of `templates` that its path matches (`:x` is one segment,
 * a `*` at the end the rest), else the path with ids, UUIDs and hashes folded. Never more than `max` (100) names
 * beside the templates, `other` then; a name holds no byte of the path that is not plain ASCII.
 */
export const routes = (options: {
  templates: readonly string[]
  max?: number
}): ((exchange: Pick<Exchange, 'url'>) => string) => {
  const { max = 100 } = options
  const templates = options.templates.map((name) => ({ name, matches: matcher(name) }))
  const known = new Map<string, string>()
  let young = new Map<string, string>()
  let old = new Map<string, string>()

  const name = (path: string | undefined): string => {
    if (path === undefined) return OTHER
    if (path === '*') return '*'
    if (templates.length > 0) {
      const segments = path.split('/')
      const template = templates.find(({ matches }) => matches(segments))
      if (template !== undefined) return template.name
    }
    const label = foldPath(path)
    const same = known.get(label)
    if (same !== undefined) return same
    if (known.size >= max) return OTHER
    known.set(label, label)
    return label
  }

  return ({ url }) => {
    const path = pathOf(url)
    if (path === undefined || url.length > MAX_REMEMBERED_URL) return name(path)
    let label = young.get(path)
    if (label !== undefined) return label
    label = old.get(path) ?? name(path)
    if (young.size >= GENERATION) {
      old = young
      young = new Map()
    }
    young.set(path, label)
    return label
  }
}
