/**
 * Whether the process on the other side of a link answers. One that was stopped, or is busy for seconds, would keep
 * every request waiting that has something to ask of it.
 *
 * - Looked at only while something was asked and is not answered yet.
 * - Silence is counted in looks, not by the clock: this process may have been stopped itself.
 * - What was asked is given up when it falls silent; asked in silence, it is refused at once. A single answer ends that.
 */
import type { Link, Said } from './link.ts'

const LOOK_MS = 500
/** So many looks without an answer are silence. */
const LOOKS = 4

/** The other process does not answer for now. */
export class Silent extends Error {
  constructor() {
    super('the other process does not answer')
  }
}

type Answer = Awaited<ReturnType<Link['call']>>

export class Presence {
  readonly #link: Link
  readonly #asking = new Set<(error: Error) => void>()
  #timer: NodeJS.Timeout | undefined
  #calling = false
  #missed = 0
  #silent = false

  constructor(link: Link) {
    this.#link = link
  }

  /** Asks over the link, and rejects with Silent besides; `late` is given what comes all the same. */
  ask(what: string, said: Said, bytes?: Buffer, late?: (said: Said) => void): Promise<Answer> {
    if (this.#silent) return Promise.reject(new Silent())
    return new Promise((resolve, reject) => {
      this.#asking.add(reject)
      this.#timer ??= setInterval(() => this.#look(), LOOK_MS)
      this.#link.call(what, said, bytes).then(
        (answer) => {
          if (this.#asking.delete(reject)) resolve(answer)
          else late?.(answer.said)
        },
        (error: Error) => {
          this.#asking.delete(reject)
          reject(error)
        },
      )
    })
  }

  #look(): void {
    if (this.#asking.size === 0) {
      this.#stop()
      return
    }
    if (!this.#calling) {
      this.#call()
      return
    }
    if (++this.#missed < LOOKS) return
    this.#silent = true
    this.#stop()
    for (const reject of this.#asking) reject(new Silent())
    this.#asking.clear()
  }

  #call(): void {
    this.#calling = true
    const answered = (): void => {
      this.#calling = false
      this.#silent = false
      this.#missed = 0
    }
    this.#link.call('here').then(answered, answered)
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
