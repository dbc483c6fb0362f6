/** Readers of field text against random bytes: they never throw, keep their promises, and take no time to speak of. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { cacheStatus } from '../../src/cache/cache-status.ts'
import { notModified, rangeStands } from '../../src/cache/deliver.ts'
import { ageField, Entry } from '../../src/cache/entry.ts'
import { requestMarks } from '../../src/cache/key.ts'
import { storedFields } from '../../src/cache/storable.ts'
import {
  deltaSeconds,
  MAX_DELTA,
  namedFields,
  parseCacheControl,
  parseTargeted,
} from '../../src/http/cache-control.ts'
import { formatDate, parseDate } from '../../src/http/date.ts'
import { endToEnd, listMembers, nominated } from '../../src/http/fields.ts'
import { parseContentRange, parseRange, resolveRange } from '../../src/http/range.ts'
import { parseDictionary, sfString } from '../../src/http/structured.ts'
import { isStrongTag, listNames } from '../../src/http/validators.ts'
import { differingField, selectingValue, selectionOf, varyNames } from '../../src/http/vary.ts'
import { Random } from './random.ts'

const TEXTS = 60_000
const NOW = Date.UTC(2026, 0, 15, 12)

/** What such texts are made of, so that random ones get far. */
const pieces = [
  'max-age',
  's-maxage',
  'no-cache',
  'private',
  'no-store',
  '=',
  '=',
  '"',
  '"',
  '\\',
  ',',
  ',',
  ';',
  ' ',
  '\t',
  "'",
  '*',
  'W/',
  '"a"',
  'bytes',
  '-',
  '/',
  '0',
  '1',
  '60',
  '9999999999999999999',
  '.',
  '?1',
  '?0',
  ':',
  '(',
  ')',
  '%',
  '@',
  '+',
  'q=0.5',
  'q=',
  'en',
  'gzip',
  'Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun',
  'Sunday',
  ' Nov ',
  '94',
  '1994',
  '08:49:37',
  'GMT',
  'x-foo',
  'close',
  '\u00e9',
  '\u00ff',
  '\0',
  '\n',
  '\ud83d',
  '\udc00',
  '😀',
]

const text = (random: Random): string => {
  if (random.chance(0.1))
    return String.fromCharCode(
      ...Array.from({ length: random.below(40) }, () => random.below(random.chance(0.9) ? 256 : 65536)),
    )
  return random.some(pieces, 14).join('')
}

const drawn = (t: TestContext): Random => {
  const random = new Random()
  t.diagnostic(`FUZZ_SEED=${random.seed}`)
  return random
}

/** Runs a reader on random texts; says which text it was when a promise was broken. */
const promises = (name: string, check: (value: string, random: Random) => void): void => {
  test(`${name}, on random text`, (t) => {
    const random = drawn(t)
    for (let i = 0; i < TEXTS; i++) {
      const value = text(random)
      try {
        check(value, random)
      } catch (error) {
        throw new Error(`FUZZ_SEED=${random.seed}: ${JSON.stringify(value)}`, { cause: error })
      }
    }
  })
}

promises('a date is one of whole seconds that can be written', (value) => {
  const at = parseDate(value, NOW)
  if (at === undefined) return
  assert.ok(Number.isSafeInteger(at) && at % 1000 === 0)
  assert.equal(parseDate(formatDate(at), NOW), at)
})

promises('list members are trimmed, not empty, and parts of the text in order', (value) => {
  let at = 0
  for (const member of listMembers(value)) {
    assert.ok(member !== '' && !/^[ \t]|[ \t]$/.test(member))
    const found = value.indexOf(member, at)
    assert.notEqual(found, -1)
    at = found + member.length
  }
})

promises('list members give themselves again when joined', (value) => {
  const members = listMembers(value)
  // A lone quote may find its end in what is joined behind it.
  if (!value.includes('"')) assert.deepEqual(listMembers(members.join(', ')), members)
})

