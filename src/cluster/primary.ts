/**
 * Several processes that serve one port (`--workers`). The workers do what a request needs; this process tells of it
 * (log, metrics, admin listener, expectations), has the memory cache and decides what must be decided once: whose turn
 * it is, who is over the rate, who fetches a key.
 *
 * Connections are accepted here and handed out in turn (node:cluster's round robin).
 */
import { createServer } from 'node:net'
import { cacheKey } from '../cache/key.ts'
import { keyRules } from '../cache/key-rules.ts'
import { Shelf } from '../cache/shelf.ts'
import { type MemoryStore, memoryStore } from '../cache/store/memory.ts'
import type { RedisStore } from '../cache/store/redis.ts'
import { systemClock } from '../core/clock.ts'
import { concealedBy, desk } from '../desk.ts'
import { listenAll } from '../edge/listen.ts'
import { connectionsFor, openFilesLimit } from '../edge/open-files.ts'
import { redactor } from '../observe/redact.ts'
import { routes } from '../observe/routes.ts'
import { type Options, redactedByDefault } from '../options.ts'
import { holdMs, isUp, listenHosts, makeStore, type ProxyDeps, type RunningProxy, tlsOf } from '../proxy.ts'
import { FLUSH_MS, startTracing } from '../trace/tracing.ts'
import { type Attended, announcing, attend, type Hub } from './attendance.ts'
import { leadOf } from './clock.ts'
import { type Crew, startCrew } from './crew.ts'
import { LeaseBook } from './leases.ts'
import type { Link } from './link.ts'
import { COPY_PROOF_MS } from './near-store.ts'
import type { WorkerProgram } from './worker-process.ts'

/** What the workers are started with, and what to do when there are none any more. */
export interface ClusterDeps extends ProxyDeps {
  readonly program: WorkerProgram
  /** What was written, for the workers to settle again; plain JSON. `port` is the one to listen on. */
  readonly given: (port: number) => unknown
  readonly say: (sentence: string) => void
  /** So many requests that workers served will never be told of: this process did not keep up. */
  readonly onLost: (requests: number) => void
  /** No worker can be started any more, and why. */
  readonly onFatal: (sentence: string) => void
}

/** Of the room for the memory cache, the store's share; the workers' copies have the rest. */
const STORE_SHARE = 1 / 2
/**
 * A worker that does not say within that time that it knows is passed over: it is stuck, or on its way out. By then its
 * copies are of no use to it.
 */
const KNOWN_WITHIN_MS = COPY_PROOF_MS + 100
/** A port that was free a moment ago may be taken by somebody else. */
const PORT_ATTEMPTS = 5

