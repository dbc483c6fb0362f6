/**
 * A response body that is read by several and kept while it arrives.
 *
 * - Every reader gets all bytes from the first, at its own pace.
 * - While the body may still be stored it is kept whole, and the upstream is not slowed down: `maxBytes` bounds it.
 * - A body that arrived whole stays for readers as long as somebody holds the recording: until it is in the store.
 * - Once it is too large it is let go (`too-large`): from then on only a window between the fastest and the slowest
 *   reader is kept, no reader can join any more, and the slowest one paces the upstream.
 * - A reader for which others wait must take half a window within `PATIENCE_MS`, or it is cut off; one that is alone
 *   never is.
 * - The last reader to leave destroys the source.
 */
import { Readable } from 'node:stream'
import type { StorageReason } from '../core/reasons.ts'

/** How far readers may be apart once the body is not kept. */
const WINDOW_BYTES = 1024 * 1024
/** How long a reader has to take half a window while others wait for it. */
const PATIENCE_MS = 10_000

/** What a recording is told and tells. */
export interface RecordingOptions {
  readonly maxBytes: number
  /** Bytes announced by Content-Length. */
  readonly expectedBytes: number | undefined
  /** Asks for room for that many more bytes; false when all recordings together have too many. */
  readonly claim: (bytes: number) => boolean
  readonly release: (bytes: number) => void
  /** Called once: with the whole body, or with why it is not to be stored. Must not throw. */
  readonly onSettled: (outcome: { body: Buffer } | { refusal: StorageReason }) => void
}

export class Recording {
  readonly #source: Readable
  readonly #options: RecordingOptions
  readonly #readers = new Set<Reader>()
  /** Readers that have all there is and want more. */
  #hungry = 0
  #chunks: Buffer[] = []
  /** Chunks that were let go before the first in `#chunks`, and the bytes of those in it. */
  #gone = 0
  #held = 0
  #bytes = 0
  #claimed = 0
  /** From byte 0, and still to be stored. */
  #keeping = true
  /** All of it in one piece, the only chunk. */
  #whole = false
  #state: 'arriving' | 'complete' | 'failed' = 'arriving'
  #error: Error | undefined
  #impatience: NodeJS.Timeout | undefined

