import type { ProxyRequest, Stage } from '../core/types.ts'
import { withoutFields } from '../http/fields.ts'
import { replacedFields, type TraceFormat, traceFields } from './context.ts'

/**
 * A copy of the request that names our client span as the parent, in these formats and no other; the request itself
 * when its exchange has no trace (tracing is off).
 */
export const withTrace = (req: ProxyRequest, formats: readonly TraceFormat[]): ProxyRequest => {
  const facts = req.exchange.trace
  if (facts === undefined) return req
  const headers = withoutFields(req.headers, replacedFields(facts, formats))
  headers.push(...traceFields(facts, formats))
  return { ...req, headers }
}

/** Passes requests on `withTrace`. */
export const propagate =
  (formats: readonly TraceFormat[]): Stage =>
  (next) =>
  (req) =>
    next(withTrace(req, formats))
