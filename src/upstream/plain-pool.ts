/**
 * Connections to an upstream that speaks plain HTTP/1.1, and who gets which. An upstream whose answers are often not
 * plain is left to undici for most of its requests.
 */
import type { Socket } from 'node:net'
import type Client from 'undici/lib/dispatcher/client.js'
import type { Attempt } from './attempt.ts'
import { handOver } from './hand-over.ts'
import { type ConnectionOwner, PlainConnection } from './plain-connection.ts'
import type { PlainRequest } from './plain-request.ts'
import type { Upload } from './upload.ts'

/** How connections are made. */
export interface PlainPoolOptions {
  /** As undici has it. */
  readonly origin: string
  readonly dial: (done: (...result: [error: Error] | [error: null, socket: Socket]) => void) => void
}

/** Idle connections are kept so long where the upstream says nothing about it, and never longer than that; undici's. */
const KEEP_MS = 4000
const MOST_KEEP_MS = 600_000
/** Before the upstream's own bound: it must not close one while a request is on its way to it. */
const MARGIN_MS = 2000
const LOOK_MS = 500

/** An answer that is not plain weighs as much as so many that are; beyond the bound undici is asked. */
const ODD_WEIGHT = 100
const ODD_BOUND = 300

const destroyed = (): Error =>
  Object.assign(new Error('the proxy is shutting down'), { code: 'UND_ERR_DESTROYED' })

export class PlainPool implements ConnectionOwner {
  readonly #options: PlainPoolOptions
  /** The one used last is used first. */
  #idle: PlainConnection[] = []
  /**
   * Free since this turn of the event loop. What its upstream sent right behind the answer, if only the end, may not be
   * read yet: not before the next turn is it given a request (so does undici).
   */
  #freed: PlainConnection[] = []
  readonly #connections = new Set<PlainConnection>()
  readonly #handedOver = new Set<Client>()
  readonly #dialling = new Set<Attempt>()
  #waiting: Array<{ readonly request: PlainRequest; readonly attempt: Attempt }> = []
  #sending: NodeJS.Immediate | undefined
  #looking: NodeJS.Timeout | undefined
  #odd = 0
  #closed = false

  constructor(options: PlainPoolOptions) {
    this.#options = options
  }

  /** Whether the next request had better be undici's. */
  get isOdd(): boolean {
    if (this.#odd <= ODD_BOUND) return false
    this.#odd--
    return true
  }

  /** Sends a request on a connection; everything else is told to its attempt. */
  dispatch(request: PlainRequest, attempt: Attempt): void {
    if (this.#closed) {
      attempt.onError(destroyed())
      return
    }
    this.#waiting.push({ request, attempt })
    // Not at once: what has come on an idle connection that must end it is read before anything is sent there (undici's
    // GHSA-35p6-xmwp-9g52). One wait for all requests of a turn of the event loop.
    this.#sending ??= setImmediate(this.#send)
  }

  readonly #send = (): void => {
    this.#sending = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const { request, attempt } of waiting) {
      if (attempt.isOver) continue
      const connection = this.#takeIdle()
      if (connection === undefined) this.#dial(request, attempt)
      else connection.send(request, attempt)
    }
    if (this.#freed.length === 0) return
    this.#idle.push(...this.#freed)
    this.#freed = []
    this.#looking ??= setInterval(this.#look, LOOK_MS).unref()
  }

  #takeIdle(): PlainConnection | undefined {
    for (;;) {
      const connection = this.#idle.pop()
      if (connection === undefined || connection.isOpen) return connection
    }
  }

  #dial(request: PlainRequest, attempt: Attempt): void {
    this.#dialling.add(attempt)
    this.#options.dial((...[error, socket]) => {
      this.#dialling.delete(attempt)
      if (error !== null) attempt.onError(error)
      else if (this.#closed) socket.on('error', () => {}).destroy()
      else {
        const connection = new PlainConnection(socket, this)
        this.#connections.add(connection)
        if (attempt.isOver) this.free(connection, undefined)
        else connection.send(request, attempt)
      }
    })
  }

  free(connection: PlainConnection, keepMs: number | undefined): void {
    if (this.#odd > 0) this.#odd--
    const keep = keepMs === undefined ? KEEP_MS : Math.min(keepMs - MARGIN_MS, MOST_KEEP_MS)
    if (this.#closed || keep <= 0) {
      connection.destroy()
      return
    }
    connection.idleUntil = performance.now() + keep
    this.#freed.push(connection)
    this.#sending ??= setImmediate(this.#send)
  }

  gone(connection: PlainConnection): void {
    this.#connections.delete(connection)
  }

  handOver(
    socket: Socket,
    read: Buffer,
    { asked }: PlainRequest,
    attempt: Attempt,
    upload: Upload | undefined,
  ): void {
    this.#odd = Math.min(this.#odd + ODD_WEIGHT, ODD_BOUND + ODD_WEIGHT)
    const client = handOver(this.#options.origin, { socket, read, asked, attempt, upload })
    this.#handedOver.add(client)
    socket.once('close', () => this.#handedOver.delete(client))
  }

  readonly #look = (): void => {
    const now = performance.now()
    const kept: PlainConnection[] = []
    for (const connection of this.#idle) {
      if (!connection.isOpen) continue
      if (connection.idleUntil > now) kept.push(connection)
      else connection.destroy()
    }
    this.#idle = kept
    if (kept.length > 0) return
    clearInterval(this.#looking)
    this.#looking = undefined
  }

  /** Destroys all connections; requests under way fail, at once. */
  async close(): Promise<void> {
    this.#closed = true
    clearInterval(this.#looking)
    clearImmediate(this.#sending)
    for (const { attempt } of this.#waiting) attempt.onError(destroyed())
    this.#waiting = []
    // Not when they are through: that may be long, or never.
    for (const attempt of this.#dialling) attempt.onError(destroyed())
    for (const connection of this.#connections) connection.destroy(destroyed())
    await Promise.all([...this.#handedOver].map((client) => client.destroy()))
  }
}
