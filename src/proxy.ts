/** The assembly: options → the order of stages and the list of observers. */
import type { Leases } from './cache/asked.ts'
import { keyRules } from './cache/key-rules.ts'
import { cache } from './cache/stage.ts'
import { memoryStore } from './cache/store/memory.ts'
import type { RedisStore } from './cache/store/redis.ts'
import type { Store } from './cache/store/store.ts'
import { Cancel } from './core/cancel.ts'
import { type Clock, systemClock } from './core/clock.ts'
import type { ProxyError } from './core/errors.ts'
import type { Exchange } from './core/exchange.ts'
import { Exchanges } from './core/exchanges.ts'
import { compose, type Observer, type Stage } from './core/types.ts'
import type { Target } from './core/values.ts'
import { concealedBy, desk } from './desk.ts'
import { connectionsFor, openFilesLimit } from './edge/open-files.ts'
import { trusted } from './http/forwarded.ts'
import type { TurnSource } from './limit/concurrency.ts'
import type { Limiter } from './limit/limiter.ts'
import { rewriteAnswers } from './local/answers.ts'
import { cookieEdits } from './local/cookies.ts'
import { hold } from './local/hold.ts'
import { redirectEdits } from './local/redirects.ts'
import { redactor } from './observe/redact.ts'
import { routes } from './observe/routes.ts'
import { type Options, redactedByDefault } from './options.ts'
import { type Edge, type LocalPage, startEdge } from './server.ts'
import { childTrace } from './trace/context.ts'
import { addedFields, responseFields } from './trace/response-fields.ts'
import { propagate, withTrace } from './trace/stage.ts'
import { FLUSH_MS, startTracing } from './trace/tracing.ts'
import { forward } from './upstream/forward.ts'
import { probe } from './upstream/probe.ts'
import { requestFields, upstreamPath } from './upstream/request-fields.ts'
import { upgrades } from './upstream/upgrade.ts'

/** What a proxy is given beside its options. */
export interface ProxyDeps {
  readonly version: string
  readonly clock?: Clock
  /** Observers beside metrics and spans: the log, the summary, a test's. */
  readonly observers: readonly Observer[]
  /** Stages before all others, a test's. */
  readonly stages?: readonly Stage[] | undefined
  /** Names routes, where somebody else names them too. */
  readonly route?: ReturnType<typeof routes> | undefined
  /** Log lines lost so far. */
  readonly linesDropped?: () => number
  readonly notices: Notices
  /** Where our own CA is kept (`--https` without `--cert`); the user's config folder when absent. */
  readonly configFolder?: string | undefined
  /** Where this process is one of several that share a port: what it does not do by itself. */
  readonly together?: Together | undefined
}

/** What processes that share a port have in common; another one tells of their exchanges. */
export interface Together {
  /** Undefined when the cache is off. */
  readonly store: Store | undefined
  readonly leases: Leases
  /** For `--rate` and `--concurrency`. */
  readonly limiter: Limiter
  readonly turns: TurnSource
  readonly numbers: { readonly from: number; readonly step: number }
  /** Bytes that bodies on their way into the store may take here. */
  readonly roomBytes: number
  readonly metricsPage: LocalPage['answer']
  /** `state` gives what only this process knows: spans given up so far, and requests that wait for the target. */
  watch(state: () => { readonly spansDropped: number; readonly holding: number }): void
  /** `dropped` is to be called with each key that another process drops. */
  onDropped(dropped: (key: string) => void): void
}

/** What the proxy has to tell the person who runs it, as facts; the command line words them. */
export interface Notices {
  redisAway(url: string, error: string): void
  redisBack(url: string): void
  trace(sentence: string): void
  /** A fault of ours. */
  internal(error: unknown): void
  /** A client sent what cannot be read; `error` is what it was answered, its cause the parser's words. */
  malformed?(clientAddress: string, error: ProxyError): void
  /** A client came when `max` connections were open already, and was sent away. */
  full?(clientAddress: string, max: number): void
  /** `--max-connections` is more than the system gives files for, which is `enough`. */
  tooFewFiles?(max: number, enough: number): void
}

