/** A Redis store for a test, what it told, and what its calls come to. */
import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { createClient } from '@redis/client'
import { Entry } from '../../src/cache/entry.ts'
import { type RedisStore, redisStore } from '../../src/cache/store/redis.ts'
import { StoreError } from '../../src/cache/store/store.ts'

/** Notices so far: the error, or `back`. */
export interface OpenStore {
  readonly store: RedisStore
  readonly told: string[]
  /** Resolves when the store is of use, or of none. */
  until(ready: boolean, withinMs?: number): Promise<void>
}

/** Opens a store; it closes with the test. Waits until it is ready unless told not to. */
export const openStore = async (
  t: TestContext,
  urls: string | readonly string[],
  options: { timeoutMs?: number; scope?: string; wait?: boolean; nearBytes?: number } = {},
): Promise<OpenStore> => {
  const told: string[] = []
  const store = redisStore({
    urls: typeof urls === 'string' ? [urls] : urls,
    timeoutMs: options.timeoutMs ?? 1000,
    scope: options.scope ?? 'test',
    nearBytes: options.nearBytes ?? 0,
    onState: ({ error }) => told.push(error ?? 'back'),
  })
  t.after(() => store.close())
  const until = async (ready: boolean, withinMs = 5000): Promise<void> => {
    const end = performance.now() + withinMs
    while (store.isReady() !== ready) {
      if (performance.now() > end)
        throw new Error(`not ${ready ? 'ready' : 'away'} within ${withinMs} ms: ${told}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  if (options.wait !== false) await until(true)
  return { store, told, until }
}

/** Far more than a deadline, far less than node-redis takes to see that a connection is dead. */
const SLOW_MS = 1000

/** What a call comes to: a slot, nothing, or the reason of its StoreError. Fails when it takes long. */
export const outcome = async (work: () => Promise<unknown>): Promise<unknown> => {
  const startedAt = performance.now()
  try {
    return await work()
  } catch (error) {
    assert.ok(error instanceof StoreError, String(error))
    return error.reason
  } finally {
    const ms = performance.now() - startedAt
    assert.ok(ms < SLOW_MS, `${ms} ms`)
  }
}

/** The body of what must be an entry. */
export const textOf = (slot: unknown): string => {
  assert.ok(slot instanceof Entry, String(slot))
  return slot.body.toString()
}

/** Resolves once the condition holds; rejects when that takes too long. */
export const until = async (
  what: string,
  condition: () => Promise<boolean> | boolean,
  withinMs = 5000,
): Promise<void> => {
  const end = performance.now() + withinMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Sends a command to a Redis. */
export const ask = async (url: string, ...command: string[]): Promise<unknown> => {
  const client = createClient({ url, socket: { reconnectStrategy: false } })
  client.on('error', () => {})
  await client.connect()
  try {
    return await client.sendCommand(command)
  } finally {
    client.destroy()
  }
}
