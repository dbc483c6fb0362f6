/** A mistake of ours costs the one request it came with. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { Exchanges } from '../../src/core/exchanges.ts'
import type { Stage } from '../../src/core/types.ts'
import { startEdge } from '../../src/server.ts'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const boom = (): never => {
  throw new TypeError('injected')
}
const stages: Record<string, Stage> = {
  'throws at once': (next) => (req) => (req.url === '/boom' ? boom() : next(req)),
  'throws after a while': (next) => async (req) => {
    await new Promise((resolve) => setImmediate(resolve))
    return req.url === '/boom' ? boom() : next(req)
  },
  'throws after the upstream has answered': (next) => async (req) => {
    const answer = await next(req)
    return req.url === '/boom' ? boom() : answer
  },
  'gives an answer that is none': (next) => (req) =>
    req.url === '/boom' ? (Promise.resolve(undefined) as never) : next(req),
  'gives a status that is none': (next) => async (req) => {
    const answer = await next(req)
    return req.url === '/boom' ? { ...answer, status: 'x' as never, body: Buffer.from('') } : answer
  },
}

for (const [name, stage] of Object.entries(stages)) {
  test(`a stage that ${name}: 500 to its request, told with its stack, and nobody else notices`, async (t) => {
    const release = gate()
    const upstream = await startUpstream(t, async (req, res) => {
      if (req.url === '/slow') await release.promise
      res.end('hi')
    })
    const proxy = await startProxy(t, { target: upstream.url, cache: 'off' }, { stages: [stage] })
    const slow = get(`${proxy.url}/slow`)
    const client = talk(t, proxy.port)
    client.send('GET /boom HTTP/1.1\r\nHost: a\r\n\r\n')
    const text = await client.until(/\.\n$/)
    assert.match(text, /^HTTP\/1\.1 50[02] /)
    assert.doesNotMatch(text, /injected|at file:|TypeError/)
    // The same connection goes on.
    client.send('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.until(/200 OK\r\n[\s\S]*hi$/)
    assert.equal((await get(proxy.url)).status, 200)
    release.open()
    assert.equal((await slow).text, 'hi')
    await proxy.until((ended) => ended.length === 4)
    assert.equal(proxy.active(), 0)
    if (!name.startsWith('gives a status')) {
      assert.equal(proxy.notices.length, 1)
      assert.match(proxy.notices[0]!, /^internal TypeError: .*\n +at /)
    }
  })
}

test('a body that throws while it is read breaks its own answer off, and no other', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(
    t,
    { target: upstream.url, cache: 'off' },
    {
      stages: [
        (next) => async (req) => {
          const answer = await next(req)
          if (req.url !== '/boom') return answer
          let pieces = 0
          const body = new Readable({
            read() {
              if (pieces++ === 0) this.push('part')
              else boom()
            },
          })
          return { ...answer, headers: [], body }
        },
      ],
    },
  )
  const other = get(proxy.url)
  await assert.rejects(get(`${proxy.url}/boom`))
  assert.equal((await other).text, 'hi')
  assert.equal((await get(proxy.url)).text, 'hi')
})

test('an observer that throws is told of, and costs no request', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: upstream.url }, { observers: [{ opened: boom, ended: boom }] })
  assert.equal((await get(proxy.url)).status, 200)
  assert.equal((await get(proxy.url)).status, 200)
  assert.equal(proxy.notices.length, 4)
})

test('a fault at the edge itself, before there is an exchange, costs its connection and no other', async (t) => {
  const clock = systemClock()
  const told: unknown[] = []
  const onInternalError = (error: unknown): void => void told.push(error)
  const edge = await startEdge({
    hosts: ['127.0.0.1'],
    port: 0,
    handler: async () => ({ status: 200, headers: [], body: Buffer.from('hi') }),
    clock,
    exchanges: new Exchanges({ observers: [], clock, onObserverError: onInternalError }),
    continueTrace: (headers) => (headers.includes('Boom') ? boom() : (undefined as never)),
    onInternalError,
  })
  t.after(() => edge.close(0))
  const other = talk(t, edge.port)
  other.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await other.until(/hi$/)
  for (const upgrade of ['', 'Connection: Upgrade\r\nUpgrade: websocket\r\n']) {
    const client = talk(t, edge.port)
    client.send(`GET / HTTP/1.1\r\nHost: a\r\nBoom: 1\r\n${upgrade}\r\n`)
    assert.match(
      await client.closed(),
      /^HTTP\/1\.1 500 Internal Server Error\r\n[\s\S]*its log has the details/,
    )
  }
  assert.equal(told.length, 2)
  other.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await other.until(/hi[\s\S]*hi$/)
  assert.equal(edge.active(), 0)
})
