/** Metrics of the process itself, as prom-client gives them. */
import type { Registry } from 'prom-client'
import type { ProcessFamily } from '../metrics.ts'

type Prom = typeof import('prom-client')

/** Gauges with the name of counters, and one that reads 292 years whenever nothing was measured since the last scrape. */
const misleading = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
  'nodejs_eventloop_lag_min_seconds',
]

/** Adds them to a registry, labelled with the worker where there are several. */
export const addProcess = (prom: Prom, registry: Registry, worker?: string): void => {
  prom.collectDefaultMetrics({ register: registry, ...(worker === undefined ? {} : { labels: { worker } }) })
  for (const name of misleading) registry.removeSingleMetric(name)
}

/** Those of this process as plain JSON, for the process that is asked for all. The first call loads prom-client. */
export const processFamilies = (worker: string): (() => Promise<ProcessFamily[]>) => {
  let registry: Promise<Registry> | undefined
  const load = async (): Promise<Registry> => {
    const prom = await import('prom-client')
    const own = new prom.Registry()
    addProcess(prom, own, worker)
    return own
  }
  return async () => {
    registry ??= load()
    return (await (await registry).getMetricsAsJSON()) as unknown as ProcessFamily[]
  }
}
