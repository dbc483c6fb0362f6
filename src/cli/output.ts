/** What is printed may be read by a program that has seen enough: `revproxy --help | head`. */

interface Output {
  on(event: 'error', listener: (error: NodeJS.ErrnoException) => void): unknown
  listenerCount(event: 'error'): number
}

/**
 * Lets a closed pipe end nothing but the printing. Whatever else goes wrong there and is nobody's business yet, such as
 * a full disk, is given to `onLost`, once: what is said of it may be lost in turn, as when the terminal is gone.
 */
export const toleratePipes = (streams: readonly Output[], onLost: (error: Error) => void): void => {
  let told = false
  for (const stream of streams) {
    stream.on('error', (error) => {
      if (told || error.code === 'EPIPE' || stream.listenerCount('error') !== 1) return
      told = true
      onLost(error)
    })
  }
}
