import type { SpanRecord } from '../observe/spans.ts'

/** Sends spans to one endpoint, behind the back of the requests. */
export interface SpanExporter {
  /** Takes spans; what does not fit the queue is told lost. Never throws, never waits. */
  add(spans: readonly SpanRecord[]): void
  /** Sends what is queued, for at most `deadlineMs`, and tells the rest lost. Lets go of sockets and timers. Never rejects. */
  close(deadlineMs: number): Promise<void>
}

/** What an exporter tells about the spans it was given: each of them once, sent or lost. */
export interface Delivery {
  sent(spans: number): void
  /** `why` ends a sentence: no capital, no full stop. */
  lost(spans: number, why: string): void
  /** Lost, though others that came with them were taken. */
  refused(spans: number, why: string): void
}

/** Spans that wait for one endpoint; further ones are dropped (the default of OpenTelemetry's batch processor). */
export const QUEUE_SPANS = 2048
/** Spans of one request to an endpoint: encoding these holds the thread for some 5 ms. */
export const BATCH_SPANS = 256
/** How long spans wait for company. */
export const BATCH_MS = 500
/** After that an endpoint's answer is not waited for any more. */
export const ANSWER_MS = 5000

/** Why spans are lost when the queue is full. */
export const queueFull = `more than ${QUEUE_SPANS} were waiting for it`
/** Why spans are lost when the program ends. */
export const closedFirst = 'it had not taken them when the program ended'
