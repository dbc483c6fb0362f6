/** Waiting for the target, with what a person sees of it. */

import { formatDuration } from '../observe/units.ts'
import type { Options } from '../options.ts'
import { addressesOf, cameText, isNobody, type ProbeOptions, probe } from './probe.ts'
import { type Tried, type Waited, waitForTarget } from './wait.ts'

/** How the target is asked, from the options. */
export const probeOptions = (options: Options): ProbeOptions => ({
  target: options.target!,
  path: options['wait-path'],
  hostHeader: options['host-header'],
  header: options.header,
  insecure: options.insecure,
  ca: options.ca,
})

/** A gateway says so while what is behind it starts. */
const startingUp = (status: number): boolean => status === 502 || status === 503 || status === 504

const STILL_MS = 2000

/** Waits for the target; `status` shows a line that replaces itself, `say` a line that stays. */
export const waitUntilReady = async (
  options: Options,
  {
    timeoutMs,
    stop,
    status,
    say,
  }: {
    timeoutMs: number
    stop: AbortSignal
    /** Undefined where lines cannot be replaced. */
    status: ((text: string) => void) | undefined
    say: (text: string) => void
  },
): Promise<Waited> => {
  const startedAt = performance.now()
  const target = options.target!.display
  let last: readonly Tried[] = []
  const progress = (): void => {
    const texts = last.flatMap(({ address, came }) => (came === undefined ? [] : [[address, cameText(came)]]))
    // Both families mostly say the same, and a line has little room.
    const came =
      new Set(texts.map(([, text]) => text)).size === 1
        ? [texts[0]![1]]
        : texts.map(([address, text]) => `${address}: ${text}`)
    const seconds = Math.round((performance.now() - startedAt) / 1000)
    status?.(`waiting for ${target}, ${seconds} s${came.length === 0 ? '' : ` (${came.join('; ')})`}`)
  }
  const ticking = setInterval(progress, 250)
  const still = setTimeout(() => {
    if (status === undefined) say(`waiting for ${target}, up to ${formatDuration(timeoutMs)}.`)
  }, STILL_MS)
  try {
    return await waitForTarget({
      ask: probeOptions(options),
      accepts: options['wait-status'] ?? ((code) => !startingUp(code)),
      timeoutMs,
      stop,
      onChange: (tried) => {
        last = tried
      },
    })
  } finally {
    clearInterval(ticking)
    clearTimeout(still)
    status?.('')
  }
}

/**
 * Sentences on a target that was not ready in time: the gist, which commands of --start had `finished`, what was tried,
 * and what to do.
 */
export const notReady = (options: Options, waited: Waited, finished: readonly string[]): string[] => {
  const answered = waited.tried.some(({ came }) => came?.kind === 'answer')
  return [
    `${options.target!.display} was not ready within ${formatDuration(waited.afterMs)}.`,
    ...finished,
    ...asked(options, waited),
    answered
      ? 'It is there and answers, but not as wanted: --wait-path asks for another path, --wait-status takes other answers.'
      : 'Is it starting, and on this port? A longer --wait gives it more time.',
  ]
}

/** The same when it was given up before its time. */
export const notReadyThen = (options: Options, waited: Waited): string[] => [
  `${options.target!.display} was not ready by then.`,
  ...asked(options, waited),
]

const asked = (options: Options, { tried }: Waited): string[] =>
  tried.map(({ address, times, came }) => {
    const result = came === undefined ? 'no answer' : cameText(came)
    const path = `${options.target!.basePath}${options['wait-path']}`
    return `GET ${path} on ${address}, ${times} ${times === 1 ? 'time' : 'times'}: ${result}`
  })

/** Where something listens already that should only be started now; for targets on this machine. */
export const alreadyThere = async (options: Options): Promise<string[]> => {
  const { hostname, socketPath } = options.target!
  if (socketPath === undefined && !/^(?:localhost|127\..*|::1)$/.test(hostname)) return []
  const addresses = await addressesOf(options.target!)
  const there = await Promise.all(
    addresses.map(async (address) => {
      const came = await probe(address, probeOptions(options), { timeoutMs: 1000 })
      return came.kind === 'error' && isNobody(came.code) ? [] : [address.text]
    }),
  )
  return there.flat()
}
