/** The assembly: options → the order of stages and the list of observers. */
import { cacheRoutes } from './admin/cache-routes.ts'
import { startAdmin } from './admin/server.ts'
import { cacheHandle } from './cache/handle.ts'
import { keyRules } from './cache/key-rules.ts'
import { type Cache, cache } from './cache/stage.ts'
import { memoryStore } from './cache/store/memory.ts'
import type { RedisStore } from './cache/store/redis.ts'
import { type Clock, systemClock } from './core/clock.ts'
import { Exchanges } from './core/exchanges.ts'
import { compose, type Observer, type Stage } from './core/types.ts'
import { keyHistory } from './observe/key-history.ts'
import { metrics } from './observe/metrics.ts'
import { redactor } from './observe/redact.ts'
import { routes } from './observe/routes.ts'
import { type Options, redactedByDefault } from './options.ts'
import { type Edge, startEdge } from './server.ts'
import { childTrace, continueTrace } from './trace/context.ts'
import { traceExporters } from './trace/exporters.ts'
import { propagate, withTrace } from './trace/stage.ts'
import { forward } from './upstream/forward.ts'
import { requestFields, upstreamPath } from './upstream/request-fields.ts'
import { upgrades } from './upstream/upgrade.ts'

/** What a proxy is given beside its options. */
export interface ProxyDeps {
  readonly version: string
  readonly clock?: Clock
  /** Observers beside metrics and spans: the log, the summary, a test's. */
  readonly observers: readonly Observer[]
  /** Log lines lost so far. */
  readonly linesDropped?: () => number
  readonly notices: Notices
}

/** What the proxy has to tell the person who runs it, as facts; the command line words them. */
export interface Notices {
  redisAway(url: string, error: string): void
  redisBack(url: string): void
  trace(sentence: string): void
  /** A fault of ours. */
  internal(error: unknown): void
}

/** A running proxy. */
export interface RunningProxy {
  readonly port: number
  readonly addresses: readonly string[]
  readonly adminUrl: string | undefined
  /** Exchanges under way. */
  active(): number
  /** Takes no new connections, lets what runs end within `graceMs`, flushes traces within 1 s, closes everything. */
  close(graceMs: number): Promise<void>
}

const LOOPBACK = ['127.0.0.1', '::1']
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host.startsWith('127.')

