/** The bytes that the upstream and the bare server send, so that all are measured on the same answer. */

/** Paths: what is asked for. */
export const paths = { pass: '/pass/1k', hit: '/hit/1k', large: '/hit/100k' } as const

const bodies: Readonly<Record<string, Buffer>> = {
  [paths.pass]: Buffer.alloc(1024, 'a'),
  [paths.hit]: Buffer.alloc(1024, 'b'),
  [paths.large]: Buffer.alloc(100 * 1024, 'c'),
}

/** Many URLs of one size, all cacheable; those of a storm keep their askers waiting. */
export const many = { mixed: '/hit/u', storm: '/storm/' } as const
const isOneOfMany = (path: string): boolean => path.startsWith(many.mixed) || path.startsWith(many.storm)

/** An answer as writeHead and end take it; undefined for a path that there is none for. */
export const answerTo = (path: string): { fields: string[]; body: Buffer } | undefined => {
  const body = bodies[path] ?? (isOneOfMany(path) ? bodies[paths.hit] : undefined)
  if (body === undefined) return undefined
  return {
    body,
    fields: [
      'Content-Type',
      'application/octet-stream',
      'Cache-Control',
      path === paths.pass ? 'no-store' : 'max-age=86400',
      'ETag',
      '"v1"',
      'Content-Length',
      String(body.length),
    ],
  }
}
