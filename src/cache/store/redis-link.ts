/**
 * The connection to a Redis or a Redis Cluster, which may be away, frozen, full or foreign at any moment.
 *
 * - No call takes longer than its deadline, and none is made to a node that is known to be of no use.
 * - What is wrong is told once, when it begins, and once when nothing is wrong any more.
 * - node-redis finds out about another master only when a node that it knows says so (MOVED). When one stays away, a
 *   new client asks the cluster anew.
 */
import { ErrorReply } from '@redis/client'
import { clusterSlot, SLOTS } from './cluster-slot.ts'
import { within } from './deadline.ts'
import {
  type BytesClient,
  bytesOf,
  type Cluster,
  CONNECT_MS,
  clusterBytesOf,
  clusterClient,
  destroy,
  destroyCluster,
  LONGEST_RETRY_MS,
  type Master,
  type Single,
  singleClient,
  stopPinging,
} from './redis-clients.ts'
import { messageOf, RedisNode } from './redis-node.ts'
import { StoreError } from './store.ts'

/** A refusal (OOM, READONLY, LOADING …) counts as over when that long nothing was refused. */
const CALM_MS = 2000
/** For how long a master of a cluster is away before its place is looked for anew, and how often. */
const FAILOVER_MS = 3000

/** What the link is made of. */
export interface LinkOptions {
  readonly urls: readonly string[]
  readonly timeoutMs: number
  /** Told when something is wrong and when nothing is any more; both once. */
  readonly onState: (error: string | undefined) => void
}

/** What is wrong, by where it was seen; tells when that begins and ends. */
class Troubles {
  readonly #tell: (error: string | undefined) => void
  readonly #now = new Map<string, string>()

  constructor(tell: (error: string | undefined) => void) {
    this.#tell = tell
  }

