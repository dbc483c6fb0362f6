/**
 * Why a request would be a hit or a miss, in full: the verdict in a sentence, each rule in the order in which it is
 * tested, the key and the nearest stored one, the variants, the arithmetic of freshness, and what would have made it
 * a hit. Looks only; forwards and changes nothing.
 */
import type { Clock } from '../core/clock.ts'
import { type Reason, reasons, type StorageReason, storageReasons } from '../core/reasons.ts'
import type { Fields } from '../core/types.ts'
import { deltaSeconds, parseCacheControl } from '../http/cache-control.ts'
import { differingField, type Selection } from '../http/vary.ts'
import { holds } from './deliver.ts'
import type { Entry } from './entry.ts'
import { ageTerms, lifetime } from './freshness.ts'
import { type RequestMarks, requestMarks } from './key.ts'
import { lookupRemedies, storageRemedies } from './remedies.ts'
import { type Decision, decide, type Step } from './reuse.ts'
import type { Shelf } from './shelf.ts'
import { Index, StoreError, Tombstone } from './store/store.ts'

/** The request to explain. */
export interface ExplainedRequest {
  readonly method: string
  /** URL as the client addresses it. */
  readonly scheme: string
  readonly host: string
  /** Path and query. */
  readonly url: string
  readonly headers: Fields
}

/** One stored variant of the URI. Secret values are left out. */
export interface ExplainedVariant {
  readonly selects: ReadonlyArray<{ name: string; value: string | null }>
  readonly matches: boolean
  readonly differsIn?: string
  readonly bytes: number
  readonly ageSeconds: number
}

/** Everything there is to say. Seconds are fractions. */
export interface Explanation {
  readonly request: { readonly method: string; readonly url: string }
  readonly verdict: 'hit' | 'stale' | 'revalidate' | 'miss' | 'bypass'
  readonly sentence: string
  readonly reason: Reason
  readonly detail?: string
  readonly steps: readonly Step[]
  readonly key: string
  readonly nearest?: { readonly key: string; readonly difference: string; readonly remedy?: string }
  readonly variants: readonly ExplainedVariant[]
  readonly freshness?: {
    readonly source: string
    readonly lifetime: number
    readonly apparentAge: number
    readonly correctedAge: number
    readonly residentTime: number
    readonly currentAge: number
    readonly left: number
    readonly staleWhileRevalidate?: number
    readonly staleIfError?: number
  }
  readonly stored?: {
    readonly status: number
    readonly bytes: number
    readonly storedAt: number
    readonly hits: number
    readonly forcedOver?: string
  }
  readonly lastNotStored?: {
    readonly reason: StorageReason
    readonly meaning: string
    readonly status: number
    readonly agoSeconds: number
  }
  readonly remedy?: string
}

/** What explaining needs. */
export interface ExplainTools {
  readonly shelf: Shelf
  readonly clock: Clock
  readonly keyFor: (scheme: string, host: string, url: string, headers: Fields) => string
  readonly selecting: (headers: Fields) => Fields
  readonly shared: boolean
  readonly concealed: (name: string) => boolean
  /** What became of the last requests for a key, newest first. */
  readonly history: (key: string) => ReadonlyArray<{ at: number; status: number; storage?: string }>
}

/** Rejects only for faults of the program; a store that is away is a verdict too. */
export const explain = async (tools: ExplainTools, request: ExplainedRequest): Promise<Explanation> => {
  const { clock } = tools
  const key = tools.keyFor(request.scheme, request.host, request.url, request.headers)
  const marks = requestMarks(request.headers)
  const steps: Step[] = []
  const shown = { method: request.method, url: `${request.scheme}://${request.host}${request.url}` }
  const base = { request: shown, steps, key, variants: [] }
  const refused = classify(request, marks, steps)
  if (refused !== undefined) {
    return {
      ...base,
      verdict: 'bypass',
      reason: refused,
      sentence: `Forwarded, the cache is not asked: ${reasons[refused]}.`,
      ...remedy(refused),
    }
  }
  const now = clock.now()
  try {
    return await consult(tools, request, marks, { ...base, steps }, now)
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return {
      ...base,
      verdict: 'bypass',
      reason: error.reason,
      sentence: `Forwarded without the cache: ${reasons[error.reason]}.`,
      ...remedy(error.reason),
    }
  }
}

/** Why a request stays away from the cache altogether. */
const classify = (request: ExplainedRequest, marks: RequestMarks, steps: Step[]): Reason | undefined => {
  const plainMethod = request.method === 'GET' || request.method === 'HEAD'
  steps.push({
    rule: 'method is GET or HEAD',
    section: 'RFC 9111 §4',
    passed: plainMethod,
    because: request.method,
  })
  if (!plainMethod) return 'method'
  steps.push({
    rule: 'no field makes it another request',
    section: 'local',
    passed: marks.bypass === undefined,
    because: marks.bypass ?? 'none does',
  })
  return marks.bypass
}

