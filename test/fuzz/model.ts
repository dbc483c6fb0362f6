/**
 * A cache for one URI, written straight from the RFCs to be read beside them: slow, plain, and without a line of
 * src/. The fuzz test holds the real functions against it.
 *
 * Where the RFCs leave a choice, or this cache departs, the choice is:
 *  1. RFC 9111 §4.2.3: an apparent age of less than a second is the rounding of Date, and none.
 *  2. RFC 9111 §4.2.2: a tenth of the time since Last-Modified, a day at most.
 *  3. RFC 9111 §5.2.1.1: max-age=0 of a request asks for validation, also of what came this very moment.
 *  4. RFC 5861 §4: without stale-if-error a stale response stands in only for an upstream that cannot be reached;
 *     with it, only within it; that of the response goes before that of the request.
 *  5. RFC 9110 §14.2: several ranges are answered by the whole.
 *  6. Several stored responses that match: the newest by Date, then by receipt (RFC 9111 §4.1).
 *  7. RFC 9111 §4.2.4: a response without any freshness is kept to be validated, and served stale only by its own
 *     stale-while-revalidate and stale-if-error.
 *  8. What cannot be parsed restricts: a lifetime is 0, a restriction holds, a permission does not.
 */

/** Name and value. */
export type Line = readonly [name: string, value: string]

export interface Request {
  readonly method: 'GET' | 'HEAD'
  readonly lines: readonly Line[]
}

export interface Response {
  readonly status: number
  readonly lines: readonly Line[]
  readonly body: string
}

/** A stored response. `bytes` has a hole where a byte of the whole is not there. Times in ms. */
interface Stored {
  status: number
  lines: Line[]
  bytes: ReadonlyArray<string | undefined>
  partial: boolean
  askedAt: number
  cameAt: number
  /** What the request had under the names of Vary. */
  chosenBy: ReadonlyArray<readonly [name: string, value: string | undefined]>
}

export type Verdict =
  | {
      readonly kind: 'serve'
      readonly how: 'fresh' | 'stale' | 'stale-and-refresh'
      readonly answer: Response
    }
  | { readonly kind: 'ask'; readonly how: 'whole' | 'validate' | 'complete'; readonly lines: readonly Line[] }

// Fields

const valuesOf = (lines: readonly Line[], name: string): string[] =>
  lines.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value)

const only = (lines: readonly Line[], name: string): string | undefined => valuesOf(lines, name)[0]

const strip = (text: string): string => text.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '')

/** RFC 9110 §5.6.1, §5.6.4: commas separate, but not within quotes that close. */
const split = (text: string): string[] => {
  const members: string[] = []
  let member = ''
  let rest = text
  while (rest !== '') {
    const quoted = /^"(?:[^"\\]|\\[\s\S])*"/.exec(rest)
    if (quoted !== null) {
      member += quoted[0]
      rest = rest.slice(quoted[0].length)
    } else if (rest.startsWith(',')) {
      members.push(member)
      member = ''
      rest = rest.slice(1)
    } else {
      member += rest[0]
      rest = rest.slice(1)
    }
  }
  return [...members, member].map(strip).filter((each) => each !== '')
}

/** RFC 9110 §7.6.1: what Connection names, but for what is meant for all recipients. */
const forConnection = (lines: readonly Line[]): Set<string> => {
  const forAll =
    'content-length content-encoding content-range content-type host cache-control cdn-cache-control age date expires vary set-cookie'
  const named = valuesOf(lines, 'connection')
    .flatMap((value) => value.split(','))
    .map((each) => strip(each).toLowerCase())
    .filter((each) => !forAll.split(' ').includes(each))
  return new Set([...named, 'connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'])
}

// Dates: RFC 9110 §5.6.7. What is generated has two-digit years of this century only.

