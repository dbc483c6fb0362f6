/**
 * How lately one is sure to have been told of all changes to what one has copies of: by an answer over the connection
 * that tells of them. What was told before that answer came before it.
 */

/** How old a proof may be, ms. */
export const PROOF_MS = 100
/** The part of that age from which on it is renewed: what is left is for the way there and back. */
const RENEW_SHARE = 0.3

/** Something that was asked, when, by a clock that only goes forward. */
export interface Question {
  readonly at: number
}

/** How lately all changes are known of, by what was asked over one connection and answered in order. */
export class Proof {
  #at = Number.NEGATIVE_INFINITY
  /** In the order in which they were asked. */
  readonly #open = new Set<Question>()
  readonly #validMs: number

  constructor(validMs = PROOF_MS) {
    this.#validMs = validMs
  }

  /** Whether all changes that were made that long ago or longer are known of. */
  holds(now: number): boolean {
    return now - this.#at < this.#validMs
  }

  /** Whether it is time to ask only for the sake of the answer. */
  isDue(now: number): boolean {
    return now - this.#at >= this.#validMs * RENEW_SHARE && this.#open.size === 0
  }

  /** Whether a question has been open for too long to ask more. */
  isSilent(now: number): boolean {
    for (const { at } of this.#open) return now - at >= this.#validMs
    return false
  }

  asked(now: number): Question {
    const question = { at: now }
    this.#open.add(question)
    return question
  }

  answered(question: Question): void {
    // One from before the connection broke says nothing of the one that took its place.
    if (this.#open.delete(question)) this.#at = Math.max(this.#at, question.at)
  }

  failed(question: Question): void {
    this.#open.delete(question)
  }

  /** The connection broke: nothing is known of what changed meanwhile. */
  broken(): void {
    this.#at = Number.NEGATIVE_INFINITY
    this.#open.clear()
  }
}
