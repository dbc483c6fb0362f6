/** Before the command: the backends are started and the target is waited for. */

import { escapeControl } from '../observe/escape.ts'
import type { ColorLevel } from '../observe/palette.ts'
import type { Options } from '../options.ts'
import { type Backends, startBackends } from './backends.ts'
import { alreadyThere, notReady, notReadyThen, waitUntilReady } from './readiness.ts'
import type { StatusLine } from './status-line.ts'
import type { Watchdog } from './watchdog.ts'

/** What it needs to know and to speak. */
export interface BringUp {
  readonly options: Options
  readonly env: NodeJS.ProcessEnv
  readonly color: ColorLevel
  readonly terminal: boolean
  readonly status: StatusLine
  readonly say: (sentence: string) => void
  readonly watchdog: Watchdog | undefined
  /** Ends the waiting. */
  readonly stop: AbortSignal
  /** Told of the backends as soon as there are any, so that they can be ended. */
  readonly onBackends: (backends: Backends) => void
  /** Takes the sentences of what went wrong. */
  readonly problem: (sentence: string) => void
  /** Takes those of what fails nothing yet. */
  readonly warning: (sentence: string) => void
}

const DEFAULT_WAIT_MS = 60_000

/** `ready`; `late` when the target was not in time; `stopped` when the run was ended meanwhile. */
export const bringUp = async (given: BringUp): Promise<'ready' | 'late' | 'stopped'> => {
  const { options, say, problem, status, stop } = given
  const backends = options.start.length === 0 ? undefined : await startThem(given)
  const timeoutMs = options.wait ?? (backends === undefined ? 0 : DEFAULT_WAIT_MS)
  if (timeoutMs === 0) return stop.aborted ? 'stopped' : 'ready'

  const over = new AbortController()
  const end = (): void => over.abort()
  stop.addEventListener('abort', end)
  // Nobody waits for what has failed to start.
  backends?.onFailed(end)
  if (stop.aborted) end()
  const waited = await waitUntilReady(options, {
    timeoutMs,
    stop: over.signal,
    status: given.terminal ? status.show : undefined,
    say,
  })
  if (stop.aborted) return 'stopped'
  if (waited.outcome === 'ready') return 'ready'

  const ended = backends?.failed()
  const sentences =
    ended === undefined
      ? notReady(options, waited, backends?.finished() ?? [])
      : [ended, ...notReadyThen(options, waited)]
  for (const sentence of sentences) problem(sentence)
  const tail = (await backends?.tail()) ?? ''
  // All that was held back stands before the reason, and the end of it not once more behind it.
  if (options.quiet) status.write(backends?.held() ?? '')
  const [gist, ...more] = sentences
  say([gist, ...more.map((text) => `  ${escapeControl(text)}`)].join('\n'))
  if (tail !== '' && !options.quiet) status.write(`  its last lines:\n${tail}`)
  return 'late'
}

const startThem = async ({
  options,
  env,
  color,
  status,
  say,
  warning,
  watchdog,
  onBackends,
}: BringUp): Promise<Backends> => {
  const there = await alreadyThere(options)
  if (there.length > 0) {
    const sentence = `something answers on ${there.join(' and ')} already, before --start: an older server? Requests may reach it instead of what is started.`
    warning(sentence)
    say(sentence)
  }
  const { quiet } = options
  const backends = startBackends(options.start, { env, color, quiet, write: status.write, watchdog })
  onBackends(backends)
  return backends
}