const dateOf = (text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.toLowerCase().split(' ')
  const given = strip(text).toLowerCase()
  const a = /^[a-z]{3}, (\d\d) ([a-z]{3}) (\d{4}) (\d\d):(\d\d):(\d\d) gmt$/.exec(given)
  const b = /^[a-z]{6,9}, (\d\d)-([a-z]{3})-(\d\d) (\d\d):(\d\d):(\d\d) gmt$/.exec(given)
  const c = /^[a-z]{3} ([a-z]{3}) ([ \d]\d) (\d\d):(\d\d):(\d\d) (\d{4})$/.exec(given)
  const [day, month, year, ...time] =
    a !== null
      ? a.slice(1)
      : b !== null
        ? [b[1], b[2], `20${b[3]}`, b[4], b[5], b[6]]
        : c !== null
          ? [c[2], c[1], c[6], c[3], c[4], c[5]]
          : []
  if (month === undefined || !months.includes(month)) return undefined
  return Date.UTC(
    Number(year),
    months.indexOf(month),
    Number(day),
    ...(time.map(Number) as [number, number, number]),
  )
}

/** Dates are the same when they name the same second; what is no date is the same only to the letter. */
const sameDate = (a: string, b: string | undefined): boolean =>
  b !== undefined && (a === b || (dateOf(a) !== undefined && dateOf(a) === dateOf(b)))

const textOf = (ms: number): string => new Date(ms).toUTCString()

// Directives: RFC 9111 §5.2

interface Said {
  readonly name: string
  /** undefined: none. */
  readonly argument: string | undefined
  readonly malformed: boolean
}

const cacheControl = (values: readonly string[]): Said[] =>
  split(values.join(', ')).flatMap((member): Said[] => {
    const [, name, rest] = /^([A-Za-z0-9-]+)([\s\S]*)$/.exec(member) ?? []
    if (name === undefined) return []
    if (rest === '') return [{ name: name.toLowerCase(), argument: undefined, malformed: false }]
    const argument = rest!.slice(1)
    const malformed = !rest!.startsWith('=') || argument === '' || /^\s/.test(argument)
    const quoted = /^"([\s\S]*)"$/.exec(argument)
    return [{ name: name.toLowerCase(), argument: quoted === null ? argument : quoted[1], malformed }]
  })

/** RFC 9213 §2: only what is generated is known here: keys, Integers, Strings, nothing else is valid. */
const targeted = (values: readonly string[]): Said[] | undefined => {
  const text = values.join(', ')
  if (strip(text) === '') return undefined
  const said: Said[] = []
  for (const member of text.split(/[ \t]*,[ \t]*/)) {
    const found = /^([a-z-]+)(?:=(?:(-?\d{1,15})|"([a-z0-9 ,-]*)"))?$/.exec(member.trim())
    if (found === null) return undefined
    const [, name, integer, string] = found
    // §2.2 and RFC 9651 §3.2: of one name the last counts.
    const before = said.findIndex((each) => each.name === name)
    if (before !== -1) said.splice(before, 1)
    // RFC 9213 §2.1: a String where an Integer belongs is not to be consumed.
    const argument = string !== undefined && /^\d/.test(string) ? undefined : (integer ?? string)
    said.push({ name: name!, argument, malformed: false })
  }
  return said
}

class Directives {
  readonly said: readonly Said[]

  constructor(said: readonly Said[]) {
    this.said = said
  }

  has(name: string): boolean {
    return this.said.some((each) => each.name === name)
  }

  /** A permission has to be well-formed. */
  permits(name: string): boolean {
    return this.said.some((each) => each.name === name && !each.malformed)
  }

  /** §1.2.2, §4.2.1: the first counts; 0 when it is no number. */
  seconds(name: string): number | undefined {
    const first = this.said.find((each) => each.name === name)
    if (first === undefined) return undefined
    if (first.malformed || first.argument === undefined || !/^[0-9]+$/.test(first.argument)) return 0
    return Math.min(Number(first.argument), 2147483648)
  }

  /** §5.2.2.4, §5.2.2.7: the fields it is limited to; 'all' when it is about the whole; undefined when not said. */
  about(name: string): 'all' | string[] | undefined {
    const all = this.said.filter((each) => each.name === name)
    if (all.length === 0) return undefined
    const fields: string[] = []
    for (const { argument, malformed } of all) {
      const names = (argument ?? '')
        .split(',')
        .map(strip)
        .filter((each) => each !== '')
      if (malformed || names.length === 0 || !names.every((each) => /^[a-z-]+$/i.test(each))) return 'all'
      fields.push(...names.map((each) => each.toLowerCase()))
    }
    // To withhold what the response cannot be understood without is to withhold it.
    return fields.some((each) => ['vary', 'content-type'].includes(each)) ? 'all' : fields
  }
}

