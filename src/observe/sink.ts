import type { Writable } from 'node:stream'
import { lostLines } from './lost-lines.ts'

/** Where log lines go. None of its functions throws or waits. */
export interface LineSink {
  /** Takes whole lines, line ends included; one call counts as one line. */
  write(text: string): void
  /** So many lines were lost on their way here. */
  lose(lines: number): void
  /** Resolves when everything taken so far was handed over or lost, at the latest after `deadlineMs`. */
  flush(deadlineMs: number): Promise<void>
  /** Lines lost so far: no room for them, or the stream failed. */
  dropped(): number
}

/**
 * Lines to a stream that never hold a request up: those of one turn of the event loop leave in one write; while the
 * stream does not keep up, at most `maxBytes` wait (what the stream itself holds is counted), and what comes then is
 * dropped, counted, and told of by `notice` once there is room again. A stream that fails (disk full, input/output
 * error) costs the lines of that write; one whose reader is gone (EPIPE) is left alone from then on.
 */
export const lineSink = (
  stream: Writable,
  {
    maxBytes = 4 * 1024 * 1024,
    notice = lostLines('plain'),
    onFailure,
  }: {
    maxBytes?: number
    notice?: (count: number) => string
    /** Told when writing begins to fail, once until it works again; must not throw. */
    onFailure?: ((error: NodeJS.ErrnoException) => void) | undefined
  } = {},
): LineSink => {
  let waiting = ''
  let waitingLines = 0
  let waitingBytes = 0
  let scheduled = false
  let backedUp = false
  let stopped = false
  let failing = false
  let inFlight = 0
  let lost = 0
  let untold = 0
  const whenEmpty = new Set<() => void>()

  const lose = (lines: number) => {
    lost += lines
    untold += lines
  }
  const settle = () => {
    if (stopped || (waiting === '' && inFlight === 0)) for (const resolve of whenEmpty) resolve()
  }
  const stop = () => {
    if (stopped) return
    stopped = true
    lose(waitingLines)
    waiting = ''
    waitingLines = 0
    waitingBytes = 0
    settle()
  }
  const handOver = () => {
    if (stopped || backedUp || (waiting === '' && untold === 0)) return
    const told = untold
    const lines = waitingLines
    const text = told === 0 ? waiting : waiting + notice(told)
    waiting = ''
    waitingLines = 0
    waitingBytes = 0
    untold = 0
    inFlight++
    const written = (error?: Error | null) => {
      inFlight--
      if (error === null || error === undefined) failing = false
      else {
        if (!failing) onFailure?.(error)
        failing = true
        lose(lines)
        untold += told
        if (gone(error)) stop()
      }
      settle()
    }
    try {
      backedUp = !stream.write(text, written) && stream.writableNeedDrain
    } catch (error) {
      written(error as Error)
    }
  }
  const onTick = () => {
    scheduled = false
    handOver()
  }
  const schedule = () => {
    if (scheduled || backedUp) return
    scheduled = true
    setImmediate(onTick)
  }

  stream.on('drain', () => {
    backedUp = false
    handOver()
  })
  // The write that failed has counted its lines; here the failure is only kept from ending the program. After it no
  // 'drain' comes, so that the next line tries anew.
  stream.on('error', (error) => {
    backedUp = false
    if (gone(error)) stop()
  })
  // process.stdout also says 'close' after an error, and goes on all the same.
  stream.on('close', () => {
    backedUp = false
    if (stream.destroyed) stop()
  })

  return {
    write(text) {
      const bytes = Buffer.byteLength(text)
      if (stopped || waitingBytes + stream.writableLength + bytes > maxBytes) {
        lose(1)
        return
      }
      waiting += text
      waitingBytes += bytes
      waitingLines++
      schedule()
    },
    lose(lines) {
      lose(lines)
      if (!stopped) schedule()
    },
    flush(deadlineMs) {
      handOver()
      if (stopped || (waiting === '' && inFlight === 0)) return Promise.resolve()
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer)
          whenEmpty.delete(done)
          resolve()
        }
        const timer = setTimeout(done, deadlineMs)
        whenEmpty.add(done)
      })
    },
    dropped: () => lost,
  }
}

/** The reader has left, or the stream was closed: nothing will ever arrive. */
const gone = (error: Error): boolean => {
  const { code } = error as NodeJS.ErrnoException
  return code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ERR_STREAM_WRITE_AFTER_END'
}
