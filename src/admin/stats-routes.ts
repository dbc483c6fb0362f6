/** The numbers of the live view over the admin listener. */
import { shownJson } from '../observe/escape.ts'
import type { Stats } from '../observe/stats.ts'
import type { AdminRoute } from './server.ts'

/** `/stats`. */
export const statsRoutes = (stats: () => Stats): AdminRoute[] => [
  {
    method: 'GET',
    path: '/stats',
    about: 'rates, durations, routes and misses as JSON, what revproxy top shows',
    handle: async () => ({
      status: 200,
      contentType: 'application/json; charset=utf-8',
      body: `${shownJson(stats())}\n`,
    }),
  },
]
