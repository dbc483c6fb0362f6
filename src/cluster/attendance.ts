/** What the process that starts the workers does for each of them: cache, leases, limits, metrics, and the record. */
import { Entry } from '../cache/entry.ts'
import { decodeFrame, encodeFrame } from '../cache/store/frame.ts'
import type { MemoryStore } from '../cache/store/memory.ts'
import { type Store, Tombstone } from '../cache/store/store.ts'
import { Cancel } from '../core/cancel.ts'
import type { Clock } from '../core/clock.ts'
import { ProxyError } from '../core/errors.ts'
import type { Observer } from '../core/types.ts'
import type { TurnSource } from '../limit/concurrency.ts'
import type { Limiter } from '../limit/limiter.ts'
import type { Turn } from '../limit/turns.ts'
import type { Notices } from '../proxy.ts'
import type { LeaseBook, Outcome } from './leases.ts'
import type { Link } from './link.ts'
import { Presence } from './presence.ts'
import { Reported } from './records.ts'

/** What all workers share. */
export interface Hub {
  /** Present where the cache is in memory: then it is here. */
  readonly memory: MemoryStore | undefined
  readonly leases: LeaseBook
  readonly limiter: Limiter | undefined
  readonly turns: TurnSource | undefined
  readonly observers: readonly Observer[]
  readonly clock: Clock
  readonly notices: Notices
  /** Of all workers together. */
  readonly maxConnections: number
  scrape(accept: string | undefined): Promise<{ contentType: string; body: string }>
  /** So many exchanges of a worker will never be told of. */
  lost(exchanges: number): void
  /** Tells all workers but one that what they have of a key is outdated; resolves once they know. */
  outdated(key: string, dropped: boolean, except?: number): Promise<void>
}

/** What a worker says of itself. */
export interface WorkerState {
  readonly spansDropped: number
  readonly holding: number
}

/** One worker as it is attended to. */
export interface Attended {
  readonly reported: Reported
  /** What only it knows: spans that it gave up so far, and requests that wait for the target. */
  state(): WorkerState
  /** Whether it may have something of the cache: from just before it listens on. */
  mayHold(): boolean
  /** It is gone: what was its own is given back, what it had open has failed. */
  abandon(why: string): void
}

/** A store that tells the workers what changes in it. */
export const announcing = (store: Store, outdated: Hub['outdated']): Store => ({
  ...store,
  async set(key, slot, keepMs, askedAt) {
    const put = await store.set(key, slot, keepMs, askedAt)
    if (put.kept !== 'invalidated') await outdated(key, slot instanceof Tombstone)
    return put
  },
  async delete(key) {
    await store.delete(key)
    await outdated(key, false)
  },
})

/** Listens to what a worker says and asks. */
export const attend = (link: Link, worker: number, hub: Hub): Attended => {
  const reported = new Reported({
    observers: hub.observers,
    clock: hub.clock,
    onFault: hub.notices.internal,
    onLost: hub.lost,
  })
  link.on('here', () => undefined)
  let holds = false
  link.on('holds', () => {
    holds = true
  })
  let state: WorkerState = { spansDropped: 0, holding: 0 }
  link.on('exchanges', ({ text }, bytes) => reported.take(bytes, Number(text)))
  link.on('state', (said) => {
    state = said as unknown as WorkerState
  })
  link.on('malformed', ({ client, status, message, code }) => {
    const cause = Object.assign(new Error(), code === undefined ? {} : { code })
    const error = new ProxyError(Number(status), 'bad-request', String(message), { cause })
    hub.notices.malformed?.(String(client), error)
  })
  link.on('full', ({ client }) => hub.notices.full?.(String(client), hub.maxConnections))
  link.on('too-few-files', ({ max, enough }) => {
    if (worker === 1) hub.notices.tooFewFiles?.(Number(max), Number(enough))
  })
  link.on('trace', ({ sentence }) => hub.notices.trace(String(sentence)))
  link.on('fault', ({ text }) => hub.notices.internal(Object.assign(new Error(), { stack: text })))
  link.on('scrape', async ({ accept }) => ({ said: { ...(await hub.scrape(accept as string | undefined)) } }))
  link.on('dropped', ({ key }) => hub.outdated(String(key), true, worker))
  if (hub.memory !== undefined) serveStore(link, worker, hub, hub.memory)
  const leave = serveTurns(link, hub)
  const presence = new Presence(link)
  hub.leases.join(worker, () => presence.ask('here', {}))
  link.on('lease', async ({ key, leader }) => ({
    said: { ...(await hub.leases.take(String(key), worker, Number(leader))) },
  }))
  link.on('try-lease', ({ key, leader }) => ({
    said: { ours: hub.leases.tryTake(String(key), worker, Number(leader)) },
  }))
  link.on('release', ({ key, outcome }) => hub.leases.release(String(key), worker, outcome as Outcome))
  return {
    reported,
    state: () => state,
    mayHold: () => holds,
    abandon(why) {
      hub.leases.releaseAll(worker)
      leave()
      reported.abandon(why)
    },
  }
}

