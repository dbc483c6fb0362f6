/**
 * The shared store: keyv over @keyv/redis with a client of our own, and binary frames instead of JSON with base64.
 *
 * Redis may be away, frozen, full or foreign at any moment: every call ends within the deadline, and while it does not
 * answer the calls are not even tried, but for one a second.
 */
import { createHash } from 'node:crypto'
import KeyvRedis from '@keyv/redis'
import { createClient, createCluster, RESP_TYPES } from '@redis/client'
import Keyv from 'keyv'
import { decodeFrame, encodeFrame, PREAMBLE_BYTES, peekFrame } from './frame.ts'
import { type Slot, type Store, StoreError } from './store.ts'

/** What the store is made of. */
export interface RedisOptions {
  /** One URL; several are nodes of a Redis Cluster. */
  readonly urls: readonly string[]
  /** Deadline of every call. */
  readonly timeoutMs: number
  /** Keeps what belongs to another target apart. */
  readonly scope: string
  /** Told when it goes and when it comes back; `error` is undefined when it is back. */
  readonly onState: (state: { url: string; error: string | undefined }) => void
}

/** The store and the client behind it, for others who share it. */
export interface RedisStore extends Store {
  readonly client: RedisClient
  isReady(): boolean
}

type RedisClient = ReturnType<typeof bareClient>

/** How long a connection may take, and how long it may be silent while something is asked. */
const CONNECT_MS = 2000
const SILENCE_MS = 5000
/** After an answer that came too late, one call in so long finds out whether it is better. */
const RETRY_MS = 1000
/** Missed deadlines in a row that count as being away. */
const PATIENCE = 3

const bareClient = (url: string) =>
  createClient({
    url,
    disableOfflineQueue: true,
    pingInterval: 10_000,
    commandsQueueMaxLength: 10_000,
    socket: {
      connectTimeout: CONNECT_MS,
      socketTimeout: SILENCE_MS * 3,
      reconnectStrategy: (retries) => Math.min(1000, 50 * 2 ** retries),
    },
  }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })

const clusterClient = (urls: readonly string[]) =>
  createCluster({
    rootNodes: urls.map((url) => ({ url })),
    defaults: {
      disableOfflineQueue: true,
      socket: {
        connectTimeout: CONNECT_MS,
        reconnectStrategy: (retries: number) => Math.min(1000, 50 * 2 ** retries),
      },
    },
  }).withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })

/** @keyv/redis with frames: keyv sees `{ value }`, Redis sees bytes. */
class FrameAdapter extends KeyvRedis<unknown> {
  override async get<T>(key: string): Promise<T | undefined> {
    const bytes = (await super.get(key)) as Buffer | undefined
    if (bytes === undefined || bytes === null) return undefined
    const slot = Buffer.isBuffer(bytes) ? decodeFrame(bytes) : undefined
    // Unreadable or foreign: a miss, and gone, so that it is one only once.
    if (slot === undefined) await this.delete(key)
    return (slot === undefined ? undefined : { value: slot }) as T | undefined
  }

  override async set(key: string, kept: unknown, ttl?: number): Promise<void> {
    await super.set(key, encodeFrame((kept as { value: Slot }).value) as unknown as string, ttl)
  }
}

/** URL without what is secret in it. */
export const shownUrl = (url: string): string => {
  const shown = new URL(url)
  if (shown.password !== '') shown.password = '***'
  return shown.href.replace(/\/$/, '')
}