/** A running proxy. */
export interface RunningProxy {
  readonly port: number
  readonly addresses: readonly string[]
  readonly scheme: 'http' | 'https'
  /** The certificate of our own CA, where we made the one we serve with. */
  readonly caFile: string | undefined
  readonly adminUrl: string | undefined
  /** Where the upstream may send its spans (`--trace-receive`). */
  readonly traceReceiverUrl: string | undefined
  /** Exchanges under way. */
  active(): number
  /** Resolves once all that happened so far is known here, where other processes serve. */
  readonly caughtUp?: () => Promise<void>
  /** Takes no new connections, lets what runs end within `graceMs`, flushes traces within 1 s, closes everything. */
  close(graceMs: number): Promise<void>
}

const LOOPBACK = ['127.0.0.1', '::1']
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || host.startsWith('127.')

/** How long requests wait for a target on this machine that refuses connections, unless --hold says. */
const HOLD_MS = 5000
/** How long one look at the target may take. */
const PROBE_MS = 1000
/** Whether the target is on this machine, where it is restarted time and again. */
const isHere = ({ hostname, socketPath }: Target): boolean =>
  socketPath !== undefined || isLoopback(hostname) || hostname.endsWith('.localhost')

/** Builds and starts a proxy. Rejects with the error of node's `listen` when a port cannot be had. */
export const startProxy = async (options: Options, deps: ProxyDeps): Promise<RunningProxy> => {
  const { notices, together } = deps
  const target = options.target!
  const clock = deps.clock ?? systemClock()
  const route = deps.route ?? routes({ templates: options.route })
  const redact = redactor({
    names: [...redactedByDefault, ...options.redact],
    enabled: !options['no-redact'],
  })
  const upstreamUrl = target.origin + target.basePath
  const tracing = await startTracing({
    endpoints: options.trace.filter((endpoint) => endpoint !== undefined),
    receivePort: options['trace-receive'],
    receiveElsewhere: together !== undefined,
    idsWanted: options['trace-header'],
    serviceName: options['service-name'],
    sample: options['trace-sample'],
    route,
    redact,
    upstreamUrl,
    onProblem: notices.trace,
  })
  const store = together === undefined ? await makeStore(options, notices) : together.store
  const queues = new Map<string, () => number>()
  const waiting = () => Object.fromEntries([...queues].map(([name, of]) => [name, of()]))
  const office =
    together === undefined
      ? desk({
          options,
          version: deps.version,
          clock,
          route,
          redact,
          store,
          storeUp: () => isUp(store!),
          counted: {
            waiting,
            spansDropped: () => tracing?.dropped() ?? 0,
            spansReceived: () => tracing?.receivedTotal() ?? 0,
            logLinesDropped: () => deps.linesDropped?.() ?? 0,
          },
        })
      : undefined
  together?.watch(() => ({ spansDropped: tracing?.dropped() ?? 0, holding: queues.get('hold')?.() ?? 0 }))
  const exchanges = new Exchanges({
    observers: [...(office?.observers ?? []), ...(tracing?.observers ?? []), ...deps.observers],
    clock,
    onObserverError: notices.internal,
    numbers: together?.numbers,
  })

  // Stages, in the order in which a request meets them.
  const { host } = options
  const onLoopback = host === undefined || isLoopback(host)
  const serverTiming = onLoopback && !options['no-server-timing']
  /** What answers say of the exchange, those made of errors too. */
  const told = { traceId: options['trace-header'], serverTiming, clock }
  const extraFields =
    told.traceId || serverTiming ? (exchange: Readonly<Exchange>) => addedFields(exchange, told) : undefined
  const stages: Stage[] = [...(deps.stages ?? [])]
  if (options.har !== undefined && options['har-bodies'] > 0) {
    const { keepBodies } = await import('./local/keep-bodies.ts')
    stages.push(keepBodies(options['har-bodies']))
  }
  if (options.verbose > 1) {
    const { tap } = await import('./local/tap.ts')
    stages.push(tap)
  }
  // Where nobody is told anything and nobody looks, it would only pass answers on.
  if (serverTiming || tracing !== undefined || options.admin !== undefined) stages.push(responseFields(told))
  if (options.cors !== undefined) {
    const { cors } = await import('./local/cors.ts')
    stages.push(cors(options.cors))
  }
  if (options.rate !== undefined) {
    const { rateLimit } = await import('./limit/stage.ts')
    const limited = await rateLimit({
      rate: options.rate,
      by: options['rate-by'],
      mode: options['rate-mode'],
      maxWaitMs: options['rate-max-wait'],
      clock,
      redis: store?.kind === 'redis' ? (store as RedisStore) : undefined,
      redisTimeoutMs: options['cache-timeout'],
      limiter: together?.limiter,
    })
    stages.push(limited)
    if (options['rate-mode'] === 'delay') queues.set('rate', limited.waiting)
  }
  const rules = keyRules(options['cache-key'])
  const concealed = concealedBy(redact)
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
          roomBytes: together?.roomBytes ?? options['cache-size'],
          cacheStatus: options['cache-status'] ?? (onLoopback ? 'full' : 'basic'),
          keyRules: rules,
          collapse: !options['no-collapse'],
          leases: together?.leases,
          storeCookies: !options['no-cache-cookies'],
          shared: !options.private,
          forcePrivate: options['force-private'],
          purge: options.purge,
          concealed,
          childTrace: (parent) => (parent.trace === undefined ? undefined : childTrace(parent.trace)),
        })
  if (cached !== undefined) {
    stages.push(cached.stage)
    together?.onDropped(cached.invalidated)
  }
  const edits = answerEdits(options)
  if (edits.size > 0) stages.push(rewriteAnswers(edits))
  const heldMs = holdMs(options)
  const holding =
    heldMs === 0
      ? undefined
      : hold({
          holdMs: heldMs,
          target: target.display,
          probe: () => probe(target, PROBE_MS),
          clock,
        })
  // Before --concurrency: who waits for the target needs no turn.
  if (holding !== undefined) {
    stages.push(holding.stage)
    queues.set('hold', holding.waiting)
  }
  if (options.concurrency !== undefined) {
    const { concurrency } = await import('./limit/concurrency.ts')
    const limited = await concurrency({
      max: options.concurrency,
      maxWaitMs: options['rate-max-wait'],
      turns: together?.turns,
    })
    stages.push(limited)
    queues.set('concurrency', limited.waiting)
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
    http2: !options['no-http2'],
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
    extraFields,
    timeoutMs: options.timeout,
    connectTimeoutMs: options['connect-timeout'],
    tls: { rejectUnauthorized: !options.insecure, ...(options.ca === undefined ? {} : { ca: options.ca }) },
    clock,
  })
  const { metrics: metricsPath } = options
  const tls = await tlsOf(options, deps)
  let draining = false
  const enough = connectionsFor(openFilesLimit())
  if ((options['max-connections'] ?? 0) > (enough ?? Number.POSITIVE_INFINITY))
    notices.tooFewFiles?.(options['max-connections']!, enough!)
  const closeAll = async (): Promise<void> => {
    holding?.close()
    await Promise.all([upstream.close(), cached?.close() ?? store?.close(), tracing?.close(FLUSH_MS)])
  }
  const edge: Edge = await startEdge({
    hosts: listenHosts(options),
    port: options.port,
    tls,
    handler,
    exchanges,
    clock,
    continueTrace: tracing?.continueTrace,
    trusted: options['trust-proxy'] === undefined ? undefined : trusted(options['trust-proxy']),
    maxBodyBytes: options['max-body'],
    extraFields,
    headTimeoutMs: options['head-timeout'],
    bodyTimeoutMs: options['body-timeout'],
    maxConnections: options['max-connections'] ?? enough,
    // Each may need a connection to the upstream.
    maxRequests: enough,
    onMalformed: notices.malformed,
    onFull: notices.full,
    page:
      metricsPath === undefined
        ? undefined
        : {
            path: metricsPath,
            answer: together?.metricsPage ?? ((accept) => office!.measured.scrape(accept)),
          },
    // Not rate-limited and never cached: a tunnel is one request, however long it lasts.
    upgrade: async ({ message, socket, head, exchange, url }) => {
      if (holding !== undefined) {
        const cancel = new Cancel()
        socket.once('close', () => cancel.fire())
        await holding.ready(exchange, cancel)
      }
      return tunnels.handle({
        message,
        socket,
        head,
        exchange,
        url: upstreamPath(url, target.basePath, target.baseQuery),
      })
    },
    onInternalError: notices.internal,
  }).catch(async (error: unknown) => {
    // What is open already would keep a process that cannot start from ending.
    await closeAll()
    throw error
  })
  let admin: Awaited<ReturnType<NonNullable<typeof office>['open']>>
  try {
    admin = await office?.open({
      cache: cached === undefined ? undefined : { ...cached, keyRules: rules },
      origin: () => `${tls === undefined ? 'http' : 'https'}://localhost:${edge.port}`,
      draining: () => draining,
      received: tracing?.received,
    })
  } catch (error) {
    await edge.close(0)
    await closeAll()
    throw Object.assign(error as Error, { listener: 'admin' })
  }

  return {
    port: edge.port,
    addresses: edge.addresses,
    scheme: tls === undefined ? 'http' : 'https',
    caFile: tls?.caFile,
    adminUrl: admin?.url,
    traceReceiverUrl: tracing?.receiverUrl,
    active: () => edge.active(),
    async close(graceMs) {
      draining = true
      await edge.close(graceMs)
      tunnels.closeAll()
      await Promise.all([closeAll(), admin?.close()])
    },
  }
}

