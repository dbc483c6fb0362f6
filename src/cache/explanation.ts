/** What there is to say of a request and the cache, and its words. */
import { type Reason, reasons, type StorageReason } from '../core/reasons.ts'
import { deltaSeconds } from '../http/cache-control.ts'
import { hasField } from '../http/fields.ts'
import type { Selection } from '../http/vary.ts'
import type { Entry } from './entry.ts'
import { ageTerms, lifetime } from './freshness.ts'
import { lookupRemedies, storageRemedies } from './remedies.ts'
import type { Decision, Step } from './reuse.ts'

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
    /** Each client that gets it gets its cookie. */
    readonly setsCookie?: boolean
  }
  readonly lastNotStored?: {
    readonly reason: StorageReason
    readonly meaning: string
    readonly status: number
    readonly agoSeconds: number
  }
  readonly remedy?: string
}

/** What is asked of the upstream in place of a stored response that may not be used as it is. */
const question = ({ etag, lastModified }: Entry): string => {
  const by = [etag === undefined ? [] : 'ETag', lastModified === undefined ? [] : 'Last-Modified'].flat()
  return by.length === 0
    ? 'It has no ETag and no Last-Modified to ask by, so all of it has to come anew.'
    : `The upstream is asked by its ${by.join(' and ')} whether it is still good.`
}

/** What would have kept it from expiring. */
const expiredRemedy = (entry: Entry, shared: boolean): string => {
  if (lifetime(entry, shared).source === 'none') return storageRemedies['no-freshness']
  return entry.hasValidator ? 'A longer max-age, or stale-while-revalidate.' : lookupRemedies.expired!
}

/** The verdict on a stored response, in a sentence. */
export const verdictOf = (decision: Decision, entry: Entry, shared: boolean) => {
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
        sentence: `Forwarded: ${because}. ${question(entry)}`,
        ...facts,
        ...(reason === 'expired' ? { remedy: expiredRemedy(entry, shared) } : remedy(reason)),
      }
  }
}

/** What becomes of a request that may not be forwarded, in place of what was found out (RFC 9111 §5.2.1.7). */
export const onlyCached = (given: Explanation): Explanation =>
  given.verdict === 'hit' || given.verdict === 'stale'
    ? given
    : {
        ...given,
        steps: [
          ...given.steps,
          {
            rule: 'the upstream may be asked',
            section: 'RFC 9111 §5.2.1.7',
            passed: false,
            because: 'Cache-Control: only-if-cached',
          },
        ],
        verdict: 'miss',
        reason: 'only-if-cached',
        detail: given.detail === undefined ? given.reason : `${given.reason} ${given.detail}`,
        sentence: `Answered 504: ${reasons['only-if-cached']}. Without only-if-cached: ${given.sentence}`,
      }

/** What would have made it a hit, where something would. */
export const remedy = (reason: Reason): { remedy?: string } => {
  const text = lookupRemedies[reason]
  return text === undefined ? {} : { remedy: text }
}

/** A stored variant, and the field in which the request differs from it; undefined when it matches. */
export const showVariant = (
  concealed: (name: string) => boolean,
  variant: { selection: Selection; bytes: number; receivedAt: number },
  differsIn: string | undefined,
  now: number,
): ExplainedVariant => {
  const selects: Array<{ name: string; value: string | null }> = []
  for (let i = 0; i < variant.selection.length; i += 2) {
    const name = variant.selection[i]!
    const value = variant.selection[i + 1] ?? null
    selects.push({ name, value: value !== null && concealed(name) ? '***' : value })
  }
  return {
    selects,
    matches: differsIn === undefined,
    ...(differsIn === undefined ? {} : { differsIn }),
    bytes: variant.bytes,
    ageSeconds: Math.max(0, (now - variant.receivedAt) / 1000),
  }
}

/** The arithmetic of freshness (RFC 9111 §4.2). */
export const freshnessFacts = (entry: Entry, now: number, shared: boolean) => {
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

/** What is stored. */
export const storedFacts = (entry: Entry) => ({
  stored: {
    status: entry.status,
    bytes: entry.body.length,
    storedAt: entry.parts.receivedAt,
    hits: entry.hits,
    ...(hasField(entry.fields, 'set-cookie') ? { setsCookie: true } : {}),
    ...(entry.parts.ruled?.over === undefined ? {} : { forcedOver: entry.parts.ruled.over }),
  },
})

/** Seconds as they are read: `1.5 s`. */
export const seconds = (value: number): string => `${Math.round(value * 10) / 10} s`
