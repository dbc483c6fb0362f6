/** The pure functions of the cache against the model of model.ts, over random exchanges with one URI. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asWhole, combined, completingFields, missingRange } from '../../src/cache/combine.ts'
import { deliver, holds } from '../../src/cache/deliver.ts'
import { Entry } from '../../src/cache/entry.ts'
import { currentAge } from '../../src/cache/freshness.ts'
import { requestMarks } from '../../src/cache/key.ts'
import { decide, standsInOnError } from '../../src/cache/reuse.ts'
import { languageOf, selected } from '../../src/cache/selecting.ts'
import { refusal, storedFields } from '../../src/cache/storable.ts'
import { freshened, headContradicts, speaksOf, validatingFields } from '../../src/cache/validation.ts'
import type { ProxyResponse } from '../../src/core/types.ts'
import { parseCacheControl } from '../../src/http/cache-control.ts'
import { formatDate } from '../../src/http/date.ts'
import { hasField, joinedValue } from '../../src/http/fields.ts'
import { parseContentRange } from '../../src/http/range.ts'
import { type Selection, selectionOf, varyNames } from '../../src/http/vary.ts'
import { type Line, ModelCache, type Request, type Response, type Verdict } from './model.ts'
import { Random } from './random.ts'

const STEPS = Number(process.env.FUZZ_STEPS ?? 120_000)
const STEPS_A_CACHE = 30

const raw = (lines: readonly Line[]): string[] => lines.flat()
const lines = (fields: readonly string[]): Line[] =>
  Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i]!, fields[2 * i + 1]!] as const)
const response = ({ status, headers, body }: ProxyResponse): Response => ({
  status,
  lines: lines(headers),
  body: String(body),
})

/** The same answers as the model, out of the functions of src/cache; what stage.ts does, without its streams. */
class RealCache {
  #entries: Entry[] = []
  #about: Entry | undefined

