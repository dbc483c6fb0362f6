/**
 * Messages between a worker and the process that started it, both ways over one stream of bytes.
 *
 * - A message is two lengths (uint32, big-endian), a JSON head and bytes. They arrive in the order they were sent.
 * - What is sent in one turn of the event loop leaves in one write.
 * - A call is answered exactly once, or rejects when the stream closes.
 */
import type { Duplex } from 'node:stream'

/** What is said beside the bytes. Plain JSON. */
export type Said = Record<string, unknown>

/** A message, or the answer to one. */
export interface Word {
  readonly said: Said
  readonly bytes?: Buffer | undefined
}

/** Answers a call with a Word or nothing, or takes what is only told. A rejection becomes that of the call. */
export type Listener = (said: Said, bytes: Buffer) => unknown

const EMPTY = Buffer.alloc(0)
const LENGTHS = 8
/** Smaller writes are put together first. */
const TOGETHER_BYTES = 64 * 1024

/** A call whose answer can no longer come. */
export class LinkClosed extends Error {
  constructor() {
    super('the other process is gone')
  }
}

interface Waiting {
  readonly resolve: (word: { said: Said; bytes: Buffer }) => void
  readonly reject: (error: Error) => void
}

export class Link {
  readonly #stream: Duplex
  readonly #listeners = new Map<string, Listener>()
  readonly #waiting = new Map<number, Waiting>()
  readonly #onFault: (error: unknown) => void
  #lastCall = 0
  #out: Buffer[] = []
  #outBytes = 0
  #scheduled = false
  #closed = false
  #in: Buffer[] = []
  #inBytes = 0
  #wanted = LENGTHS
  readonly closed: Promise<void>

  /** `onFault` is told what a listener threw at something that nobody waits for. */
  constructor(stream: Duplex, onFault: (error: unknown) => void) {
    this.#stream = stream
    this.#onFault = onFault
    stream.on('data', (chunk: Buffer) => this.#read(chunk))
    stream.on('error', () => stream.destroy())
    this.closed = new Promise((resolve) => {
      stream.on('close', () => {
        this.#closed = true
        for (const { reject } of this.#waiting.values()) reject(new LinkClosed())
        this.#waiting.clear()
        resolve()
      })
    })
    stream.on('end', () => stream.destroy())
  }

  /** Bytes on their way out. */
  get backlog(): number {
    return this.#outBytes + this.#stream.writableLength
  }

  on(what: string, listener: Listener): void {
    this.#listeners.set(what, listener)
  }

  /** Says something that needs no answer. */
  tell(what: string, said: Said = {}, bytes?: Buffer): void {
    this.#send({ what, said }, bytes)
  }

  /** Asks; rejects with what the other side's listener rejected with, or when the stream closes. */
  call(what: string, said: Said = {}, bytes?: Buffer): Promise<{ said: Said; bytes: Buffer }> {
    if (this.#closed) return Promise.reject(new LinkClosed())
    const id = ++this.#lastCall
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#send({ what, said, id }, bytes)
    })
  }

  /** Resolves once everything said so far was handed to the system. */
  flush(): Promise<void> {
    this.#flush()
    return new Promise((resolve) => {
      if (this.#closed) resolve()
      else this.#stream.write(EMPTY, () => resolve())
    })
  }

  destroy(): void {
    this.#stream.destroy()
  }

  #send(head: object, bytes: Buffer = EMPTY): void {
    if (this.#closed) return
    const json = JSON.stringify(head)
    const length = Buffer.byteLength(json)
    const start = Buffer.allocUnsafe(LENGTHS + length)
    start.writeUInt32BE(length, 0)
    start.writeUInt32BE(bytes.length, 4)
    start.write(json, LENGTHS)
    this.#out.push(start)
    if (bytes.length > 0) this.#out.push(bytes)
    this.#outBytes += start.length + bytes.length
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#scheduled = false
    const out = this.#out
    if (out.length === 0 || this.#closed) return
    const small = this.#outBytes <= TOGETHER_BYTES
    this.#out = []
    this.#outBytes = 0
    if (small) {
      this.#stream.write(out.length === 1 ? out[0] : Buffer.concat(out))
      return
    }
    this.#stream.cork()
    for (const piece of out) this.#stream.write(piece)
    this.#stream.uncork()
  }

  #read(chunk: Buffer): void {
    this.#in.push(chunk)
    this.#inBytes += chunk.length
    if (this.#inBytes < this.#wanted) return
    let have = this.#in.length === 1 ? this.#in[0]! : Buffer.concat(this.#in)
    for (;;) {
      if (have.length < LENGTHS) {
        this.#wanted = LENGTHS
        break
      }
      const headEnd = LENGTHS + have.readUInt32BE(0)
      const end = headEnd + have.readUInt32BE(4)
      if (have.length < end) {
        this.#wanted = end
        break
      }
      // Of their own: whoever keeps them must not keep their neighbours.
      const bytes = end === headEnd ? EMPTY : Buffer.from(have.subarray(headEnd, end))
      this.#take(JSON.parse(have.toString('utf8', LENGTHS, headEnd)), bytes)
      have = have.subarray(end)
    }
    this.#in = have.length === 0 ? [] : [have]
    this.#inBytes = have.length
  }

  #take({ what, said, id, to, fault }: Message, bytes: Buffer): void {
    if (to !== undefined) {
      const waiting = this.#waiting.get(to)
      this.#waiting.delete(to)
      if (fault === undefined) waiting?.resolve({ said: said ?? {}, bytes })
      else waiting?.reject(new Error(fault))
      return
    }
    const listener = this.#listeners.get(what!)
    if (id === undefined) {
      void this.#hear(listener, said!, bytes).catch(this.#onFault)
      return
    }
    this.#hear(listener, said!, bytes).then(
      (word) => this.#send({ to: id, said: word?.said }, word?.bytes),
      (error: unknown) => this.#send({ to: id, fault: String((error as Error)?.message ?? error) }),
    )
  }

  /** Called at once, so that what is heard one after another is begun in that order. */
  async #hear(listener: Listener | undefined, said: Said, bytes: Buffer): Promise<Word | undefined> {
    if (listener === undefined) throw new Error('nobody listens to that')
    return (await listener(said, bytes)) as Word | undefined
  }
}

interface Message {
  readonly what?: string
  readonly said?: Said
  readonly id?: number
  /** The call that this answers. */
  readonly to?: number
  readonly fault?: string
}