/** RFC 9213 §2.2: the targeted field, where it is valid and not empty, takes the place of Cache-Control. */
const ofResponse = (lines: readonly Line[]): Directives =>
  new Directives(
    targeted(valuesOf(lines, 'cdn-cache-control')) ?? cacheControl(valuesOf(lines, 'cache-control')),
  )

const ofRequest = (request: Request): Directives => {
  const values = valuesOf(request.lines, 'cache-control')
  // RFC 9111 §5.4
  const pragma = values.length === 0 && only(request.lines, 'pragma') === 'no-cache'
  return new Directives(pragma ? cacheControl(['no-cache']) : cacheControl(values))
}

// Freshness: RFC 9111 §4.2

const byDefault = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]

const dateField = (stored: Stored): number => dateOf(only(stored.lines, 'date')) ?? stored.cameAt

/** §4.2.1, in seconds, as a field gives it. */
const explicitLifetimeOf = (stored: Stored): number | undefined => {
  const directives = ofResponse(stored.lines)
  const sMaxAge = directives.seconds('s-maxage')
  if (sMaxAge !== undefined) return sMaxAge
  const maxAge = directives.seconds('max-age')
  if (maxAge !== undefined) return maxAge
  const expires = valuesOf(stored.lines, 'expires')
  if (expires.length > 0 && targeted(valuesOf(stored.lines, 'cdn-cache-control')) === undefined) {
    const at = expires.length > 1 ? undefined : dateOf(expires[0])
    return at === undefined ? 0 : Math.max(0, at - dateField(stored)) / 1000
  }
  return undefined
}

/** §4.2.1, in seconds; undefined when nothing tells. */
const lifetimeOf = (stored: Stored): number | undefined => {
  const explicit = explicitLifetimeOf(stored)
  if (explicit !== undefined) return explicit
  // §4.2.2
  if (!byDefault.includes(stored.status) && !ofResponse(stored.lines).permits('public')) return undefined
  const modified = dateOf(only(stored.lines, 'last-modified'))
  if (modified === undefined || modified >= dateField(stored)) return undefined
  return Math.min((dateField(stored) - modified) / 1000 / 10, 86400)
}

/** §4.2.3, in seconds. */
const ageOf = (stored: Stored, now: number): number => {
  const apparent = Math.max(0, stored.cameAt - dateField(stored))
  const apparentAge = apparent < 1000 ? 0 : apparent
  // §5.1
  const first = strip((only(stored.lines, 'age') ?? '').split(',')[0]!)
  const ageValue = /^[0-9]+$/.test(first) ? Math.min(Number(first), 2147483648) * 1000 : 0
  const correctedAgeValue = ageValue + (stored.cameAt - stored.askedAt)
  const correctedInitialAge = Math.max(apparentAge, correctedAgeValue)
  const residentTime = now - stored.cameAt
  return (correctedInitialAge + residentTime) / 1000
}

const staleBy = (stored: Stored, now: number): number => ageOf(stored, now) - (lifetimeOf(stored) ?? 0)

/** §4.2.4: what prohibits stale responses. */
const neverStale = (directives: Directives): boolean =>
  directives.has('must-revalidate') ||
  directives.has('proxy-revalidate') ||
  directives.has('s-maxage') ||
  directives.about('no-cache') === 'all'

// Storing: RFC 9111 §3

