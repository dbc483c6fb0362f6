import type { Cancel } from '../core/cancel.ts'

/** What a limiter made of one request. */
export interface Decision {
  /** `gone`: the client left while it waited. */
  readonly verdict: 'admitted' | 'refused' | 'gone'
  /** Requests the window still admits. */
  readonly remaining: number
  /** Until the window ends. */
  readonly resetMs: number
}

/** Counts requests by key. `take` never rejects; it settles at once or after at most the longest wait. */
export interface Limiter {
  take(key: string, cancel: Cancel): Promise<Decision>
  /** How many wait at this moment, where any ever do. */
  readonly waiting?: () => number
}

/** Something that requests wait in. */
export interface Queue {
  /** How many wait at this moment. */
  readonly waiting: () => number
}

/** Counts together all keys beyond the most that are kept apart; no real key can be called so. */
export const OVERFLOW_KEY = 'overflow'
