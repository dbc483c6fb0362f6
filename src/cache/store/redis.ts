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
  PREAMBLE_BYTES,
} from './frame.ts'
import { RedisLink } from './redis-link.ts'
import { Index, type Put, type Slot, type Standing, type Store, StoreError, Tombstone } from './store.ts'

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

/** Later than every time. */
const NEVER = 1e300

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
  const plainKey = (filed: string): string => filed.slice(prefix.length)
  let sendingBytes = 0

  const remove = async (filed: string): Promise<void> => {
    await link.call(filed, 'write', () => link.client.unlink(filed))
  }
  /** What cannot be read is gone from then on, so that it is a miss only once; nobody waits for that. */
  const discard = (filed: string): void => {
    remove(filed).catch(() => {
      // It stays; the next one who looks tries again.
    })
  }
  const isForeign = (error: unknown): boolean =>
    error instanceof ErrorReply && error.message.startsWith('WRONGTYPE')

  /** @keyv/redis moves the bytes; keyv sees slots. */
  const adapter = {
    opts: {},
    namespace: undefined as string | undefined,
    async get(filed: string): Promise<{ value: Slot } | undefined> {
      let bytes: unknown
      try {
        bytes = await redis().get(filed)
      } catch (error) {
        if (!isForeign(error)) throw error
      }
      if (bytes === undefined) return undefined
      return undefined
    },
  }
  void adapter
  void sendingBytes
  return undefined as never
}
