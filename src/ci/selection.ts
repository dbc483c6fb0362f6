import type { Exchange } from '../core/exchange.ts'
import { routes } from '../observe/routes.ts'
import type { Selector } from './expression.ts'
import { type Metric, metrics } from './metrics.ts'

/** Whether an exchange is among those that a selector means. */
export type Selects = (exchange: Readonly<Exchange>) => boolean

/** Whether the route and the method of an exchange are those of the selector. */
export const selects = ({ route, method }: Selector): Selects => {
  // With room for no further name, whatever the template does not match is called otherwise.
  const nameOf = route === undefined ? undefined : routes({ templates: [route], max: 0 })
  return (exchange) =>
    (method === undefined || exchange.method === method) &&
    (nameOf === undefined || nameOf(exchange) === route)
}

/** Whether the reason of an exchange is the selector's: of the lookup, of not being stored, or of its error. */
export const selectsReason = (metric: Metric, { reason }: Selector): Selects => {
  if (reason === undefined) return () => true
  if (metrics[metric].reasons === 'errors') return ({ ended }) => ended?.error === reason
  return ({ cache }) => cache?.reason === reason || cache?.storage === reason
}
