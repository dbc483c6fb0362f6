/**
 * Faults of our own. One that comes with a request costs that request (500) and is told here with its stack; one that
 * nobody caught is told too, and the process goes on: a proxy that ends takes every other request with it. Only before
 * the start is through is there nothing to keep alive, and the process ends with 8.
 */
import { exitCodes } from './exit-codes.ts'
import { type Say, type Seldom, seldom } from './seldom.ts'

/** Where faults are told. */
export interface Faults {
  /** A fault that was met while serving a request or telling of one. */
  met(error: unknown): void
  /** From now on a fault that nobody caught does not end the process. */
  started(): void
  flush(): void
}

/** The stack of what was thrown, whatever that is. */
export const stackOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? String(error)) : String(error)

/** Whether it is a mistake in the program, rather than something that the system or the user did. */
export const isMistake = (error: unknown): boolean =>
  !(error instanceof Error) ||
  (['TypeError', 'ReferenceError', 'RangeError', 'SyntaxError', 'AssertionError'].includes(error.name) &&
    (error as NodeJS.ErrnoException).code === undefined)

/** Takes what nobody catches. `count` is told of every fault, `say` at most one sentence a second. */
export const watchFaults = (
  { say, count }: { say: Say; count: () => void },
  host: Pick<NodeJS.Process, 'on' | 'exit' | 'stderr'> = process,
): Faults => {
  let started = false
  const told: Seldom = seldom(say)
  const uncaught = (error: unknown): void => {
    if (!started) {
      host.stderr.write(`revproxy: cannot start, by a fault of its own: ${stackOf(error)}\n`)
      host.exit(exitCodes.internal)
    }
    count()
    told.say(`unexpected: ${stackOf(error)}`)
  }
  host.on('uncaughtException', uncaught)
  host.on('unhandledRejection', uncaught)
  return {
    met(error) {
      count()
      told.say(`a fault of the proxy itself: ${stackOf(error)}`)
    },
    started() {
      started = true
    },
    flush: told.flush,
  }
}
