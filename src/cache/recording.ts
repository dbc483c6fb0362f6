/**
 * A response body that is read by several and kept while it arrives.
 *
 * - Every reader gets all bytes from the first, at its own pace.
 * - While the body may still be stored it is kept whole, and the upstream is not slowed down: `maxBytes` bounds it.
 * - Once it is larger it is let go (`too-large`): from then on only a window between the fastest and the slowest reader
 *   is kept, no reader can join any more, and the slowest one paces the upstream.
 * - A reader that holds up others for too long is cut off; one that is alone never is.
 * - The last reader to leave destroys the source.
 */
import { Readable } from 'node:stream'
import type { StorageReason } from '../core/reasons.ts'

/** How far readers may be apart once the body is not kept. */
const WINDOW_BYTES = 1024 * 1024
/** How long one reader may hold up the others. */
const PATIENCE_MS = 10_000

/** What a recording is told and tells. */
export interface RecordingOptions {
  readonly maxBytes: number
  /** Bytes announced by Content-Length. */
  readonly expectedBytes: number | undefined
  /** Asks for room for that many more bytes; false when all recordings together have too many. */
  readonly claim: (bytes: number) => boolean
  readonly release: (bytes: number) => void
  /** Called once: with the whole body, or with why it is not to be stored. */
  readonly onSettled: (outcome: { body: Buffer } | { refusal: StorageReason }) => void
}

export class Recording {
  readonly #source: Readable
  readonly #options: RecordingOptions
  readonly #readers = new Set<Reader>()
  #chunks: Buffer[] = []
  /** Chunks that were let go before the first in `#chunks`. */
  #gone = 0
  #bytes = 0
  #claimed = 0
  #keeping = true
  #state: 'arriving' | 'complete' | 'failed' = 'arriving'
  #error: Error | undefined
  #impatience: NodeJS.Timeout | undefined

  constructor(source: Readable, options: RecordingOptions) {
    this.#source = source
    this.#options = options
    source.on('data', (chunk: Buffer) => this.#arrived(chunk))
    source.on('end', () => this.#ended())
    source.on('error', (error) => this.#failed(error, 'aborted'))
    source.on('close', () => this.#failed(new Error('closed before its end'), 'aborted'))
    source.pause()
  }

  /** Whether a reader that starts now would still get the first byte. */
  get joinable(): boolean {
    return this.#keeping && this.#state !== 'failed'
  }

  /** A stream of the whole body. */
  reader(): Readable {
    const reader = new Reader(this)
    this.#readers.add(reader)
    return reader
  }

  /** Nobody came: ends the source. */
  abandonIfUnread(): void {
    if (this.#readers.size === 0) this.#source.destroy()
  }

  /** Gives a reader what there is for it. */
  feed(reader: Reader): void {
    while (reader.at - this.#gone < this.#chunks.length) {
      const chunk = this.#chunks[reader.at - this.#gone]!
      reader.at++
      if (!reader.push(chunk)) {
        this.#trim()
        this.#pace()
        return
      }
    }
    if (this.#state === 'complete') reader.push(null)
    else if (this.#state === 'failed') reader.destroy(this.#error)
    else {
      reader.hungry = true
      this.#trim()
      this.#pace()
    }
  }

  /** A reader is done or gone. */
  leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return
    if (this.#readers.size === 0 && this.#state === 'arriving') this.#source.destroy()
    else {
      this.#trim()
      this.#pace()
    }
    if (this.#readers.size === 0 && this.#state !== 'arriving') this.#chunks = []
  }

  #arrived(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    if (this.#keeping) {
      if (this.#bytes > this.#options.maxBytes || !this.#options.claim(chunk.length)) this.#letGo('too-large')
      else this.#claimed += chunk.length
    }
    for (const reader of this.#readers) {
      if (!reader.hungry) continue
      reader.hungry = false
      this.feed(reader)
    }
    this.#pace()
  }

  #ended(): void {
    if (this.#state !== 'arriving') return
    this.#state = 'complete'
    clearTimeout(this.#impatience)
    const { expectedBytes } = this.#options
    if (this.#keeping) {
      if (expectedBytes !== undefined && expectedBytes !== this.#bytes) this.#letGo('incomplete')
      else {
        this.#keeping = false
        const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
        this.#options.release(this.#claimed)
        this.#options.onSettled({ body })
      }
    }
    for (const reader of this.#readers) if (reader.hungry) this.feed(reader)
  }

  #failed(error: Error, refusal: StorageReason): void {
    if (this.#state !== 'arriving') return
    this.#state = 'failed'
    this.#error = error
    clearTimeout(this.#impatience)
    if (this.#keeping) this.#letGo(refusal)
    for (const reader of this.#readers) if (reader.hungry) reader.destroy(error)
  }

  #letGo(refusal: StorageReason): void {
    this.#keeping = false
    this.#options.release(this.#claimed)
    this.#options.onSettled({ refusal })
    this.#trim()
  }

  #slowest(): Reader | undefined {
    let slowest: Reader | undefined
    for (const reader of this.#readers) if (slowest === undefined || reader.at < slowest.at) slowest = reader
    return slowest
  }

  /** Lets go of chunks that every reader has. */
  #trim(): void {
    if (this.#keeping || this.#state === 'complete') return
    const slowest = this.#slowest()
    const needed = slowest === undefined ? this.#gone + this.#chunks.length : slowest.at
    if (needed > this.#gone) {
      this.#chunks.splice(0, needed - this.#gone)
      this.#gone = needed
    }
  }

  /** Lets the upstream go on, or stops it while readers have enough. */
  #pace(): void {
    if (this.#state !== 'arriving') return
    const waiting = this.#keeping ? 0 : this.#chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    const anyHungry = [...this.#readers].some((reader) => reader.hungry)
    const stop = !this.#keeping && (waiting >= WINDOW_BYTES || !anyHungry)
    if (!stop) {
      clearTimeout(this.#impatience)
      this.#impatience = undefined
      if (this.#readers.size > 0) this.#source.resume()
      return
    }
    this.#source.pause()
    if (anyHungry && this.#readers.size > 1) {
      this.#impatience ??= setTimeout(() => {
        this.#impatience = undefined
        this.#slowest()?.destroy(new Error('too slow for the others who read the same answer'))
      }, PATIENCE_MS).unref()
    }
  }
}

/** One reader of a recording. */
class Reader extends Readable {
  readonly #recording: Recording
  /** Number of the next chunk it gets. */
  at = 0
  /** It has all there is and wants more. */
  hungry = false

  constructor(recording: Recording) {
    super({ highWaterMark: 64 * 1024 })
    this.#recording = recording
  }

  override _read(): void {
    if (!this.hungry) this.#recording.feed(this)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.hungry = false
    this.#recording.leave(this)
    done(error)
  }
}

/** Room shared by all recordings of a process, in bytes. */
export const recordingRoom = (maxBytes: number): Pick<RecordingOptions, 'claim' | 'release'> => {
  let used = 0
  return {
    claim(bytes) {
      if (used + bytes > maxBytes) return false
      used += bytes
      return true
    },
    release(bytes) {
      used -= bytes
    },
  }
}
