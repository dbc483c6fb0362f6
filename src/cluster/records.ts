/**
 * Exchanges on their way from the worker that serves them to the process that tells of them.
 *
 * - Every exchange is told to the observers there as it would be here: opened, and ended once. So log, metrics,
 *   summary and expectations are those of one process, and nothing has to be put together from parts.
 * - They leave in batches, a few milliseconds apart. One that began and ended in between is sent once.
 * - While that process does not keep up, so many bytes wait and no more; what ends then is lost, and its number told
 *   once there is room. Whose beginning was told is never lost: it would seem to go on for ever.
 * - Bodies (`--har`) go along behind the text. They are left out sooner than records are: those are counted.
 * - What a worker had open when it ended by accident ends as a failure. What it had not sent is lost.
 */
import type { Clock } from '../core/clock.ts'
import { type BodySample, Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import { BodiesAlong, type BodyPlaces, bodiesOf } from './bodies-along.ts'
import type { Link } from './link.ts'

/** How long the first of a batch waits. */
const BATCH_MS = 5
/** A batch of that many, or of that many characters, leaves at once. */
const BATCH = 500
const BATCH_CHARACTERS = 256 * 1024
/** Batches that were not confirmed may take so many bytes. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024
/** How soon it is looked again whether there is room. */
const FULL_MS = 100

/** Observes in a worker. */
export interface Reporter extends Observer {
  /** Sends what waits. */
  flush(): void
}

/** Gives the JSON of exchanges; `whole` with all field lines, else with those that every observer looks at. */
const exchangeJson =
  (whole: boolean) =>
  (exchange: Readonly<Exchange>, bodies?: BodiesAlong): string => {
    const { copies, requestHeaders, responseHeaders } = exchange
    if (whole) {
      if (copies === undefined) return JSON.stringify(exchange)
      return JSON.stringify({ ...exchange, copies: bodies?.add(copies) })
    }
    return JSON.stringify({
      ...exchange,
      requestHeaders: line(requestHeaders, 'user-agent'),
      responseHeaders: responseHeaders && line(responseHeaders, 'content-type'),
    })
  }

/** The first line of a field. */
const line = (fields: readonly string[], lowerName: string): readonly string[] => {
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i]!
    if (name.length === lowerName.length && name.toLowerCase() === lowerName) return [name, fields[i + 1]!]
  }
  return []
}

/** Sends exchanges over a link. `wholeFields`: somebody there shows all field lines. */
export const reporter = (
  link: Pick<Link, 'call'>,
  {
    wholeFields,
    maxWaitingBytes = MAX_WAITING_BYTES,
  }: { wholeFields: boolean; maxWaitingBytes?: number | undefined },
): Reporter => {
  const json = exchangeJson(wholeFields)
  let fresh = new Set<Readonly<Exchange>>()
  /** Their beginning was told, their end not yet. */
  const begun = new Set<number>()
  let ended: string[] = []
  let characters = 0
  let bodies = new BodiesAlong()
  let lost = 0
  let waitingBytes = 0
  let timer: NodeJS.Timeout | undefined
  const full = (): boolean => waitingBytes > maxWaitingBytes
  /** Sooner than records, their bodies are left out. */
  const crowded = (): boolean => waitingBytes + bodies.bytes > maxWaitingBytes / 2
  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    // What begins now may be over when there is room.
    const opening = full() ? [] : [...fresh]
    if (opening.length > 0 || ended.length > 0 || (lost > 0 && !full())) {
      for (const { id } of opening) begun.add(id)
      if (opening.length > 0) fresh = new Set()
      const open = opening.map((exchange) => json(exchange))
      const text = Buffer.from(`{"lost":${lost},"open":[${open.join(',')}],"ended":[${ended.join(',')}]}`)
      const batch = bodies.after(text)
      bodies = new BodiesAlong()
      ended = []
      characters = 0
      lost = 0
      waitingBytes += batch.length
      const taken = (): void => {
        waitingBytes -= batch.length
      }
      link.call('exchanges', { text: text.length }, batch).then(taken, taken)
    }
    if (fresh.size > 0 || lost > 0) timer = setTimeout(flush, FULL_MS)
  }
  return {
    opened(exchange) {
      fresh.add(exchange)
      timer ??= setTimeout(flush, BATCH_MS)
    },
    ended(exchange) {
      fresh.delete(exchange)
      if (!begun.delete(exchange.id) && full()) lost++
      else {
        const text = json(exchange, crowded() ? undefined : bodies)
        ended.push(text)
        characters += text.length
      }
      if (ended.length >= BATCH || characters + bodies.bytes >= BATCH_CHARACTERS) flush()
      else timer ??= setTimeout(flush, BATCH_MS)
    },
    flush,
  }
}

