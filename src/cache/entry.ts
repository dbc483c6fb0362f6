/**
 * A stored response and what can be read off it. What is derived (directives, dates, lifetime) is worked out once, on
 * first use, and never stored.
 */
import type { StorageReason } from '../core/reasons.ts'
import { type Fields, KnownFields } from '../core/types.ts'
import { type Directives, MAX_DELTA, parseCacheControl, parseTargeted } from '../http/cache-control.ts'
import { parseDate } from '../http/date.ts'
import { allValues, firstValue, hasField, joinedValue, trimOws, withoutFields } from '../http/fields.ts'
import type { Part } from '../http/range.ts'
import type { Selection } from '../http/vary.ts'

/** Freshness that a local rule gives. */
export interface Ruled {
  readonly seconds: number
  readonly by: 'force' | 'ttl'
  /** What would have kept the response out of the store, had it not been forced. */
  readonly over?: StorageReason
}

/** What a store keeps for one response. Times in ms since the epoch. */
export interface StoredParts {
  readonly status: number
  /** As received, without connection-level fields. */
  readonly fields: Fields
  readonly body: Buffer
  /** When the request was sent and when its answer's head came (RFC 9111 §4.2.3). */
  readonly requestedAt: number
  readonly receivedAt: number
  /** The request's values of what Vary names. */
  readonly selection: Selection
  /** The request's path and query, for people. */
  readonly url: string
  /** Which part of the whole the body is, when it is a part (RFC 9111 §3.3); total is undefined when unknown. */
  readonly part?: (Part & { readonly total: number | undefined }) | undefined
  /** Freshness that `--cache-mode force` or `--ttl` gives, seconds; and which of them. */
  readonly ruled?: Ruled | undefined
  /** Stored by the cache of a single user (`--private`). */
  readonly single?: true | undefined
}

const age: ReadonlySet<string> = new Set(['age'])

/** A stored response. */
export class Entry {
  readonly parts: StoredParts
  #directives: Directives | undefined
  #targeted: Directives | undefined | null = null
  #dateAt: number | undefined
  #etag: string | undefined | null = null
  #age: number | undefined
  #ageless: Fields | undefined
  #known: KnownFields | undefined
  #lifetimes: { shared?: unknown; single?: unknown } = {}
  /** Times it was served, for listings. Not stored. */
  hits = 0

  constructor(parts: StoredParts) {
    this.parts = parts
  }

  get status(): number {
    return this.parts.status
  }

  get fields(): Fields {
    return this.parts.fields
  }

  get body(): Buffer {
    return this.parts.body
  }

  /** Cache-Control, or the CDN-Cache-Control that replaces it (RFC 9213 §2.2). */
  get directives(): Directives {
    this.#directives ??= this.targeted ?? parseCacheControl(joinedValue(this.parts.fields, 'cache-control'))
    return this.#directives
  }

  /** A valid CDN-Cache-Control; it is for shared caches, so the cache of a single user has none (RFC 9213 §3.1). */
  get targeted(): Directives | undefined {
    if (this.#targeted === null)
      this.#targeted =
        this.parts.single === true
          ? undefined
          : parseTargeted(joinedValue(this.parts.fields, 'cdn-cache-control'))
    return this.#targeted
  }

  /** `Date`, or the time of receipt where there is none that can be read (RFC 9110 §6.6.1). */
  get dateAt(): number {
    if (this.#dateAt === undefined) {
      const date = firstValue(this.parts.fields, 'date')
      this.#dateAt =
        (date === undefined ? undefined : parseDate(date, this.parts.receivedAt)) ?? this.parts.receivedAt
    }
    return this.#dateAt
  }

  get etag(): string | undefined {
    if (this.#etag === null) this.#etag = firstValue(this.parts.fields, 'etag') || undefined
    return this.#etag
  }

  get lastModified(): string | undefined {
    return firstValue(this.parts.fields, 'last-modified') || undefined
  }

  get hasValidator(): boolean {
    return this.etag !== undefined || this.lastModified !== undefined
  }

  /** What `Age` said when it came, in seconds. */
  get ageSaid(): number {
    this.#age ??= ageField(this.parts.fields)
    return this.#age
  }

  /** The fields but for `Age`, which is said anew each time. */
  get ageless(): Fields {
    this.#ageless ??= hasField(this.parts.fields, 'age')
      ? withoutFields(this.parts.fields, age)
      : this.parts.fields
    return this.#ageless
  }

  /** For answers that begin with these fields. */
  get known(): KnownFields {
    this.#known ??= new KnownFields(this.ageless)
    return this.#known
  }

  /** Bytes of the whole that this is, or is a part of; undefined when that is not known. */
  get total(): number | undefined {
    return this.parts.part === undefined ? this.parts.body.length : this.parts.part.total
  }

  /** Keeps what `make` gives on the first call for this kind of cache; it does not change while the entry lives. */
  memoLifetime<T>(kind: 'shared' | 'single', make: (entry: Entry) => T): T {
    this.#lifetimes[kind] ??= make(this)
    return this.#lifetimes[kind] as T
  }

  /** Bytes in memory: body, fields and a little for the rest. */
  get bytes(): number {
    let bytes = this.parts.body.length + 400 + this.parts.url.length
    for (const text of this.parts.fields) bytes += text.length + 16
    for (const text of this.parts.selection) bytes += (text?.length ?? 0) + 16
    return bytes
  }
}

/**
 * `Age` as a number of seconds: the first member of the first line, digits only; anything else is not there
 * (RFC 9111 §5.1).
 */
export const ageField = (fields: Fields): number => {
  const first = trimOws(allValues(fields, 'age')[0]?.split(',', 1)[0] ?? '')
  return /^\d+$/.test(first) ? Math.min(Number(first), MAX_DELTA) : 0
}
