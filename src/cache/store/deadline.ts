import { StoreError } from './store.ts'

/** `work`, or a StoreError when it takes longer than so many ms; what it does goes on then. */
export const within = <T>(ms: number, work: Promise<T>): Promise<T> => {
  if (ms === Number.POSITIVE_INFINITY) return work
  return new Promise((resolve, reject) => {
    let immediate: NodeJS.Immediate | undefined
    const timer = setTimeout(
      () => {
        // After this thread was busy, timers run before replies are read that came long ago: one more turn for those.
        immediate = setImmediate(() => reject(new StoreError('too-slow-store')))
      },
      Math.max(0, ms),
    )
    const settle = (): void => {
      clearTimeout(timer)
      clearImmediate(immediate)
    }
    work.then(
      (value) => {
        settle()
        resolve(value)
      },
      (error: unknown) => {
        settle()
        reject(error)
      },
    )
  })
}
