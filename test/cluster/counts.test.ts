/** What is counted of the cache when both workers are asked for the same at once. */
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startUpstream } from '../support/upstream.ts'
import { loggedLines, startWorkers, until, workerOf } from './support.ts'

test('each key is fetched once, and hits, misses and requests to the upstream add up everywhere', async (t) => {
  const keys = 20
  const clients = 8
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' }).end(req.url)
  })
  const program = await startWorkers(t, [upstream.url])
  const asked = Array.from({ length: clients }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.after(() => agent.destroy())
    for (let i = 0; i < 3 * keys; i++)
      assert.equal((await get(`${program.url}/${i % keys}`, { agent })).text, `/${i % keys}`)
  })
  await Promise.all(asked)
  assert.equal(upstream.requests.length, keys)
  const all = clients * 3 * keys
  const logged = await loggedLines(program, all)
  assert.deepEqual([...new Set(logged.map(workerOf))].sort(), [1, 2])
  const of = (status: string): number => logged.filter(({ cache }) => cache === status).length
  const [misses, hits, coalesced] = ['miss', 'hit', 'coalesced'].map(of) as [number, number, number]
  assert.deepEqual([misses, hits + coalesced], [keys, all - keys])
  const { text } = await get(`${program.adminUrl}/metrics`)
  const counted: Array<[name: string, value: number]> = [
    ['revproxy_cache_results_total{result="miss",reason="uri-miss"}', keys],
    ['revproxy_cache_results_total{result="hit",reason="hit"}', hits],
    ['revproxy_cache_storage_total{storage="stored"}', keys],
    ['revproxy_collapsed_requests_total{outcome="failed"}', 0],
    ['revproxy_upstream_requests_total', keys],
    ['revproxy_cache_entries', keys],
  ]
  for (const [name, value] of counted)
    assert.ok(text.split('\n').includes(`${name} ${value}`), `${name} ${value}`)
  const stats = JSON.parse((await get(`${program.adminUrl}/stats`)).text)
  assert.deepEqual([stats.requests, stats.active, stats.cache.hit, stats.cache.miss], [all, 0, hits, keys])
  // Workers tell once a second what they used of their copies.
  await until('the entries know how often they were used', async () => {
    const listed = await get(`${program.adminUrl}/cache/entries?limit=100`)
    const { entries } = JSON.parse(listed.text) as { entries: Array<{ hits: number }> }
    assert.equal(entries.length, keys)
    const used = entries.reduce((sum, each) => sum + each.hits, 0)
    assert.ok(used <= hits + coalesced)
    return used >= hits
  })
  program.kill('SIGINT')
  const { stderr } = await program.ended
  assert.match(stderr, new RegExp(`${all} requests in .* ${all - keys} upstream calls saved`, 's'))
})
