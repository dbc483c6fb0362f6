/** WebSockets over workers: each lives in the one that has its connection, and all are told of in one place. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type TestContext, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { get } from '../support/client.ts'
import { startUpstream } from '../support/upstream.ts'
import { lines, loggedLines, startWorkers, until, workerOf, workersOf } from './support.ts'

/** An upstream that sends everything back, and takes no other requests. */
const startEcho = async (t: TestContext) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(404).end())
  const server = new WebSocketServer({ server: upstream.server })
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }))
    socket.on('error', () => {})
  })
  return { url: upstream.url, open: server.clients }
}

/** A client that is connected; `closed` gives the code with which that ends. */
const join = async (t: TestContext, url: string) => {
  const socket = new WebSocket(url.replace('http', 'ws'))
  t.after(() => socket.terminate())
  socket.on('error', () => {})
  const closed = once(socket, 'close').then(([code]) => code as number)
  await once(socket, 'open')
  const says = async (text: string): Promise<string> => {
    const reply = once(socket, 'message')
    socket.send(text)
    const [data] = (await reply) as [Buffer]
    return data.toString()
  }
  return { socket, closed, says }
}

test('they pass through both workers; the end of one worker ends its own only', async (t) => {
  const upstream = await startEcho(t)
  const program = await startWorkers(t, [upstream.url])
  const clients = [await join(t, `${program.url}/0`), await join(t, `${program.url}/1`)]
  const large = 'x'.repeat(200_000)
  for (const { says } of clients) {
    assert.equal(await says('hello'), 'hello')
    assert.equal(await says(large), large)
  }
  const metrics = async (): Promise<string> => (await get(`${program.adminUrl}/metrics`)).text
  await until('both are told of', async () =>
    /^http_server_active_requests\{[^}]*GET[^}]*\} 2$/m.test(await metrics()),
  )
  process.kill(workersOf(program)[0]!, 'SIGKILL')
  const ended = await Promise.race(clients.map(({ closed }, i) => closed.then((code) => ({ code, i }))))
  assert.equal(ended.code, 1006)
  const left = clients[1 - ended.i]!
  assert.equal(await left.says('still here'), 'still here')
  await until('the upstream knows', () => upstream.open.size === 1)
  await until('two workers serve again', async () => /^revproxy_workers 2$/m.test(await metrics()))
  for (const path of ['/2', '/3']) {
    const { says, socket, closed } = await join(t, program.url + path)
    assert.equal(await says('again'), 'again')
    socket.close(4001)
    assert.equal(await closed, 4001)
  }
  left.socket.close(4000)
  assert.equal(await left.closed, 4000)
  const logged = await loggedLines(program, 4)
  assert.deepEqual(
    logged.map(({ url, status, error }) => [url, status, error]).sort(),
    [0, 1, 2, 3].map((i) => (i === ended.i ? [`/${i}`, 0, 'internal'] : [`/${i}`, 101, undefined])),
  )
  assert.deepEqual([...new Set(logged.map(workerOf))].sort(), [1, 2])
  assert.match(await metrics(), /^http_server_active_requests\{[^}]*GET[^}]*\} 0$/m)
})

test('those that are open when the run ends are closed by --drain, and the summary counts them', async (t) => {
  const upstream = await startEcho(t)
  const program = await startWorkers(t, [upstream.url, '--drain', '100ms'])
  const clients = [await join(t, `${program.url}/0`), await join(t, `${program.url}/1`)]
  for (const { says } of clients) assert.equal(await says('hello'), 'hello')
  program.kill('SIGTERM')
  for (const { closed } of clients) assert.ok([1001, 1006].includes(await closed))
  const { code, stderr } = await program.ended
  assert.equal(code, 143)
  assert.match(stderr, /stopping: 2 requests/)
  assert.match(stderr, /2 requests in .*2 upgrades/s)
  assert.equal(lines(program).length, 2)
})
