/**
 * The workers of a run: as many as asked for, each replaced when it ends by accident.
 *
 * - One that ends is told of once, with its signal or exit code; the next one starts after a pause that doubles while
 *   they end soon.
 * - Where one cannot start several times in a row, the run is over.
 * - None outlives us: they end when their link closes, and are killed when this process exits.
 */
import type { Attended } from './attendance.ts'
import type { Begin } from './worker.ts'
import { type End, startWorker, type WorkerProcess, type WorkerProgram } from './worker-process.ts'

const ATTEMPTS = 3
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
/** Who served so long did not end soon. */
const SETTLED_MS = 10_000
/** Beyond its grace a worker has so long to end. */
const END_MS = 2000

/** What the crew needs. */
export interface CrewOptions {
  readonly size: number
  readonly program: WorkerProgram
  readonly begin: (worker: number, lastId: number) => Begin
  readonly attend: (process: WorkerProcess, worker: number) => Attended
  /** Told a sentence about a worker that ended. */
  readonly say: (sentence: string) => void
  /** No worker can be had any more. */
  readonly onFatal: (sentence: string) => void
  readonly onFault: (error: unknown) => void
}

/** One place in the crew, whoever holds it. */
interface Place {
  readonly worker: number
  process: WorkerProcess | undefined
  attended: Attended | undefined
  /** Times in a row that its worker ended soon, or never served. */
  soon: number
  unable: number
  lastId: number
  /** Spans given up by those who held it before. */
  spansBefore: number
}

/** The running workers. */
export interface Crew {
  readonly port: number
  readonly addresses: readonly string[]
  links(): Array<{ worker: number; link: WorkerProcess['link'] }>
  active(): number
  serving(): number
  restarts(): number
  spansDropped(): number
  /** Requests that wait for the target. */
  holding(): number
  close(graceMs: number): Promise<void>
}

/** How a worker ended, in words. */
export const endedHow = ({ code, signal, failure }: End): string =>
  failure !== undefined
    ? failure.message
    : signal === null
      ? `it ended with exit code ${code}`
      : `it was ended by ${signal}`

/** Starts all; resolves once each of them serves. Rejects with why one cannot. */
export const startCrew = async (options: CrewOptions): Promise<Crew> => {
  const places: Place[] = Array.from({ length: options.size }, (_, i) => ({
    worker: i + 1,
    process: undefined,
    attended: undefined,
    soon: 0,
    unable: 0,
    lastId: 0,
    spansBefore: 0,
  }))
  let closing = false
  let restarts = 0
  const killAll = (): void => {
    for (const { process: held } of places) held?.kill()
  }
  process.on('exit', killAll)

  const start = (place: Place): WorkerProcess => {
    const started = startWorker(options.program, options.begin(place.worker, place.lastId), options.onFault)
    const attended = options.attend(started, place.worker)
    place.process = started
    place.attended = attended
    const startedAt = performance.now()
    void started.ended.then((end) => {
      place.process = undefined
      place.lastId = Math.max(place.lastId, attended.reported.lastId)
      place.spansBefore += attended.state().spansDropped
      attended.abandon(`the worker process that served this request is gone: ${endedHow(end)}.`)
      if (!started.isReady()) place.unable++
      else place.unable = 0
      const settled = started.isReady() && performance.now() - startedAt >= SETTLED_MS
      place.soon = settled ? 0 : place.soon + 1
    })
    return started
  }

  /** Replaces whoever holds a place when it ends. */
  const watch = (place: Place, held: WorkerProcess): void => {
    void held.ended.then((end) => {
      if (closing) return
      const how = endedHow(end)
      if (place.unable >= ATTEMPTS) {
        options.onFatal(`worker ${place.worker} could not be started ${ATTEMPTS} times in a row: ${how}`)
        return
      }
      const pauseMs =
        place.soon === 0 ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (place.soon - 1))
      options.say(
        `worker ${place.worker} is gone, ${how}. Another one takes its place in ${pauseMs} ms; the requests it had are lost.`,
      )
      setTimeout(() => {
        if (closing) return
        restarts++
        watch(place, start(place))
      }, pauseMs)
    })
  }

  const begin = async (place: Place): Promise<{ port: number; addresses: string[] }> => {
    for (;;) {
      const started = start(place)
      const ready = await started.ready
      if (ready !== undefined) {
        watch(place, started)
        return ready
      }
      const end = await started.ended
      // What it says itself will be the same the next time.
      if (end.failure !== undefined) throw end.failure
      if (place.unable >= ATTEMPTS)
        throw new Error(
          `worker ${place.worker} could not be started ${ATTEMPTS} times in a row: ${endedHow(end)}`,
        )
    }
  }

  const close = async (graceMs: number): Promise<void> => {
    closing = true
    await Promise.all(
      places.map(async ({ process: held }) => {
        if (held === undefined) return
        const timer = setTimeout(() => held.kill(), (held.isReady() ? graceMs : 0) + END_MS)
        if (held.isReady()) await held.link.call('close', { graceMs }).catch(() => {})
        held.link.tell('exit')
        await held.ended
        clearTimeout(timer)
      }),
    )
    process.off('exit', killAll)
  }

  let first: { port: number; addresses: string[] }
  try {
    ;[first] = (await Promise.all(places.map(begin))) as [{ port: number; addresses: string[] }]
  } catch (error) {
    closing = true
    killAll()
    await Promise.all(places.map(({ process: held }) => held?.ended))
    process.off('exit', killAll)
    throw error
  }
  const total = (of: (place: Place) => number): number => places.reduce((sum, place) => sum + of(place), 0)
  return {
    ...first,
    links: () =>
      places.flatMap(({ worker, process: held }) => (held?.isReady() ? [{ worker, link: held.link }] : [])),
    active: () =>
      total(({ process: held, attended }) => (held === undefined ? 0 : attended!.reported.active)),
    serving: () => total(({ process: held }) => (held?.isReady() ? 1 : 0)),
    restarts: () => restarts,
    holding: () =>
      total(({ process: held, attended }) => (held === undefined ? 0 : attended!.state().holding)),
    spansDropped: () =>
      total(
        ({ spansBefore, process: held, attended }) =>
          spansBefore + (held === undefined ? 0 : attended!.state().spansDropped),
      ),
    close,
  }
}
