import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import type { Exchange } from '../../src/core/exchange.ts'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { type Answer, startUpstream } from '../support/upstream.ts'

/** Whether the first request is being held. */
const isHeld = (_: readonly Exchange[], [first]: readonly Exchange[]): boolean => first?.heldMs !== undefined

/** A port on which nobody listens any more. */
const closedPort = async (t: Parameters<typeof startUpstream>[0]): Promise<number> => {
  const upstream = await startUpstream(t, () => {})
  await upstream.stop()
  return upstream.port
}

test('a backend that restarts three times under 200 requests with and without bodies loses none (http-proxy-middleware#1073, #176, node-http-proxy#426, vite#10562)', async (t) => {
  const seen = new Map<string, number>()
  const echo: Answer = async (req, res) => {
    const chunks: Buffer[] = []
    for await (const chunk of req) chunks.push(chunk as Buffer)
    seen.set(req.url!, (seen.get(req.url!) ?? 0) + 1)
    res.end(`${req.method} ${req.url} ${Buffer.concat(chunks)}`)
  }
  let upstream = await startUpstream(t, echo)
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off', hold: '1m' })
  const body = (n: number): string => `${n}`.repeat(n % 4 === 1 ? 50_000 : 10)
  const ask = async (n: number): Promise<void> => {
    if (n % 2 === 0) {
      const got = await get(`${proxy.url}/${n}`)
      assert.deepEqual([got.status, got.text], [200, `GET /${n} `])
      return
    }
    const headers: Record<string, string> =
      n % 3 === 0 ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(body(n).length) }
    const got = await get(`${proxy.url}/${n}`, { method: 'POST', headers, body: body(n) })
    assert.equal(got.status, 200)
    assert.equal(got.text, `POST /${n} ${body(n)}`)
  }
  let asked = 0
  const some = (count: number): Array<Promise<void>> => Array.from({ length: count }, () => ask(++asked))
  await Promise.all(some(20))
  for (let restart = 1; restart <= 3; restart++) {
    await upstream.stop()
    const whileDown = some(40)
    await proxy.until((_, opened) => opened.length === asked)
    upstream = await startUpstream(t, echo, upstream.port)
    await Promise.all([...whileDown, ...some(20)])
  }
  assert.equal(asked, 200)
  assert.deepEqual(
    [...seen.values()].filter((times) => times !== 1),
    [],
  )
  const held = proxy.exchanges.filter(({ heldMs }) => heldMs !== undefined)
  assert.ok(held.length >= 120, `${held.length} were held`)
  assert.ok(held.every(({ heldMs }) => heldMs! > 0))
})

test('GETs that a backend had in hand when it was killed are asked again once it is back', async (t) => {
  const answer: Answer = async (_, res) => {
    await new Promise(setImmediate)
    res.end('x')
  }
  let upstream = await startUpstream(t, answer)
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off', hold: '1m' })
  const restartAt = [50, 100, 150]
  let asked = 0
  let restarting: Promise<void> | undefined
  const restart = async (): Promise<void> => {
    await upstream.stop()
    // All who can ask have asked, and nobody has an answer.
    await proxy.until((ended, opened) => opened.length - ended.length === 8)
    upstream = await startUpstream(t, answer, upstream.port)
    restarting = undefined
  }
  const work = async (): Promise<void> => {
    while (asked < 200) {
      asked++
      if (asked >= (restartAt[0] ?? Number.POSITIVE_INFINITY) && restarting === undefined) {
        restartAt.shift()
        restarting = restart()
      }
      assert.equal((await get(`${proxy.url}/${asked}`)).text, 'x')
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  assert.equal(restartAt.length, 0)
  assert.ok(proxy.exchanges.every(({ ended }) => ended?.status === 200))
})

test('a backend that stays away is a 502 that says where it was looked for, and for how long', async (t) => {
  const port = await closedPort(t)
  const proxy = await startProxy(t, { target: `http://localhost:${port}` })
  const asked = get(proxy.url)
  await proxy.until(isHeld)
  proxy.advance(5000)
  const got = await asked
  assert.equal(got.status, 502)
  assert.match(
    got.text,
    new RegExp(
      `http://localhost:${port} refused the connection on .* for 5 s \\(--hold\\)\\. Is it running\\?`,
    ),
  )
  assert.match(got.text, new RegExp(`127\\.0\\.0\\.1:${port}`))
  assert.match(got.text, new RegExp(`\\[::1\\]:${port}`))
  const [exchange] = proxy.exchanges
  assert.equal(exchange!.ended!.error, 'upstream-refused')
  assert.ok(exchange!.heldMs! >= 5000)
})

test('--hold 0 answers at once, and so does a target elsewhere unless --hold is given', async (t) => {
  const port = await closedPort(t)
  const never = await startProxy(t, { target: `http://127.0.0.1:${port}`, hold: '0' })
  assert.equal((await get(never.url)).status, 502)
  assert.equal(never.exchanges[0]!.heldMs, undefined)
  // An address of this machine that does not look like one.
  const elsewhere = await startProxy(t, { target: `http://0.0.0.0:${port}` })
  assert.equal((await get(elsewhere.url)).status, 502)
  assert.equal(elsewhere.exchanges[0]!.heldMs, undefined)
})

test('a client that leaves while it is held is let go of at once', async (t) => {
  const port = await closedPort(t)
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}` })
  const controller = new AbortController()
  const asked = get(proxy.url, { signal: controller.signal })
  await proxy.until(isHeld)
  controller.abort()
  await assert.rejects(asked)
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'client-gone')
})

test('a body is asked of the client only once somebody is there to take it', async (t) => {
  const port = await closedPort(t)
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}`, hold: '1m' })
  const continued = gate()
  let up = false
  const answered = new Promise<string>((resolve, reject) => {
    const req = request(
      proxy.url,
      { method: 'POST', headers: { expect: '100-continue', 'content-length': '5' } },
      (res) => {
        res.setEncoding('utf8')
        let text = ''
        res.on('data', (chunk: string) => {
          text += chunk
        })
        res.on('end', () => resolve(text))
      },
    )
    req.on('error', reject)
    req.on('continue', () => {
      assert.ok(up)
      continued.open()
      req.end('hello')
    })
    req.flushHeaders()
  })
  await proxy.until(isHeld)
  up = true
  await startUpstream(t, (req, res) => void req.pipe(res), port)
  await continued.promise
  assert.equal(await answered, 'hello')
})

