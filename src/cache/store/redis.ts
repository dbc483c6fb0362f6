/** The shared store: keyv over @keyv/redis with a client of our own, and binary frames instead of JSON with base64. */
import { createHash } from 'node:crypto'
import { ErrorReply } from '@redis/client'
import Keyv from 'keyv'
import { decodeFrame, decodeHead, FRAME_VERSION, headEnd } from './frame.ts'
import { type Brought, Near } from './near.ts'
import { Coming, frameAdapter, UNREADABLE } from './redis-frames.ts'
import { RedisLink } from './redis-link.ts'
import { TrackedReads } from './redis-tracking.ts'
import { Index, type Slot, type Store, StoreError, Tombstone } from './store.ts'

/** What the store is made of. */
export interface RedisOptions {
  /** One URL; several are nodes of a Redis Cluster. */
  readonly urls: readonly string[]
  /** Deadline of every call. */
  readonly timeoutMs: number
  /** Keeps what belongs to another target apart. */
  readonly scope: string
  /** Bytes for copies near at hand; none when absent or 0, and none of what stands in a cluster. */
  readonly nearBytes?: number
  /** Told when it goes and when it comes back; `error` is undefined when it is back. */
  readonly onState: (state: { url: string; error: string | undefined }) => void
}

/** The store, and what the rate limiter needs of the client behind it. */
export interface RedisStore extends Store {
  readonly client: {
    eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  }
  isReady(): boolean
  /** What is nearby of this key is outdated: for who hears of it before Redis tells. */
  forget(key: string): void
}

/** Bytes of values that may be on their way at once; while Redis is frozen they wait in this process. */
const MAX_SENDING_BYTES = 64 * 1024 * 1024
/** Read of a frame at first to see its head. */
const PEEK_BYTES = 4096
/** Keys a page of SCAN looks at. */
const PAGE = 500

/** Slower than that a large value is too slow. */
const SLOWEST_BYTES_PER_MS = 10_000