/** The certificate to serve with: the one given, or one of our own CA; undefined for plain http. */
export const tlsOf = async (
  { cert, host, https, key }: Options,
  { clock, configFolder }: Pick<ProxyDeps, 'clock' | 'configFolder'>,
): Promise<{ cert: string; key: string; caFile?: string } | undefined> => {
  if (cert !== undefined) return { cert, key: key! }
  if (!https) return undefined
  const ca = await import('./edge/local-ca.ts')
  const folder = configFolder ?? ca.configFolder()
  try {
    return await ca.localCertificate({
      folder,
      names: ca.namesFor(host),
      now: (clock ?? systemClock()).now(),
    })
  } catch (error) {
    throw Object.assign(error as Error, { caFolder: folder })
  }
}

/** What is rewritten in answers that name the target. */
const answerEdits = (options: Options) => {
  const { protocol, authority, hostname, basePath } = options.target!
  const hostHeader = options['host-header']
  const named = hostHeader === 'target' || hostHeader === 'client' ? [] : [hostHeader]
  return new Map([
    ...(options.cookies === 'keep' ? [] : cookieEdits({ targetHosts: [hostname, ...named], basePath })),
    ...(options.redirects === 'keep' ? [] : redirectEdits({ protocol, authority, hostHeader, basePath })),
  ])
}

