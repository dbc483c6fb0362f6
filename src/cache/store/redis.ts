/**
 * The shared store: keyv over @keyv/redis with a client of our own, and binary frames instead of JSON with base64.
 * What is to be kept out by a guard is written by a script, in one step.
 */
import { createHash } from 'node:crypto'
import KeyvRedis from '@keyv/redis'
import { ErrorReply } from '@redis/client'
import Keyv from 'keyv'
import {
  decodeFrame,
  decodeHead,
  encodeFrame,
  FRAME_VERSION,
  GUARD_AT,
  headEnd,
  kinds,
  ownGuard,
} from './frame.ts'
import { RedisLink } from './redis-link.ts'
import { Index, type Put, type Slot, type Store, StoreError, Tombstone } from './store.ts'

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

/** The store, and what the rate limiter needs of the client behind it. */
export interface RedisStore extends Store {
  readonly client: {
    eval(script: string, options: { keys: string[]; arguments: string[] }): Promise<unknown>
  }
  isReady(): boolean
}

/** Bytes of values that may be on their way at once; while Redis is frozen they wait in this process. */
const MAX_SENDING_BYTES = 64 * 1024 * 1024
/** Read of a frame at first to see its head. */
const PEEK_BYTES = 4096
/** Keys a page of SCAN looks at. */
const PAGE = 500

/**
 * Writes a frame unless the guard of what stands there is later than ARGV[3], and carries the later guard on.
 * Gives the kind of what stood there (9: nothing, -1: refused) and the frame of an index among that.
 */
const SET_SCRIPT = `local before = redis.pcall('getrange', KEYS[1], 0, 11)
local kind, guard, index = 9, 0, ''
if type(before) == 'string' and #before == 12 and before:sub(1, 3) == 'RP\\${FRAME_VERSION}' then
  kind = before:byte(4)
  guard = struct.unpack('>d', before:sub(${GUARD_AT + 1}))
end
if guard > tonumber(ARGV[3]) then return {-1, ''} end
if kind == ${kinds.index} then index = redis.call('get', KEYS[1]) end
redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
if guard > tonumber(ARGV[4]) then redis.call('setrange', KEYS[1], ${GUARD_AT}, struct.pack('>d', guard)) end
return {kind, index}`

/** Slower than that a large value is too slow. */
const SLOWEST_BYTES_PER_MS = 10_000

/** Later than every time. */
const NEVER = 1e300

/** URL without what is secret in it. */
export const shownUrl = (url: string): string => {
  const shown = new URL(url)
  if (shown.password !== '') shown.password = '***'
  return shown.href.replace(/\/$/, '')
}

/** A slot on its way in, and what became of it: keyv's own answer is only yes or no. */
class Coming {
  readonly slot: Slot
  readonly askedAt: number | undefined
  put: Put = { kept: 'stored' }

  constructor(slot: Slot, askedAt: number | undefined) {
    this.slot = slot
    this.askedAt = askedAt
  }
}