/** No UTF-8 has it. */
const LONE_SURROGATE = /\p{Surrogate}/u

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
  const link = new RedisLink({ urls, timeoutMs, onState: (error) => options.onState({ url, error }) })
  const scope = createHash('sha256').update(options.scope).digest('base64url').slice(0, 10)
  const prefix = `revproxy:${FRAME_VERSION}:${scope}:`
  const own = (filed: string): string => filed.slice(prefix.length)
  const keyv = new Keyv<Slot | Coming>({
    store: frameAdapter(link, own),
    useKeyPrefix: false,
    throwOnErrors: true,
  })
  keyv.serialize = undefined
  keyv.deserialize = undefined
  keyv.on('error', () => {
    // Whoever called has it as well.
  })
  let sendingBytes = 0

  /** What cannot be read is gone from then on, so that it is a miss only once; nobody waits for that. */
  const discard = (filed: string): void => {
    link
      .call(filed, 'write', () => keyv.delete(filed))
      .catch(() => {
        // It stays; whoever looks next tries again.
      })
  }

  /** Runs a read; a value of another type than ours is foreign. */
  const read = async <T>(
    filed: string,
    work: () => Promise<T>,
    withinMs?: number,
  ): Promise<T | 'foreign'> => {
    try {
      return await link.call(filed, 'read', work, withinMs)
    } catch (error) {
      if (error instanceof StoreError) throw error
      return 'foreign'
    }
  }

  const fetch = async (
    key: string,
    work: (filed: string) => Promise<unknown>,
    withinMs?: number,
  ): Promise<Slot | undefined> => {
    const filed = prefix + key
    const slot = await read(filed, () => work(filed), withinMs)
    if (slot !== 'foreign' && slot !== UNREADABLE) return slot as Slot | undefined
    discard(filed)
    return undefined
  }
  const fromKeyv = (filed: string) => keyv.get(filed)

  const shared: RedisStore = {
    kind: 'redis',
    timeoutMs,
    client: { eval: (script, given) => link.client.eval(script, given) },
    isReady: () => link.isReady(),
    get: (key, withinMs) => fetch(key, fromKeyv, withinMs),
    async peek(key, withinMs = timeoutMs) {
      const filed = prefix + key
      const startedAt = performance.now()
      const head = (bytes: number, ms: number) =>
        read(filed, () => link.client.getRange(filed, 0, bytes - 1) as Promise<unknown>, ms)
      let bytes = await head(PEEK_BYTES, withinMs)
      if (Buffer.isBuffer(bytes)) {
        if (bytes.length === 0) return undefined
        const end = headEnd(bytes)
        if (end !== undefined && end > bytes.length && bytes.length === PEEK_BYTES)
          bytes = await head(end, withinMs - (performance.now() - startedAt))
      }
      const standing = Buffer.isBuffer(bytes) ? decodeHead(bytes, key) : undefined
      if (standing === undefined) discard(filed)
      return standing
    },
    async set(key, slot, keepMs, askedAt) {
      const filed = prefix + key
      const bytes = slot instanceof Index || slot instanceof Tombstone ? 0 : slot.body.length
      if (sendingBytes > 0 && sendingBytes + bytes > MAX_SENDING_BYTES) throw new StoreError('too-slow-store')
      const coming = new Coming(slot, askedAt)
      const done = (): void => {
        sendingBytes -= bytes
      }
      await link
        .call(
          filed,
          'write',
          () => {
            sendingBytes += bytes
            const sent = keyv.set(filed, coming, Math.max(1, Math.ceil(keepMs)))
            // Until Redis has it, or the connection is gone; not until the deadline.
            sent.then(done, done)
            return sent
          },
          timeoutMs + bytes / SLOWEST_BYTES_PER_MS,
        )
        .catch((error: unknown) => {
          if (!(error instanceof StoreError)) throw new StoreError('store-down', { cause: error })
          throw error
        })
      return coming.put
    },
    async delete(key) {
      await link.call(prefix + key, 'write', () => keyv.delete(prefix + key))
    },
    whyGone: () => undefined,
    async *keys(start, most = Number.POSITIVE_INFINITY) {
      const match = `${escapeGlob(prefix + start)}*`
      let away = false
      let seen = 0
      for (const master of link.masters()) {
        if (master === undefined) {
          away = true
          continue
        }
        let cursor = '0'
        do {
          const page = await link.call(undefined, 'read', () =>
            master.scan(cursor, { MATCH: match, COUNT: Math.min(PAGE, most) }),
          )
          cursor = String(page.cursor)
          for (const filed of page.keys) yield own(String(filed))
          seen += PAGE
        } while (cursor !== '0' && seen < most)
      }
      if (away) throw new StoreError('store-down')
    },
    stats: () => undefined,
    forget() {},
    async close() {
      link.close()
    },
  }
  const { nearBytes = 0 } = options
  if (nearBytes <= 0 || urls.length > 1) return shared

  const near = new Near(nearBytes)
  const tracked = new TrackedReads({
    url: urls[0]!,
    onChange: (filed) => (filed === undefined ? near.outdateAll() : near.outdate(own(filed))),
  })
  const fromTracked = async (key: string, withinMs?: number): Promise<Brought> => {
    let keepMs = 0
    const work = async (filed: string): Promise<unknown> => {
      try {
        const [bytes, left] = await tracked.read(filed)
        keepMs = left
        if (bytes === null) return undefined
        return (Buffer.isBuffer(bytes) ? decodeFrame(bytes, key) : undefined) ?? UNREADABLE
      } catch (error) {
        if (error instanceof ErrorReply) throw error
        // Asked of a client that was ended meanwhile, @keyv/redis would connect it anew, and nobody would end that.
        if (!link.isReady(filed)) throw new StoreError('store-down', { cause: error })
        return keyv.get(filed)
      }
    }
    return { slot: await fetch(key, work, withinMs), keepMs }
  }
  /** What this process changes it sees at once, whenever it is told of it. */
  const changing = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    near.outdate(key)
    try {
      return await work()
    } finally {
      near.outdate(key)
    }
  }
  // While it is told that Redis is away nothing comes out of the cache, on whichever connection that was found.
  const atHand = (key: string): Slot | undefined =>
    link.isReady() && tracked.isProven ? near.get(key) : undefined
  return {
    ...shared,
    atHand,
    async get(key, withinMs) {
      const copy = atHand(key)
      if (copy !== undefined) return copy
      // A change of a key that Redis has in another spelling would not be understood.
      if (!tracked.isUsable || LONE_SURROGATE.test(key)) return shared.get(key, withinMs)
      return near.bring(key, () => fromTracked(key, withinMs))
    },
    set: (key, slot, keepMs, askedAt) => changing(key, () => shared.set(key, slot, keepMs, askedAt)),
    delete: (key) => changing(key, () => shared.delete(key)),
    forget: (key) => near.outdate(key),
    async close() {
      tracked.close()
      near.outdateAll()
      await shared.close()
    },
  }
}

/** Keys are matched by glob in SCAN. */
const escapeGlob = (text: string): string => text.replace(/[*?[\]\\]/g, '\\$&')
