/** Entries for tests. */
import { Entry, type StoredParts } from '../../src/cache/entry.ts'

/** A stored response; its times are now unless told. */
export const entryOf = (body: string | Buffer, parts: Partial<StoredParts> = {}): Entry => {
  const at = Date.now()
  return new Entry({
    status: 200,
    fields: ['Content-Type', 'text/plain', 'Cache-Control', 'max-age=60'],
    body: typeof body === 'string' ? Buffer.from(body) : body,
    requestedAt: at,
    receivedAt: at,
    selection: [],
    url: '/',
    ...parts,
  })
}
