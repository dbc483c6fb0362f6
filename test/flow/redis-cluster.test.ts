/** The store over a Redis Cluster some of whose nodes are away. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { StoreError } from '../../src/cache/store/store.ts'
import { entryOf } from '../cache/entries.ts'
import { startCluster } from '../support/cluster.ts'
import { startRedis } from '../support/redis.ts'
import { ask, openStore, outcome, textOf, until } from '../support/redis-store.ts'

const MINUTE = 60_000

test('one node of a cluster is killed: the others serve, its keys are known to be away', async (t) => {
  const cluster = await startCluster(t, { args: ['--cluster-require-full-coverage', 'no'] })
  const { store, told } = await openStore(t, cluster.urls, { timeoutMs: 100 })
  const keys = Array.from({ length: 60 }, (_, i) => `http://h/${i}`)
  await until('all nodes are ready', async () => {
    const put = await Promise.all(keys.map((key) => outcome(() => store.set(key, entryOf(key), MINUTE, 1))))
    return put.every((each) => typeof each === 'object')
  })
  await cluster.nodes[1]!.stop()
  await until('it is told', () => told.length === 1)
  const outcomes = await Promise.all(keys.map((key) => outcome(() => store.get(key))))
  const away = keys.filter((_, i) => outcomes[i] === 'store-down')
  assert.ok(away.length > 5 && away.length < 40, String(away.length))
  for (const [i, key] of keys.entries()) if (!away.includes(key)) assert.equal(textOf(outcomes[i]), key)
  // Through the time in which the cluster finds out by itself, and a new client asks it.
  for (let i = 0; i < 80; i++) {
    for (const key of keys.slice(0, 20)) {
      const got = await outcome(() => store.get(key))
      if (away.includes(key)) assert.equal(got, 'store-down')
      else assert.equal(textOf(got), key)
    }
    await sleep(50)
  }
  assert.equal(store.isReady(), true)
  assert.equal(told.length, 1)
  await assert.rejects(async () => {
    for await (const _ of store.keys('')) {
      // What the others have is still listed.
    }
  }, StoreError)
  await cluster.nodes[1]!.restart()
  await until(
    'all keys are served again',
    async () => {
      const again = await Promise.all(away.map((key) => outcome(() => store.get(key))))
      return again.every((each) => each === undefined) && told.at(-1) === 'back'
    },
    10_000,
  )
})

test('a cluster with a node that is away from the start', async (t) => {
  const cluster = await startCluster(t, { args: ['--cluster-require-full-coverage', 'no'] })
  await cluster.nodes[2]!.stop()
  const { store } = await openStore(t, cluster.urls, { timeoutMs: 100 })
  const keys = Array.from({ length: 60 }, (_, i) => `http://h/${i}`)
  await until('two nodes serve', async () => {
    const put = await Promise.all(keys.map((key) => outcome(() => store.set(key, entryOf(key), MINUTE, 1))))
    return put.filter((each) => typeof each === 'object').length > 30
  })
})

test('a replica takes a master’s place: it is found', async (t) => {
  const cluster = await startCluster(t, { args: ['--repl-diskless-sync-delay', '0'] })
  const [main] = cluster.nodes
  const replica = await startRedis(t, {
    args: [
      '--cluster-enabled',
      'yes',
      '--cluster-config-file',
      'nodes-r.conf',
      '--cluster-node-timeout',
      '1000',
    ],
  })
  await cluster.ask(1, 'CLUSTER', 'MEET', '127.0.0.1', String(replica.port))
  const mainId = String(await cluster.ask(0, 'CLUSTER', 'MYID'))
  await until('they have met', async () =>
    String(await ask(replica.url, 'CLUSTER', 'NODES')).includes(mainId),
  )
  await ask(replica.url, 'CLUSTER', 'REPLICATE', mainId)
  const { store, told } = await openStore(t, cluster.urls, { timeoutMs: 200 })
  const keys = Array.from({ length: 30 }, (_, i) => `http://h/${i}`)
  const allServed = async (): Promise<boolean> => {
    const put = await Promise.all(keys.map((key) => outcome(() => store.set(key, entryOf(key), MINUTE, 1))))
    return put.every((each) => typeof each === 'object')
  }
  await until('all nodes are ready', allServed)
  await until('it replicates', async () =>
    String(await ask(replica.url, 'INFO', 'replication')).includes('master_link_status:up'),
  )
  // A replica takes over those slots that it has heard of from its master: none, in the first moment.
  await until('it knows what its master serves', async () => {
    const nodes = String(await ask(replica.url, 'CLUSTER', 'NODES')).split('\n')
    return nodes.some((node) => node.startsWith(mainId) && / \d+-\d+/.test(node))
  })
  await main!.stop()
  await until('it is told', () => told.length >= 1)
  // Not left to an election: on a busy machine the masters may take each other for dead, and nobody is chosen.
  await ask(replica.url, 'CLUSTER', 'FAILOVER', 'TAKEOVER')
  await until('all keys are served again', allServed, 40_000)
  await until('it is told', async () => {
    for (const key of keys) await outcome(() => store.get(key))
    return (await allServed()) && told.at(-1) === 'back'
  })
  assert.ok(told.length <= 4, String(told))
})
