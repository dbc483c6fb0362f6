/**
 * Says once that nobody waits for an answer any more. It does the part of AbortSignal that a request needs
 * and costs a plain object instead (an AbortController per request costs what a whole stage costs).
 */
export class Cancel {
  #fired = false
  #listeners: Array<(() => void) | undefined> | undefined

  get fired(): boolean {
    return this.#fired
  }

  /** Runs every listener once, in order; later calls do nothing. */
  fire(): void {
    if (this.#fired) return
    this.#fired = true
    const listeners = this.#listeners
    this.#listeners = undefined
    if (listeners !== undefined) for (const listener of listeners) listener?.()
  }

  /** Calls `listener` when fired, at once if that has happened already. Gives the function that takes it back. */
  onFire(listener: () => void): () => void {
    if (this.#fired) {
      listener()
      return () => {}
    }
    this.#listeners ??= []
    const listeners = this.#listeners
    const at = listeners.push(listener) - 1
    return () => {
      listeners[at] = undefined
    }
  }
}
