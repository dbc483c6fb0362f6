/** Quantiles of many values (durations, mostly) in bounded memory. */
export interface Quantiles {
  /** Takes a value; negative ones (a clock that was set back) count as 0, NaN not at all. */
  add(value: number): void
  /** The smallest value that at least the share `q` of all do not exceed (nearest rank); undefined without values. */
  quantile(q: number): number | undefined
  count(): number
  max(): number | undefined
}

const EXACT_UP_TO = 100_000
const ERROR = 0.01
/** Each bucket is wider than the one before by this factor, so that its middle is within ERROR of all it holds. */
const GROWTH = (1 + ERROR) / (1 - ERROR)
const LOG_GROWTH = Math.log(GROWTH)
const SMALLEST = 1e-3
const LARGEST = 1e12
const BUCKETS = Math.ceil(Math.log(LARGEST / SMALLEST) / LOG_GROWTH) + 1

/**
 * Exact for the first 100,000 values; from then on within 1 % of a value, in logarithmic buckets from 0.001 to 10^12
 * (14 KB). Smaller values count as 0.001, larger ones as the largest.
 */
export const quantiles = ({ exactUpTo = EXACT_UP_TO }: { exactUpTo?: number } = {}): Quantiles => {
  let exact: Float64Array | undefined = new Float64Array(Math.min(exactUpTo, 1024))
  let sorted = true
  let buckets: Float64Array | undefined
  let count = 0
  let min = Number.POSITIVE_INFINITY
  let max = Number.NEGATIVE_INFINITY

  return {
    add(given) {
      if (Number.isNaN(given)) return
      const value = Math.max(0, given)
      if (value < min) min = value
      if (value > max) max = value
      if (exact !== undefined && count < exactUpTo) {
        if (count === exact.length) exact = grown(exact, exactUpTo)
        exact[count++] = value
        sorted = false
        return
      }
      if (buckets === undefined) {
        buckets = new Float64Array(BUCKETS)
        for (const each of exact?.subarray(0, count) ?? []) buckets[bucketOf(each)]! += 1
        exact = undefined
      }
      buckets[bucketOf(value)]! += 1
      count++
    },
    quantile(q) {
      if (count === 0) return undefined
      const rank = Math.min(count, Math.max(1, Math.ceil(q * count)))
      if (exact !== undefined) {
        const values = exact.subarray(0, count)
        if (!sorted) values.sort()
        sorted = true
        return values[rank - 1]
      }
      // Both ends are known exactly.
      if (rank === 1) return min
      if (rank === count) return max
      let seen = 0
      let bucket = 0
      while (seen + buckets![bucket]! < rank) seen += buckets![bucket++]!
      return Math.min(max, Math.max(min, middleOf(bucket)))
    },
    count: () => count,
    max: () => (count === 0 ? undefined : max),
  }
}

const grown = (values: Float64Array, bound: number): Float64Array => {
  const larger = new Float64Array(Math.min(bound, values.length * 2))
  larger.set(values)
  return larger
}

/** Bucket `i` holds the values above SMALLEST · GROWTH^(i-1), up to SMALLEST · GROWTH^i. */
const bucketOf = (value: number): number =>
  value <= SMALLEST ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log(value / SMALLEST) / LOG_GROWTH))

const middleOf = (bucket: number): number =>
  bucket === 0 ? SMALLEST : (SMALLEST * GROWTH ** bucket * 2) / (1 + GROWTH)