const mayStore = (request: Request, stored: Stored): boolean => {
  const { status, lines } = stored
  const directives = ofResponse(lines)
  const etag = only(lines, 'etag')
  const modified = only(lines, 'last-modified')
  if (request.method !== 'GET') return false
  if (status === 304) return false
  if (directives.permits('must-understand')) {
    if (![200, 203, 206, 302, 404, 410, 503].includes(status)) return false
  } else if (directives.has('no-store')) return false
  if (ofRequest(request).has('no-store')) return false
  if (directives.about('private') === 'all') return false
  if (
    valuesOf(request.lines, 'authorization').length > 0 &&
    !directives.permits('public') &&
    !directives.has('must-revalidate') &&
    !directives.has('s-maxage')
  ) {
    return false // §3.5
  }
  // Not for storing at all: what no request can match (§4.1), and what is no part that can be placed (§3.3).
  if (varyOf(lines).includes('*')) return false
  if (status === 206 && !stored.partial) return false
  // §7.3: a cookie is for others only where the response says that it is fresh.
  const saysFresh = (explicitLifetimeOf(stored) ?? 0) > 0 && directives.about('no-cache') !== 'all'
  if (only(lines, 'set-cookie') !== undefined && !saysFresh) return false
  // RFC 9110 §15.5.17: an error that may be of the range alone, which others do not ask for.
  if (status >= 400 && valuesOf(request.lines, 'range').length > 0) return false
  const lifetime = lifetimeOf(stored)
  if (lifetime === undefined) {
    const cacheable = byDefault.includes(status) || directives.permits('public')
    return cacheable && (etag !== undefined || modified !== undefined)
  }
  // Worth it: fresh, or to be validated, or of use while stale.
  return (
    lifetime > ageOf(stored, stored.cameAt) ||
    etag !== undefined ||
    modified !== undefined ||
    (directives.seconds('stale-while-revalidate') ?? 0) > 0 ||
    (directives.seconds('stale-if-error') ?? 0) > 0
  )
}

/** §3.1 */
const linesToStore = (lines: readonly Line[]): Line[] => {
  const directives = ofResponse(lines)
  const withheld = [directives.about('private'), directives.about('no-cache')].flatMap((names) =>
    names === undefined || names === 'all' ? [] : names,
  )
  const connection = forConnection(lines)
  return lines.filter(([name]) => {
    const lower = name.toLowerCase()
    return !withheld.includes(lower) && !connection.has(lower)
  })
}

// Selecting: RFC 9111 §4.1

const varyOf = (lines: readonly Line[]): string[] =>
  valuesOf(lines, 'vary')
    .flatMap((value) => value.split(','))
    .map((each) => strip(each).toLowerCase())
    .filter((each) => each !== '')

const normal = (request: Request, name: string): string | undefined => {
  const values = valuesOf(request.lines, name)
  if (values.length === 0 || forConnection(request.lines).has(name)) return undefined
  const members = split(values.join(', '))
  if (name !== 'accept-language') return members.join(',')
  // RFC 9110 §12.4.2, §12.5.4: order tells nothing, the weight does, 1 when there is none.
  return members
    .map((member) => {
      const [language, weight = 'q=1'] = member.toLowerCase().split(';').map(strip)
      return `${language} ${Number(weight.slice(2))}`
    })
    .sort()
    .join(',')
}

/** RFC 9110 §12.5.4: the one that has more weight than all others, if it has any. */
const wantedLanguage = (request: Request): string | undefined => {
  const members = (normal(request, 'accept-language') ?? '').split(',').map((each) => each.split(' '))
  const heaviest = Math.max(...members.map(([, weight]) => Number(weight)))
  const first = members.filter(([, weight]) => Number(weight) === heaviest)
  return heaviest > 0 && first.length === 1 ? first[0]![0] : undefined
}

const chosenBy = (request: Request, lines: readonly Line[]): Stored['chosenBy'] =>
  [...new Set(varyOf(lines))].sort().map((name) => [name, normal(request, name)] as const)

// Ranges: RFC 9110 §14

type Span = readonly [first: number, last: number]

/** §13.1.5, §8.8.2.2 */
const rangeStands = (stored: Stored, request: Request): boolean => {
  const ifRange = only(request.lines, 'if-range')
  if (ifRange === undefined) return true
  const date = dateOf(ifRange)
  if (date === undefined) return ifRange.startsWith('"') && ifRange === only(stored.lines, 'etag')
  return date === dateOf(only(stored.lines, 'last-modified')) && dateField(stored) - date >= 1000
}

