/**
 * Why a request would be a hit or a miss, in full: the verdict in a sentence, each rule in the order in which it is
 * tested, the key and the nearest stored one, the variants, the arithmetic of freshness, and what would have made it
 * a hit. Looks only; forwards and changes nothing.
 */
import type { Clock } from '../core/clock.ts'
import { type Reason, reasons, type StorageReason, storageReasons } from '../core/reasons.ts'
import type { Fields } from '../core/types.ts'
import { differingField } from '../http/vary.ts'
import { reuseRequest } from './asked.ts'
import { holds } from './deliver.ts'
import {
  type Explanation,
  freshnessFacts,
  onlyCached,
  remedy,
  seconds,
  showVariant,
  storedFacts,
  verdictOf,
} from './explanation.ts'
import { bypassingField, type RequestMarks, requestMarks } from './key.ts'
import { nearestTo } from './nearest.ts'
import { lookupRemedies, storageRemedies } from './remedies.ts'
import { decide, type Step } from './reuse.ts'
import { selected } from './selecting.ts'
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
  const only = reuseRequest(marks).directives.has('only-if-cached')
    ? onlyCached
    : (given: Explanation) => given
  try {
    return only(await consult(tools, request, marks, { ...base, steps }, now))
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    return only({
      ...base,
      verdict: 'bypass',
      reason: error.reason,
      sentence: `Forwarded without the cache: ${reasons[error.reason]}.`,
      ...remedy(error.reason),
    })
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
    because: bypassingField(request.headers) ?? 'none does',
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
  const slot = (await shelf.store.peek(base.key))?.slot
  const variants = slot instanceof Index ? slot.variants : []
  const { those } = selected(variants, headers)
  const shownVariants = variants.map((variant) => {
    const difference = those.includes(variant) ? undefined : differingField(variant.selection, headers)?.name
    return showVariant(tools.concealed, variant, difference, now)
  })
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
            : found.language !== undefined
              ? `a variant is in the language that is wanted most, ${found.language}`
              : 'a variant matches',
    })
  }
  const { entry } = found
  if (entry === undefined) {
    const wish = reuseRequest(marks).directives.has('no-cache')
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
    const { first, last, total } = entry.parts.part!
    const there = `bytes ${first}-${last} of ${total}`
    base.steps.push({
      rule: 'what is stored holds what is asked for',
      section: 'RFC 9111 §3.4',
      passed: false,
      because: `${there} are stored, ${marks.range ?? 'the whole'} is asked for`,
    })
    const reason = 'range-incomplete'
    return {
      ...base,
      verdict: 'miss',
      reason,
      variants: shownVariants,
      sentence: `Forwarded: ${reasons[reason]}, ${there}.`,
      ...storedFacts(entry),
      ...remedy(reason),
    }
  }
  const decision = decide(entry, reuseRequest(marks), now, base.steps, tools.shared)
  return {
    ...base,
    ...verdictOf(decision, entry, tools.shared),
    variants: shownVariants,
    ...freshnessFacts(entry, now, tools.shared),
    ...storedFacts(entry),
  }
}

const FIRST =
  'Nothing: the first request for a URI is forwarded. Its answer serves the next one where it may be stored.'

const whyNothing = async (
  tools: ExplainTools,
  key: string,
  reason: Reason,
  detail: string | undefined,
  now: number,
  wish: string,
) => {
  // Of one that was here it is known why it is not.
  const nearest = reason === 'uri-miss' ? await nearestTo(tools.shelf, key) : undefined
  const last = tools.history(key).find(({ storage }) => storage !== undefined && storage !== 'stored')
  const not = last?.storage as StorageReason | undefined
  const because = detail === undefined ? reasons[reason] : `${reasons[reason]}: ${detail}`
  const facts = nearest === undefined ? {} : { nearest }
  if (reason !== 'uri-miss' || not === undefined || last === undefined) {
    const help = nearest?.remedy ?? lookupRemedies[reason] ?? (reason === 'uri-miss' ? FIRST : undefined)
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