/** Options under which other responses are stored than without them. */
const bending = (options: Options): string[] => [
  ...(options.private ? ['private'] : []),
  ...(options['cache-mode'] === 'force' ? ['force'] : []),
  ...(options['force-private'] ? ['force-private'] : []),
]

/** How long requests wait for a target that refuses connections. */
export const holdMs = ({ hold, target }: Options): number => hold ?? (isHere(target!) ? HOLD_MS : 0)

/** Whether a store answers. */
export const isUp = (store: Store): boolean => store.kind !== 'redis' || (store as RedisStore).isReady()

/** The addresses to listen on. */
export const listenHosts = ({ host }: Options): readonly string[] =>
  host === undefined || host === 'localhost' ? LOOPBACK : [host]

/** Tells targets apart, also by what may not be shown. */
const identity = ({ socketPath = '', origin, basePath, baseQuery }: Target): string =>
  `${socketPath}${origin}${basePath}?${baseQuery}`

/** The store of the cache; undefined when it is off. Copies of what is in Redis take `nearBytes`. */
export const makeStore = async (options: Options, notices: Notices, nearBytes = options['cache-size']) => {
  const urls = options.cache.flatMap((backend) => (backend.kind === 'redis' ? [backend.url] : []))
  if (urls.length > 0) {
    const { redisStore } = await import('./cache/store/redis.ts')
    return redisStore({
      urls,
      timeoutMs: options['cache-timeout'],
      // What one user's cache or force stored is not for a cache without these options.
      scope: [identity(options.target!), ...bending(options)].join(' '),
      nearBytes: options['no-near-cache'] ? 0 : nearBytes,
      onState: ({ url, error }) =>
        error === undefined ? notices.redisBack(url) : notices.redisAway(url, error),
    })
  }
  return options.cache.some(({ kind }) => kind === 'off') ? undefined : memoryStore(options['cache-size'])
}
