import { outcomeOf } from './outcome.ts'

/** What ends a run from outside. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The signals of a run. */
export interface Signals {
  /** The one that came; undefined while none has. */
  readonly came: () => NodeJS.Signals | undefined
}

/**
 * The first signal is told to `onFirst`; a second one ends the process at once. Whatever ends it, `atExit` is called
 * before, for what must not outlive us; it cannot wait.
 */
export const watchSignals = ({
  onFirst,
  atExit,
}: {
  onFirst: (name: NodeJS.Signals) => void
  atExit: () => void
}): Signals => {
  let came: NodeJS.Signals | undefined
  for (const name of SIGNALS) {
    process.on(name, () => {
      if (came !== undefined) process.exit(outcomeOf.signal(name).code)
      came = name
      onFirst(name)
    })
  }
  process.on('exit', atExit)
  return { came: () => came }
}
