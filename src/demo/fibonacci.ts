/** How long one slice may hold the event loop; other requests get their turn in between. */
const SLICE_MS = 5

/**
 * The Fibonacci number at `pos` in decimal, exact and slow on purpose: each sum is written out and read again, so that
 * a cached answer shows in the time. Yields to the event loop between slices. Gives undefined once `wanted` says no.
 */
export const fibonacci = async (pos: number, wanted: () => boolean): Promise<string | undefined> => {
  let current = 0n
  let next = 1n
  let sliceEndsAt = performance.now() + SLICE_MS
  for (let i = 0; i < pos; i++) {
    const sum = BigInt((current + next).toString())
    current = next
    next = sum
    if (performance.now() < sliceEndsAt) continue
    await new Promise<void>((resolve) => setImmediate(resolve))
    if (!wanted()) return undefined
    sliceEndsAt = performance.now() + SLICE_MS
  }
  return current.toString()
}