const spanOf = (stored: Stored, request: Request): Span | 'unsatisfiable' | undefined => {
  const ranges = valuesOf(request.lines, 'range')
  if (request.method !== 'GET' || ranges.length !== 1) return undefined
  if (stored.status !== 200 && stored.status !== 206) return undefined
  const found = /^bytes=(\d*)-(\d*)$/.exec(ranges[0]!)
  if (found === null || (found[1] === '' && found[2] === '')) return undefined
  if (!rangeStands(stored, request)) return undefined
  const total = stored.bytes.length
  if (found[1] === '') {
    const length = Number(found[2])
    // No Content-Range can tell of a part of nothing: the whole.
    if (length > 0 && total === 0) return undefined
    return length === 0 ? 'unsatisfiable' : [Math.max(0, total - length), total - 1]
  }
  const first = Number(found[1])
  const last = found[2] === '' ? total - 1 : Math.min(Number(found[2]), total - 1)
  if (found[2] !== '' && Number(found[2]) < first) return undefined
  return first >= total ? 'unsatisfiable' : [first, last]
}

const has = (stored: Stored, [first, last]: Span): boolean => {
  for (let i = first; i <= last; i++) if (stored.bytes[i] === undefined) return false
  return true
}

const text = (stored: Stored, [first, last]: Span): string => stored.bytes.slice(first, last + 1).join('')

/** The bytes that are asked for; all of them without a range. */
const wantedOf = (stored: Stored, request: Request): Span | 'unsatisfiable' =>
  spanOf(stored, request) ?? [0, stored.bytes.length - 1]

const holdsWanted = (stored: Stored, request: Request): boolean => {
  const wanted = wantedOf(stored, request)
  return !stored.partial || wanted === 'unsatisfiable' || has(stored, wanted)
}

/** First and last byte that are there. */
const extent = (stored: Stored): Span => {
  const there = stored.bytes.flatMap((byte, i) => (byte === undefined ? [] : [i]))
  return [there[0] ?? 0, there.at(-1) ?? -1]
}

// Conditionals: RFC 9111 §4.3.2, RFC 9110 §13

const isNotModified = (stored: Stored, request: Request): boolean => {
  if (stored.status !== 200 && stored.status !== 206) return false
  const tags = valuesOf(request.lines, 'if-none-match')
  if (tags.length > 0) {
    const etag = only(stored.lines, 'etag')
    if (tags.length === 1 && tags[0] === '*') return true
    return tags.flatMap(split).some((tag) => tag.replace('W/', '') === etag?.replace('W/', ''))
  }
  const since = dateOf(only(request.lines, 'if-modified-since'))
  const last = only(stored.lines, 'last-modified')
  const modified = last === undefined ? dateField(stored) : dateOf(last)
  return since !== undefined && modified !== undefined && modified <= since
}

// Answering

const without = (lines: readonly Line[], ...names: string[]): Line[] =>
  lines.filter(([name]) => !names.includes(name.toLowerCase()))

const content = ['content-length', 'content-range', 'content-digest', 'content-md5']
const media = ['content-type', 'content-encoding', 'content-language']

const answerOf = (stored: Stored, request: Request, now: number): Response => {
  const age: Line = ['Age', String(Math.min(Math.floor(ageOf(stored, now)), 2147483648))]
  if (isNotModified(stored, request))
    return { status: 304, lines: [...without(stored.lines, 'age', ...content, ...media), age], body: '' }
  const total = stored.bytes.length
  const span = spanOf(stored, request)
  if (span === 'unsatisfiable') {
    const kept = ['date', 'vary', 'a', 'b', 'x-foo']
    return {
      status: 416,
      lines: [
        ...stored.lines.filter(([name]) => kept.includes(name.toLowerCase())),
        ['Content-Range', `bytes */${total}`],
        ['Content-Length', '0'],
        age,
      ],
      body: '',
    }
  }
  if (span !== undefined) {
    return {
      status: 206,
      lines: [
        ...without(stored.lines, 'age', ...content),
        ['Content-Range', `bytes ${span[0]}-${span[1]}/${total}`],
        ['Content-Length', String(span[1] - span[0] + 1)],
        age,
      ],
      body: text(stored, span),
    }
  }
  const lines = [...without(stored.lines, 'age'), age]
  // RFC 9110 §8.6, §9.3.2: what a GET would say; nothing here is a 204.
  if (request.method === 'HEAD' && valuesOf(lines, 'content-length').length === 0)
    lines.push(['Content-Length', String(total)])
  return { status: stored.status, lines, body: text(stored, [0, total - 1]) }
}

// The cache

export class ModelCache {
  #stored: Stored[] = []
  /** What the last question was about. */
  #about: Stored | undefined