  ask(request: Request, now: number): Verdict {
    this.#about = undefined
    const fields = raw(request.lines)
    const marks = requestMarks(fields)
    const variants = this.#entries
      .map((each) => {
        const { selection } = each.parts
        return { each, selection, language: languageOf(each.fields, selection) }
      })
      .sort((a, b) => b.each.dateAt - a.each.dateAt || b.each.parts.receivedAt - a.each.parts.receivedAt)
    const entry = selected(variants, fields).those[0]?.each
    if (entry === undefined) return { kind: 'ask', how: 'whole', lines: request.lines }
    if (!holds(marks, entry, request.method)) {
      const missing = request.method === 'GET' ? missingRange(entry, marks) : undefined
      if (missing === undefined) return { kind: 'ask', how: 'whole', lines: request.lines }
      this.#about = entry
      return { kind: 'ask', how: 'complete', lines: lines(completingFields(fields, missing)) }
    }
    const { use } = decide(entry, this.#wishes(request), now)
    if (use === 'validate') {
      this.#about = entry
      return { kind: 'ask', how: 'validate', lines: lines(validatingFields(fields, entry)) }
    }
    return { kind: 'serve', how: use, answer: this.#serve(entry, request, now) }
  }

  onFailure(request: Request, failure: 'unreachable' | 'status', now: number): Response | undefined {
    const entry = this.#about
    if (entry === undefined || !standsInOnError(entry, this.#wishes(request), now, failure)) return undefined
    return this.#serve(entry, request, now)
  }

  onNotModified(request: Request, given: Response, askedAt: number, cameAt: number): Response | undefined {
    const entry = this.#about!
    if (!speaksOf(raw(given.lines), entry)) return undefined
    const next = this.#freshen(entry, request, given, askedAt, cameAt)
    return holds(requestMarks(raw(request.lines)), next, request.method)
      ? this.#serve(next, request, cameAt)
      : undefined
  }

  onHead(request: Request, given: Response, askedAt: number, cameAt: number): void {
    const entry = this.#about
    if (entry === undefined || given.status !== 200 || ![200, 206].includes(entry.status)) return
    if (headContradicts(raw(given.lines), entry)) this.#drop(entry)
    else this.#freshen(entry, request, given, askedAt, cameAt)
  }

  onResponse(request: Request, given: Response, askedAt: number, cameAt: number): boolean {
    const entry = this.#entryOf(request, given, askedAt, cameAt)
    return this.#keep(request, entry)
  }

  onPart(request: Request, given: Response, askedAt: number, cameAt: number): Response | undefined {
    const entry = this.#about!
    const both = combined(entry, this.#entryOf(request, given, askedAt, cameAt))
    if (both === undefined) return undefined
    this.#drop(entry)
    this.#keep({ ...request, method: 'GET' }, both)
    return holds(requestMarks(raw(request.lines)), both) ? this.#serve(both, request, cameAt) : undefined
  }

  #freshen(entry: Entry, request: Request, given: Response, askedAt: number, cameAt: number): Entry {
    const times = { requestedAt: askedAt, receivedAt: cameAt }
    const next = freshened(entry, raw(given.lines), times, (fields) => selectionFor(fields, request))
    this.#drop(entry)
    const question = lines(validatingFields(raw(request.lines), entry))
    this.#keep({ method: 'GET', lines: question }, next)
    return next
  }

  #entryOf(request: Request, given: Response, requestedAt: number, receivedAt: number): Entry {
    const kept = storedFields(raw(given.lines))
    const fields = hasField(kept, 'date') ? kept : [...kept, 'Date', formatDate(receivedAt)]
    return new Entry({
      status: given.status,
      fields,
      body: Buffer.from(given.body),
      requestedAt,
      receivedAt,
      selection: selectionFor(fields, request),
      url: '/',
      part: given.status === 206 ? parseContentRange(joinedValue(fields, 'content-range') ?? '') : undefined,
    })
  }

  #keep(request: Request, entry: Entry): boolean {
    const { authorization, range } = requestMarks(raw(request.lines))
    const { directives } = this.#wishes(request)
    const rules = { shared: true, force: false, forcePrivate: false, storeCookies: true, maxEntryBytes: 1e6 }
    const asked = { method: request.method, authorization, range: range !== undefined, directives }
    if (refusal(asked, entry, rules) !== undefined) return false
    const { part, selection } = entry.parts
    if (part !== undefined && part.last - part.first + 1 !== entry.body.length) return false
    const key = JSON.stringify(selection)
    this.#entries = this.#entries.filter(({ parts }) => JSON.stringify(parts.selection) !== key)
    this.#entries.push(asWhole(entry))
    return true
  }

  #drop(entry: Entry): void {
    this.#entries = this.#entries.filter((each) => each !== entry)
  }

  #serve(entry: Entry, request: Request, now: number): Response {
    const age = Math.floor(currentAge(entry, now))
    const answer = response(deliver(entry, request.method, requestMarks(raw(request.lines)), age, []))
    return answer
  }

  #wishes(request: Request) {
    const { cacheControl, pragma } = requestMarks(raw(request.lines))
    return {
      directives: parseCacheControl(cacheControl),
      pragmaNoCache: cacheControl === undefined && pragma === 'no-cache',
    }
  }
}

const selectionFor = (fields: readonly string[], request: Request): Selection => {
  const names = varyNames(fields)
  return names === '*' ? [] : selectionOf(raw(request.lines), names)
}

// What is drawn

const START = Date.UTC(2026, 0, 15, 12)

const seconds = [
  '0',
  '1',
  '2',
  '5',
  '10',
  '30',
  '100',
  '"10"',
  "'10'",
  'x',
  '10.0',
  '-1',
  '99999999999',
  '',
  ' 10',
]
const requestDirectives = [
  'no-cache',
  'No-Cache',
  'no-store',
  'max-age=0',
  'max-age=3',
  'max-age=30',
  'max-age="5"',
  'max-age',
  'max-stale',
  'max-stale=5',
  'max-stale=x',
  'min-fresh=5',
  'min-fresh=0',
  'stale-if-error=20',
  'no-transform',
  'x="a, no-cache"',
  'x="y',
]
const responseDirectives = [
  'public',
  'public',
  'private',
  'private="x-foo"',
  'private=x-foo',
  'private="vary"',
  'private; x',
  'no-store',
  'no-cache',
  'no-cache="x-foo"',
  'no-cache="x-foo, set-cookie"',
  'no-cache=""',
  'must-revalidate',
  'proxy-revalidate',
  'must-understand',
  'must-understand;x',
  'public;x',
  'immutable',
  'x="no-store, a"',
  'x="y',
  'STALE-While-Revalidate=20',
]
const numeric = ['max-age', 'max-age', 'Max-Age', 's-maxage', 'stale-while-revalidate', 'stale-if-error']

