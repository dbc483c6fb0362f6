/** A worker: a proxy whose store, limits and record are those of the process that started it. */
import { Socket } from 'node:net'
import type { Leases } from '../cache/asked.ts'
import type { RedisStore } from '../cache/store/redis.ts'
import { Tombstone } from '../cache/store/store.ts'
import type { Cancel } from '../core/cancel.ts'
import { processFamilies } from '../observe/metrics/process.ts'
import type { Options } from '../options.ts'
import { makeStore, type RunningProxy, startProxy, type Together } from '../proxy.ts'
import { clockByLead } from './clock.ts'
import { Link, type Said } from './link.ts'
import { type NearStore, nearStore } from './near-store.ts'
import { Presence } from './presence.ts'
import { reporter } from './records.ts'

/** The descriptor of the link, beside stdin, stdout, stderr and node's own channel. */
export const LINK_FD = 4

/** What a worker is told to begin with. Plain JSON. */
export interface Begin {
  /** What was written on the command line and in the environment. */
  readonly given: unknown
  readonly version: string
  /** From 1 on. */
  readonly worker: number
  readonly numbers: { readonly from: number; readonly step: number }
  /** Of the clock (`clockByLead`). */
  readonly lead: number
  /** Bytes for copies of what is in the memory store, and for bodies on their way into it. */
  readonly nearBytes: number
  readonly roomBytes: number
  /** This worker's share of `--max-connections`. */
  readonly maxConnections: number | undefined
  /** What to serve TLS with. */
  readonly tls: { readonly cert: string; readonly key: string } | undefined
}

/** How soon what is not in the record of any exchange is told. */
const STATE_EVERY_MS = 250

/** Serves until told to end, or until the process that started it is gone. `settle` gives the options again. */
export const work = (settle: (given: unknown) => Options): void => {
  const link = new Link(new Socket({ fd: LINK_FD, readable: true, writable: true }), (error) => fault(error))
  const fault = (error: unknown): void =>
    link.tell('fault', { text: String((error as Error)?.stack ?? error) })
  // A terminal sends them to all of us; the process that started us says when to end.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {})
  process.on('uncaughtException', fault)
  process.on('unhandledRejection', fault)
  void link.closed.then(() => process.exit(0))
  // Also before it serves.
  link.on('exit', () => process.exit(0))
  link.on('begin', async (said) => {
    try {
      await begin(said as unknown as Begin, settle, link, fault)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      link.tell('failed', { code, message })
      await link.flush()
      process.exit(1)
    }
  })
}

const begin = async (
  told: Begin,
  settle: (given: unknown) => Options,
  link: Link,
  fault: (error: unknown) => void,
): Promise<void> => {
  const { maxConnections, tls } = told
  const options: Options = {
    ...settle(told.given),
    ...(maxConnections === undefined ? {} : { 'max-connections': maxConnections }),
    ...tls,
  }
  const clock = clockByLead(told.lead)
  const presence = new Presence(link)
  const report = reporter(link, { wholeFields: showsFields(options) })
  const families = processFamilies(String(told.worker))
  let onDropped: (key: string) => void = () => {}
  let store: NearStore | RedisStore | undefined
  link.on('outdated', ({ key, dropped }) => {
    store?.forget(String(key))
    if (dropped === true) onDropped(String(key))
  })
  link.on('here', () => undefined)
  link.on('report', () => report.flush())
  link.on('process', async () => {
    // Whoever asks for the numbers is to find all that they know of in them.
    report.flush()
    return { said: { families: await families() } }
  })
  store = options.cache.every(({ kind }) => kind === 'memory')
    ? nearStore(link, presence, told.nearBytes)
    : await sharedStore(options, presence, told.roomBytes)
  const together: Together = {
    store,
    leases: leasesOver(link, presence),
    limiter: limiterOver(link),
    turns: turnsOver(link),
    numbers: told.numbers,
    roomBytes: told.roomBytes,
    metricsPage: async (accept) => (await link.call('scrape', { accept })).said as never,
    watch(state) {
      let before = JSON.stringify({ spansDropped: 0, holding: 0 })
      setInterval(() => {
        const now = state()
        if (JSON.stringify(now) === before) return
        before = JSON.stringify(now)
        link.tell('state', now)
      }, STATE_EVERY_MS).unref()
    },
    onDropped(dropped) {
      onDropped = dropped
      // Said before it listens, and so before anything that it asks for.
      link.tell('holds')
    },
  }
  const proxy: RunningProxy = await startProxy(options, {
    version: told.version,
    clock,
    observers: [report],
    // The process that started us watches Redis too, and tells of it once.
    notices: {
      redisAway: () => {},
      redisBack: () => {},
      trace: (sentence) => link.tell('trace', { sentence }),
      internal: fault,
      malformed: (client, { status, message, cause }) =>
        link.tell('malformed', { client, status, message, code: (cause as NodeJS.ErrnoException)?.code }),
      full: (client, max) => link.tell('full', { client, max }),
      tooFewFiles: (max, enough) => link.tell('too-few-files', { max, enough }),
    },
    together,
  })
  link.on('close', async ({ graceMs }) => {
    await proxy.close(Number(graceMs))
    report.flush()
  })
  link.tell('ready', { port: proxy.port, addresses: proxy.addresses })
}