  /** RFC 9111 §4 */
  ask(request: Request, now: number): Verdict {
    this.#about = undefined
    const matches = (stored: Stored, but?: string): boolean =>
      stored.chosenBy.every(([name, value]) => name === but || normal(request, name) === value)
    const exact = this.#stored.filter((stored) => matches(stored))
    const wanted = wantedLanguage(request)
    const inLanguage = this.#stored.filter(
      (stored) =>
        wanted !== undefined &&
        stored.chosenBy.some(([name]) => name === 'accept-language') &&
        valuesOf(stored.lines, 'content-language').join().toLowerCase() === wanted &&
        matches(stored, 'accept-language'),
    )
    const matching = exact.length > 0 ? exact : inLanguage
    matching.sort((a, b) => dateField(b) - dateField(a) || b.cameAt - a.cameAt)
    const stored = matching[0]
    if (stored === undefined) return { kind: 'ask', how: 'whole', lines: request.lines }

    if (!holdsWanted(stored, request)) {
      if (request.method === 'HEAD') return { kind: 'ask', how: 'whole', lines: request.lines }
      return this.#complete(stored, request)
    }

    const wishes = ofRequest(request)
    const directives = ofResponse(stored.lines)
    const age = ageOf(stored, now)
    const left = (lifetimeOf(stored) ?? 0) - age
    const serve = (how: 'fresh' | 'stale' | 'stale-and-refresh'): Verdict => ({
      kind: 'serve',
      how,
      answer: answerOf(stored, request, now),
    })
    const validate = (): Verdict => {
      this.#about = stored
      const lines = without(request.lines, 'range', 'if-range', 'if-none-match', 'if-modified-since')
      const etag = only(stored.lines, 'etag')
      const modified = only(stored.lines, 'last-modified')
      // §4.3.1
      if (etag !== undefined) lines.push(['If-None-Match', etag])
      if (modified !== undefined) lines.push(['If-Modified-Since', modified])
      return { kind: 'ask', how: 'validate', lines }
    }

