/** Collectors of spans vanish, freeze and return under traffic: no request fails for it, and none is slow. */
import assert from 'node:assert/strict'
import { createServer, type Server as HttpServer } from 'node:http'
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

/** A collector that takes everything, at the port it was first given. */
const startCollector = async (t: TestContext) => {
  let taken = 0
  let server: Server | HttpServer | undefined
  const sockets = new Set<Socket>()
  const listen = async (made: Server | HttpServer, port: number): Promise<number> => {
    server = made
    made.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    })
    await new Promise<void>((resolve) => made.listen(port, '127.0.0.1', resolve))
    return (made.address() as AddressInfo).port
  }
  const working = () =>
    createServer((req, res) => {
      req.resume().on('end', () => {
        taken++
        res.setHeader('content-type', 'application/json').end('{}')
      })
    })
  const vanish = async (): Promise<void> => {
    const closed = new Promise((resolve) => server!.close(resolve))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  const port = await listen(working(), 0)
  t.after(vanish)
  return {
    port,
    taken: () => taken,
    vanish,
    /** Takes connections and never says a word. */
    async freeze() {
      await vanish()
      await listen(
        createTcp((socket) => void socket.resume()),
        port,
      )
    },
    async comeBack() {
      await vanish()
      await listen(working(), port)
    },
  }
}

for (const [name, path] of [
  ['OTLP', ''],
  ['Jaeger', '/api/traces'],
] as const)
  test(`the ${name} collector vanishes, returns, freezes and returns: requests go on as ever`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
    const collector = await startCollector(t)
    const proxy = await startProxy(t, {
      target: upstream.url,
      cache: 'off',
      trace: `http://127.0.0.1:${collector.port}${path}`,
    })
    let slowestMs = 0
    const traffic = async (until: () => boolean, longestMs = 20_000): Promise<void> => {
      const deadline = performance.now() + longestMs
      while (!until() && performance.now() < deadline) {
        const startedAt = performance.now()
        const answers = await Promise.all(Array.from({ length: 5 }, () => get(proxy.url)))
        assert.ok(answers.every(({ text }) => text === 'hi'))
        slowestMs = Math.max(slowestMs, performance.now() - startedAt)
        await sleep(5)
      }
      assert.ok(until() || longestMs < 20_000, 'spans did not come')
    }
    const more = (): (() => boolean) => {
      const before = collector.taken()
      return () => collector.taken() > before
    }
    await traffic(more())
    await collector.vanish()
    await traffic(() => proxy.notices.length > 0)
    await collector.comeBack()
    await traffic(more())
    await collector.freeze()
    await traffic(() => false, 1500)
    await collector.comeBack()
    await traffic(more())
    assert.ok(slowestMs < 1500, `${slowestMs} ms`)
    assert.ok(proxy.notices.length <= 4, proxy.notices.join('\n'))
    assert.doesNotMatch(proxy.notices.join('\n'), /^internal/m)
    const before = performance.now()
    await proxy.close(0)
    assert.ok(performance.now() - before < 3000)
  })
