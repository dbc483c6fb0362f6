/** Listening on several addresses with one port. */
import type { AddressInfo, Server } from 'node:net'

/** How often a free port is looked for that both families have. */
const ATTEMPTS = 20

/**
 * Listens on all the addresses; one that this machine does not have is passed over while another is left. Rejects with
 * the error of node's `listen`.
 */
export const listenAll = async <S extends Server>(
  create: () => S,
  hosts: readonly string[],
  port: number,
): Promise<S[]> => {
  for (let attempt = 1; ; attempt++) {
    try {
      return await listenOnce(create, hosts, port)
    } catch (error) {
      // A free port of one family may be taken in the other.
      if (port === 0 && attempt < ATTEMPTS && (error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue
      throw error
    }
  }
}

const listenOnce = async <S extends Server>(
  create: () => S,
  hosts: readonly string[],
  port: number,
): Promise<S[]> => {
  const servers: S[] = []
  let chosen = port
  let missing: unknown
  try {
    for (const host of hosts) {
      const server = create()
      try {
        await listen(server, host, chosen)
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException
        // A machine without IPv6 (or IPv4) serves on what it has.
        if (hosts.length === 1 || (code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT')) throw error
        missing = error
        continue
      }
      servers.push(server)
      chosen = (server.address() as AddressInfo).port
    }
    if (servers.length === 0) throw missing
    return servers
  } catch (error) {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
    throw error
  }
}

const listen = (server: Server, host: string, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: false, ipv6Only: host.includes(':') && host !== '::' }, () => {
      server.off('error', reject)
      // Accepting can fail (EMFILE) and must not end the process.
      server.on('error', () => {})
      resolve()
    })
  })
