/** The stored key that is nearest to one under which nothing is stored, and where they differ. */
import type { Explanation } from './explanation.ts'
import type { Shelf } from './shelf.ts'

/** Undefined where nothing like it is stored. */
export const nearestTo = async (shelf: Shelf, key: string): Promise<Explanation['nearest']> => {
  const nearest = await shelf.nearest(key)
  if (nearest === undefined || nearest === key) return undefined
  return { key: nearest, ...keyDifference(key, nearest) }
}

/** In words, where the key that is asked for differs from a stored one; and what helps, where that is all of it. */
const keyDifference = (a: string, b: string): { difference: string; remedy?: string } => {
  const split = (key: string) => {
    const [head = '', ...more] = key.split('\n')
    const match = /^([^:]+:\/\/[^/]*)([^?]*)(?:\?(.*))?$/s.exec(head)
    return {
      origin: match?.[1] ?? '',
      path: match?.[2] ?? head,
      query: match?.[3] ?? '',
      more,
    }
  }
  const [x, y] = [split(a), split(b)]
  if (x.origin !== y.origin) {
    const difference = `host: asked ${x.origin}, stored ${y.origin}`
    if (x.path !== y.path || x.query !== y.query) return { difference }
    return {
      difference,
      remedy: `It is stored for who asks ${y.origin}. Scheme and host count in the key: use the same everywhere.`,
    }
  }
  if (x.path !== y.path) return { difference: `path: asked ${x.path}, stored ${y.path}` }
  if (x.query === y.query) {
    // By name: the values may be secrets.
    const names = [...x.more, ...y.more].flatMap((part) =>
      x.more.includes(part) && y.more.includes(part) ? [] : part.split(/[:=]/, 1),
    )
    return { difference: `key fields: ${[...new Set(names)].join(', ')}` }
  }
  const [p, q] = [x.query.split('&'), y.query.split('&')]
  const differing = [...p.filter((each) => !q.includes(each)), ...q.filter((each) => !p.includes(each))]
  const names = [...new Set(differing.map((each) => each.split('=', 1)[0]!).filter((name) => name !== ''))]
  if (names.length === 0) {
    return {
      difference: 'order of the query parameters',
      remedy:
        'It differs only in the order of the query, which counts in the key: send the parameters in one order.',
    }
  }
  return {
    difference: `query: ${names.join(', ')}`,
    remedy: `It differs only in the query: --cache-key ${names.map((name) => `-query:${name}`).join(',')} would make it a hit.`,
  }
}