    if (directives.about('no-cache') === 'all') return validate() // §5.2.2.4
    if (wishes.has('no-cache')) return validate() // §5.2.1.4
    const maxAge = wishes.seconds('max-age') // §5.2.1.1
    if (maxAge !== undefined && (age > maxAge || maxAge === 0)) return validate()
    const minFresh = wishes.seconds('min-fresh') // §5.2.1.3
    if (minFresh !== undefined && left < minFresh) return validate()
    if (left > 0) return serve('fresh') // §4.2
    if (neverStale(directives)) return validate() // §4.2.4
    if (maxAge !== undefined && !wishes.has('max-stale')) return validate() // §5.2.1.1
    const behind = directives.seconds('stale-while-revalidate') // RFC 5861 §3
    if (behind !== undefined && -left <= behind) return serve('stale-and-refresh')
    const maxStale = wishes.said.find(({ name }) => name === 'max-stale') // §5.2.1.2
    if (maxStale !== undefined && lifetimeOf(stored) !== undefined) {
      const any = maxStale.argument === undefined && !maxStale.malformed
      if (any || -left <= wishes.seconds('max-stale')!) return serve('stale')
    }
    return validate()
  }

  /** RFC 9111 §3.4: ask for what a part lacks, if that is one piece that touches it. */
  #complete(stored: Stored, request: Request): Verdict {
    const whole: Verdict = { kind: 'ask', how: 'whole', lines: request.lines }
    const etag = only(stored.lines, 'etag')
    if (etag === undefined && only(stored.lines, 'last-modified') === undefined)
      return this.#completeUnvouched(stored, request)
    if (etag === undefined || !/^"[^"]*"$/.test(etag)) return whole
    const wanted = wantedOf(stored, request)
    if (wanted === 'unsatisfiable') return whole
    const [first, last] = wanted
    // A Range that stands and that we do not read is the upstream's to answer.
    const unread = valuesOf(request.lines, 'range').length > 0 && spanOf(stored, request) === undefined
    if (unread && rangeStands(stored, request)) return whole
    const missing: number[] = []
    for (let i = first; i <= last; i++) if (stored.bytes[i] === undefined) missing.push(i)
    const [from, to] = [missing[0]!, missing.at(-1)!]
    const onePiece = missing.length === to - from + 1
    const [begins, ends] = extent(stored)
    if (!onePiece || (to !== begins - 1 && from !== ends + 1)) return whole
    this.#about = stored
    const end = to === stored.bytes.length - 1 ? '' : String(to)
    const lines = without(request.lines, 'range', 'if-range', 'if-none-match', 'if-modified-since')
    return {
      kind: 'ask',
      how: 'complete',
      lines: [...lines, ['Range', `bytes=${from}-${end}`], ['If-Range', etag]],
    }
  }

  /** RFC 9111 §3.4: the rest of a beginning without any validator, where the whole is all that is wanted. */
  #completeUnvouched(stored: Stored, request: Request): Verdict {
    const [begins, ends] = extent(stored)
    const plain = ['range', 'if-none-match', 'if-modified-since'].every(
      (name) => valuesOf(request.lines, name).length === 0,
    )
    if (begins !== 0 || !plain) return { kind: 'ask', how: 'whole', lines: request.lines }
    this.#about = stored
    const lines = without(request.lines, 'if-range')
    return { kind: 'ask', how: 'complete', lines: [...lines, ['Range', `bytes=${ends + 1}-`]] }
  }

  /** What the client gets for an upstream that failed; undefined when nothing may stand in (RFC 9111 §4.2.4). */
  onFailure(request: Request, failure: 'unreachable' | 'status', now: number): Response | undefined {
    const stored = this.#about
    if (stored === undefined) return undefined
    const directives = ofResponse(stored.lines)
    const wishes = ofRequest(request)
    const stale = staleBy(stored, now)
    if (directives.about('no-cache') === 'all' || wishes.has('no-cache')) return undefined
    if (stale >= 0 && neverStale(directives)) return undefined
    const own = directives.seconds('stale-if-error')
    if (own === undefined && lifetimeOf(stored) === undefined) return undefined
    const window = own ?? wishes.seconds('stale-if-error')
    if (window === undefined ? failure === 'status' : stale > window) return undefined
    return answerOf(stored, request, now)
  }

  /** RFC 9111 §4.3.4; undefined when the 304 speaks of another response. */
  onNotModified(request: Request, response: Response, askedAt: number, cameAt: number): Response | undefined {
    const stored = this.#about!
    const [etag, modified] = [only(response.lines, 'etag'), only(response.lines, 'last-modified')]
    const [storedTag, storedModified] = [only(stored.lines, 'etag'), only(stored.lines, 'last-modified')]
    if (storedTag !== undefined) {
      // It answers If-None-Match with that tag; one of its own must be the same, and strong ones strongly.
      if (etag !== undefined && etag !== storedTag && (!etag.startsWith('W/') || etag.slice(2) !== storedTag))
        return undefined
    } else if (modified !== undefined) {
      if (!sameDate(modified, storedModified)) return undefined
    } else if (etag !== undefined) return undefined
    this.#update(stored, request, response, askedAt, cameAt)
    // With other validators, If-Range may want the whole of which only a part is there.
    return holdsWanted(stored, request) ? answerOf(stored, request, cameAt) : undefined
  }

  /** RFC 9111 §3.2 */
  #update(stored: Stored, request: Request, response: Response, askedAt: number, cameAt: number): void {
    const news = linesToStore(response.lines).filter(
      ([name]) =>
        !['content-length', 'content-encoding', 'content-range', 'content-digest'].includes(
          name.toLowerCase(),
        ),
    )
    if (!news.some(([name]) => name.toLowerCase() === 'date')) news.push(['Date', textOf(cameAt)])
    const names = news.map(([name]) => name.toLowerCase())
    const lines = linesToStore([...without(stored.lines, 'age', ...names), ...news])
    stored.lines = lines
    stored.askedAt = askedAt
    stored.cameAt = cameAt
    if (names.includes('vary')) stored.chosenBy = chosenBy(request, lines)
    const still = mayStore({ method: 'GET', lines: without(request.lines, 'range') }, stored)
    this.#stored = this.#stored.filter((each) => each !== stored)
    if (still) this.#put(stored)
  }

  /** RFC 9111 §4.3.5: the answer to a HEAD that was asked because of what is stored. */
  onHead(request: Request, response: Response, askedAt: number, cameAt: number): void {
    const stored = this.#about
    if (stored === undefined || response.status !== 200 || ![200, 206].includes(stored.status)) return
    const [etag, modified, length] = ['etag', 'last-modified', 'content-length'].map((name) =>
      only(response.lines, name),
    )
    const [storedTag, storedModified] = [only(stored.lines, 'etag'), only(stored.lines, 'last-modified')]
    const same =
      (etag === undefined || etag.replace('W/', '') === storedTag?.replace('W/', '')) &&
      (modified === undefined || sameDate(modified, storedModified)) &&
      (length === undefined || Number(length) === stored.bytes.length)
    if (same) this.#update(stored, request, response, askedAt, cameAt)
    else this.#stored = this.#stored.filter((each) => each !== stored)
  }

  /** A final response to a GET that was forwarded: stored or not. */
  onResponse(request: Request, response: Response, askedAt: number, cameAt: number): boolean {
    const lines = linesToStore(response.lines)
    if (valuesOf(lines, 'date').length === 0) lines.push(['Date', textOf(cameAt)])
    const placed = place(response)
    const stored: Stored = {
      status: response.status,
      lines,
      bytes: placed ?? [...response.body],
      partial: placed !== undefined,
      askedAt,
      cameAt,
      chosenBy: chosenBy(request, lines),
    }
    if (!mayStore(request, stored)) return false
    if (stored.partial && has(stored, [0, stored.bytes.length - 1])) settle(stored)
    this.#put(stored)
    return true
  }

  /** RFC 9111 §3.4: a further part. The answer out of both, or undefined when they are not combined. */
  onPart(request: Request, response: Response, askedAt: number, cameAt: number): Response | undefined {
    const stored = this.#about!
    const more = place(response)
    const etag = only(linesToStore(response.lines), 'etag')
    if (more === undefined || more.length !== stored.bytes.length) return undefined
    if (etag === undefined || !etag.startsWith('"') || etag !== only(stored.lines, 'etag')) return undefined
    // RFC 9110 §8.4.1: identity is no coding.
    const coding = (lines: readonly Line[]): string => only(lines, 'content-encoding') ?? 'identity'
    if (coding(response.lines) !== coding(stored.lines)) return undefined
    if (
      more.some((byte, i) => byte !== undefined && stored.bytes[i] !== undefined && byte !== stored.bytes[i])
    )
      return undefined
    const bytes = more.map((byte, i) => byte ?? stored.bytes[i])
    const union: Stored = { ...stored, bytes }
    const [first, last] = extent(union)
    if (!has(union, [first, last])) return undefined
    this.#stored = this.#stored.filter((each) => each !== stored)
    this.#update(union, request, response, askedAt, cameAt)
    settle(union)
    // It may have brought less than was asked for.
    return holdsWanted(union, request) ? answerOf(union, request, cameAt) : undefined
  }

  #put(stored: Stored): void {
    const key = JSON.stringify(stored.chosenBy)
    this.#stored = this.#stored.filter((each) => JSON.stringify(each.chosenBy) !== key)
    this.#stored.push(stored)
  }
}

/** RFC 9110 §15.3.7.3: says of the bytes that are there which they are; all of them are a 200. */
const settle = (stored: Stored): void => {
  const [first, last] = extent(stored)
  const total = stored.bytes.length
  stored.partial = last - first + 1 < total
  stored.status = stored.partial ? 206 : 200
  stored.lines = without(stored.lines, 'content-length', 'content-range', 'content-digest', 'content-md5')
  stored.lines.push(['Content-Length', String(last - first + 1)])
  if (stored.partial) stored.lines.push(['Content-Range', `bytes ${first}-${last}/${total}`])
}

/** RFC 9110 §14.4: the bytes of a 206 at their places in the whole; undefined when Content-Range does not fit. */
const place = (response: Response): Array<string | undefined> | undefined => {
  const ranges = valuesOf(response.lines, 'content-range')
  const found = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(ranges[0] ?? '')
  if (response.status !== 206 || ranges.length !== 1 || found === null) return undefined
  const [first, last, total] = found.slice(1).map(Number) as [number, number, number]
  if (last < first || last >= total || response.body.length !== last - first + 1) return undefined
  return Array.from({ length: total }, (_, i) => response.body[i - first])
}
