import type { SpanRecord } from '../observe/spans.ts'
import { within } from './deadline.ts'
import {
  BATCH_MS,
  BATCH_SPANS,
  closedFirst,
  type Delivery,
  QUEUE_SPANS,
  queueFull,
  type SpanExporter,
} from './exporter.ts'
import { failureReason } from './failure.ts'

/** What became of the spans of one batch. */
export interface Outcome {
  sent: number
  lost: number
  /** Why the lost ones are. */
  why: string | undefined
}

/**
 * A bounded queue in front of `send`, which is called with one batch at a time and, when it rejects, has lost all of
 * it. `release` is called once at the end, while a `send` may still be under way, and ends that.
 */
export const batching = (options: {
  delivery: Delivery
  send: (spans: readonly SpanRecord[]) => Promise<Outcome>
  release: () => void
}): SpanExporter => {
  const { delivery, send, release } = options
  const waiting: SpanRecord[] = []
  let inFlight = 0
  let state: 'open' | 'closing' | 'closed' = 'open'
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> | undefined

  const sendOne = async (): Promise<void> => {
    const batch = waiting.splice(0, BATCH_SPANS)
    inFlight = batch.length
    let outcome: Outcome
    try {
      outcome = await send(batch)
    } catch (error) {
      outcome = { sent: 0, lost: batch.length, why: failureReason(error) }
    }
    // Told already, as lost.
    if (state === 'closed') return
    inFlight = 0
    if (outcome.lost > 0) delivery.lost(outcome.lost, outcome.why ?? 'for no known reason')
    if (outcome.sent > 0) delivery.sent(outcome.sent)
  }

  const drain = async (atLeast: number): Promise<void> => {
    clearTimeout(timer)
    timer = undefined
    while (waiting.length >= atLeast && state !== 'closed') await sendOne()
  }

  const wake = (): void => {
    if (running !== undefined || state !== 'open' || waiting.length === 0) return
    if (waiting.length >= BATCH_SPANS) start(BATCH_SPANS)
    else timer ??= setTimeout(start, BATCH_MS, 1).unref()
  }

  const start = (atLeast: number): void => {
    running = drain(atLeast).finally(() => {
      running = undefined
      wake()
    })
  }

  return {
    add(spans) {
      if (state !== 'open') return delivery.lost(spans.length, closedFirst)
      const room = QUEUE_SPANS - waiting.length
      waiting.push(...(spans.length > room ? spans.slice(0, room) : spans))
      if (spans.length > room) delivery.lost(spans.length - room, queueFull)
      wake()
    },
    async close(deadlineMs) {
      if (state !== 'open') return
      state = 'closing'
      await within(
        deadlineMs,
        (running ?? Promise.resolve()).then(() => drain(1)),
      )
      state = 'closed'
      clearTimeout(timer)
      if (waiting.length + inFlight > 0) delivery.lost(waiting.length + inFlight, closedFirst)
      waiting.length = 0
      release()
    },
  }
}