  set(where: string, error: string | undefined): void {
    const before = this.#now.size
    if (error === undefined) this.#now.delete(where)
    else this.#now.set(where, error)
    if (before === 0 && this.#now.size > 0) this.#tell(error)
    else if (before > 0 && this.#now.size === 0) this.#tell(undefined)
  }

  has(where: string): boolean {
    return this.#now.has(where)
  }

  names(): string[] {
    return [...this.#now.keys()]
  }
}

export class RedisLink {
  readonly #options: LinkOptions
  readonly #troubles: Troubles
  readonly #refusedAt = { read: 0, write: 0 }
  #cluster: Cluster | undefined
  #single: Single | undefined
  #bytes: BytesClient
  #nodes = new Map<string, RedisNode>()
  #renewing: NodeJS.Timeout | undefined
  #closed = false

  /** Connects in the background. */
  constructor(options: LinkOptions) {
    this.#options = options
    this.#troubles = new Troubles((error) => {
      if (!this.closed) options.onState(error)
    })
    if (options.urls.length === 1) {
      this.#single = singleClient(options.urls[0]!)
      this.#bytes = bytesOf(this.#single)
      this.#startSingle(this.#single)
    } else {
      this.#cluster = this.#startCluster()
      this.#bytes = clusterBytesOf(this.#cluster)
      this.#renewing = setInterval(() => this.#renewWhereLost(), FAILOVER_MS).unref()
    }
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Values are bytes; it may be another one after a failover. */
  get client(): BytesClient {
    return this.#bytes
  }

  /** Whether calls are worth their while: for this key, or for any where none is named. */
  isReady(key?: string): boolean {
    if (this.closed) return false
    if (this.#single !== undefined) return this.#nodes.get('')!.usable
    if (key !== undefined) return this.#nodeOf(key)?.usable === true
    for (const node of this.#nodes.values()) if (node.usable) return true
    return false
  }

  /** Masters, for calls that concern all keys; undefined for one that is away. */
  masters(): Array<Single | undefined> {
    if (this.#single !== undefined) return [this.isReady() ? this.#single : undefined]
    return this.#cluster!.masters.map((master) =>
      this.#nodes.get(master.address)?.usable === true ? (master.client as unknown as Single) : undefined,
    )
  }

  /** Runs a call within its deadline. Rejects with a StoreError, but for WRONGTYPE, which is about the one key. */
  async call<T>(
    key: string | undefined,
    kind: 'read' | 'write',
    work: () => Promise<T>,
    withinMs = this.#options.timeoutMs,
  ): Promise<T> {
    if (!this.isReady(key)) throw new StoreError('store-down')
    const node = key === undefined ? undefined : this.#nodeOf(key)
    try {
      const result = await within(withinMs, work())
      node?.inTime()
      this.#accepted(kind)
      return result
    } catch (error) {
      if (error instanceof StoreError) {
        // A deadline that was cut much shorter says nothing about the node.
        if (withinMs >= this.#options.timeoutMs / 2) node?.late()
        throw error
      }
      if (error instanceof ErrorReply) {
        node?.inTime()
        if (error.message.startsWith('WRONGTYPE')) throw error
        this.#refusedAt[kind] = performance.now()
        this.#troubles.set(kind, error.message)
      }
      throw new StoreError('store-down', { cause: error })
    }
  }

  /** Ends all connections at once; nothing is told any more. */
  close(): void {
    if (this.closed) return
    this.#closed = true
    clearInterval(this.#renewing)
    for (const node of this.#nodes.values()) node.stop()
    if (this.#single !== undefined) destroy(this.#single)
    if (this.#cluster !== undefined) destroyCluster(this.#cluster)
  }

  #accepted(kind: 'read' | 'write'): void {
    if (this.#troubles.has(kind) && performance.now() - this.#refusedAt[kind] >= CALM_MS)
      this.#troubles.set(kind, undefined)
  }

  #startSingle(client: Single): void {
    const node = new RedisNode(
      () => client,
      this.#options.timeoutMs,
      (error) => this.#troubles.set('node', error),
    )
    this.#nodes.set('', node)
    client.on('error', (error: unknown) => node.failed(error))
    client.on('ready', () => {
      node.ready()
      if (this.closed) stopPinging(client)
    })
    client.on('connect', () => {
      // It forgets a socket that is still being connected when it is told to end; that one ends by its silence.
      if (this.closed) client.unref()
    })
    client.connect().catch(() => {
      // Each failure was emitted; it goes on by itself until it is destroyed.
    })
  }

  #startCluster(): Cluster {
    const cluster = clusterClient(this.#options.urls)
    const nodeAt = ({ host, port }: { host: string; port: number }): RedisNode | undefined => {
      const master = cluster.nodeByAddress.get(`${host}:${port}`)
      return master === undefined || cluster !== this.#cluster ? undefined : this.#node(master as Master)
    }
    cluster.on('error', (error: unknown) => {
      if (cluster === this.#cluster && this.#nodes.size === 0) this.#troubles.set('cluster', messageOf(error))
    })
    cluster.on('node-error', (error: unknown, address: { host: string; port: number }) => {
      nodeAt(address)?.failed(error)
    })
    cluster.on('node-ready', (address: { host: string; port: number }) => {
      nodeAt(address)?.ready()
      if (this.closed) setImmediate(() => destroyCluster(cluster))
    })
    const connect = (): void => {
      cluster.connect().catch((error: unknown) => {
        if (this.closed || cluster !== this.#cluster) return
        this.#troubles.set('cluster', messageOf(error))
        // It gives up when no root node answers; a single client goes on by itself.
        setTimeout(connect, LONGEST_RETRY_MS).unref()
      })
    }
    // Its first events look for it in the field that this call's result goes to.
    queueMicrotask(connect)
    return cluster
  }

  #nodeOf(key: string): RedisNode | undefined {
    if (this.#single !== undefined) return this.#nodes.get('')
    const master = this.#cluster!.slots[clusterSlot(key)]?.master
    return master === undefined ? undefined : this.#node(master as Master)
  }

  #node(master: Master): RedisNode {
    const { address } = master
    let node = this.#nodes.get(address)
    if (node === undefined) {
      node = new RedisNode(
        // By address: the same may be another object after the slots were read anew.
        () => this.#cluster?.nodeByAddress.get(address)?.client,
        this.#options.timeoutMs,
        (error) => {
          if (!this.#nodes.has(address)) return
          this.#troubles.set(address, error)
          if (error === undefined) this.#troubles.set('cluster', undefined)
        },
      )
      this.#nodes.set(address, node)
    }
    return node
  }

  /** Asks the cluster anew, by a client of its own, when a master has been away for a while. */
  #renewWhereLost(): void {
    const lost = [...this.#nodes.values()].some((node) => node.downMs >= FAILOVER_MS)
    if (!lost || this.closed) return
    const next = clusterClient(this.#options.urls)
    let settled = false
    const settle = (works: boolean): void => {
      if (settled) return
      settled = true
      clearInterval(poll)
      clearTimeout(timer)
      if (works && !this.closed && !sameMasters(next, this.#cluster!)) this.#adopt(next)
      else destroyCluster(next)
    }
    next.on('error', () => {})
    // It waits for all masters, also for the one that is away; one that is there will do.
    const poll = setInterval(() => {
      if (next.masters.some(({ client }) => client?.isReady === true)) settle(true)
    }, 50).unref()
    const timer = setTimeout(() => settle(false), CONNECT_MS).unref()
    next.connect().then(
      () => settle(true),
      () => settle(false),
    )
  }

  #adopt(next: Cluster): void {
    const before = this.#cluster!
    for (const node of this.#nodes.values()) node.stop()
    this.#nodes = new Map()
    this.#cluster = next
    this.#bytes = clusterBytesOf(next)
    next.on('node-error', (error: unknown, { host, port }: { host: string; port: number }) => {
      this.#nodes.get(`${host}:${port}`)?.failed(error)
    })
    next.on('node-ready', ({ host, port }: { host: string; port: number }) => {
      this.#nodes.get(`${host}:${port}`)?.ready()
    })
    const addresses = new Set(next.masters.map((master) => master.address))
    for (const master of next.masters) this.#node(master as Master).ready()
    // Who is no master any more is no trouble either.
    for (const where of this.#troubles.names())
      if (where.includes(':') && !addresses.has(where)) this.#troubles.set(where, undefined)
    destroyCluster(before)
  }
}

/** Whether two clients have the same masters for all slots. */
const sameMasters = (a: Cluster, b: Cluster): boolean => {
  for (let slot = 0; slot < SLOTS; slot++)
    if (a.slots[slot]?.master.address !== b.slots[slot]?.master.address) return false
  return true
}
