/** How a run ends, from all that happened in it: which exit code wins, and the word for it (DESIGN §3). */
import { exitCodes } from '../cli/exit-codes.ts'
import type { ProcessEnd } from './backend.ts'
import type { Exit } from './report.ts'

/** What happened. */
export interface Happened {
  /** How the command ended; `not run` when it came to nothing, `none` when none was given. */
  readonly command: ProcessEnd | 'not run' | 'none'
  /** We ended the run since an expectation could not be met any more. */
  readonly cutShort: boolean
  /** The target was not ready in time. */
  readonly notReached: boolean
  readonly signalled: NodeJS.Signals | undefined
  readonly faults: number
  /** A command of `--start` ended by itself with a code other than 0. */
  readonly backendDied: boolean
  readonly failedExpectations: number
}

const signal = (name: NodeJS.Signals): Exit => {
  if (name === 'SIGINT') return { code: exitCodes.interrupted, reason: 'interrupted' }
  if (name === 'SIGHUP') return { code: exitCodes.hungUp, reason: 'hung-up' }
  return { code: exitCodes.terminated, reason: 'terminated' }
}

const run = (happened: Happened): Exit => {
  const { command, cutShort, notReached, signalled, faults, backendDied, failedExpectations } = happened
  const expectation: Exit = { code: exitCodes.expectation, reason: 'expectation-failed' }
  if (notReached)
    return { code: exitCodes.notReady, reason: backendDied ? 'backend-ended' : 'target-not-ready' }
  // The command's code is then our own doing.
  if (cutShort) return expectation
  if (command === 'not run') {
    return signalled === undefined
      ? { code: exitCodes.cannotStart, reason: 'cannot-start' }
      : signal(signalled)
  }
  if (command !== 'none') {
    if (command.code !== 0) {
      // Interrupted together with the command: the reason is the signal, the code still the command's.
      return {
        code: command.code,
        reason: signalled === undefined ? 'command-failed' : signal(signalled).reason,
      }
    }
    if (signalled !== undefined) return signal(signalled)
  }
  if (faults > 0) return { code: exitCodes.internal, reason: 'internal-error' }
  if (backendDied) return { code: exitCodes.notReady, reason: 'backend-ended' }
  if (failedExpectations > 0) return expectation
  // Without a command a signal is how such a run ends; a script asks for the expectations all the same.
  return signalled === undefined ? { code: exitCodes.fine, reason: 'ok' } : signal(signalled)
}

/** Exits by what happened. */
export const outcomeOf = { run, signal }
