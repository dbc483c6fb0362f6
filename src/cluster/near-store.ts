/**
 * The cache's store as a worker has it: the store of the process that started it, with copies nearby of what this
 * worker asked for lately, and of what it found not to be there.
 *
 * - A copy is good until the process that has the store says otherwise, which it does before it confirms to another
 *   worker that something was stored, purged or invalidated: nobody who was told so sees anything older.
 * - A worker that does not say in time that it heard is passed over. So a copy is used only while there is a proof that
 *   is younger than that time: an answer of that process, behind all that it said before. Where this worker or that
 *   process was stopped or busy for longer, it is asked again.
 * - What is on its way here when that is said is used once, and not kept.
 */
import { LRUCache } from 'lru-cache'
import { Entry } from '../cache/entry.ts'
import { within } from '../cache/store/deadline.ts'
import { decodeFrame, encodeFrame } from '../cache/store/frame.ts'
import { Proof } from '../cache/store/proof.ts'
import { Index, type Put, type Slot, type Standing, type Store, StoreError } from '../cache/store/store.ts'
import type { Reason } from '../core/reasons.ts'
import type { Link, Said } from './link.ts'
import type { Presence } from './presence.ts'

/** No call takes longer; a store that does not answer at all is given up before that. */
const TIMEOUT_MS = 5000
/** How often it is told what was used of the copies. */
const TELL_EVERY_MS = 1000
const REMEMBERED = 1000
/** How old the proof may be by which a copy is used, ms. */
export const COPY_PROOF_MS = 900
const FOREVER_MS = 1e15

/** What is here of a key. */
interface Copy {
  readonly slot: Slot | undefined
  /** Times it was served that the store knows of. */
  hitsTold: number
}

const sizeOf = ({ slot }: Copy, key: string): number =>
  key.length +
  200 +
  (slot instanceof Entry ? slot.bytes + 760 : slot instanceof Index ? slot.variants.length * 300 : 0)

/** The store, and what may be said to it from outside. */
export interface NearStore extends Store {
  /** The copy of this key is outdated. */
  forget(key: string): void
}

/** Copies of at most so many bytes over a link; while nobody answers there, nothing is read nor written. */
export const nearStore = (link: Link, presence: Presence, maxBytes: number): NearStore => {
  const copies = new LRUCache<string, Copy>({
    maxSize: Math.max(1, Math.floor(maxBytes)),
    sizeCalculation: sizeOf,
  })
  const gone = new LRUCache<string, Reason>({ max: REMEMBERED })
  /** Of each key, what is on its way here. */
  const coming = new Map<string, Set<{ outdated: boolean }>>()
  /** What was given since the last telling, also what is no copy any more: it may have been served. */
  let used = new Map<Copy, string>()
  let telling: NodeJS.Timeout | undefined

  /** Runs what brings something of a key; `keep` tells whether it may be kept. */
  const bring = async <T>(key: string, work: (keep: () => boolean) => Promise<T>): Promise<T> => {
    const mark = { outdated: false }
    const marks = coming.get(key) ?? new Set()
    coming.set(key, marks.add(mark))
    try {
      return await work(() => !mark.outdated)
    } finally {
      marks.delete(mark)
      if (marks.size === 0) coming.delete(key)
    }
  }
  const ask = async (what: string, said: Said, withinMs = Number.POSITIVE_INFINITY, bytes?: Buffer) => {
    try {
      return await within(withinMs, presence.ask(what, said, bytes))
    } catch (error) {
      if (error instanceof StoreError) throw error
      throw new StoreError('store-down', { cause: error })
    }
  }
  const proof = new Proof(COPY_PROOF_MS)
  /** Asks what proves, by its answer, that all was heard of. */
  const askForProof = async (what: string, said: Said, withinMs?: number) => {
    const question = proof.asked(performance.now())
    try {
      const answer = await ask(what, said, withinMs)
      proof.answered(question)
      return answer
    } finally {
      proof.failed(question)
    }
  }
  const isProven = (): boolean => {
    const now = performance.now()
    if (proof.isDue(now)) askForProof('here', {}).catch(() => {})
    return proof.holds(now)
  }
  const tell = (): void => {
    telling = undefined
    const hits: Array<[string, number]> = []
    for (const [copy, key] of used) {
      if (!(copy.slot instanceof Entry)) continue
      hits.push([key, copy.slot.hits - copy.hitsTold])
      copy.hitsTold = copy.slot.hits
    }
    used = new Map()
    if (hits.length > 0) link.tell('used', { hits })
  }
  const given = (key: string, copy: Copy): void => {
    if (!(copy.slot instanceof Entry)) return
    used.set(copy, key)
    telling ??= setTimeout(tell, TELL_EVERY_MS).unref()
  }

  const atHand = (key: string): Slot | undefined => {
    const copy = isProven() ? copies.get(key) : undefined
    if (copy !== undefined) given(key, copy)
    return copy?.slot
  }

  return {
    kind: 'memory',
    timeoutMs: TIMEOUT_MS,
    atHand,
    async get(key, withinMs) {
      const copy = atHand(key)
      if (copy !== undefined) return copy
      return bring(key, async (keep) => {
        const { said, bytes } = await askForProof('get', { key }, withinMs)
        const slot = bytes.length === 0 ? undefined : decodeFrame(bytes, key)
        if (slot === undefined && said.gone !== undefined) gone.set(key, said.gone as Reason)
        else gone.delete(key)
        const hits = slot instanceof Entry ? Number(said.hits ?? 0) : 0
        if (slot instanceof Entry) slot.hits = hits
        const brought = { slot, hitsTold: hits }
        if (keep()) copies.set(key, brought)
        given(key, brought)
        return slot
      })
    },
    async peek(key, withinMs): Promise<Standing | undefined> {
      const { said, bytes } = await ask('peek', { key }, withinMs)
      const slot = bytes.length === 0 ? undefined : decodeFrame(bytes, key)
      if (slot === undefined) return undefined
      return { slot, bodyBytes: Number(said.bodyBytes), guard: Number(said.guard) }
    },
    set: (key, slot, keepMs, askedAt) =>
      bring(key, async (keep): Promise<Put> => {
        const said = {
          key,
          keepMs: Math.min(keepMs, FOREVER_MS),
          ...(askedAt === undefined || askedAt === Number.POSITIVE_INFINITY ? {} : { askedAt }),
        }
        const reply = await ask('set', said, undefined, encodeFrame(key, slot))
        const kept = reply.said.kept as Put['kept']
        if (kept === 'stored' && keep())
          copies.set(key, { slot, hitsTold: slot instanceof Entry ? slot.hits : 0 })
        else copies.delete(key)
        const replaced = reply.bytes.length === 0 ? undefined : decodeFrame(reply.bytes, key)
        return replaced instanceof Index ? { kept, replaced } : { kept }
      }),
    async delete(key) {
      await bring(key, () => ask('delete', { key }))
      copies.delete(key)
    },
    whyGone: (key) => gone.get(key),
    // Listing and searching are for the process that has the store.
    async *keys() {},
    stats: () => undefined,
    async close() {
      clearTimeout(telling)
      copies.clear()
    },
    forget(key) {
      copies.delete(key)
      for (const mark of coming.get(key) ?? []) mark.outdated = true
    },
  }
}
