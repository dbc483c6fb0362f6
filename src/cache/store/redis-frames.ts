/** Slots as frames in Redis: @keyv/redis moves the bytes, and what a guard may keep out is written in one step. */
import KeyvRedis from '@keyv/redis'
import { ErrorReply } from '@redis/client'
import { decodeFrame, decodeHead, encodeFrame, FRAME_VERSION, GUARD_AT, kinds, ownGuard } from './frame.ts'
import type { RedisLink } from './redis-link.ts'
import { Index, type Put, type Slot, Tombstone } from './store.ts'

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

/** A slot on its way in, and what became of it: keyv's own answer is only yes or no. */
export class Coming {
  readonly slot: Slot
  readonly askedAt: number | undefined
  put: Put = { kept: 'stored' }

  constructor(slot: Slot, askedAt: number | undefined) {
    this.slot = slot
    this.askedAt = askedAt
  }
}

/** Stands for bytes that are no frame of ours: keyv hands on whatever is not undefined. */
export const UNREADABLE = new Tombstone('uri-miss', Number.NEGATIVE_INFINITY)

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

/** What keyv takes for its store: slots in, slots out, frames in between. `own` gives the key without our prefix. */
export const frameAdapter = (link: RedisLink, own: (filed: string) => string) => {
  const io = bytesOver(link)
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
