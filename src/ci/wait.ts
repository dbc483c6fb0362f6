/** `--wait`: until the target answers as it should. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Address, addressesOf, type Came, type ProbeOptions, probe } from './probe.ts'

/** What an address was asked and said. */
export interface Tried {
  readonly address: string
  readonly times: number
  /** What came last; undefined when it is still silent. */
  readonly came: Came | undefined
}

/** How waiting ended. */
export interface Waited {
  readonly outcome: 'ready' | 'late' | 'stopped'
  readonly afterMs: number
  /** The address that was ready. */
  readonly address: string | undefined
  readonly tried: readonly Tried[]
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1000
/** A dev server may compile for long before its first answer. */
const ATTEMPT_MS = 20_000

/** Asks all addresses of the target, each again and again, until one is ready. Never rejects. */
export const waitForTarget = async ({
  ask,
  accepts,
  timeoutMs,
  stop,
  onChange,
}: {
  readonly ask: ProbeOptions
  readonly accepts: (status: number) => boolean
  readonly timeoutMs: number
  /** Ends the waiting. */
  readonly stop: AbortSignal
  /** Told of each thing that comes back. */
  readonly onChange: (tried: readonly Tried[]) => void
}): Promise<Waited> => {
  const startedAt = performance.now()
  const tried = new Map<string, { address: string; times: number; came: Came | undefined }>()
  const over = new AbortController()
  const end = (): void => over.abort()
  stop.addEventListener('abort', end)
  if (stop.aborted) end()
  const timer = setTimeout(end, timeoutMs)
  let ready: string | undefined

  const record = (address: string, came: Came | undefined): void => {
    const entry = tried.get(address) ?? { address, times: 0, came: undefined }
    if (came === undefined) entry.times++
    else entry.came = came
    tried.set(address, entry)
    onChange([...tried.values()])
  }
  /** Asks one address until it is ready or all is over. */
  const askOne = async (address: Address): Promise<void> => {
    for (let pause = FIRST_PAUSE_MS; !over.signal.aborted; pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5)) {
      record(address.text, undefined)
      const came = await probe(address, ask, { timeoutMs: ATTEMPT_MS, signal: over.signal })
      if (over.signal.aborted) return
      record(address.text, came)
      if (came.kind === 'answer' && accepts(came.status)) {
        ready = address.text
        end()
        return
      }
      await sleep(pause, undefined, { signal: over.signal }).catch(() => {})
    }
  }
  while (!over.signal.aborted) {
    try {
      await Promise.all((await addressesOf(ask.target)).map(askOne))
    } catch (error) {
      // The name may come to be known, as that of a container does.
      const { code = 'ENOTFOUND', message } = error as NodeJS.ErrnoException
      record(ask.target.hostname, undefined)
      record(ask.target.hostname, { kind: 'error', code, message })
      await sleep(LONGEST_PAUSE_MS / 4, undefined, { signal: over.signal }).catch(() => {})
    }
  }
  clearTimeout(timer)
  stop.removeEventListener('abort', end)
  return {
    outcome: ready !== undefined ? 'ready' : stop.aborted ? 'stopped' : 'late',
    afterMs: performance.now() - startedAt,
    address: ready,
    tried: [...tried.values()],
  }
}