/** Redis, where other workers hear at once of what is dropped: they may be fetching it. */
const sharedStore = async (options: Options, presence: Presence, nearBytes: number) => {
  const quiet = { redisAway() {}, redisBack() {}, trace() {}, internal() {} }
  const store = (await makeStore(options, quiet, nearBytes)) as RedisStore | undefined
  if (store === undefined) return undefined
  const announcing: RedisStore = {
    ...store,
    async set(key, slot, keepMs, askedAt) {
      try {
        return await store.set(key, slot, keepMs, askedAt)
      } finally {
        // Where nobody answers, they hear of it from Redis.
        if (slot instanceof Tombstone) await presence.ask('dropped', { key }).catch(() => {})
      }
    },
  }
  return announcing
}

/** Where nobody answers, everybody fetches for themselves. */
const leasesOver = (link: Link, presence: Presence): Leases => {
  const release: Leases['release'] = (key, outcome) => link.tell('release', { key, outcome })
  return {
    async take(key, leader) {
      const late = ({ mine }: Said): void => {
        if (mine === true) release(key, 'failed')
      }
      try {
        const { said } = await presence.ask('lease', { key, leader }, undefined, late)
        return said as never
      } catch {
        return { mine: false, leader, outcome: 'failed' }
      }
    },
    async tryTake(key, leader) {
      const late = ({ ours }: Said): void => {
        if (ours === true) release(key, 'failed')
      }
      try {
        const { said } = await presence.ask('try-lease', { key, leader }, undefined, late)
        return said.ours === true
      } catch {
        return false
      }
    },
    release,
  }
}

/** Whether whoever tells of exchanges shows all their field lines: log, HAR, or the requests that broke a rule. */
const showsFields = ({ expect, har, verbose }: Options): boolean =>
  verbose > 0 || har !== undefined || expect.length > 0

let lastTicket = 0

/** Asks, and says so when whom it is for has left. */
const askFor = async (link: Link, what: string, said: Said, cancel: Cancel) => {
  const ticket = ++lastTicket
  const takeBack = cancel.onFire(() => link.tell('leave', { ticket }))
  try {
    return { ticket, ...(await link.call(what, { ...said, ticket })) }
  } finally {
    takeBack()
  }
}

const limiterOver = (link: Link): Together['limiter'] => ({
  async take(key, cancel) {
    const { said } = await askFor(link, 'take', { key }, cancel)
    return said as never
  },
})

const turnsOver = (link: Link): Together['turns'] => ({
  // Known where the turns are.
  waiting: () => 0,
  async wait(cancel, maxWaitMs) {
    const { said, ticket } = await askFor(link, 'turn', { maxWaitMs }, cancel)
    return (said.turn as 'late' | 'gone' | 'full' | undefined) ?? (() => link.tell('turn-over', { ticket }))
  },
})