promises('directives have names in lower case and seconds within bounds', (value) => {
  const directives = parseCacheControl(value)
  for (const name of directives.keys()) {
    assert.match(name, /^[!#$%&'*+\-.^_`|~0-9a-z]+$/)
    const seconds = deltaSeconds(directives, name)
    assert.ok(seconds !== undefined && Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_DELTA)
    for (const field of namedFields(directives, name) ?? []) assert.match(field, /^[!#$%&*+\-.^_`|~0-9a-z]+$/)
  }
})

promises('a restriction is never lost to what stands around it', (value, random) => {
  for (const name of ['no-store', 'private', 'no-cache']) {
    // A quote of the text may pair with none of ours, since we add none.
    const before = value.replace(/"/g, '')
    const after = text(random).replace(/"/g, '')
    const directives = parseCacheControl(`${before}, ${name}, ${after}`)
    assert.ok(directives.has(name))
    if (name !== 'no-store') assert.equal(namedFields(directives, name), undefined)
  }
})

promises('CDN-Cache-Control is nothing or has directives', (value) => {
  const directives = parseTargeted(value)
  if (directives === undefined) return
  for (const name of directives.keys()) {
    assert.match(name, /^[a-z*][a-z0-9_\-.*]*$/)
    const seconds = deltaSeconds(directives, name)!
    assert.ok(Number.isInteger(seconds) && seconds >= 0 && seconds <= MAX_DELTA)
  }
})

promises('a String comes back as it went in', (value) => {
  const written = sfString(value)
  assert.match(written, /^"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"$/)
  const item = parseDictionary(`a=${written}`)?.get('a')
  assert.equal(typeof item, 'string')
  if (/^[\x20-\x7e]*$/.test(value)) assert.equal(item, value)
})

promises('a dictionary has no members that its text does not name', (value) => {
  for (const key of parseDictionary(value)?.keys() ?? []) assert.ok(value.includes(key))
})

promises('a range lies in its whole', (value, random) => {
  const asked = parseRange(value)
  if (asked === undefined) return
  const total = random.pick([0, 1, 10, 1e12])
  const part = resolveRange(asked, total)
  if (part === undefined) return
  assert.ok(part.first >= 0 && part.first <= part.last && part.last < total)
  assert.ok(Number.isSafeInteger(part.first) && Number.isSafeInteger(part.last))
})

promises('a Content-Range lies in its whole', (value) => {
  const part = parseContentRange(value)
  if (part === undefined) return
  assert.ok(part.first >= 0 && part.first <= part.last && part.last < (part.total ?? Infinity))
  const { first, last, total } = part
  assert.deepEqual(parseContentRange(`bytes ${first}-${last}/${total ?? '*'}`), part)
})

promises('a tag is found in a list that has it', (value, random) => {
  const other = text(random).replace(/"/g, '')
  const tag = `"${value.replace(/[^\x21\x23-\x7e]/g, '')}"`
  assert.ok(isStrongTag(tag))
  assert.ok(listNames(`"x y" , W/${tag}`, tag))
  assert.ok(listNames(`${other.replace(/,/g, '')}, ${tag}`, `W/${tag}`))
  assert.equal(listNames(value, undefined), value.replace(/^[ \t]+|[ \t]+$/g, '') === '*')
})

promises('what a request selects by, it matches', (value, random) => {
  const name = random.pick(['a', 'accept-language', 'accept-encoding', 'accept', 'cookie'])
  const headers = [name, value, 'Connection', text(random)]
  assert.equal(differingField(selectionOf(headers, [name]), headers), undefined)
  assert.equal(typeof selectingValue(headers, name), 'string')
})

promises('a normal form is its own normal form', (value, random) => {
  const name = random.pick(['a', 'accept-language', 'accept-encoding', 'accept', 'cookie'])
  const once = selectingValue([name, value], name)!
  if (!value.includes('"')) assert.equal(selectingValue([name, once], name), once)
})

promises('Vary has names in lower case, once each, or a star', (value) => {
  const names = varyNames(['Vary', value])
  if (names === '*') assert.ok(value.includes('*'))
  else assert.deepEqual([...names], [...new Set(names)].sort())
})

promises('Age is within bounds', (value) => {
  const age = ageField(['Age', value])
  assert.ok(Number.isInteger(age) && age >= 0 && age <= MAX_DELTA)
})

promises('Connection takes away none of the fields that are meant for all', (value) => {
  const forAll = ['Vary', 'a', 'Cache-Control', 'b', 'Content-Length', '1', 'Age', '2', 'Date', 'c']
  nominated(['Connection', value])
  assert.deepEqual(endToEnd(['Connection', value, ...forAll]), forAll)
  assert.deepEqual(storedFields(['Connection', value, 'Vary', 'a']), ['Vary', 'a'])
})

promises('conditionals on any text are decided', (value, random) => {
  const entry = new Entry({
    status: 200,
    fields: ['ETag', text(random), 'Last-Modified', text(random)],
    body: Buffer.alloc(0),
    requestedAt: NOW,
    receivedAt: NOW,
    selection: [],
    url: '/',
  })
  for (const name of ['If-None-Match', 'If-Modified-Since'])
    assert.equal(typeof notModified(requestMarks([name, value]), entry), 'boolean')
  assert.equal(typeof rangeStands(value, entry), 'boolean')
})

promises('Cache-Status is ASCII on one line', (value) => {
  const said = cacheStatus({ status: 'miss', reason: 'vary-miss', key: value, detail: value }, 'full')!
  assert.match(said, /^[\x20-\x7e]+$/)
  assert.notEqual(parseDictionary(`x=${said}`), undefined)
})

/** Texts that make a careless expression go back and forth; a head of ours has 64 KiB at most. */
const long = 64 * 1024
const evil: Readonly<Record<string, string>> = {
  spaces: `a${' '.repeat(long)}b`,
  'spaces in front': `${' '.repeat(long)}b`,
  tabs: `a${'\t'.repeat(long)}b`,
  commas: ','.repeat(long),
  quotes: '"'.repeat(long),
  'quotes that do not close': `"${'\\"'.repeat(long / 2)}`,
  'quotes after quotes': `"a"${',"'.repeat(long / 2)}`,
  'spaces and quotes': ' "'.repeat(long / 2),
  backslashes: `"${'\\'.repeat(long)}`,
  parameters: `a${';a'.repeat(long / 2)};`,
  'parameters with spaces': `a${'; '.repeat(long / 2)}`,
  digits: '9'.repeat(long),
  'a number': `max-age=${'9'.repeat(long)}x`,
  'a range': `bytes=${'1'.repeat(long)}-${'1'.repeat(10)}x`,
  dashes: `bytes=${'-'.repeat(long)}`,
  'an inner list': `a=(${'a '.repeat(long / 2)}`,
  'spaces in an inner list': `a=(${' '.repeat(long)}`,
  'members of a dictionary': 'a=1, '.repeat(long / 5),
  tags: 'W/"a", '.repeat(long / 7),
  'halves of tags': 'W/"a '.repeat(long / 5),
  weights: 'a;q=0.5,'.repeat(long / 8),
  'a string': `a="${'x'.repeat(long)}`,
  'percent signs': `a=%"${'%aa'.repeat(long / 3)}`,
  stars: '*,'.repeat(long / 2),
}

test('no text of 64 KiB takes any reader a quarter of a second', () => {
  const readers: Readonly<Record<string, (value: string) => unknown>> = {
    listMembers,
    parseCacheControl,
    'named fields': (value) => namedFields(parseCacheControl(`private=${value}`), 'private'),
    parseTargeted,
    parseDictionary,
    sfString,
    parseDate: (value) => parseDate(value, NOW),
    parseRange,
    parseContentRange,
    isStrongTag,
    listNames: (value) => listNames(value, '"zz"'),
    varyNames: (value) => varyNames(['Vary', value]),
    'a field': (value) => selectingValue(['a', value], 'a'),
    'Accept-Language': (value) => selectingValue(['accept-language', value], 'accept-language'),
    Accept: (value) => selectingValue(['accept', value], 'accept'),
    Connection: (value) => nominated(['Connection', value]),
    Age: (value) => ageField(['Age', value]),
  }
  const slow: string[] = []
  for (const [reader, read] of Object.entries(readers)) {
    for (const [name, value] of Object.entries(evil)) {
      // The quickest of three: this machine may be busy with other things.
      const took = Array.from({ length: 3 }, () => {
        const began = performance.now()
        read(value)
        return performance.now() - began
      })
      if (Math.min(...took) > 250) slow.push(`${reader} on ${name}: ${Math.round(Math.min(...took))} ms`)
    }
  }
  assert.deepEqual(slow, [])
})
