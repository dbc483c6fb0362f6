/** What expectations may be about, and how each is counted (the words of DESIGN §3). */

/** What a metric is measured in: whole numbers, a share from 0 to 1, or milliseconds. */
export type Unit = 'count' | 'share' | 'duration'

/** One metric. */
export interface MetricSpec {
  readonly unit: Unit
  /** Only grows while requests come, so that it can be known before the end that a bound is passed. */
  readonly grows: boolean
  /** What `reason=` selects by: the cache's reasons, the codes of errors, or nothing. */
  readonly reasons: 'cache' | 'errors' | undefined
  readonly help: string
}

const count = (help: string, reasons?: 'cache' | 'errors'): MetricSpec => ({
  unit: 'count',
  grows: true,
  reasons,
  help,
})
const duration = (help: string, grows = false): MetricSpec => ({
  unit: 'duration',
  grows,
  reasons: undefined,
  help,
})

/** Every metric by its name. */
export const metrics = {
  requests: count('requests of clients', 'cache'),
  'upstream-requests': count('requests sent to the upstream, refreshes too', 'cache'),
  'hit-ratio': {
    unit: 'share',
    grows: false,
    reasons: undefined,
    help: 'hit, stale, revalidated and coalesced, among these and misses',
  },
  misses: count('answers that the upstream had to give', 'cache'),
  p50: duration('durations as the client saw them'),
  p90: duration('durations as the client saw them'),
  p95: duration('durations as the client saw them'),
  p99: duration('durations as the client saw them'),
  max: duration('the longest duration', true),
  'upstream-p50': duration('durations of the requests to the upstream'),
  'upstream-p90': duration('durations of the requests to the upstream'),
  'upstream-p95': duration('durations of the requests to the upstream'),
  'upstream-p99': duration('durations of the requests to the upstream'),
  'upstream-max': duration('the longest request to the upstream', true),
  'overhead-p50': duration('the time that the proxy itself added until the head of the answer'),
  'overhead-p90': duration('the time that the proxy itself added until the head of the answer'),
  'overhead-p95': duration('the time that the proxy itself added until the head of the answer'),
  'overhead-p99': duration('the time that the proxy itself added until the head of the answer'),
  'overhead-max': duration('the most time that the proxy itself added', true),
  '4xx': count('answers with such a status'),
  '5xx': count('answers with such a status'),
  errors: count('requests that ended with an error of the upstream or of the proxy', 'errors'),
  'rate-limited': count('answers 429 of the proxy itself'),
  stale: count('answers served stale', 'cache'),
} as const satisfies Record<string, MetricSpec>

/** Name of a metric. */
export type Metric = keyof typeof metrics

/** Whether the word is a metric's. */
export const isMetric = (word: string): word is Metric => Object.hasOwn(metrics, word)

/** The share that the last part of a duration metric's name stands for; `max` is 1. */
export const quantileOf = (metric: Metric): number => {
  const last = metric.slice(metric.lastIndexOf('-') + 1)
  return last === 'max' ? 1 : Number(last.slice(1)) / 100
}
