/** Sentences that strangers can bring about as often as they like, told at most so often. */

/** Tells a sentence. */
export type Say = (sentence: string) => void

/** What tells seldom, and can be asked to tell what it holds back. */
export interface Seldom {
  say(sentence: string): void
  /** Tells what is held back. */
  flush(): void
}

/**
 * Tells the first sentence at once; of those that follow within `everyMs` only the last, when the time is over, and how
 * many there were: `… (31 more like it)`.
 */
export const seldom = (say: Say, everyMs = 1000): Seldom => {
  let timer: NodeJS.Timeout | undefined
  let held = 0
  let last = ''
  const flush = (): void => {
    if (held > 0) say(held === 1 ? last : `${last} (${held - 1} more like it)`)
    held = 0
  }
  const look = (): void => {
    timer = undefined
    if (held === 0) return
    flush()
    timer = setTimeout(look, everyMs).unref()
  }
  return {
    say(sentence) {
      if (timer === undefined) {
        say(sentence)
        timer = setTimeout(look, everyMs).unref()
      } else {
        held++
        last = sentence
      }
    },
    flush,
  }
}
