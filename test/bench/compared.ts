/** All scenarios in one table, for the README: CPU per request, a row a scenario, a column a server. */
import type { Measured } from './measure.ts'
import { markdown, median } from './table.ts'

/** Servers in the order of their columns, by the beginning of their names; those that nobody measured are left out. */
const columns = [
  ['bare node', 'bare'],
  ['undici pipe', 'undici'],
  ['http-proxy', 'http-proxy 1'],
  ['httpxy', 'httpxy'],
  ['h-p-middleware', 'http-proxy-middleware'],
  ['@fastify', '@fastify'],
  ['Caddy', 'Caddy'],
  ['nginx', 'nginx'],
  ['Varnish', 'Varnish'],
  ['Squid', 'Squid'],
  ['**revproxy**', 'revproxy'],
] as const

const microsOf = (measured: Measured | undefined): string => {
  const known = (measured?.rounds ?? []).flatMap(({ micros }) =>
    micros === undefined || Number.isNaN(micros) ? [] : [micros],
  )
  return known.length === 0 ? '' : median(known).toFixed(1)
}

/** The table; where a scenario has several of ours, the last one counts. */
export const comparedTable = (results: ReadonlyMap<string, readonly Measured[]>): string => {
  const of = (all: readonly Measured[], start: string): Measured | undefined =>
    all.findLast(({ name }) => name.startsWith(start) && !name.includes('--workers'))
  const all = [...results.values()].flat()
  const shown = columns.filter(([, start]) => all.some(({ name }) => name.startsWith(start)))
  return markdown(
    ['CPU µs per request', ...shown.map(([title]) => title)],
    [...results].map(([name, measured]) => [
      name,
      ...shown.map(([, start]) => microsOf(of(measured, start))),
    ]),
  )
}