/** Connects in the background; until it has, and whenever it is away, every call rejects at once. */
export const redisStore = (options: RedisOptions): RedisStore => {
  const { urls, timeoutMs } = options
  const url = urls.map(shownUrl).join(', ')
  const client = (urls.length === 1 ? bareClient(urls[0]!) : clusterClient(urls)) as RedisClient
  const watch = new Watch((error) => options.onState({ url, error }))
  let connected = false
  const settle = (): void => {
    connected = true
    watch.well()
  }
  client.on('error', (error: unknown) => watch.ill(messageOf(error)))
  client.on('ready', settle)
  client.on('node-ready' as 'ready', settle)
  let closed = false
  const connect = (): void => {
    client.connect().then(settle, (error: unknown) => {
      watch.ill(messageOf(error))
      // A cluster gives up when no root node answers; a single client reconnects by itself.
      if (!closed && urls.length > 1) setTimeout(connect, RETRY_MS).unref()
    })
  }
  connect()

  const adapter = new FrameAdapter(
    client as never,
    { throwOnErrors: true, throwOnConnectError: false, namespace: undefined } as never,
  )
  adapter.on('error', () => {})
  const keyv = new Keyv<Slot>({ store: adapter as never, useKeyPrefix: false, throwOnErrors: true })
  keyv.serialize = undefined
  keyv.deserialize = undefined
  keyv.on('error', () => {})
  // keyv hands its own default namespace to the adapter, which would take it for a prefix.
  keyv.namespace = undefined
  adapter.namespace = undefined

  const prefix = `revproxy:1:${createHash('sha256').update(options.scope).digest('base64url').slice(0, 10)}:`
  const isReady = (): boolean => !closed && (urls.length === 1 ? client.isReady : connected) && watch.usable()

  /** Runs a call within the deadline. */
  const call = async <T>(work: () => Promise<T>): Promise<T> => {
    if (!isReady()) throw new StoreError('store-down')
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new StoreError('too-slow-store')), timeoutMs)
    })
    try {
      const result = await Promise.race([work(), late])
      watch.well()
      return result
    } catch (error) {
      if (error instanceof StoreError) {
        watch.late()
        throw error
      }
      throw new StoreError('store-down', { cause: error })
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    kind: 'redis',
    client,
    isReady,
    get: (key) => call(() => keyv.get(prefix + key) as Promise<Slot | undefined>),
    async peek(key) {
      const head = await call(() => client.getRange(prefix + key, 0, PREAMBLE_BYTES - 1))
      return Buffer.isBuffer(head) ? peekFrame(head) : undefined
    },
    async set(key, slot, keepMs) {
      await call(() => keyv.set(prefix + key, slot, Math.max(1, Math.ceil(keepMs))))
    },
    async delete(key) {
      await call(() => keyv.delete(prefix + key))
    },
    whyGone: () => undefined,
    async *keys(start) {
      const match = `${escapeGlob(prefix + start)}*`
      for (const node of await adapter.getMasterNodes()) {
        let cursor = '0'
        do {
          const page = await call(() => (node as RedisClient).scan(cursor, { MATCH: match, COUNT: 500 }))
          cursor = String(page.cursor)
          for (const key of page.keys) yield String(key).slice(prefix.length)
        } while (cursor !== '0')
      }
    },
    stats: () => undefined,
    async close() {
      closed = true
      watch.stop()
      try {
        client.destroy()
      } catch {
        // It was closed already, or never open.
      }
    },
  }
}

/** Keys are matched by glob in SCAN. */
const escapeGlob = (text: string): string => text.replace(/[*?[\]\\]/g, '\\$&')

const messageOf = (error: unknown): string => {
  const { message, code, errors } = error as {
    message?: string
    code?: string
    errors?: Array<{ message: string }>
  }
  return message || errors?.[0]?.message || code || String(error)
}

/** Knows whether the store is of use, and says so once when that changes. */
class Watch {
  readonly #tell: (error: string | undefined) => void
  #told = false
  #missed = 0
  #tryAt = 0
  #stopped = false

  constructor(tell: (error: string | undefined) => void) {
    this.#tell = tell
  }

  usable(): boolean {
    if (this.#missed < PATIENCE) return true
    const now = performance.now()
    if (now < this.#tryAt) return false
    this.#tryAt = now + RETRY_MS
    return true
  }

  well(): void {
    this.#missed = 0
    if (!this.#told || this.#stopped) return
    this.#told = false
    this.#tell(undefined)
  }

  late(): void {
    this.#missed++
    if (this.#missed === PATIENCE) {
      this.#tryAt = performance.now() + RETRY_MS
      this.ill('no answer in time')
    }
  }

  ill(error: string): void {
    if (this.#told || this.#stopped) return
    this.#told = true
    this.#tell(error)
  }

  stop(): void {
    this.#stopped = true
  }
}