const serveStore = (link: Link, worker: number, hub: Hub, memory: MemoryStore): void => {
  link.on('get', async ({ key }) => {
    const slot = await memory.get(String(key))
    if (slot === undefined) return { said: { gone: memory.whyGone(String(key)) } }
    return {
      said: slot instanceof Entry ? { hits: slot.hits } : {},
      bytes: encodeFrame(String(key), slot),
    }
  })
  link.on('peek', async ({ key }) => {
    const standing = await memory.peek(String(key))
    if (standing === undefined) return { said: {} }
    const { slot, bodyBytes, guard } = standing
    return { said: { bodyBytes, guard }, bytes: encodeFrame(String(key), slot) }
  })
  link.on('set', async ({ key, keepMs, askedAt }, bytes) => {
    const filed = String(key)
    const slot = decodeFrame(bytes, filed)
    if (slot === undefined) throw new Error('not a frame')
    const put = await memory.set(filed, slot, Number(keepMs), askedAt as number | undefined)
    if (put.kept !== 'invalidated') await hub.outdated(filed, slot instanceof Tombstone, worker)
    const { kept, replaced } = put
    return { said: { kept }, bytes: replaced === undefined ? undefined : encodeFrame(filed, replaced) }
  })
  link.on('delete', async ({ key }) => {
    await memory.delete(String(key))
    await hub.outdated(String(key), false, worker)
  })
  link.on('used', ({ hits }) => {
    for (const [key, times] of hits as Array<[string, number]>) memory.used(key, times)
  })
}

/** Rate and concurrency. Gives what ends it all when the worker is gone. */
const serveTurns = (link: Link, hub: Hub): (() => void) => {
  const asking = new Map<number, Cancel>()
  const held = new Map<number, Turn>()
  const whileAsking = async <T>(ticket: number, ask: (cancel: Cancel) => Promise<T>): Promise<T> => {
    const cancel = new Cancel()
    asking.set(ticket, cancel)
    try {
      return await ask(cancel)
    } finally {
      asking.delete(ticket)
    }
  }
  let gone = false
  link.on('take', async ({ key, ticket }) => {
    const decision = await whileAsking(Number(ticket), (cancel) => hub.limiter!.take(String(key), cancel))
    return { said: { ...decision } }
  })
  link.on('turn', async ({ ticket, maxWaitMs }) => {
    const turn = await whileAsking(Number(ticket), (cancel) => hub.turns!.wait(cancel, Number(maxWaitMs)))
    if (typeof turn === 'string') return { said: { turn } }
    if (gone) turn()
    else held.set(Number(ticket), turn)
    return { said: {} }
  })
  link.on('turn-over', ({ ticket }) => {
    held.get(Number(ticket))?.()
    held.delete(Number(ticket))
  })
  link.on('leave', ({ ticket }) => asking.get(Number(ticket))?.fire())
  return () => {
    gone = true
    for (const cancel of [...asking.values()]) cancel.fire()
    for (const turn of held.values()) turn()
    held.clear()
  }
}