test('a POST that the backend had in hand when it was killed is never sent again', async (t) => {
  let upstream = await startUpstream(t, async () => {
    await upstream.stop()
    upstream = await startUpstream(t, (_, res) => void res.end('second'), upstream.port)
  })
  const { requests } = upstream
  const proxy = await startProxy(t, { target: upstream.url })
  const got = await get(proxy.url, { method: 'POST', body: 'pay' })
  assert.equal(got.status, 502)
  assert.equal(proxy.exchanges[0]!.ended!.error, 'upstream-reset')
  assert.equal(requests.length + upstream.requests.filter((each) => !requests.includes(each)).length, 1)
})

test('a GET that brings the backend down is sent twice, not for ever, and the answer says what it did', async (t) => {
  let asked = 0
  const crash: Answer = async () => {
    asked++
    await upstream.stop()
  }
  let upstream = await startUpstream(t, crash)
  const proxy = await startProxy(t, { target: upstream.url })
  const crashing = get(proxy.url)
  await proxy.until(isHeld)
  upstream = await startUpstream(t, crash, upstream.port)
  const got = await crashing
  assert.equal(got.status, 502)
  assert.match(got.text, /closed the connection before it answered/)
  assert.equal(asked, 2)

  const last = await startUpstream(t, () => last.stop())
  const other = await startProxy(t, { target: last.url })
  const waiting = get(other.url)
  await other.until(isHeld)
  other.advance(5000)
  assert.match((await waiting).text, /closed the connection .* It has refused connections since, for 5 s/)
})

test('a backend on a unix socket that is not there yet is waited for', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'hold-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'app.sock')
  const proxy = await startProxy(t, { target: `unix:${path}`, hold: '1m' })
  const asked = get(`${proxy.url}/a`)
  await proxy.until(isHeld)
  const server = createServer((req, res) => void res.end(req.url))
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  assert.equal((await asked).text, '/a')

  const nobody = await startProxy(t, { target: `unix:${join(folder, 'other.sock')}` })
  const refused = get(nobody.url)
  await nobody.until(isHeld)
  nobody.advance(5000)
  assert.match((await refused).text, /other\.sock refused the connection on .*other\.sock for 5 s/)
})

test('the WebSocket of a page that reconnects while the backend restarts is held too', async (t) => {
  const port = await closedPort(t)
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}`, hold: '1m' })
  const socket = new WebSocket(proxy.url.replace('http', 'ws'))
  const message = new Promise((resolve, reject) => {
    socket.on('message', (data) => resolve(String(data)))
    socket.on('error', reject)
  })
  await proxy.until(isHeld)
  const server = new WebSocketServer({ port, host: '127.0.0.1' })
  t.after(() => server.close())
  server.on('connection', (each) => each.send('hello'))
  assert.equal(await message, 'hello')
  socket.close()
  await proxy.until((ended) => ended.length === 1)
  assert.ok(proxy.exchanges[0]!.heldMs! > 0)
})

test('who is held takes no turn of --concurrency', async (t) => {
  const port = await closedPort(t)
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}`, concurrency: '1', hold: '1m' })
  const asked = [get(proxy.url)]
  await proxy.until(isHeld)
  for (let n = 1; n < 5; n++) asked.push(get(`${proxy.url}/${n}`))
  await proxy.until((_, opened) => opened.filter(({ heldMs }) => heldMs !== undefined).length === 5)
  assert.ok(proxy.opened.slice(1).every(({ queuedMs }) => queuedMs === undefined))
  await startUpstream(t, (_, res) => void res.end('x'), port)
  for (const each of asked) assert.equal((await each).status, 200)
})

test('an answer that may be stale on errors (stale-if-error) is served at once, not after the wait', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'cache-control': 'max-age=1, stale-if-error=60' }).end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url)
  await upstream.stop()
  proxy.advance(2000)
  assert.equal((await get(proxy.url)).text, 'x')
  assert.equal(proxy.exchanges[1]!.cache!.reason, 'stale-served-sie')
  assert.equal(proxy.exchanges[1]!.heldMs, undefined)
})

test('without that word of the upstream, what the backend says once it is back goes before what was stored', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'cache-control': 'max-age=1', connection: 'close' }).end('old'),
  )
  const proxy = await startProxy(t, { target: upstream.url, hold: '1m' })
  await get(proxy.url)
  await upstream.stop()
  proxy.advance(2000)
  const asked = get(proxy.url)
  await proxy.until((_, opened) => opened[1]?.heldMs !== undefined)
  await startUpstream(t, (_, res) => void res.end('new'), upstream.port)
  assert.equal((await asked).text, 'new')
})

test('shutting down ends the wait', async (t) => {
  const port = await closedPort(t)
  const proxy = await startProxy(t, { target: `http://127.0.0.1:${port}` })
  const asked = get(proxy.url)
  await proxy.until(isHeld)
  await Promise.all([assert.rejects(asked), proxy.close(0)])
  await proxy.until((ended) => ended.length === 1)
})