  constructor(source: Readable, options: RecordingOptions) {
    this.#source = source
    this.#options = options
    source.on('data', (chunk: Buffer) => this.#arrived(chunk))
    source.on('end', () => this.#ended())
    source.on('error', (error) => this.#failed(error))
    source.on('close', () => this.#failed(new Error('closed before its end')))
    source.pause()
    // It may have ended badly before anyone listened; then no event tells.
    if (source.destroyed)
      queueMicrotask(() => this.#failed(source.errored ?? new Error('closed before its end')))
  }

  /** Whether a reader that starts now would get all bytes from the first. */
  get joinable(): boolean {
    return this.#keeping || this.#whole
  }

  /** A stream of the whole body. Whoever gets it reads it or destroys it. */
  reader(): Readable {
    const reader = new Reader(this)
    this.#readers.add(reader)
    return reader
  }

  /** Nobody came: ends the source. */
  abandonIfUnread(): void {
    if (this.#readers.size === 0 && this.#state === 'arriving') this.#source.destroy()
  }

  /** Gives a reader what there is for it. */
  feed(reader: Reader): void {
    let wantsMore = true
    while (wantsMore && reader.next - this.#gone < this.#chunks.length) {
      const chunk = this.#chunks[reader.next++ - this.#gone]!
      const piece = this.#whole ? chunk.subarray(reader.taken) : chunk
      reader.taken += piece.length
      wantsMore = reader.push(piece)
    }
    if (wantsMore) {
      if (this.#state === 'complete') reader.push(null)
      else if (this.#state === 'failed') reader.destroy(this.#error)
      else {
        reader.hungry = true
        this.#hungry++
      }
    }
    this.#trim()
    this.#pace()
  }

  /** A reader is done or gone. */
  leave(reader: Reader): void {
    if (!this.#readers.delete(reader)) return
    if (reader.hungry) this.#hungry--
    reader.hungry = false
    if (this.#readers.size > 0) {
      this.#trim()
      this.#pace()
    } else if (this.#state === 'arriving') this.#source.destroy()
    else if (!this.#whole) this.#chunks = []
  }

  #arrived(chunk: Buffer): void {
    if (this.#state !== 'arriving') return
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    this.#held += chunk.length
    if (this.#keeping) {
      if (this.#bytes > this.#options.maxBytes || !this.#options.claim(chunk.length)) this.#letGo('too-large')
      else this.#claimed += chunk.length
    }
    this.#feedHungry()
    this.#trim()
    this.#pace()
  }

  #feedHungry(): void {
    if (this.#hungry === 0) return
    for (const reader of this.#readers) {
      if (!reader.hungry) continue
      reader.hungry = false
      this.#hungry--
      this.feed(reader)
    }
  }

  #ended(): void {
    if (this.#state !== 'arriving') return
    this.#state = 'complete'
    this.#calm()
    const { expectedBytes } = this.#options
    if (this.#keeping) {
      if (expectedBytes !== undefined && expectedBytes !== this.#bytes) this.#letGo('incomplete')
      else this.#keep()
    }
    this.#feedHungry()
  }

  /** The body is whole. One piece takes the place of the many, for readers too. */
  #keep(): void {
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks)
    this.#chunks = [body]
    this.#whole = true
    this.#keeping = false
    for (const reader of this.#readers) reader.next = reader.taken < body.length ? 0 : 1
    this.#options.release(this.#claimed)
    this.#options.onSettled({ body })
  }

  #failed(error: Error): void {
    if (this.#state !== 'arriving') return
    this.#state = 'failed'
    this.#error = error
    this.#calm()
    if (this.#keeping) this.#letGo('aborted')
    if (this.#readers.size === 0) this.#chunks = []
    this.#feedHungry()
  }

  #letGo(refusal: StorageReason): void {
    this.#keeping = false
    this.#options.release(this.#claimed)
    this.#options.onSettled({ refusal })
  }

  #slowest(): Reader | undefined {
    let slowest: Reader | undefined
    for (const reader of this.#readers)
      if (slowest === undefined || reader.next < slowest.next) slowest = reader
    return slowest
  }

  /** Lets go of chunks that every reader has. */
  #trim(): void {
    if (this.#keeping || this.#whole) return
    const needed = this.#slowest()?.next ?? this.#gone + this.#chunks.length
    if (needed === this.#gone) return
    for (const chunk of this.#chunks.splice(0, needed - this.#gone)) this.#held -= chunk.length
    this.#gone = needed
  }

  /** Lets the upstream go on, or stops it while readers have enough. */
  #pace(): void {
    if (this.#state !== 'arriving' || this.#readers.size === 0) return
    if (this.#keeping || (this.#held < WINDOW_BYTES && this.#hungry > 0)) this.#source.resume()
    else this.#source.pause()
    if (this.#keeping) return
    if (this.#held <= WINDOW_BYTES / 2) this.#calm()
    else if (this.#held >= WINDOW_BYTES && this.#hungry > 0) this.#impatience ??= this.#bearWith()
  }

  /** Gives the reader that holds up the others its time. */
  #bearWith(): NodeJS.Timeout {
    const laggard = this.#slowest()
    const taken = laggard?.taken ?? 0
    return setTimeout(() => {
      this.#impatience = undefined
      const stillLast = laggard !== undefined && laggard === this.#slowest()
      if (stillLast && this.#hungry > 0 && laggard.taken - taken < WINDOW_BYTES / 2)
        laggard.destroy(new Error('too slow for the others who read the same answer'))
      this.#pace()
    }, PATIENCE_MS).unref()
  }

  #calm(): void {
    clearTimeout(this.#impatience)
    this.#impatience = undefined
  }
}

/** One reader of a recording. */
class Reader extends Readable {
  readonly #recording: Recording
  /** Number of the next chunk it gets, and the bytes it got. */
  next = 0
  taken = 0
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
