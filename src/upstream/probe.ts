/** Whether the target takes connections, found out by dialling it and hanging up. */
import { connect } from 'node:net'
import { lookupLocalhost } from './lookup.ts'

/** What dialling said. */
export interface Probed {
  /** `unknown` when it neither connected nor was refused: a name that does not resolve, silence. */
  readonly state: 'open' | 'refused' | 'unknown'
  /** `host:port` of every address that was tried, or the path of the socket. */
  readonly tried: readonly string[]
}

type DialError = NodeJS.ErrnoException & {
  readonly address?: string
  readonly port?: number
  readonly errors?: readonly DialError[]
}

/** Dials the target once; nothing is sent. Never rejects. */
export const probe = (
  target: {
    readonly hostname: string
    readonly port: number
    readonly socketPath: string | undefined
  },
  timeoutMs: number,
): Promise<Probed> =>
  new Promise((resolve) => {
    const { hostname: host, port, socketPath } = target
    const socket =
      socketPath === undefined
        ? connect({
            host,
            port,
            autoSelectFamily: true,
            ...(host === 'localhost' ? { lookup: lookupLocalhost } : {}),
          })
        : connect({ path: socketPath })
    const settle = (probed: Probed): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(probed)
    }
    const timer = setTimeout(() => settle({ state: 'unknown', tried: [] }), timeoutMs)
    socket.on('connect', () => settle({ state: 'open', tried: [] }))
    socket.on('error', (error: DialError) => settle(refusal(error, socketPath)))
  })

const refusal = (error: DialError, socketPath: string | undefined): Probed => {
  // Dialling several addresses of a name fails with one error that holds theirs.
  const all = error.errors ?? [error]
  // A socket's file is there once somebody listens on it.
  const refused = all.some(
    ({ code }) => code === 'ECONNREFUSED' || (socketPath !== undefined && code === 'ENOENT'),
  )
  if (!refused) return { state: 'unknown', tried: [] }
  if (socketPath !== undefined) return { state: 'refused', tried: [socketPath] }
  const tried = all.flatMap(({ address, port }) =>
    address === undefined ? [] : [`${address.includes(':') ? `[${address}]` : address}:${port}`],
  )
  return { state: 'refused', tried: [...new Set(tried)] }
}
