/** A real Redis Cluster for a test: three masters, every slot served. */
import type { TestContext } from 'node:test'
import { createClient } from '@redis/client'
import { startRedis, type TestRedis } from './redis.ts'

/** A running cluster. */
export interface TestCluster {
  readonly nodes: readonly TestRedis[]
  readonly urls: readonly string[]
  /** Sends a command to one node. */
  ask(node: number, ...command: string[]): Promise<unknown>
}

/** First slot of each of three masters. */
const SHARES = [
  [0, 5460],
  [5461, 10_922],
  [10_923, 16_383],
] as const

/** Starts three masters that know each other and resolves when all slots are served; it ends with the test. */
export const startCluster = async (
  t: TestContext,
  options: { password?: string; args?: readonly string[] } = {},
): Promise<TestCluster> => {
  const { password } = options
  const nodes = await Promise.all(
    SHARES.map((_, i) =>
      startRedis(t, {
        args: [
          '--cluster-enabled',
          'yes',
          '--cluster-config-file',
          `nodes-${i}.conf`,
          '--cluster-node-timeout',
          '1000',
          ...(password === undefined ? [] : ['--requirepass', password]),
          ...(options.args ?? []),
        ],
      }),
    ),
  )
  const urls = nodes.map(
    ({ port }) => `redis://${password === undefined ? '' : `:${password}@`}127.0.0.1:${port}`,
  )
  const ask = async (node: number, ...command: string[]): Promise<unknown> => {
    const client = createClient({ url: urls[node]!, socket: { reconnectStrategy: false } })
    client.on('error', () => {
      // The command fails too.
    })
    await client.connect()
    try {
      return await client.sendCommand(command)
    } finally {
      client.destroy()
    }
  }
  for (const [i, [first, last]] of SHARES.entries())
    await ask(i, 'CLUSTER', 'ADDSLOTSRANGE', String(first), String(last))
  for (const { port } of nodes.slice(1)) await ask(0, 'CLUSTER', 'MEET', '127.0.0.1', String(port))
  const settled = async (i: number): Promise<boolean> =>
    String(await ask(i, 'CLUSTER', 'INFO')).includes('cluster_state:ok') &&
    String(await ask(i, 'CLUSTER', 'NODES'))
      .trim()
      .split('\n').length === nodes.length
  for (let tries = 0; ; tries++) {
    const all = await Promise.all(nodes.map((_, i) => settled(i)))
    if (all.every(Boolean)) break
    if (tries > 200) throw new Error('the cluster does not come together')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return { nodes, urls, ask }
}