/** Connects in the background; until it has, and whenever it is away, every call rejects at once. */
export const redisStore = (options: RedisOptions): RedisStore => {
  const { urls, timeoutMs } = options
  const url = urls.map(shownUrl).join(', ')
  const link = new RedisLink({ urls, timeoutMs, onState: (error) => options.onState({ url, error }) })
  const scope = createHash('sha256').update(options.scope).digest('base64url').slice(0, 10)
  const prefix = `revproxy:${FRAME_VERSION}:${scope}:`
  const own = (filed: string): string => filed.slice(prefix.length)
  const bytesIo = bytesOver(link)
  const keyv = new Keyv<Slot | Coming>({
    store: frameAdapter(link, bytesIo, own),
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

  return {
    kind: 'redis',
    timeoutMs,
    client: { eval: (script, given) => link.client.eval(script, given) },
    isReady: () => link.isReady(),
    async get(key, withinMs) {
      const filed = prefix + key
      const slot = await read(filed, () => keyv.get(filed), withinMs)
      if (slot !== 'foreign' && slot !== UNREADABLE) return slot as Slot | undefined
      discard(filed)
      return undefined
    },
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
    async close() {
      link.close()
    },
  }
}

/** Stands for bytes that are no frame of ours: keyv hands on whatever is not undefined. */
const UNREADABLE = new Tombstone('uri-miss', Number.NEGATIVE_INFINITY)

/** @keyv/redis on the link's client of the moment: moves bytes. */
const bytesOver = (link: RedisLink): (() => KeyvRedis<Buffer>) => {
  let client = link.client
  const io = new KeyvRedis<Buffer>(
    client as never,
    {
      throwOnErrors: true,
      throwOnConnectError: false,
    } as never,
  )
  io.on('error', () => {
    // Whoever called has it as well, and the link hears of its connections itself.
  })
  // keyv's default namespace would be taken for a prefix.
  io.namespace = undefined
  return () => {
    if (client !== link.client) {
      client = link.client
      io.client = client as never
    }
    return io
  }
}

/** What keyv takes for its store: slots in, slots out, frames in between. */
const frameAdapter = (link: RedisLink, io: () => KeyvRedis<Buffer>, own: (filed: string) => string) => {
  // Some Redis forbid scripts; then the guard is looked at in a step of its own.
  let scripts = true

  const write = async (
    filed: string,
    frame: Buffer,
    coming: Coming,
    ttl: number,
  ): Promise<[number, unknown]> => {
    const askedAt = coming.askedAt ?? NEVER
    const guard = ownGuard(coming.slot)
    if (scripts) {
      try {
        const reply = await link.client.eval(SET_SCRIPT, {
          keys: [filed],
          arguments: [frame, String(ttl), String(askedAt), String(guard)] as string[],
        })
        return reply as unknown as [number, unknown]
      } catch (error) {
        if (!(error instanceof ErrorReply) || !/^NOPERM|unknown command/i.test(error.message)) throw error
        scripts = false
      }
    }
    const before = (await io().get(filed)) as unknown
    const standing = Buffer.isBuffer(before) ? decodeHead(before, own(filed)) : undefined
    if (standing !== undefined && standing.guard > askedAt) return [-1, '']
    if (standing !== undefined && standing.guard > guard) frame.writeDoubleBE(standing.guard, GUARD_AT)
    await io().set(filed, frame as never, ttl)
    return standing?.slot instanceof Index ? [kinds.index, before] : [9, '']
  }

  return {
    opts: {},
    namespace: undefined as string | undefined,
    async get(filed: string): Promise<{ value: Slot } | undefined> {
      const bytes = (await io().get(filed)) as unknown
      if (bytes === undefined || bytes === null) return undefined
      return { value: (Buffer.isBuffer(bytes) ? decodeFrame(bytes, own(filed)) : undefined) ?? UNREADABLE }
    },
    async set(filed: string, { value }: { value: Coming }, ttl: number): Promise<boolean> {
      const key = own(filed)
      const frame = encodeFrame(key, value.slot)
      if (value.askedAt === undefined && !(value.slot instanceof Index || value.slot instanceof Tombstone)) {
        await io().set(filed, frame as never, ttl)
        return true
      }
      const [kind, index] = await write(filed, frame, value, ttl)
      const replaced = Buffer.isBuffer(index) && index.length > 0 ? decodeFrame(index, key) : undefined
      value.put = {
        kept: kind === -1 ? 'invalidated' : 'stored',
        replaced: replaced instanceof Index ? replaced : undefined,
      }
      return kind !== -1
    },
    delete: (filed: string): Promise<boolean> => io().delete(filed),
    // Never asked for: what is ours goes by its keys.
    clear: async (): Promise<void> => {},
  }
}

/** Keys are matched by glob in SCAN. */
const escapeGlob = (text: string): string => text.replace(/[*?[\]\\]/g, '\\$&')
