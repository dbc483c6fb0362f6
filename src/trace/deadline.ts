/**
 * Waits for the work, but no longer than `ms`; how it ends makes no difference, and it never rejects. Its timer keeps
 * the process up, so that an end that is waited for is not cut short.
 */
export const within = (ms: number, work: Promise<unknown>): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    work.then(done, done)
  })
