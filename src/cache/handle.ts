/** The cache as the admin listener handles it. */
import type { Clock } from '../core/clock.ts'
import type { Fields } from '../core/types.ts'
import { mediaType, type TextKind, textKind } from '../http/media-type.ts'
import type { Entry } from './entry.ts'
import { type ExplainedRequest, explain } from './explain.ts'
import type { Explanation } from './explanation.ts'
import { currentAge, freshnessLeft } from './freshness.ts'
import { type KeyRules, shownKey } from './key-rules.ts'
import type { Shelf } from './shelf.ts'

/** What the handle is made of. */
export interface HandleOptions {
  readonly shelf: Shelf
  readonly clock: Clock
  readonly keyFor: (scheme: string, host: string, url: string, headers: Fields) => string
  readonly keyRules: KeyRules | undefined
  readonly shared: boolean
  readonly concealed: (name: string) => boolean
  /** Hides secrets: in URLs, in field lines (as pairs), in the value of a field, in bodies. */
  readonly redact: {
    url(text: string): string
    fields(fields: Fields): Array<[name: string, value: string]>
    value(name: string, value: string): string
    body(text: string, kind: TextKind): string
  }
  readonly history: (key: string) => ReadonlyArray<{ at: number; status: number; storage?: string }>
  /** Where clients address the proxy when they do not say otherwise. */
  readonly origin: () => string
}

/** Bytes of a body that are shown. */
const SHOWN_BYTES = 2000
/** Keys that are dropped together. */
const PURGED_AT_ONCE = 100
/** Keys a listing looks at before it stops. */
const MAX_SCANNED = 100_000

/** List, purge, look and explain. All reject with a StoreError while the store is away. */
export const cacheHandle = (options: HandleOptions) => {
  const { shelf, clock, shared, concealed, redact } = options
  const keyOf = ({ scheme, host, url, headers }: ExplainedRequest): string =>
    options.keyFor(scheme, host, url, headers)
  const selecting = (headers: Fields): Fields => options.keyRules?.selecting(headers) ?? headers

  const variantsOf = async (key: string) => {
    const looked = await shelf.slotOf(key)
    return looked?.kind === 'variants' ? looked.variants.flatMap(({ stored }) => stored ?? []) : []
  }

  const listed = (key: string, entry: Entry, bodyBytes: number) => {
    const { selection } = entry.parts
    const variant: string[] = []
    for (let i = 0; i < selection.length; i += 2) {
      const name = selection[i]!
      variant.push(`${name}: ${concealed(name) ? '***' : (selection[i + 1] ?? '–')}`)
    }
    return {
      key: shownKey(key, redact),
      url: redact.url(key.split('\n', 1)[0]!),
      status: entry.status,
      bytes: bodyBytes,
      storedAt: entry.parts.receivedAt,
      ttlSeconds: Math.floor(freshnessLeft(entry, clock.now(), shared)),
      hits: entry.hits,
      variant: variant.join(', '),
    }
  }

  return {
    origin: options.origin,

    async list(passes: (key: string) => boolean, prefix: string, limit: number) {
      const entries: ReturnType<typeof listed>[] = []
      let scanned = 0
      for await (const found of shelf.list(prefix)) {
        if (++scanned > MAX_SCANNED) return { entries, more: true }
        if (!passes(found.key)) continue
        const stored =
          found.variants === 0
            ? [{ entry: found.entry, bodyBytes: found.bytes }]
            : await variantsOf(found.key)
        for (const each of stored) {
          if (entries.length >= limit) return { entries, more: true }
          entries.push(listed(found.key, each.entry, each.bodyBytes))
        }
      }
      return { entries, more: false }
    },

    async purge({
      passes,
      prefix,
      named,
    }: {
      passes: (key: string) => boolean
      prefix: string
      named: readonly string[]
    }) {
      const came = { dropped: 0, nothing: 0, owed: 0 }
      let some: string[] = [...named]
      const dropThem = async (): Promise<void> => {
        const outcomes = await Promise.all(some.map((key) => shelf.drop(key, 'purged')))
        some = []
        for (const outcome of outcomes) came[outcome]++
      }
      for await (const key of shelf.keys(prefix)) {
        if (!passes(key) || named.includes(key)) continue
        // By the hundred: a store that is asked for thousands at once would miss its deadline.
        if (some.push(key) === PURGED_AT_ONCE) await dropThem()
        if (came.owed > 0) break
      }
      await dropThem()
      return { purged: came.dropped, owed: came.owed }
    },

    async look(request: ExplainedRequest) {
      const found = await shelf.find(keyOf(request), selecting(request.headers))
      const { entry } = found
      if (entry === undefined) return undefined
      const kind = mediaType(entry.fields) === '' ? undefined : textKind(entry.fields)
      return {
        ...listed(keyOf(request), entry, entry.body.length),
        ageSeconds: Math.floor(currentAge(entry, clock.now())),
        fields: redact.fields(entry.fields),
        body: kind === undefined ? undefined : redact.body(entry.body.toString('utf8', 0, SHOWN_BYTES), kind),
        bodyCut: kind !== undefined && entry.body.length > SHOWN_BYTES,
      }
    },

    async explain(request: ExplainedRequest): Promise<Explanation> {
      const given = await explain(
        { shelf, clock, keyFor: options.keyFor, selecting, shared, concealed, history: options.history },
        request,
      )
      const { nearest } = given
      return {
        ...given,
        request: { ...given.request, url: redact.url(given.request.url) },
        key: shownKey(given.key, redact),
        ...(nearest === undefined ? {} : { nearest: { ...nearest, key: shownKey(nearest.key, redact) } }),
      }
    },
  }
}
