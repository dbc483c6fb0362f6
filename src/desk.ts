/** What is told of exchanges beside the log: metrics, what is remembered of them, and the admin listener. */
import { cacheRoutes } from './admin/cache-routes.ts'
import { type Admin, startAdmin } from './admin/server.ts'
import { statsRoutes } from './admin/stats-routes.ts'
import { traceRoutes } from './admin/trace-routes.ts'
import { cacheHandle, type HandleOptions } from './cache/handle.ts'
import type { KeyRules } from './cache/key-rules.ts'
import type { Shelf } from './cache/shelf.ts'
import type { Store } from './cache/store/store.ts'
import type { Clock } from './core/clock.ts'
import type { Observer } from './core/types.ts'
import { keyHistory } from './observe/key-history.ts'
import type { MetricsOptions } from './observe/metrics.ts'
import { type Metrics, metrics } from './observe/metrics.ts'
import { recent } from './observe/recent.ts'
import type { Redactor } from './observe/redact.ts'
import type { routes } from './observe/routes.ts'
import { stats } from './observe/stats.ts'
import type { TraceViewOptions } from './observe/trace-view.ts'
import type { Options } from './options.ts'

/** What a desk is made of. */
export interface DeskOptions {
  readonly options: Options
  readonly version: string
  readonly clock: Clock
  readonly route: ReturnType<typeof routes>
  readonly redact: Redactor
  readonly store: Store | undefined
  /** Whether the store answers. */
  readonly storeUp: () => boolean
  readonly counted: Pick<
    MetricsOptions,
    'waiting' | 'spansDropped' | 'spansReceived' | 'logLinesDropped' | 'processes'
  >
}

/** A cache as the admin listener handles it. */
export interface ShownCache {
  readonly shelf: Shelf
  readonly keyFor: HandleOptions['keyFor']
  readonly keyRules: KeyRules | undefined
}

/** Metrics, memory and the admin listener of one run, whether one process serves it or several. */
export interface Desk {
  readonly observers: readonly Observer[]
  readonly measured: Metrics
  /** Starts the admin listener; undefined when there is to be none. Rejects as `listen` does. */
  open(shown: {
    readonly cache: ShownCache | undefined
    /** Where clients address the proxy when they do not say otherwise. */
    readonly origin: () => string
    readonly draining: () => boolean
    readonly received: TraceViewOptions['received']
  }): Promise<Admin | undefined>
}

/** Makes one. */
export const desk = ({ options, version, clock, route, redact, store, ...given }: DeskOptions): Desk => {
  const measured = metrics({
    route,
    version,
    cacheStats: () => store?.stats(),
    storeState: () => (store === undefined ? undefined : { kind: store.kind, up: given.storeUp() }),
    ...given.counted,
  })
  const history = keyHistory()
  const lately = recent()
  const startedAt = clock.now()
  const target = options.target!
  return {
    observers: [
      // Where nobody can ask for them, nothing is counted.
      ...(options.metrics === undefined && options.admin === undefined ? [] : [measured.observer]),
      ...(options.admin === undefined ? [] : [history.observer, lately.observer]),
    ],
    measured,
    async open({ cache, origin, draining, received }) {
      if (options.admin === undefined) return undefined
      const handle =
        cache === undefined
          ? undefined
          : cacheHandle({
              ...cache,
              clock,
              shared: !options.private,
              concealed: concealedBy(redact),
              redact,
              history: history.of,
              origin,
            })
      return startAdmin({
        host: options.admin.host,
        port: options.admin.port,
        tryNext: !options.adminGiven,
        scrape: (accept) => measured.scrape(accept),
        draining,
        routes: [
          ...(handle === undefined ? [] : cacheRoutes(handle)),
          ...traceRoutes({
            recent: lately,
            route,
            redact,
            upstreamUrl: target.origin + target.basePath,
            received,
          }),
          ...statsRoutes(() =>
            stats({
              metrics: measured,
              recent: lately,
              now: clock.now(),
              startedAt,
              target: target.display,
              version,
            }),
          ),
        ],
      })
    },
  }
}

/** Whether a field's values must not show. */
export const concealedBy =
  (redact: Redactor) =>
  (name: string): boolean =>
    redact.value(name, 'x') !== 'x'
