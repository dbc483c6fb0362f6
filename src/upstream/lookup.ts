import { type LookupAddress, type LookupOptions, lookup } from 'node:dns'

type Found = (error: NodeJS.ErrnoException | null, address: string | LookupAddress[], family: number) => void

/**
 * `lookup` for sockets that dial `localhost`: whatever the system says of it, and whichever of 127.0.0.1 and ::1 is
 * missing there (RFC 6761 §6.3 has it resolve to both), since upstreams in development listen on either.
 */
export const lookupLocalhost = (hostname: string, options: LookupOptions, found: Found): void => {
  if (options.all !== true || (options.family !== undefined && options.family !== 0)) {
    lookup(hostname, options, found)
    return
  }
  lookup(hostname, { ...options, all: true }, (_error, addresses) => {
    // A system without an entry for localhost is no reason to fail.
    const all = [...(addresses ?? [])]
    for (const [address, family] of [
      ['127.0.0.1', 4],
      ['::1', 6],
    ] as const) {
      if (!all.some((each) => each.family === family)) all.push({ address, family })
    }
    found(null, all, 0)
  })
}