class Draw {
  readonly random: Random
  /** Counts up when the representation changes. */
  version = 0

  constructor(random: Random) {
    this.random = random
  }

  get #representation(): string {
    const { version } = this
    return Array.from({ length: 10 }, (_, i) => String.fromCharCode(97 + ((version * 7 + i) % 26))).join('')
  }

  date(now: number, from: number, to: number): string {
    const { random } = this
    const ms = Math.floor(now / 1000) * 1000 + (from + random.below(to - from + 1)) * 1000
    const imf = formatDate(ms)
    const [, day, month, year, time] = /^..., (..) (...) (....) (\S+) GMT$/.exec(imf) as unknown as string[]
    switch (random.below(12)) {
      case 0:
        return `Monday, ${day}-${month}-${year!.slice(2)} ${time} GMT`
      case 1:
        return `Mon ${month} ${day!.replace(/^0/, ' ')} ${time} ${year}`
      case 2:
        return imf.toLowerCase()
      default:
        return imf
    }
  }

  #cacheControl(names: readonly string[], most: number): string {
    const { random } = this
    const said = random.some(names, most)
    for (const name of random.some(numeric, 2)) {
      const value = random.chance(0.7) ? String(random.pick([2, 5, 10, 30])) : random.pick(seconds)
      said.splice(
        random.below(said.length + 1),
        0,
        random.chance(0.05) ? `${name} =${value}` : `${name}=${value}`,
      )
    }
    return said.join(random.pick([', ', ',', ' ,\t', ', ,']))
  }

  request(now: number): Request {
    const { random } = this
    const drawn: Line[] = []
    const add = (share: number, name: string, value: () => string): void => {
      if (random.chance(share)) drawn.push([random.chance(0.1) ? name.toLowerCase() : name, value()])
    }
    add(0.35, 'Cache-Control', () => random.some(requestDirectives, 2).join(', ') || 'x')
    add(0.03, 'Pragma', () => 'no-cache')
    add(0.08, 'Authorization', () => 'Basic eDp5')
    add(0.3, 'A', () => random.pick(['1', '2', '1, 2', '1,2', ' 1 ,2', '"1,2"']))
    add(0.1, 'A', () => random.pick(['1', '2']))
    add(0.3, 'Accept-Language', () =>
      random.pick(['en', 'EN', 'en, de', 'de;q=1.0,en', 'en, de;q=0.5', 'de ; q=0.50,en', 'de;q=0']),
    )
    add(0.05, 'Connection', () => random.pick(['a', 'close, A', 'accept-language', 'x']))
    add(0.3, 'Range', () =>
      random.pick([
        'bytes=0-4',
        'bytes=5-',
        'bytes=-3',
        'bytes=2-6',
        'bytes=3-4',
        'bytes=0-0',
        'bytes=10-',
        'bytes=0-99',
        'bytes=4-2',
        'bytes=0-1,3-4',
        'lines=1-2',
        'bytes=-0',
        'bytes=-99',
        'bytes=7-8',
      ]),
    )
    add(0.1, 'If-Range', () => random.pick([this.etag(), this.date(now, -40, 0)]))
    add(0.12, 'If-None-Match', () =>
      random.pick([this.etag(), `"zz", ${this.etag()}`, '*', '"zz"', `${this.etag()},W/"y"`]),
    )
    add(0.12, 'If-Modified-Since', () => random.pick([this.date(now, -60, 0), 'now', '0']))
    return { method: random.chance(0.1) ? 'HEAD' : 'GET', lines: drawn }
  }

  etag(): string {
    const version = this.random.chance(0.9) ? this.version : Math.max(0, this.version - 1)
    return `${this.random.chance(0.15) ? 'W/' : ''}"v${version}"`
  }

  /** Fields that any answer may have. */
  #lines(now: number): Line[] {
    const { random } = this
    const drawn: Line[] = []
    const add = (share: number, name: string, value: () => string): void => {
      if (random.chance(share)) drawn.push([name, value()])
    }
    add(0.85, 'Cache-Control', () => this.#cacheControl(responseDirectives, random.chance(0.5) ? 0 : 2))
    add(0.05, 'Cache-Control', () => this.#cacheControl(responseDirectives, 1))
    add(0.08, 'CDN-Cache-Control', () =>
      random.pick([
        'max-age=10',
        'max-age=5, no-store',
        'private',
        'none',
        '',
        'max-age=10, &',
        'Max-Age=5',
        'max-age="10"',
        'max-age=5,',
        'no-cache="x-foo", max-age=20',
        'max-age=1, max-age=10',
        'must-revalidate, max-age=3',
        'max-age=-5',
      ]),
    )
    add(0.12, 'Expires', () => random.pick([this.date(now, -5, 30), this.date(now, 0, 30), '0', 'never']))
    add(0.02, 'Expires', () => this.date(now, 0, 30))
    add(0.8, 'Date', () =>
      random.pick([this.date(now, 0, 0), this.date(now, 0, 0), this.date(now, -8, 3), 'today']),
    )
    add(0.1, 'Age', () => random.pick(['0', '3', '7', '100', 'x', '-1', '3, 100', '1.5', '99999999999']))
    add(0.02, 'Age', () => '5')
    add(0.75, 'ETag', () => this.etag())
    add(0.35, 'Last-Modified', () =>
      random.pick([formatDate(START - 100_000 - this.version * 1000), this.date(now, -90, 2), 'yesterday']),
    )
    add(0.2, 'Vary', () =>
      random.pick(['A', 'Accept-Language', 'a, accept-language', 'B', '', ', A,', '*', 'A, *']),
    )
    add(0.03, 'Vary', () => random.pick(['A', '*', 'b']))
    add(0.2, 'X-Foo', () => String(random.below(9)))
    add(0.1, 'Set-Cookie', () => `a=${random.below(9)}`)
    add(0.03, 'Connection', () => random.pick(['x-foo', 'close, Set-Cookie', 'age', 'etag']))
    add(0.2, 'Content-Type', () => 'text/plain')
    add(0.15, 'Content-Language', () => random.pick(['en', 'de', 'DE', 'en, de']))
    add(0.05, 'Content-Encoding', () => random.pick(['gzip', 'identity']))
    add(0.05, 'Content-Digest', () => 'x')
    return drawn
  }

  notModified(now: number): Response {
    return { status: 304, lines: this.#lines(now), body: '' }
  }

  /** An answer with content; to a range as asked, most of the time. */
  content(request: readonly Line[], now: number): Response {
    const { random } = this
    if (random.chance(0.15)) this.version++
    const status = random.chance(0.85) ? 200 : random.pick([200, 203, 302, 404, 410, 299, 503, 599])
    const head = this.#lines(now)
    const whole = this.#representation
    const range = /^bytes=(\d*)-(\d*)$/.exec(
      request.find(([name]) => name.toLowerCase() === 'range')?.[1] ?? '',
    )
    if (range !== null && status === 200 && random.chance(0.85)) {
      const first = range[1] === '' ? Math.max(0, 10 - Number(range[2])) : Number(range[1])
      const last = range[1] === '' || range[2] === '' ? 9 : Math.min(9, Number(range[2]))
      if (first <= last && first <= 9) {
        const said = random.chance(0.9)
          ? `bytes ${first}-${last}/10`
          : random.pick([
              `bytes ${first}-${last}/*`,
              `bytes ${first}-${last}/11`,
              `bytes ${first}-${last + 1}/10`,
              'bytes 4-2/10',
              'x',
            ])
        return { status: 206, lines: [...head, ['Content-Range', said]], body: whole.slice(first, last + 1) }
      }
    }
    return { status, lines: random.chance(0.5) ? [...head, ['Content-Length', '10']] : head, body: whole }
  }
}

// The run

const shown = (answer: Response | undefined): unknown =>
  answer === undefined
    ? undefined
    : {
        status: answer.status,
        body: answer.body,
        lines: answer.lines.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort(),
      }

const shownVerdict = (verdict: Verdict): unknown =>
  verdict.kind === 'serve'
    ? { ...verdict, answer: shown(verdict.answer) }
    : { ...verdict, lines: verdict.lines.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort() }

test(`${STEPS} random steps decide, store, merge and answer as the model does`, (t) => {
  const random = new Random()
  t.diagnostic(`FUZZ_SEED=${random.seed}`)
  const began = performance.now()
  const seen = new Map<string, number>()
  const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1)
  for (let steps = 0; steps < STEPS; ) {
    const [model, real, draw] = [new ModelCache(), new RealCache(), new Draw(random)]
    const log: unknown[] = []
    let now = START + random.below(4) * 250
    const agree = (what: string, ours: unknown, theirs: unknown): void => {
      const [given, wanted] = [JSON.stringify(ours), JSON.stringify(theirs)]
      if (given === wanted) return
      const story = log.map((each) => JSON.stringify(each)).join('\n')
      assert.fail(`FUZZ_SEED=${random.seed}, ${what}:\n${story}\nours:  ${given}\nmodel: ${wanted}`)
    }
    for (let step = 0; step < STEPS_A_CACHE; step++, steps++) {
      now += random.chance(0.3) ? 250 * (1 + random.below(200)) : 250 * (1 + random.below(24))
      const request = draw.request(now)
      log.push({ now, request })
      const verdict = model.ask(request, now)
      agree('verdict', shownVerdict(real.ask(request, now)), shownVerdict(verdict))
      count(verdict.kind === 'serve' ? `${verdict.how} ${verdict.answer.status}` : `ask ${verdict.how}`)
      if (verdict.kind === 'serve') continue

      const askedAt = now
      now += 250 * random.below(8)
      if (verdict.how === 'validate' && random.chance(0.2)) {
        const failure = random.pick(['unreachable', 'status'] as const)
        log.push({ now, failure })
        const answer = model.onFailure(request, failure, now)
        agree('failure', shown(real.onFailure(request, failure, now)), shown(answer))
        count(answer === undefined ? 'failed' : 'stood in')
        continue
      }
      if (request.method === 'HEAD') {
        const given = { ...draw.content([], now), body: '' }
        log.push({ now, given })
        model.onHead(request, given, askedAt, now)
        real.onHead(request, given, askedAt, now)
        count('head')
        continue
      }
      if (verdict.how === 'validate' && random.chance(0.7)) {
        const given = draw.notModified(now)
        log.push({ now, given })
        const answer = model.onNotModified(request, given, askedAt, now)
        agree('304', shown(real.onNotModified(request, given, askedAt, now)), shown(answer))
        count(answer === undefined ? '304 of another' : '304')
        if (answer !== undefined) continue
      }
      const given = draw.content(verdict.lines, now)
      log.push({ now, given })
      if (verdict.how === 'complete' && given.status === 206) {
        const answer = model.onPart(request, given, askedAt, now)
        agree('part', shown(real.onPart(request, given, askedAt, now)), shown(answer))
        count(answer === undefined ? 'not combined' : `combined ${answer.status}`)
        continue
      }
      const forwarded: Request = { method: request.method, lines: verdict.lines }
      const stored = model.onResponse(forwarded, given, askedAt, now)
      agree('stored', real.onResponse(forwarded, given, askedAt, now), stored)
      count(stored ? 'stored' : 'not stored')
    }
  }
  t.diagnostic(
    `${Math.round(performance.now() - began)} ms; ${[...seen]
      .sort()
      .map((each) => each.join(' '))
      .join(', ')}`,
  )
  // What never happens is not tested.
  for (const what of [
    'fresh 200',
    'fresh 206',
    'fresh 304',
    'fresh 416',
    'stale 200',
    'stale-and-refresh 200',
    '304',
    '304 of another',
    'ask complete',
    'combined 200',
    'combined 206',
    'not combined',
    'stood in',
    'failed',
    'head',
    'stored',
    'not stored',
  ])
    assert.ok((seen.get(what) ?? 0) > STEPS / 50_000, `${what} came ${seen.get(what) ?? 0} times only`)
})