type Base = { request: Explanation['request']; steps: Step[]; key: string }

const consult = async (
  tools: ExplainTools,
  request: ExplainedRequest,
  marks: RequestMarks,
  base: Base,
  now: number,
): Promise<Explanation> => {
  const { shelf } = tools
  const headers = tools.selecting(request.headers)
  const slot = await shelf.store.get(base.key)
  const variants = slot instanceof Index ? slot.variants : []
  const shownVariants = variants.map((variant) => showVariant(tools, variant, headers, now))
  const found = await shelf.find(base.key, headers)
  const exists = slot !== undefined && !(slot instanceof Tombstone)
  base.steps.push({
    rule: 'something is stored under the key',
    section: 'RFC 9111 §2',
    passed: exists,
    because: exists ? 'yes' : reasons[found.reason],
  })
  if (exists) {
    base.steps.push({
      rule: 'the fields that Vary names match',
      section: 'RFC 9111 §4.1',
      passed: found.entry !== undefined,
      because:
        found.entry === undefined
          ? (found.detail ?? found.reason)
          : variants.length === 0
            ? 'it varies on nothing'
            : 'a variant matches',
    })
  }
  const { entry } = found
  if (entry === undefined) {
    const wish = parseCacheControl(marks.cacheControl).has('no-cache')
      ? ' The request says no-cache too, but that is not the reason.'
      : ''
    return {
      ...base,
      verdict: 'miss',
      reason: found.reason,
      ...(found.detail === undefined ? {} : { detail: found.detail }),
      variants: shownVariants,
      ...(await whyNothing(tools, base.key, found.reason, found.detail, now, wish)),
    }
  }
  const whole = holds(marks, entry, request.method)
  if (!whole) {
    base.steps.push({
      rule: 'what is stored holds what is asked for',
      section: 'RFC 9111 §3.4',
      passed: false,
      because: 'only a part is stored',
    })
    const reason = 'range-incomplete'
    return {
      ...base,
      verdict: 'miss',
      reason,
      variants: shownVariants,
      sentence: `Forwarded: ${reasons[reason]}.`,
      ...storedFacts(entry),
      ...remedy(reason),
    }
  }
  const pragma = marks.cacheControl === undefined && /(?:^|,)\s*no-cache\s*(?:,|$)/i.test(marks.pragma ?? '')
  const decision = decide(
    entry,
    { directives: parseCacheControl(marks.cacheControl), pragmaNoCache: pragma },
    now,
    base.steps,
    tools.shared,
  )
  return {
    ...base,
    ...verdictOf(decision),
    variants: shownVariants,
    ...freshnessFacts(entry, now, tools.shared),
    ...storedFacts(entry),
  }
}

const verdictOf = (decision: Decision) => {
  const { reason, detail } = decision
  const because = detail === undefined ? reasons[reason] : `${reasons[reason]} (${detail})`
  const facts = { reason, ...(detail === undefined ? {} : { detail }) }
  switch (decision.use) {
    case 'fresh':
      return {
        verdict: 'hit' as const,
        sentence: `Served from the cache: fresh for ${seconds(decision.ttl)} more, ${seconds(decision.age)} old.`,
        ...facts,
      }
    case 'stale':
      return {
        verdict: 'stale' as const,
        sentence: `Served from the cache although stale: ${because}.`,
        ...facts,
        ...remedy(reason),
      }
    case 'stale-and-refresh':
      return {
        verdict: 'stale' as const,
        sentence: `Served from the cache at once, and refreshed behind: ${because}.`,
        ...facts,
        ...remedy(reason),
      }
    case 'validate':
      return {
        verdict: 'revalidate' as const,
        sentence: `Forwarded with the stored validators, if there are any: ${because}.`,
        ...facts,
        ...remedy(reason),
      }
  }
}

const remedy = (reason: Reason): { remedy?: string } => {
  const text = lookupRemedies[reason]
  return text === undefined ? {} : { remedy: text }
}

