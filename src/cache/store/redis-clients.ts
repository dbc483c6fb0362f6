/** Clients of node-redis as the link needs them: they keep no queue while away, and try again for ever. */
import { createClient, createCluster, ErrorReply, RESP_TYPES } from '@redis/client'
import { SILENCE_MS } from './redis-node.ts'

/** How long a connection may take. When nothing else goes over it, it is asked for a sign of life. */
export const CONNECT_MS = 2000
const PING_MS = 2000
export const LONGEST_RETRY_MS = 500
/** Calls that wait for a reply; more are refused by node-redis. */
const MAX_WAITING = 10_000
const buffers = { [RESP_TYPES.BLOB_STRING]: Buffer }

const clientOptions = () => ({
  disableOfflineQueue: true,
  pingInterval: PING_MS,
  commandsQueueMaxLength: MAX_WAITING,
  socket: {
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENCE_MS,
    reconnectStrategy: (retries: number) => Math.min(LONGEST_RETRY_MS, 50 * 2 ** retries),
  },
})

/** For one Redis. */
export const singleClient = (url: string) => createClient({ url, ...clientOptions() })

/** For one Redis: a client that emits `invalidate` with each key that changed since it read it, null for all. */
export const trackingClient = (url: string) => {
  const { socket, ...rest } = clientOptions()
  const reconnectStrategy = (retries: number, cause: Error) =>
    // It is too old for that, or forbids it, or the password is wrong: soon it will be no other.
    cause instanceof ErrorReply ? false : socket.reconnectStrategy(retries)
  return createClient({
    url,
    RESP: 3,
    emitInvalidate: true,
    ...rest,
    socket: { ...socket, reconnectStrategy },
  })
}

/** For a cluster of which these nodes are known. */
export const clusterClient = (urls: readonly string[]) => {
  // What the URLs say concerns their nodes only; the others of the cluster are known by address.
  const { username, password, protocol } = new URL(urls[0]!)
  const { socket, ...rest } = clientOptions()
  return createCluster({
    rootNodes: urls.map((url) => ({ url })),
    defaults: {
      ...rest,
      socket: protocol === 'rediss:' ? { ...socket, tls: true as const } : socket,
      ...(username === '' ? {} : { username: decodeURIComponent(username) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    },
  })
}

export type Single = ReturnType<typeof singleClient>
export type Cluster = ReturnType<typeof clusterClient>
export type Master = Cluster['masters'][number]
/** The client for values: they are bytes. */
export type BytesClient = ReturnType<typeof bytesOf>

/** The same client, which gives values as bytes. */
export const bytesOf = (client: Single) => client.withTypeMapping(buffers)

/** The same client, which gives values as bytes. */
export const trackingBytesOf = (client: ReturnType<typeof trackingClient>) => client.withTypeMapping(buffers)

/** The same for a cluster: it has all commands that a single one has and that we send. */
export const clusterBytesOf = (cluster: Cluster): BytesClient =>
  cluster.withTypeMapping(buffers) as unknown as BytesClient

/** Ends a client at once, in whatever state it is. */
export const destroy = (client: { destroy(): void; unref?(): void }): void => {
  try {
    client.unref?.()
    client.destroy()
  } catch {
    // It was closed already, or never open.
  }
}

/**
 * For a client that became ready after it was told to end, since its socket was just being connected: it would ping on a
 * timer of its own for ever, and no process that it runs in would end by itself.
 */
export const stopPinging = (client: { destroy(): void; unref?(): void }): void => {
  // The timer is set behind the event of being ready.
  setImmediate(() => destroy(client))
}

/** Ends a cluster's clients at once; its own destroy stops at the first node that is closed already. */
export const destroyCluster = (cluster: Cluster): void => {
  for (const { client } of [...cluster.masters, ...cluster.replicas])
    if (client !== undefined) destroy(client)
  destroy(cluster)
}
