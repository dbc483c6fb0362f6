/** How values are distributed: fixed buckets as Prometheus shows them, and quantiles of durations. */

/** Labels of a sample by name. */
export type Labels = Record<string, string | number>

/** A trace that is an example of the values of a bucket (OpenMetrics 1.0, "Exemplars"), in prom-client's shape. */
export interface Exemplar {
  readonly labelSet: Labels
  readonly value: number
  /** Seconds since the epoch. */
  readonly timestamp: number
}

/** One line of the text format, in prom-client's shape. */
export interface Sample {
  readonly metricName: string
  readonly labels: Labels
  readonly value: number
  readonly exemplar?: Exemplar
}

/** OpenTelemetry's buckets for HTTP durations, seconds. */
export const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]
/** For what happens within a proxy and its store: 10 µs to a second. */
export const FINE_BUCKETS = [
  0.00001, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1,
]
export const SIZE_BUCKETS = [100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]

/** Counts values in fixed buckets, as a Prometheus histogram shows them. */
export class Buckets {
  readonly #bounds: readonly number[]
  /** Values in each bucket alone, the last for those above every bound. */
  readonly #counts: Float64Array
  #sum = 0
  #exemplars: Array<Exemplar | undefined> | undefined

  /** `bounds` are upper and inclusive, rising. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = new Float64Array(bounds.length + 1)
  }

  observe(value: number): void {
    this.#counts[this.#bucket(value)]!++
    this.#sum += value
  }

  /** Names the trace of a value that was observed; its bucket shows the latest. */
  exemplify(value: number, traceId: string, spanId: string, atMs: number): void {
    this.#exemplars ??= []
    this.#exemplars[this.#bucket(value)] = {
      labelSet: { trace_id: traceId, span_id: spanId },
      value,
      timestamp: atMs / 1000,
    }
  }

  #bucket(value: number): number {
    let at = 0
    while (at < this.#bounds.length && value > this.#bounds[at]!) at++
    return at
  }

  samples(name: string, labels: Labels): Sample[] {
    let total = 0
    const samples: Sample[] = []
    for (const [at, count] of this.#counts.entries()) {
      total += count
      const le = this.#bounds[at] ?? '+Inf'
      const exemplar = this.#exemplars?.[at]
      const sample = { metricName: `${name}_bucket`, labels: { le, ...labels }, value: total }
      samples.push(exemplar === undefined ? sample : { ...sample, exemplar })
    }
    samples.push({ metricName: `${name}_sum`, labels, value: this.#sum })
    samples.push({ metricName: `${name}_count`, labels, value: total })
    return samples
  }
}

/** Each step of the sketch reaches 2 % further than the one below: its middle is within 1 % of any value in it. */
const STEP = Math.log(1.02)
/** A microsecond to 28 hours, in milliseconds; what lies outside counts at the ends. */
const SHORTEST = 0.001
const STEPS = Math.ceil(Math.log(1e8 / SHORTEST) / STEP) + 1

/** Quantiles of all durations since the start, within 1 %, in 10 KB however many they are. */
export class Latency {
  readonly #counts = new Float64Array(STEPS)
  #count = 0
  #sum = 0
  #min = Number.POSITIVE_INFINITY
  #max = 0

  get count(): number {
    return this.#count
  }

  observe(ms: number): void {
    const at = ms <= SHORTEST ? 0 : Math.min(Math.ceil(Math.log(ms / SHORTEST) / STEP), STEPS - 1)
    this.#counts[at]!++
    this.#count++
    this.#sum += ms
    if (ms < this.#min) this.#min = ms
    if (ms > this.#max) this.#max = ms
  }

  /** The smallest duration that at least this share of all do not exceed, in ms; 0 while there is none. */
  quantile(share: number): number {
    if (this.#count === 0) return 0
    const rank = Math.ceil(share * this.#count)
    let at = 0
    for (let seen = this.#counts[0]!; seen < rank && at < STEPS - 1; ) seen += this.#counts[++at]!
    return Math.min(Math.max(SHORTEST * Math.exp((at - 0.5) * STEP), this.#min), this.#max)
  }

  samples(name: string, labels: Labels): Sample[] {
    return [
      ...[0.5, 0.9, 0.99].map((quantile) => ({
        metricName: name,
        labels: { quantile, ...labels },
        value: this.quantile(quantile),
      })),
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: this.#count },
    ]
  }
}
