/**
 * Requests to the upstream that several clients may share.
 *
 * - One flight a key; it starts with one client and others may join until its body can no longer be had from byte 0.
 * - The flight has a cancel of its own, which fires when the last client that waits for it has left.
 * - It lands once, with what all who joined can use, or with `alone`: then the first keeps the answer and the others
 *   go on by themselves, and the key is remembered for a while so that later ones do not queue.
 * - It is taken out of the map in one place, when it has settled.
 */
import { LRUCache } from 'lru-cache'
import { Cancel } from '../core/cancel.ts'
import type { Fields, ProxyResponse } from '../core/types.ts'
import type { Entry } from './entry.ts'
import type { Recording } from './recording.ts'

/** What a flight brought. */
export type Landing =
  /**
   * A response that may be shared; `recording` has its body unless it is already whole in the entry. `head` is what
   * the client that started it gets: some fields may be for it alone.
   */
  | {
      readonly kind: 'shared'
      readonly head: Fields
      readonly entry: Entry
      readonly recording: Recording | undefined
      readonly settled: Promise<void>
    }
  /** The stored response, found still good by the upstream. */
  | { readonly kind: 'validated'; readonly entry: Entry }
  /** The stored response, served stale since the upstream failed. */
  | { readonly kind: 'stood-in'; readonly entry: Entry }
  /** For the client that started it, and nobody else. */
  | { readonly kind: 'alone'; readonly response: ProxyResponse }

/** How long a key is known as one whose answers cannot be shared. */
const UNSHARED_MS = 10_000

export class Flight {
  readonly cancel = new Cancel()
  readonly leader: number
  readonly landing: Promise<Landing>
  #landed: ((landing: Landing) => void) | undefined
  #failed: ((error: unknown) => void) | undefined
  #waiting = 0
  #recording: Recording | undefined
  #over = false

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
    return !this.cancel.fired && !this.#over && (this.#recording === undefined || this.#recording.joinable)
  }

  land(landing: Landing): void {
    if (landing.kind === 'shared') this.#recording = landing.recording
    else this.#over = true
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
      if (this.#waiting === 0 && !this.#over && this.#recording === undefined) this.cancel.fire()
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
  readonly #unshared = new LRUCache<string, true>({ max: 10_000, ttl: UNSHARED_MS })

  /** The flight under way for a key, when one more can join it. */
  joinable(key: string): Flight | undefined {
    const flight = this.#flights.get(key)
    return flight?.joinable === true ? flight : undefined
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

  settle(key: string, flight: Flight): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key)
  }

  has(key: string): boolean {
    return this.#flights.has(key)
  }
}
