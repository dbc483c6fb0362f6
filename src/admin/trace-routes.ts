/** The last exchanges over the admin listener: their list, and one with its spans. */
import { shownJson } from '../observe/escape.ts'
import { type TraceViewOptions, traceLine, traceView } from '../observe/trace-view.ts'
import type { AdminAnswer, AdminRoute } from './server.ts'

const json = (status: number, value: unknown): AdminAnswer => ({
  status,
  contentType: 'application/json; charset=utf-8',
  body: `${shownJson(value, 2)}\n`,
})

/** `/traces` and what is below it. */
export const traceRoutes = (options: TraceViewOptions): AdminRoute[] => [
  {
    method: 'GET',
    path: '/traces',
    about: 'the last requests, newest first; ?limit=',
    async handle({ url }) {
      const limit = Number(url.searchParams.get('limit') ?? 50)
      if (!Number.isInteger(limit) || limit < 1)
        return json(400, { error: 'limit must be a whole number from 1' })
      const lines = options.recent.all().slice(0, limit)
      return json(200, { traces: lines.map((exchange) => traceLine(exchange, options.redact)) })
    },
  },
  {
    method: 'GET',
    path: '/traces/*',
    about: 'one of them and where its time went: its number, its trace id, or last',
    async handle({ url }) {
      // Ids need no decoding; `last` neither.
      const what = url.pathname.slice('/traces/'.length)
      const exchange = options.recent.find(what)
      if (exchange !== undefined) return json(200, traceView(exchange, options))
      return json(404, {
        error:
          what === 'last'
            ? 'no request has ended yet'
            : `none of the last 500 requests is ${what}; say its number, its trace id or last`,
      })
    },
  },
]
