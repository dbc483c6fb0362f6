/**
 * Exchanges on their way from the worker that serves them to the process that tells of them.
 *
 * - Every exchange is told to the observers there as it would be here: opened, and ended once. So log, metrics,
 *   summary and expectations are those of one process, and nothing has to be put together from parts.
 * - They leave in batches, a few milliseconds apart. One that began and ended in between is sent once.
 * - What a worker had open when it ended by accident ends as a failure. What it had not sent is lost.
 */
import type { Clock } from '../core/clock.ts'
import { type BodySample, Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import type { Link } from './link.ts'

/** How long the first of a batch waits. */
const BATCH_MS = 5
/** A batch of that many leaves at once. */
const BATCH = 500

/** Observes in a worker. */
export interface Reporter extends Observer {
  /** Sends what waits. */
  flush(): void
}

/** Sends exchanges over a link. */
export const reporter = (link: Link): Reporter => {
  let fresh = new Set<Readonly<Exchange>>()
  let ended: string[] = []
  let timer: NodeJS.Timeout | undefined
  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (fresh.size === 0 && ended.length === 0) return
    const open = fresh.size === 0 ? '' : [...fresh].map((exchange) => JSON.stringify(exchange)).join(',')
    const batch = `{"open":[${open}],"ended":[${ended.join(',')}]}`
    fresh = new Set()
    ended = []
    link.tell('exchanges', {}, Buffer.from(batch))
  }
  const schedule = (): void => {
    timer ??= setTimeout(flush, BATCH_MS)
  }
  return {
    opened(exchange) {
      fresh.add(exchange)
      schedule()
    },
    ended(exchange) {
      fresh.delete(exchange)
      ended.push(JSON.stringify(exchange))
      if (ended.length >= BATCH) flush()
      else schedule()
    },
    flush,
  }
}

/** A sample of a body out of its JSON, where buffers are lists of numbers. */
const sampled = (sample: BodySample | undefined): BodySample | undefined =>
  sample && { ...sample, kept: sample.kept.map((piece) => Buffer.from(piece as unknown as Uint8Array)) }

/** An exchange out of its JSON. */
const revived = (record: Exchange): Exchange => {
  const exchange = Object.assign(new Exchange(record as ConstructorParameters<typeof Exchange>[0]), record)
  const { bodies } = exchange
  for (const side of ['request', 'response'] as const) {
    const sample = sampled(bodies?.[side])
    if (bodies !== undefined && sample !== undefined) bodies[side] = sample
  }
  return exchange
}

/** Tells the observers here what one worker reports. */
export class Reported {
  readonly #open = new Map<number, Exchange>()
  readonly #observers: readonly Observer[]
  readonly #clock: Clock
  readonly #onFault: (error: unknown) => void
  #lastId = 0

  constructor(options: {
    readonly observers: readonly Observer[]
    readonly clock: Clock
    /** An observer threw. */
    readonly onFault: (error: unknown) => void
  }) {
    this.#observers = options.observers
    this.#clock = options.clock
    this.#onFault = options.onFault
  }

  /** Exchanges under way, but for those of the last few milliseconds. */
  get active(): number {
    return this.#open.size
  }

  /** The highest number of an exchange so far. */
  get lastId(): number {
    return this.#lastId
  }

  /** Takes a batch. */
  take(bytes: Buffer): void {
    const { open, ended } = JSON.parse(bytes.toString()) as { open: Exchange[]; ended: Exchange[] }
    for (const record of ended) {
      if (!this.#open.delete(record.id)) this.#tell('opened', revived(record))
      this.#tell('ended', revived(record))
      this.#lastId = Math.max(this.#lastId, record.id)
    }
    for (const record of open) {
      const exchange = revived(record)
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
