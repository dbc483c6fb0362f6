/**
 * Requests to the upstream that several clients may share.
 *
 * - One flight a key; it starts with one client and others may join until its body can no longer be had from byte 0.
 * - The flight has a cancel of its own, which fires when the last client that waits for it has left.
 * - It lands once, with what all who joined can use, or with what is for the first alone: then the others go on by
 *   themselves, and the key is remembered for a while so that later ones do not queue.
 * - It is taken out of the map in one place, when it has settled. Who looked into the store before that and found
 *   nothing there may still use what it brought: `joinable` is asked with the mark of that look.
 * - Nobody who comes after an invalidation joins a flight from before it (RFC 9111 §4.4).
 */
import { LRUCache } from 'lru-cache'
import { Cancel } from '../core/cancel.ts'
import type { Fields, ProxyResponse } from '../core/types.ts'
import type { Entry } from './entry.ts'
import type { Recording } from './recording.ts'

/** Whether those who joined can use it too. */
export const isShareable = (landing: Landing): boolean =>
  landing.kind !== 'alone' && (!('shareable' in landing) || landing.shareable)

/** What a flight brought. */
export type Landing =
  /**
   * A response that may be stored; `recording` has its body unless it is already whole in the entry. `head` is what
   * the client that started it gets: some fields may be for it alone. Others have it only where it is `shareable`.
   */
  | {
      readonly kind: 'shared'
      readonly head: Fields
      readonly entry: Entry
      readonly recording: Recording | undefined
      readonly settled: Promise<void>
      readonly shareable: boolean
    }
  /** The stored response, found still good by the upstream. */
  | { readonly kind: 'validated'; readonly entry: Entry; readonly shareable: boolean }
  /** A stored part, made good by a further one. */
  | { readonly kind: 'completed'; readonly entry: Entry; readonly shareable: boolean }
  /** Another process fetched it meanwhile, in the exchange `leader`. */
  | { readonly kind: 'elsewhere'; readonly entry: Entry; readonly leader: number }
  /** The stored response, served stale since the upstream failed. */
  | { readonly kind: 'stood-in'; readonly entry: Entry }
  /** For the client that started it, and nobody else. */
  | { readonly kind: 'alone'; readonly response: ProxyResponse }

/** How long a key is known as one whose answers cannot be shared, and for how many, by number and characters. */
const UNSHARED_MS = 10_000
const UNSHARED_KEYS = 10_000
const UNSHARED_CHARACTERS = 4 * 1024 * 1024
/** What landed stays at hand, for that long at least, for those who were looking into the store meanwhile. */
const LANDED_MS = 500
/** Of these, the bytes at the most. */
const LANDED_BYTES = 8 * 1024 * 1024
const LANDED_FLIGHTS = 256

export class Flight {
  readonly cancel = new Cancel()
  readonly leader: number
  readonly landing: Promise<Landing>
  #landed: ((landing: Landing) => void) | undefined
  #failed: ((error: unknown) => void) | undefined
  #waiting = 0
  #recording: Recording | undefined
  #landing: Landing | undefined
  #over = false
  #closed = false

  constructor(leader: number) {
    this.leader = leader
    this.landing = new Promise((resolve, reject) => {
      this.#landed = resolve
      this.#failed = reject
    })
    // Whoever waits for it sees the error; when nobody does any more it has been told elsewhere.
    this.landing.catch(() => {})
  }