/** A sample of a body out of its JSON, where buffers are lists of numbers. */
const sampled = (sample: BodySample | undefined): BodySample | undefined =>
  sample && { ...sample, kept: sample.kept.map((piece) => Buffer.from(piece as unknown as Uint8Array)) }

/** An exchange out of its JSON, and bodies that went along. */
const revived = (record: Exchange, along: Buffer): Exchange => {
  const exchange = Object.assign(new Exchange(record as ConstructorParameters<typeof Exchange>[0]), record)
  const { bodies } = exchange
  for (const side of ['request', 'response'] as const) {
    const sample = sampled(bodies?.[side])
    if (bodies !== undefined && sample !== undefined) bodies[side] = sample
  }
  exchange.copies = bodiesOf(record.copies as BodyPlaces | undefined, along)
  return exchange
}

/** Tells the observers here what one worker reports. */
export class Reported {
  readonly #open = new Map<number, Exchange>()
  readonly #observers: readonly Observer[]
  readonly #clock: Clock
  readonly #onFault: (error: unknown) => void
  readonly #onLost: (exchanges: number) => void
  #lastId = 0

  constructor(options: {
    readonly observers: readonly Observer[]
    readonly clock: Clock
    /** An observer threw. */
    readonly onFault: (error: unknown) => void
    /** So many exchanges will never be told of. */
    readonly onLost: (exchanges: number) => void
  }) {
    this.#observers = options.observers
    this.#clock = options.clock
    this.#onFault = options.onFault
    this.#onLost = options.onLost
  }

  /** Exchanges under way, but for those of the last few milliseconds. */
  get active(): number {
    return this.#open.size
  }

  /** The highest number of an exchange so far. */
  get lastId(): number {
    return this.#lastId
  }

  /** Takes a batch, of which so many bytes are text; the rest are bodies. */
  take(bytes: Buffer, text: number): void {
    const along = bytes.subarray(text)
    const { lost, open, ended } = JSON.parse(bytes.toString('utf8', 0, text)) as {
      lost: number
      open: Exchange[]
      ended: Exchange[]
    }
    if (lost > 0) this.#onLost(lost)
    for (const record of ended) {
      const exchange = revived(record, along)
      if (!this.#open.delete(record.id)) this.#tell('opened', exchange)
      this.#tell('ended', exchange)
      this.#lastId = Math.max(this.#lastId, record.id)
    }
    for (const record of open) {
      const exchange = revived(record, along)
      this.#open.set(exchange.id, exchange)
      this.#tell('opened', exchange)
      this.#lastId = Math.max(this.#lastId, record.id)
    }
  }

  /** The worker is gone: what it had open has failed. */
  abandon(why: string): void {
    for (const exchange of this.#open.values()) {
      exchange.ended = {
        at: this.#clock.now(),
        status: 0,
        bytes: 0,
        error: 'internal',
        errorMessage: why,
      }
      this.#tell('ended', exchange)
    }
    this.#open.clear()
  }

  #tell(what: 'opened' | 'ended', exchange: Exchange): void {
    for (const observer of this.#observers) {
      try {
        observer[what]?.(exchange)
      } catch (error) {
        this.#onFault(error)
      }
    }
  }
}
