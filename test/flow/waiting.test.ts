/** Requests that wait are counted while they do. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { eventually } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

/** What the gauge says, by queue; and the live view's sum. */
const waiting = async (proxy: TestProxy): Promise<{ gauge: Record<string, number>; sum: number }> => {
  const text = await (await fetch(`${proxy.adminUrl}/metrics`)).text()
  const stats = (await (await fetch(`${proxy.adminUrl}/stats`)).json()) as { waiting: number }
  const rows = [...text.matchAll(/^revproxy_waiting_requests\{queue="(\w+)"\} (\d+)$/gm)]
  return {
    gauge: Object.fromEntries(rows.map(([, queue, value]) => [queue, Number(value)])),
    sum: stats.waiting,
  }
}

test('those that wait for a turn of --concurrency', async (t) => {
  const held: ServerResponse[] = []
  const upstream = await startUpstream(t, (_, res) => void held.push(res))
  const proxy = await startProxy(t, {
    target: upstream.url,
    admin: '0',
    cache: 'off',
    hold: '0',
    concurrency: '2',
  })
  assert.deepEqual(await waiting(proxy), { gauge: { concurrency: 0 }, sum: 0 })
  const answers = Array.from({ length: 5 }, () => get(proxy.url))
  await eventually(() => held.length === 2 && proxy.opened.length === 5)
  assert.deepEqual(await waiting(proxy), { gauge: { concurrency: 3 }, sum: 3 })
  upstream.answer((_, res) => void res.end())
  for (const res of held) res.end()
  await Promise.all(answers)
  await proxy.until((ended) => ended.length === 5)
  assert.deepEqual(await waiting(proxy), { gauge: { concurrency: 0 }, sum: 0 })
})

test('those that wait for the window of --rate-mode delay', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const proxy = await startProxy(t, {
    target: upstream.url,
    admin: '0',
    hold: '0',
    rate: '2/h',
    'rate-mode': 'delay',
    'rate-max-wait': '1m',
  })
  const leaving = new AbortController()
  const asked = Array.from({ length: 5 }, () => get(proxy.url, { signal: leaving.signal }).catch(() => {}))
  await proxy.until((ended) => ended.length === 2)
  await eventually(() => proxy.opened.length === 5)
  assert.deepEqual(await waiting(proxy), { gauge: { rate: 3 }, sum: 3 })
  leaving.abort()
  await Promise.all(asked)
  await proxy.until((ended) => ended.length === 5)
  assert.deepEqual(await waiting(proxy), { gauge: { rate: 0 }, sum: 0 })
})

test('those that are held while the target refuses connections', async (t) => {
  const port = await freePort()
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}`, admin: '0', hold: '1m' })
  const answers = [get(`${proxy.url}/a`), get(`${proxy.url}/b`)]
  await proxy.until((_, opened) => opened.length === 2 && opened.every(({ heldMs }) => heldMs !== undefined))
  assert.deepEqual(await waiting(proxy), { gauge: { hold: 2 }, sum: 2 })
  await startUpstream(t, (_, res) => void res.end(), port)
  await Promise.all(answers)
  assert.deepEqual(await waiting(proxy), { gauge: { hold: 0 }, sum: 0 })
})
