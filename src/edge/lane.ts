/**
 * The lane: a connection as long as only plain requests come on it (edge/plain-head.ts). It costs half of what
 * node:http costs for them (4 µs of CPU instead of 9 for a hit of 1 KB). The first request that is not plain, and
 * whatever comes after it, goes to node's parser: nothing is read here that could be read in another way.
 */
import type { Socket } from 'node:net'
import { PlainAnswer } from './plain-answer.ts'
import { type PlainHead, plainHead } from './plain-head.ts'

/** A request of the lane: as much of node's IncomingMessage as a conversation reads of one that is whole. */
export class PlainRequest {
  readonly socket: Socket
  readonly method: string
  readonly url: string
  readonly host: string
  readonly rawHeaders: string[]
  readonly httpVersion = '1.1'
  readonly complete = true
  /** Absent where there is none. */
  readonly body: Buffer | undefined

  constructor(socket: Socket, head: PlainHead, body: Buffer | undefined) {
    this.socket = socket
    this.method = head.method
    this.url = head.url
    this.host = head.host
    this.rawHeaders = head.fields
    this.body = body
  }
}

/** What lanes are given. */
export interface LaneOptions {
  /** Opens the conversation; gives what is told that its answer was sent. Undefined: the connection is closed. */
  readonly serve: (request: PlainRequest, answer: PlainAnswer) => { closed(): void } | undefined
  /** A path that is not for the chain. */
  readonly isElsewhere: (url: string) => boolean
  /** Gives the connection to node's parser for good; what is read of it next comes as `data`. */
  readonly leave: (socket: Socket) => void
  /** The client said nothing at all. */
  readonly onSilent: (socket: Socket) => void
  readonly headTimeoutMs: number
  readonly keepAliveMs: number
}

/** All lanes of an edge. */
export interface Lanes {
  /** Takes a new connection. */
  take(socket: Socket): void
  /** Closes connections that carry no request; the others end with their answer. */
  drain(): void
}

/** Heads beyond it, and what comes while an answer is under way, are not for the lane. */
const MAX_HEAD = 16 * 1024
/** Few are longer: what stands behind a head need not be made text to find its end. */
const MOST_HEADS = 2048
const END_OF_HEAD = '\r\n\r\n'
const LOOK_MS = 5000

/** One connection. */
class Lane {
  readonly socket: Socket
  readonly #of: LaneContext
  #answer: PlainAnswer | undefined
  #conversation: { closed(): void } | undefined
  /** What came behind the request that is being answered. */
  #pending: Buffer | undefined
  #served = false
  #inServe = false
  quietSince: number

  constructor(socket: Socket, context: LaneContext) {
    this.socket = socket
    this.#of = context
    this.quietSince = context.now
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('error', this.#onError)
    socket.on('drain', this.#onDrain)
    socket.on('close', this.#onClose)
  }

  get isIdle(): boolean {
    return this.#answer === undefined
  }

  get hasServed(): boolean {
    return this.#served
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#answer === undefined) this.#read(chunk)
    else {
      this.#pending = this.#pending === undefined ? chunk : Buffer.concat([this.#pending, chunk])
      if (this.#pending.length > MAX_HEAD) this.socket.pause()
    }
  }

  /** The client has sent its last byte: for node:http, and so for us, it has left. */
  readonly #onEnd = (): void => {
    this.socket.end()
  }

  readonly #onError = (): void => {
    this.socket.destroy()
  }

  readonly #onDrain = (): void => {
    this.#answer?.drained()
  }

  readonly #onClose = (): void => {
    this.#of.lanes.delete(this)
    this.#answer?.closed()
  }

  /** Serves a request; what is not one whole request that is for us, or more than one, is left to node. */
  #read(chunk: Buffer): void {
    let text = chunk.toString('latin1', 0, Math.min(chunk.length, MOST_HEADS))
    let end = text.indexOf(END_OF_HEAD) + END_OF_HEAD.length
    if (end < END_OF_HEAD.length && chunk.length > MOST_HEADS) {
      text = chunk.toString('latin1', 0, Math.min(chunk.length, MAX_HEAD))
      end = text.indexOf(END_OF_HEAD) + END_OF_HEAD.length
    }
    const head =
      end < END_OF_HEAD.length ? undefined : plainHead(end === text.length ? text : text.slice(0, end))
    if (head === undefined || end + head.length !== chunk.length || this.#of.options.isElsewhere(head.url))
      this.#leave(chunk)
    else this.#serve(head, head.length === 0 ? undefined : chunk.subarray(end))
  }

  #serve(head: PlainHead, body: Buffer | undefined): void {
    const { options, keepAliveLine } = this.#of
    const answer = new PlainAnswer(this.socket, head.method, keepAliveLine, this.#onFinished)
    this.#answer = answer
    this.#served = true
    this.#inServe = true
    this.#conversation = options.serve(new PlainRequest(this.socket, head, body), answer)
    this.#inServe = false
    if (answer.writableFinished) this.#conversation?.closed()
  }

  readonly #onFinished = (): void => {
    const { socket } = this
    const { shouldKeepAlive } = this.#answer!
    this.#answer = undefined
    this.quietSince = this.#of.now
    if (!this.#inServe) this.#conversation?.closed()
    if (!shouldKeepAlive) socket.destroySoon()
    else this.#next()
  }

  #next(): void {
    const pending = this.#pending
    if (pending === undefined) return
    this.#pending = undefined
    if (this.socket.isPaused()) this.socket.resume()
    this.#read(pending)
  }

  #leave(rest: Buffer): void {
    const { socket } = this
    this.#of.lanes.delete(this)
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('error', this.#onError)
    socket.off('drain', this.#onDrain)
    socket.off('close', this.#onClose)
    this.#of.options.leave(socket)
    socket.emit('data', rest)
  }
}

interface LaneContext {
  readonly options: LaneOptions
  readonly lanes: Set<Lane>
  readonly keepAliveLine: string
  /** Coarse: the time of the last look, ms. */
  now: number
}

/** Makes the lanes of an edge. Its timer does not keep the process alive. */
export const lanes = (options: LaneOptions): Lanes => {
  const seconds = Math.floor(options.keepAliveMs / 1000)
  const context: LaneContext = {
    options,
    lanes: new Set(),
    keepAliveLine: `Connection: keep-alive\r\nKeep-Alive: timeout=${seconds}\r\n`,
    now: performance.now(),
  }
  // 0 waits for ever.
  const headTimeoutMs = options.headTimeoutMs || Number.POSITIVE_INFINITY
  const look = (): void => {
    context.now = performance.now()
    for (const lane of context.lanes) {
      if (!lane.isIdle) continue
      const quiet = context.now - lane.quietSince
      if (!lane.hasServed && quiet >= headTimeoutMs) options.onSilent(lane.socket)
      // `quietSince` is up to a look older than what it stands for.
      else if (quiet >= options.keepAliveMs + LOOK_MS) lane.socket.destroySoon()
    }
  }
  let timer: NodeJS.Timeout | undefined
  return {
    take(socket) {
      timer ??= setInterval(look, Math.min(LOOK_MS, Math.max(1, headTimeoutMs / 2))).unref()
      context.lanes.add(new Lane(socket, context))
    },
    drain() {
      clearInterval(timer)
      for (const lane of context.lanes) if (lane.isIdle) lane.socket.destroy()
    },
  }
}
