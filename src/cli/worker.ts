/** A worker process of `--workers`: settles the same words as the process that started it, and serves. */

import { work } from '../cluster/worker.ts'
import { WORKER_ENV } from '../cluster/worker-process.ts'
import { type Given, settle } from './settings.ts'

/** Serves until told to end; never resolves. */
export const serveAsWorker = (env: NodeJS.ProcessEnv): Promise<never> => {
  const { [WORKER_ENV]: _, ...plain } = env
  work((given) => settle(given as Given, plain).options)
  return new Promise(() => {})
}