  /** Whether one more can have the whole answer. */
  get joinable(): boolean {
    return (
      !this.#closed &&
      !this.cancel.fired &&
      !this.#over &&
      (this.#recording === undefined || this.#recording.joinable)
    )
  }

  /** Whether one more can have what it brought, in full and as good as new. */
  get usable(): boolean {
    const landing = this.#landing
    if (this.#closed || landing === undefined) return false
    return (
      (landing.kind === 'validated' && landing.shareable) ||
      (landing.kind === 'shared' && landing.shareable && landing.recording?.joinable !== false)
    )
  }

  /** Bytes that it keeps. */
  get bytes(): number {
    const landing = this.#landing
    return landing?.kind === 'shared' || landing?.kind === 'validated' ? landing.entry.bytes : 0
  }

  /** Nobody joins it any more; those who have are served. */
  close(): void {
    this.#closed = true
  }

  land(landing: Landing): void {
    this.#landing = landing
    if (landing.kind === 'shared') this.#recording = landing.recording
    // Whole, or of no use to others: there is nothing left that could be cancelled.
    if (this.#recording === undefined) this.#over = landing.kind !== 'shared'
    this.#landed!(landing)
  }

  fail(error: unknown): void {
    this.#over = true
    this.#failed!(error)
  }

  /** Waits for the landing on behalf of a client; its leaving may end the flight. */
  async wait(client: Cancel): Promise<Landing> {
    this.#waiting++
    let left = false
    const takeBack = client.onFire(() => {
      left = true
      this.#waiting--
      if (this.#waiting === 0 && !this.#over && this.#landing === undefined) this.cancel.fire()
    })
    try {
      return await this.landing
    } finally {
      takeBack()
      if (!left) this.#waiting--
    }
  }
}

export class Flights {
  readonly #flights = new Map<string, Flight>()
  readonly #unshared = new LRUCache<string, true>({
    max: UNSHARED_KEYS,
    ttl: UNSHARED_MS,
    // lru-cache sets a timer for each turn of its clock: one a millisecond made a miss 4 µs dearer.
    ttlResolution: 500,
    maxSize: UNSHARED_CHARACTERS,
    sizeCalculation: (_true, key) => key.length + 1,
  })
  /** Settled a moment ago, and when; the map of this moment and that of the one before. */
  #landed = new Map<string, { flight: Flight; settled: number }>()
  #landedBefore = new Map<string, { flight: Flight; settled: number }>()
  #landedBytes = 0
  #forgetting: NodeJS.Timeout | undefined
  /** Counts settlements: the order of events, whatever the clock. */
  #moment = 0

  /** To be taken before a look into the store, and given to `joinable` after it. */
  mark(): number {
    return this.#moment
  }

  /** The flight for a key that one more can join: under way, or settled since the mark. */
  joinable(key: string, since = Number.POSITIVE_INFINITY): Flight | undefined {
    const flight = this.#flights.get(key)
    if (flight?.joinable === true) return flight
    if (this.#moment <= since) return undefined
    const landed = this.#landed.get(key) ?? this.#landedBefore.get(key)
    return landed !== undefined && landed.settled > since && landed.flight.usable ? landed.flight : undefined
  }

  /** Whether a flight for the key may be started for others to join. */
  mayShare(key: string): boolean {
    return this.#unshared.get(key) === undefined
  }

  /** Answers under this key turned out not to be for sharing. */
  rememberUnshared(key: string): void {
    this.#unshared.set(key, true)
  }

  /** Answers under this key can be shared after all. */
  forgetUnshared(key: string): void {
    this.#unshared.delete(key)
  }

  start(key: string, leader: number): Flight {
    const flight = new Flight(leader)
    this.#flights.set(key, flight)
    return flight
  }

  /** What it brought can be found in the store, or never will be. */
  settle(key: string, flight: Flight): void {
    if (this.#flights.get(key) !== flight) return
    this.#flights.delete(key)
    if (this.#landedBytes + flight.bytes > LANDED_BYTES || this.#landed.size >= LANDED_FLIGHTS) this.#turn()
    this.#landed.set(key, { flight, settled: ++this.#moment })
    this.#landedBytes += flight.bytes
    this.#forgetting ??= setInterval(() => this.#turn(), LANDED_MS).unref()
  }

  /** Forgets what landed before the last turn. */
  #turn(): void {
    this.#landedBefore = this.#landed
    this.#landed = new Map()
    this.#landedBytes = 0
    if (this.#landedBefore.size > 0) return
    clearInterval(this.#forgetting)
    this.#forgetting = undefined
  }

  /** What is under way for a URI, its variants with it, is from before an invalidation: nobody joins it any more. */
  invalidate(uriKey: string): void {
    const variants = `${uriKey}\n`
    for (const flights of [this.#flights.entries(), this.#landedFlights()])
      for (const [key, flight] of flights) if (key === uriKey || key.startsWith(variants)) flight.close()
  }

  *#landedFlights(): Iterable<[string, Flight]> {
    for (const landed of [this.#landed, this.#landedBefore])
      for (const [key, { flight }] of landed) yield [key, flight]
  }

  has(key: string): boolean {
    return this.#flights.has(key)
  }
}
