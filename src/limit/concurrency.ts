import { finished } from 'node:stream'
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
}

const MAX_QUEUE = 10_000
const seconds = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`)

/** Calls `over` once, when nothing more of the answer can come: its body has ended, failed or was destroyed. */
const whenOver = ({ body }: ProxyResponse, over: () => void): void => {
  if (Buffer.isBuffer(body)) over()
  // Whoever reads the body reports its errors.
  else finished(body, { writable: false }, () => over())
}

/**
 * Lets so many requests go on at once; the rest wait in the order they came. A request is under way until the body of
 * its answer has ended or was destroyed, not only until the head.
 */
export const concurrency = async (options: ConcurrencyOptions): Promise<Stage & Queue> => {
  const { max, maxWaitMs, maxQueue = MAX_QUEUE } = options
  const [{ default: Bottleneck }, { makeLimiter, Turns }] = await Promise.all([
    import('bottleneck'),
    import('./turns.ts'),
  ])
  const crowd = { waiting: 0 }
  const turns = new Turns(makeLimiter(Bottleneck, { maxConcurrent: max }), { held: true, crowd })
  let underWay = 0
  const begin = (turn: Turn): (() => void) => {
    underWay++
    let over = false
    return () => {
      if (over) return
      over = true
      underWay--
      turn()
    }
  }
  const stage: Stage = (next) => async (req) => {
    const { exchange } = req
    // Whoever only waits for Bottleneck to say that there is room takes no place in the queue.
    if (crowd.waiting >= maxQueue + (max - underWay)) {
      throw new ProxyError(503, 'queue-full', `${maxQueue} requests wait already (--concurrency ${max}).`)
    }
    const startedAt = performance.now()
    const turn = await turns.wait(req.cancel, maxWaitMs)
    exchange.queuedMs = (exchange.queuedMs ?? 0) + (performance.now() - startedAt)
    if (turn === 'gone') throw new ProxyError(499, 'client-gone', 'the client left before its turn')
    if (turn === 'late') {
      throw new ProxyError(
        503,
        'queue-timeout',
        `no turn within ${seconds(maxWaitMs)} (--concurrency ${max}, --rate-max-wait).`,
      )
    }
    const over = begin(turn)
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
  return Object.assign(stage, { waiting: () => Math.max(0, crowd.waiting - (max - underWay)) })
}