/** Builds and starts it. Rejects with the error of node's `listen` when a port cannot be had, or with why no worker runs. */
export const startCluster = async (options: Options, deps: ClusterDeps): Promise<RunningProxy> => {
  const { notices } = deps
  const size = options.workers
  const clock = deps.clock ?? systemClock()
  const route = deps.route ?? routes({ templates: options.route })
  const redact = redactor({
    names: [...redactedByDefault, ...options.redact],
    enabled: !options['no-redact'],
  })
  const target = options.target!
  // Once: workers that each make one would have several, and race for the files of the CA.
  const tls = await tlsOf(options, deps)
  const scheme = tls === undefined ? 'http' : 'https'
  const tracing =
    options['trace-receive'] === undefined
      ? undefined
      : await startTracing({
          endpoints: options.trace.filter((endpoint) => endpoint !== undefined),
          receivePort: options['trace-receive'],
          idsWanted: false,
          serviceName: options['service-name'],
          sample: options['trace-sample'],
          route,
          redact,
          upstreamUrl: target.origin + target.basePath,
          onProblem: notices.trace,
        })
  const inMemory = options.cache.every(({ kind }) => kind === 'memory')
  const memory: MemoryStore | undefined = inMemory
    ? memoryStore(options['cache-size'] * STORE_SHARE)
    : undefined
  // What it serves nobody it need not have nearby.
  const store = memory ?? (await makeStore(options, notices, 0))
  let crew: Crew | undefined
  /** Who holds each place, also while the crew is only being started. */
  const workers = new Map<number, { link: Link; attended: Attended }>()
  let lost = 0
  const told = desk({
    options,
    version: deps.version,
    clock,
    route,
    redact,
    store,
    storeUp: () => isUp(store!),
    counted: {
      waiting: () => waiting(),
      spansDropped: () => (crew?.spansDropped() ?? 0) + (tracing?.dropped() ?? 0),
      spansReceived: () => tracing?.receivedTotal() ?? 0,
      logLinesDropped: () => deps.linesDropped?.() ?? 0,
      processes: {
        own: 'primary',
        restarts: () => crew?.restarts() ?? 0,
        serving: () => crew?.serving() ?? 0,
        lost: () => lost,
        others: () => familiesOf(crew),
      },
    },
  })
  const redis = store?.kind === 'redis' ? (store as RedisStore) : undefined
  const hub: Hub = {
    memory,
    leases: new LeaseBook(),
    limiter: await limiterOf(options, clock, redis),
    turns:
      options.concurrency === undefined
        ? undefined
        : await (await import('../limit/concurrency.ts')).turnSource(options.concurrency),
    observers: [...told.observers, ...deps.observers],
    clock,
    notices: { ...notices, trace: onceInAWhile(notices.trace) },
    maxConnections: options['max-connections'] ?? size * (connectionsFor(openFilesLimit()) ?? 0),
    scrape: (accept) => told.measured.scrape(accept),
    lost(requests) {
      lost += requests
      deps.onLost(requests)
    },
    async outdated(key, dropped, except) {
      const calls: Array<Promise<void>> = []
      for (const [worker, { link, attended }] of workers)
        if (worker !== except && attended.mayHold())
          calls.push(known(link.call('outdated', { key, dropped })))
      await Promise.all(calls)
    },
  }
  const waiting = (): Record<string, number> => ({
    ...(options['rate-mode'] === 'delay' && hub.limiter !== undefined
      ? { rate: hub.limiter.waiting?.() ?? 0 }
      : {}),
    ...(holdMs(options) === 0 ? {} : { hold: crew?.holding() ?? 0 }),
    ...(hub.turns === undefined ? {} : { concurrency: hub.turns.waiting() }),
  })
  const rules = keyRules(options['cache-key'])
  const shown =
    store === undefined
      ? undefined
      : {
          shelf: new Shelf(announcing(store, hub.outdated), clock, concealedBy(redact)),
          keyRules: rules,
          keyFor: (scheme: string, host: string, url: string, headers: readonly string[]) =>
            cacheKey(scheme, host, rules === undefined ? url : rules.part(url, headers)),
        }
  const nearBytes = (options['cache-size'] * (1 - STORE_SHARE)) / size
  let draining = false
  let admin: Awaited<ReturnType<typeof told.open>>
  const closeRest = () => Promise.all([store?.close(), tracing?.close(FLUSH_MS), admin?.close()])

  const startOn = (port: number): Promise<Crew> =>
    startCrew({
      size,
      program: deps.program,
      begin: (worker, lastId) => ({
        given: deps.given(port),
        version: deps.version,
        worker,
        numbers: { from: nextId(worker, lastId, size), step: size },
        lead: leadOf(clock),
        nearBytes,
        roomBytes: options['cache-size'] / size,
        tls: tls === undefined ? undefined : { cert: tls.cert, key: tls.key },
        maxConnections: shareOf(options['max-connections'], size),
      }),
      attend: ({ link }, worker) => {
        const attended = attend(link, worker, hub)
        workers.set(worker, { link, attended })
        return attended
      },
      say: deps.say,
      onFatal: deps.onFatal,
      onFault: notices.internal,
    })
  try {
    for (let attempt = 1; crew === undefined; attempt++) {
      const port = await freePort(options)
      try {
        crew = await startOn(port)
      } catch (error) {
        const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE'
        if (!taken || options.port !== 0 || attempt >= PORT_ATTEMPTS) throw error
      }
    }
  } catch (error) {
    await closeRest()
    throw error
  }
  const running = crew
  try {
    admin = await told.open({
      cache: shown,
      origin: () => `${scheme}://localhost:${running.port}`,
      draining: () => draining,
      received: tracing?.received,
    })
  } catch (error) {
    await running.close(0)
    await closeRest()
    throw Object.assign(error as Error, { listener: 'admin' })
  }
  return {
    port: running.port,
    addresses: running.addresses,
    scheme,
    caFile: tls?.caFile,
    adminUrl: admin?.url,
    traceReceiverUrl: tracing?.receiverUrl,
    active: () => running.active(),
    async caughtUp() {
      await Promise.all(running.links().map(({ link }) => known(link.call('report'))))
    },
    async close(graceMs) {
      draining = true
      await running.close(graceMs)
      await closeRest()
    },
  }
}

/** The port to listen on; rejects as `listen` does when it cannot be had. */
const freePort = async (options: Options): Promise<number> => {
  const servers = await listenAll(createServer, listenHosts(options), options.port)
  const { port } = servers[0]!.address() as { port: number }
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return port
}

/** A worker's share of what all may have together, at least one. */
const shareOf = (all: number | undefined, size: number): number | undefined =>
  all === undefined ? undefined : Math.max(1, Math.floor(all / size))

/** The number of a worker's next exchange: each has those that leave another rest. */
export const nextId = (worker: number, lastId: number, size: number): number =>
  lastId === 0 ? worker : lastId + size

const limiterOf = async (options: Options, clock: ReturnType<typeof systemClock>, redis?: RedisStore) => {
  if (options.rate === undefined) return undefined
  const { makeLimiter } = await import('../limit/stage.ts')
  return makeLimiter({
    rate: options.rate,
    mode: options['rate-mode'],
    maxWaitMs: options['rate-max-wait'],
    clock,
    redis,
    redisTimeoutMs: options['cache-timeout'],
  })
}

/** Resolves when a call is answered, or after a while; what became of it is no matter. */
const known = (call: Promise<unknown>): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, KNOWN_WITHIN_MS)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    call.then(done, done)
  })

/** The metrics of each worker's process. */
const familiesOf = async (crew: Crew | undefined) => {
  const asked = (crew?.links() ?? []).map(async ({ link }) => {
    const late = new Promise<never[]>((resolve) => setTimeout(resolve, KNOWN_WITHIN_MS, []).unref())
    const answer = link.call('process').then(({ said }) => said.families as never[])
    return Promise.race([answer, late]).catch(() => [])
  })
  return Promise.all(asked)
}

/** What all workers have to say is said once. */
const SAME_WITHIN_MS = 10_000
const onceInAWhile = (say: (sentence: string) => void): ((sentence: string) => void) => {
  let last = ''
  let lastAt = 0
  return (sentence) => {
    if (sentence === last && performance.now() - lastAt < SAME_WITHIN_MS) return
    last = sentence
    lastAt = performance.now()
    say(sentence)
  }
}
