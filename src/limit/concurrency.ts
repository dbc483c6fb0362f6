import { finished } from 'node:stream'
import type { Cancel } from '../core/cancel.ts'
import { ProxyError } from '../core/errors.ts'
import type { ProxyResponse, Stage } from '../core/types.ts'
import type { Queue } from './limiter.ts'
import type { Turn } from './turns.ts'

/** Options of the concurrency limit. */
export interface ConcurrencyOptions {
  /** Requests under way at once. */
  readonly max: number
  /** Longest wait; then 503. */
  readonly maxWaitMs: number
  /** Most requests that wait; beyond that 503 at once. */
  readonly maxQueue?: number
  /** Shares the turns with other processes; they are its own when absent. */
  readonly turns?: TurnSource | undefined
}

const MAX_QUEUE = 10_000
const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`)

/** Calls `over` once, when nothing more of the answer can come: its body has ended, failed or was destroyed. */
const whenOver = ({ body }: ProxyResponse, over: () => void): void => {
  if (Buffer.isBuffer(body)) over()
  // Whoever reads the body reports its errors.
  else finished(body, { writable: false }, () => over())
}

/** Gives turns in the order in which they are asked for. */
export interface TurnSource extends Queue {
  /** Resolves with the turn, or with why there is none. */
  wait(cancel: Cancel, maxWaitMs: number): Promise<Turn | 'late' | 'gone' | 'full'>
}

/** So many turns at once; beyond so many that wait, none. */
export const turnSource = async (max: number, maxQueue: number = MAX_QUEUE): Promise<TurnSource> => {
  const [{ default: Bottleneck }, { makeLimiter, Turns }] = await Promise.all([
    import('bottleneck'),
    import('./turns.ts'),
  ])
  const crowd = { waiting: 0 }
  const turns = new Turns(makeLimiter(Bottleneck, { maxConcurrent: max }), { held: true, crowd })
  let underWay = 0
  const begin = (turn: Turn): Turn => {
    underWay++
    let over = false
    return () => {
      if (over) return
      over = true
      underWay--
      turn()
    }
  }
  return {
    waiting: () => Math.max(0, crowd.waiting - (max - underWay)),
    async wait(cancel, maxWaitMs) {
      // Whoever only waits for Bottleneck to say that there is room takes no place in the queue.
      if (crowd.waiting >= maxQueue + (max - underWay)) return 'full'
      const turn = await turns.wait(cancel, maxWaitMs)
      return typeof turn === 'string' ? turn : begin(turn)
    },
  }
}

/**
 * Lets so many requests go on at once; the rest wait in the order they came. A request is under way until the body of
 * its answer has ended or was destroyed, not only until the head.
 */
export const concurrency = async (options: ConcurrencyOptions): Promise<Stage & Queue> => {
  const { max, maxWaitMs, maxQueue = MAX_QUEUE } = options
  const turns = options.turns ?? (await turnSource(max, maxQueue))
  const stage: Stage = (next) => async (req) => {
    const { exchange } = req
    const startedAt = performance.now()
    const over = await turns.wait(req.cancel, maxWaitMs)
    if (over === 'full')
      throw new ProxyError(503, 'queue-full', `${maxQueue} requests wait already (--concurrency ${max}).`)
    exchange.queuedMs = (exchange.queuedMs ?? 0) + (performance.now() - startedAt)
    if (over === 'gone') throw new ProxyError(499, 'client-gone', 'the client left before its turn')
    if (over === 'late') {
      throw new ProxyError(
        503,
        'queue-timeout',
        `no turn within ${seconds(maxWaitMs)} (--concurrency ${max}, --rate-max-wait).`,
      )
    }
    try {
      if (req.cancel.fired) throw new ProxyError(499, 'client-gone', 'the client left before its turn')
      const response = await next(req)
      whenOver(response, over)
      return response
    } catch (error) {
      over()
      throw error
    }
  }
  return Object.assign(stage, { waiting: turns.waiting })
}