const whyNothing = async (
  tools: ExplainTools,
  key: string,
  reason: Reason,
  detail: string | undefined,
  now: number,
  wish: string,
) => {
  const nearest = reason === 'vary-miss' ? undefined : await nearestTo(tools, key)
  const last = tools.history(key).find(({ storage }) => storage !== undefined && storage !== 'stored')
  const not = last?.storage as StorageReason | undefined
  const because = detail === undefined ? reasons[reason] : `${reasons[reason]}: ${detail}`
  const facts = nearest === undefined ? {} : { nearest }
  if (reason !== 'uri-miss' || not === undefined || last === undefined) {
    const help = nearest?.remedy ?? lookupRemedies[reason]
    return {
      ...facts,
      sentence: `Forwarded: ${because}.${wish}`,
      ...(help === undefined ? {} : { remedy: help }),
    }
  }
  const ago = Math.max(0, (now - last.at) / 1000)
  return {
    ...facts,
    sentence: `Forwarded: ${because}. The last answer (${last.status}, ${seconds(ago)} ago) was not stored: ${storageReasons[not]}.${wish}`,
    lastNotStored: { reason: not, meaning: storageReasons[not], status: last.status, agoSeconds: ago },
    remedy: storageRemedies[not],
  }
}

const nearestTo = async ({ shelf }: ExplainTools, key: string) => {
  const nearest = await shelf.nearest(key)
  if (nearest === undefined || nearest === key) return undefined
  const { difference, parameters } = keyDifference(key, nearest)
  return {
    key: nearest,
    difference,
    ...(parameters.length === 0
      ? {}
      : {
          remedy: `It differs only in the query: --cache-key ${parameters.map((name) => `-query:${name}`).join(',')} would make it a hit.`,
        }),
  }
}

/** In words, where two keys differ; and the query parameters that are all of it. */
const keyDifference = (a: string, b: string): { difference: string; parameters: string[] } => {
  const split = (key: string) => {
    const [head = '', ...more] = key.split('\n')
    const match = /^([^:]+:\/\/[^/]*)([^?]*)(?:\?(.*))?$/s.exec(head)
    return {
      origin: match?.[1] ?? '',
      path: match?.[2] ?? head,
      query: match?.[3] ?? '',
      more: more.join(' '),
    }
  }
  const [x, y] = [split(a), split(b)]
  if (x.origin !== y.origin)
    return { difference: `host: asked ${x.origin}, stored ${y.origin}`, parameters: [] }
  if (x.path !== y.path) return { difference: `path: asked ${x.path}, stored ${y.path}`, parameters: [] }
  if (x.query === y.query)
    return { difference: `key fields: asked ${x.more}, stored ${y.more}`, parameters: [] }
  const [p, q] = [x.query.split('&'), y.query.split('&')]
  const differing = [...p.filter((each) => !q.includes(each)), ...q.filter((each) => !p.includes(each))]
  const names = [...new Set(differing.map((each) => each.split('=', 1)[0]!).filter((name) => name !== ''))]
  if (names.length === 0) return { difference: 'order of the query parameters', parameters: [] }
  return { difference: `query: ${names.join(', ')}`, parameters: names }
}

const showVariant = (
  { concealed }: ExplainTools,
  variant: { selection: Selection; bytes: number; receivedAt: number },
  headers: Fields,
  now: number,
): ExplainedVariant => {
  const selects: Array<{ name: string; value: string | null }> = []
  for (let i = 0; i < variant.selection.length; i += 2) {
    const name = variant.selection[i]!
    selects.push({ name, value: concealed(name) ? '***' : (variant.selection[i + 1] ?? null) })
  }
  const difference = differingField(variant.selection, headers)
  return {
    selects,
    matches: difference === undefined,
    ...(difference === undefined ? {} : { differsIn: difference.name }),
    bytes: variant.bytes,
    ageSeconds: Math.max(0, (now - variant.receivedAt) / 1000),
  }
}

const freshnessFacts = (entry: Entry, now: number, shared: boolean) => {
  const life = lifetime(entry, shared)
  const age = ageTerms(entry, now)
  const swr = deltaSeconds(entry.directives, 'stale-while-revalidate')
  const sie = deltaSeconds(entry.directives, 'stale-if-error')
  return {
    freshness: {
      source: life.source,
      lifetime: life.seconds,
      apparentAge: age.apparent,
      correctedAge: age.corrected,
      residentTime: age.resident,
      currentAge: age.current,
      left: life.seconds - age.current,
      ...(swr === undefined ? {} : { staleWhileRevalidate: swr }),
      ...(sie === undefined ? {} : { staleIfError: sie }),
    },
  }
}

const storedFacts = (entry: Entry) => ({
  stored: {
    status: entry.status,
    bytes: entry.body.length,
    storedAt: entry.parts.receivedAt,
    hits: entry.hits,
    ...(entry.parts.ruled?.over === undefined ? {} : { forcedOver: entry.parts.ruled.over }),
  },
})

const seconds = (value: number): string => `${Math.round(value * 10) / 10} s`