/** Builds and starts a proxy. Rejects with the error of node's `listen` when a port cannot be had. */
export const startProxy = async (options: Options, deps: ProxyDeps): Promise<RunningProxy> => {
  const { notices } = deps
  const target = options.target!
  const clock = deps.clock ?? systemClock()
  const route = routes({ templates: options.route })
  const redact = redactor({
    names: [...redactedByDefault, ...options.redact],
    enabled: !options['no-redact'],
  })
  const tracing = await makeTracing(options, { route, redact, notices })
  let cacheStats: (() => ReturnType<Cache['shelf']['store']['stats']>) | undefined
  const measured = metrics({
    route,
    version: deps.version,
    cacheStats: () => cacheStats?.(),
    spansDropped: () => tracing?.exporters.dropped() ?? 0,
    logLinesDropped: () => deps.linesDropped?.() ?? 0,
  })
  const history = keyHistory()
  const exchanges = new Exchanges({
    observers: [
      measured.observer,
      ...(options.admin === undefined ? [] : [history.observer]),
      ...(tracing === undefined ? [] : [tracing.exporters.observer]),
      ...deps.observers,
    ],
    clock,
    onObserverError: notices.internal,
  })

  // Stages, in the order in which a request meets them.
  const stages: Stage[] = []
  const store = await makeStore(options, notices)
  if (options.rate !== undefined) {
    const { rateLimit } = await import('./limit/stage.ts')
    stages.push(
      await rateLimit({
        rate: options.rate,
        by: options['rate-by'],
        mode: options['rate-mode'],
        maxWaitMs: options['rate-max-wait'],
        clock,
        redis: store?.kind === 'redis' ? (store as RedisStore) : undefined,
        redisTimeoutMs: options['cache-timeout'],
      }),
    )
  }
  const { host } = options
  const rules = keyRules(options['cache-key'])
  const concealed = (name: string): boolean => redact.value(name, 'x') !== 'x'
  const cached =
    store === undefined
      ? undefined
      : cache({
          store,
          clock,
          exchanges,
          mode: options['cache-mode'],
          ttlMs: options.ttl,
          maxEntryBytes: options['cache-max-entry'],
          roomBytes: options['cache-size'],
          cacheStatus: options['cache-status'] ?? (host === undefined || isLoopback(host) ? 'full' : 'basic'),
          keyRules: rules,
          collapse: !options['no-collapse'],
          storeCookies: !options['no-cache-cookies'],
          shared: !options.private,
          forcePrivate: options['force-private'],
          purge: options.purge,
          concealed,
          childTrace: (parent) => (parent.trace === undefined ? undefined : childTrace(parent.trace)),
        })
  if (cached !== undefined) {
    stages.push(cached.stage)
    cacheStats = () => cached.shelf.store.stats()
  }
  if (options.concurrency !== undefined) {
    const { concurrency } = await import('./limit/concurrency.ts')
    stages.push(await concurrency({ max: options.concurrency, maxWaitMs: options['rate-max-wait'] }))
  }
  if (tracing !== undefined) stages.push(propagate(options['trace-propagate']))
  const upstream = forward({
    target,
    hostHeader: options['host-header'],
    requestEdits: options.header,
    responseEdits: options['response-header'],
    timeoutMs: options.timeout,
    connectTimeoutMs: options['connect-timeout'],
    insecure: options.insecure,
    ca: options.ca,
    clock,
  })
  const handler = compose(stages, upstream.handle)

  const fieldOptions = {
    hostHeader: options['host-header'],
    targetAuthority: target.authority,
    edits: options.header,
  }
  const tunnels = upgrades({
    target,
    prepare: (req) =>
      requestFields(tracing === undefined ? req : withTrace(req, options['trace-propagate']), fieldOptions),
    timeoutMs: options.timeout,
    connectTimeoutMs: options['connect-timeout'],
    tls: { rejectUnauthorized: !options.insecure, ...(options.ca === undefined ? {} : { ca: options.ca }) },
    clock,
  })
  const { metrics: metricsPath } = options
  const handleOf = (cached: Cache) =>
    cacheHandle({
      shelf: cached.shelf,
      clock,
      keyFor: cached.keyFor,
      keyRules: rules,
      shared: !options.private,
      concealed,
      redact: redact.fields,
      history: history.of,
      origin: () => `http://localhost:${edge.port}`,
    })
  let draining = false
  const edge: Edge = await startEdge({
    hosts: host === undefined ? LOOPBACK : host === 'localhost' ? LOOPBACK : [host],
    port: options.port,
    handler,
    exchanges,
    clock,
    continueTrace: tracing?.continueTrace,
    maxBodyBytes: options['max-body'],
    page:
      metricsPath === undefined
        ? undefined
        : { path: metricsPath, answer: (accept) => measured.scrape(accept) },
    // Not rate-limited and never cached: a tunnel is one request, however long it lasts.
    upgrade: ({ message, socket, head, exchange, url }) =>
      tunnels.handle({
        message,
        socket,
        head,
        exchange,
        url: upstreamPath(url, target.basePath, target.baseQuery),
      }),
    onInternalError: notices.internal,
  })
  const closeAll = async (): Promise<void> => {
    await Promise.all([upstream.close(), cached?.close() ?? store?.close(), tracing?.exporters.close(1000)])
  }
  let admin: Awaited<ReturnType<typeof startAdmin>> | undefined
  try {
    if (options.admin !== undefined) {
      admin = await startAdmin({
        host: options.admin.host,
        port: options.admin.port,
        tryNext: !options.adminGiven,
        scrape: (accept) => measured.scrape(accept),
        draining: () => draining,
        routes: cached === undefined ? [] : cacheRoutes(handleOf(cached)),
      })
    }
  } catch (error) {
    await edge.close(0)
    await closeAll()
    throw Object.assign(error as Error, { listener: 'admin' })
  }

  return {
    port: edge.port,
    addresses: edge.addresses,
    adminUrl: admin?.url,
    active: () => edge.active(),
    async close(graceMs) {
      draining = true
      await edge.close(graceMs)
      tunnels.closeAll()
      await Promise.all([closeAll(), admin?.close()])
    },
  }
}

/** The store of the cache; undefined when it is off. */
const makeStore = async (options: Options, notices: Notices) => {
  const urls = options.cache.flatMap((backend) => (backend.kind === 'redis' ? [backend.url] : []))
  if (urls.length > 0) {
    const { redisStore } = await import('./cache/store/redis.ts')
    return redisStore({
      urls,
      timeoutMs: options['cache-timeout'],
      scope: options.target!.display,
      onState: ({ url, error }) =>
        error === undefined ? notices.redisBack(url) : notices.redisAway(url, error),
    })
  }
  return options.cache.some(({ kind }) => kind === 'off') ? undefined : memoryStore(options['cache-size'])
}

/** Ids for every exchange and the exporters of spans; undefined when there is nowhere to send them. */
const makeTracing = async (
  options: Options,
  {
    route,
    redact,
    notices,
  }: { route: ReturnType<typeof routes>; redact: ReturnType<typeof redactor>; notices: Notices },
) => {
  const endpoints = options.trace.filter((endpoint) => endpoint !== undefined)
  if (endpoints.length === 0) return undefined
  const exporters = traceExporters({
    endpoints,
    serviceName: options['service-name'],
    route,
    redactUrl: redact.url,
    upstreamUrl: options.target!.origin + options.target!.basePath,
    onProblem: notices.trace,
  })
  return {
    exporters,
    continueTrace: (headers: readonly string[]) =>
      continueTrace(headers, { sample: options['trace-sample'] }),
  }
}
