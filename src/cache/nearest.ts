/** The stored key that is nearest to one under which nothing is stored, and where they differ. */
import type { Explanation } from './explanation.ts'
import type { Shelf } from './shelf.ts'

/** Undefined where nothing like it is stored. */
export const nearestTo = async (shelf: Shelf, key: string): Promise<Explanation['nearest']> => {
  const nearest = await shelf.nearest(key)
  if (nearest === undefined || nearest === key) return undefined
  const { difference, parameters } = keyDifference(key, nearest)
  return {
    key: nearest,
    difference,
    ...(parameters.length === 0
      ? {}
      : {
          remedy: `It differs only in the query: --cache-key ${parameters.map((name) => `-query:${name}`).join(',')} would make it a hit.`,
        }),
  }
}

/** In words, where two keys differ; and the query parameters that are all of it. */
const keyDifference = (a: string, b: string): { difference: string; parameters: string[] } => {
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
  if (x.origin !== y.origin)
    return { difference: `host: asked ${x.origin}, stored ${y.origin}`, parameters: [] }
  if (x.path !== y.path) return { difference: `path: asked ${x.path}, stored ${y.path}`, parameters: [] }
  if (x.query === y.query) {
    // By name: the values may be secrets.
    const names = [...x.more, ...y.more].flatMap((part) =>
      x.more.includes(part) && y.more.includes(part) ? [] : part.split(/[:=]/, 1),
    )
    return { difference: `key fields: ${[...new Set(names)].join(', ')}`, parameters: [] }
  }
  const [p, q] = [x.query.split('&'), y.query.split('&')]
  const differing = [...p.filter((each) => !q.includes(each)), ...q.filter((each) => !p.includes(each))]
  const names = [...new Set(differing.map((each) => each.split('=', 1)[0]!).filter((name) => name !== ''))]
  if (names.length === 0) return { difference: 'order of the query parameters', parameters: [] }
  return { difference: `query: ${names.join(', ')}`, parameters: names }
}
