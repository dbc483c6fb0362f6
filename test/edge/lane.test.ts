import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import type { Exchange } from '../../src/core/exchange.ts'
import { Exchanges } from '../../src/core/exchanges.ts'
import type { Handler, ProxyResponse } from '../../src/core/types.ts'
import { PlainAnswer } from '../../src/edge/plain-answer.ts'
import { type EdgeOptions, startEdge } from '../../src/server.ts'
import { gate } from '../support/client.ts'
import { eventually, talk } from '../support/sockets.ts'

const plain = (method: string, path: string): string => `${method} ${path} HTTP/1.1\r\nHost: a\r\n\r\n`
const whole = (text: string): ProxyResponse => ({ status: 200, headers: ['X', 'y'], body: Buffer.from(text) })

/** An edge whose chain is one handler; `inLane` counts the answers that went by the lane. */
const edgeWith = async (t: TestContext, handler: Handler, options: Partial<EdgeOptions> = {}) => {
  const ended: Exchange[] = []
  const internal: unknown[] = []
  const clock = systemClock()
  const lane = { answers: 0 }
  const { give } = PlainAnswer.prototype
  t.mock.method(
    PlainAnswer.prototype,
    'give',
    function (this: PlainAnswer, ...args: Parameters<typeof give>) {
      lane.answers++
      give.apply(this, args)
    },
  )
  const edge = await startEdge({
    hosts: ['127.0.0.1'],
    port: 0,
    handler,
    clock,
    exchanges: new Exchanges({
      observers: [{ ended: (exchange) => void ended.push(exchange as Exchange) }],
      clock,
      onObserverError: (error) => internal.push(error),
    }),
    onInternalError: (error) => internal.push(error),
    ...options,
  })
  t.after(() => edge.close(0))
  return { ...edge, ended, internal, lane }
}

/** Answers without the lines that say when. */
const shown = (text: string): string =>
  text.replace(/^(Date: .*|Connection: .*|Keep-Alive: .*)\r\n/gm, '').replaceAll('\r\n', '|')

test('a connection leaves the lane with the first request that is not plain, and goes on', async (t) => {
  const edge = await edgeWith(t, async ({ method, url }) => whole(`${method} ${url}`))
  const client = talk(t, edge.port)
  for (const [method, path, more = ''] of [
    ['GET', '/1'],
    ['GET', '/2'],
    ['POST', '/3', 'Content-Length: 2\r\n\r\nhi'],
    ['OPTIONS', '/4'],
    ['GET', '/5'],
    ['DELETE', '/6'],
  ] as const) {
    client.send(more === '' ? plain(method, path) : plain(method, path).replace(/\r\n$/, more))
    await client.until(new RegExp(`${method} ${path}$`))
  }
  assert.equal(edge.lane.answers, 3)
  assert.deepEqual(
    edge.ended.map(({ method, url, requestBytes }) => [method, url, requestBytes]),
    [
      ['GET', '/1', 0],
      ['GET', '/2', 0],
      ['POST', '/3', 2],
      ['OPTIONS', '/4', 0],
      ['GET', '/5', 0],
      ['DELETE', '/6', 0],
    ],
  )
})

const post = (length: number, body: string): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`
const readBody: Handler = async ({ body }) => {
  let text = ''
  for await (const chunk of body ?? []) text += chunk
  return whole(`<${text}>`)
}

for (const [name, length, pieces, answers, inLane] of [
  ['that is there with its head is', 5, ['hello'], ['<hello>'], true],
  ['without bytes is', 0, [''], ['<>'], true],
  [
    'as large as what is read at once is',
    60_000,
    ['x'.repeat(60_000)],
    [`<${'x'.repeat(60_000)}>`],
    undefined,
  ],
  ['that comes later is not', 5, ['hel', 'lo'], ['<hello>'], false],
  ['that comes behind its head is not', 5, ['', 'hello'], ['<hello>'], false],
  ['with another request behind it is not', 5, [`hello${post(2, 'hi')}`], ['<hello>', '<hi>'], false],
] as const) {
  test(`a body ${name} for the lane`, async (t) => {
    const edge = await edgeWith(t, readBody)
    const client = talk(t, edge.port)
    client.send(plain('GET', '/'))
    await client.until(/<>$/)
    for (const piece of [post(length, pieces[0]), ...pieces.slice(1)]) {
      client.send(piece)
      // What is sent over a connection that is read from is read within a turn.
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    await eventually(() => edge.ended.length === 1 + answers.length)
    await client.until((text) => answers.every((answer) => text.includes(answer)))
    if (inLane !== undefined) assert.equal(edge.lane.answers, 1 + Number(inLane))
    assert.deepEqual(
      edge.ended.slice(1).map(({ requestBytes }) => requestBytes),
      answers.map((answer) => answer.length - 2),
    )
  })
}

test('a body in the lane is bounded by --max-body, and one that nobody reads does no harm', async (t) => {
  const edge = await edgeWith(t, async () => whole('unread'), { maxBodyBytes: 5 })
  const client = talk(t, edge.port)
  client.send(post(6, 'hello!'))
  await client.until(/^HTTP\/1.1 413 [\s\S]*\(--max-body\)\.\n$/)
  client.send(post(5, 'hello'))
  await client.until(/unread$/)
  assert.equal(edge.lane.answers, 2)
})

for (const [name, answer] of [
  ['whole', whole('hello')],
  ['whole, longer than what is copied', whole('x'.repeat(100_000))],
  ['with a length of its own', { ...whole('hello'), headers: ['content-length', '5', 'Date', 'today'] }],
  ['with a length that is not its own', { ...whole('hello'), headers: ['content-length', '4'] }],
  ['with two lengths', { ...whole('hello'), headers: ['Content-Length', '5', 'content-length', '5'] }],
  ['with trailers', { ...whole('hello'), trailers: () => ['T', 'u'] }],
  ['204', { status: 204, headers: [], body: Buffer.alloc(0) }],
  ['304', { status: 304, headers: ['ETag', '"a"'], body: Buffer.alloc(0) }],
  ['a status without a name', { status: 299, headers: [], body: Buffer.from('a') }],
  ['bytes beyond ASCII in a field', { ...whole('a'), headers: ['X', '\xe9'] }],
] satisfies Array<[string, ProxyResponse]>) {
  for (const method of ['GET', 'HEAD'] as const) {
    test(`an answer ${name}, to ${method}, is the same by the lane and by node`, async (t) => {
      const edge = await edgeWith(t, async () => answer)
      const ask = async (lines: string): Promise<string> => {
        const client = talk(t, edge.port)
        client.send(`${method} / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`)
        client.send('') // one after the other
        const last = plain('GET', '/last')
        await client.until(/\r\n\r\n/)
        await eventually(() => edge.ended.length > 0)
        edge.ended.length = 0
        client.send(last)
        await client.until((text) => text.split('HTTP/1.1 ').length > 2)
        return client.text().split('HTTP/1.1 ')[1]!
      }
      const byLane = await ask('')
      assert.ok(edge.lane.answers > 0)
      const answers = edge.lane.answers
      const byNode = await ask('TE: trailers\r\n')
      assert.equal(edge.lane.answers, answers)
      // A length that is wrong is made right, and one said twice is said once; node passes on what it is given.
      if (!/length/.test(name)) assert.equal(sorted(shown(byLane)), sorted(shown(byNode)))
      else if (method === 'GET')
        assert.match(byLane, /^200 OK\r\n(?:[^\r]+\r\n)*Content-Length: 5\r\n(?:[^\r]+\r\n)*\r\nhello$/i)
    })
  }
}

/** Head lines in any order, the body behind them. */
const sorted = (text: string): string => {
  const [head = '', ...body] = text.split('||')
  return [head.split('|').sort().join('|').toLowerCase(), ...body].join('||')
}

test('a body that arrives goes out as it comes, chunked, with its trailers', async (t) => {
  const body = new Readable({ read() {} })
  const edge = await edgeWith(t, async () => ({ status: 200, headers: [], body, trailers: () => ['T', 'u'] }))
  const client = talk(t, edge.port)
  client.send(plain('GET', '/'))
  await client.until(/Transfer-Encoding: chunked\r\n\r\n$/)
  body.push('hello')
  await client.until(/\r\n5\r\nhello\r\n$/)
  body.push('you')
  body.push(null)
  await client.until(/3\r\nyou\r\n0\r\nT: u\r\n\r\n$/)
  await eventually(() => edge.ended.length === 1)
  assert.equal(edge.ended[0]!.ended?.bytes, 8)
  client.send(plain('GET', '/again'))
})

for (const [name, promised] of [
  ['shorter', '9'],
  ['longer', '3'],
] as const) {
  test(`a body ${name} than its head said is never a whole one`, async (t) => {
    const edge = await edgeWith(t, async () => ({
      status: 200,
      headers: ['Content-Length', promised],
      body: Readable.from([Buffer.from('hello')]),
    }))
    const client = talk(t, edge.port)
    client.send(plain('GET', '/'))
    await client.closed()
    await eventually(() => edge.ended.length === 1)
    assert.equal(edge.ended[0]!.ended?.error, 'upstream-aborted')
  })
}

test('a body that breaks off closes the connection, and the exchange says so', async (t) => {
  const body = new Readable({ read() {} })
  const edge = await edgeWith(t, async () => ({ status: 200, headers: [], body }))
  const client = talk(t, edge.port)
  client.send(plain('GET', '/'))
  await client.until(/\r\n\r\n$/)
  body.destroy(new Error('gone'))
  assert.doesNotMatch(await client.closed(), /0\r\n\r\n$/)
  await eventually(() => edge.ended[0]?.ended?.error === 'upstream-aborted')
})

test('a client that leaves ends the body, and what is made for it', async (t) => {
  const body = new Readable({ read() {} })
  let left = false
  const edge = await edgeWith(t, async ({ cancel }) => {
    cancel.onFire(() => {
      left = true
    })
    return { status: 200, headers: [], body }
  })
  const client = talk(t, edge.port)
  client.send(plain('GET', '/'))
  await client.until(/\r\n\r\n$/)
  client.socket.destroy()
  await eventually(() => body.destroyed && left && edge.ended[0]?.ended?.error === 'client-gone')
})

test('a client that does not read holds the body back', async (t) => {
  let given = 0
  const chunk = Buffer.alloc(64 * 1024)
  const body = new Readable({
    read() {
      given += chunk.length
      this.push(given > 64 * 1024 * 1024 ? null : chunk)
    },
  })
  const edge = await edgeWith(t, async () => ({ status: 200, headers: [], body }))
  const client = talk(t, edge.port)
  client.socket.pause()
  client.send(plain('GET', '/'))
  let before = -1
  await eventually(() => {
    const still = given === before && given > 0
    before = given
    return still
  })
  assert.ok(given < 32 * 1024 * 1024, String(given))
  client.socket.resume()
  await eventually(() => edge.ended.length === 1)
  assert.equal(edge.ended[0]!.ended?.bytes, 64 * 1024 * 1024)
})

test('a request that comes while an answer is under way has its turn after it', async (t) => {
  const open = gate()
  const edge = await edgeWith(t, async ({ url }) => {
    if (url === '/1') await open.promise
    return whole(url)
  })
  const client = talk(t, edge.port)
  client.send(plain('GET', '/1'))
  await eventually(() => edge.active() === 1)
  client.send(plain('GET', '/2'))
  client.send('GET /3 HTTP/1.1\r\nHo')
  client.send('st: a\r\n\r\n')
  open.open()
  await client.until(/\/1HTTP[\s\S]*\/2HTTP[\s\S]*\/3$/)
})

test('a head that comes in pieces is one request', async (t) => {
  const edge = await edgeWith(t, async ({ url, headers }) => whole(`${url} ${headers.join()}`))
  const client = talk(t, edge.port)
  client.socket.setNoDelay(true)
  client.send('GET /a HTTP/1.1\r\nHost: a\r')
  await new Promise((resolve) => setImmediate(resolve))
  client.send('\nB: c\r\n\r\n')
  await client.until(/\/a Host,a,B,c$/)
})

test('what speaks of the connection is for us to say', async (t) => {
  const headers = ['Keep-Alive', 'x', 'Transfer-Encoding', 'gzip', 'Connection', 'close', 'Upgrade', 'y']
  const edge = await edgeWith(t, async () => ({ status: 200, headers, body: Buffer.from('a') }))
  const client = talk(t, edge.port)
  client.send(plain('GET', '/'))
  assert.match(
    await client.closed(),
    /^HTTP\/1.1 200 OK\r\nDate: [^\r]+\r\nConnection: close\r\nContent-Length: 1\r\n\r\na$/,
  )
})

test('a field that no answer may carry is a 502, and nothing of it goes out', async (t) => {
  const edge = await edgeWith(t, async () => ({
    status: 200,
    headers: ['X', 'a\r\nSet-Cookie: stolen=1'],
    body: Buffer.from('a'),
  }))
  const client = talk(t, edge.port)
  client.send(plain('GET', '/'))
  assert.doesNotMatch(await client.until(/502 Bad Gateway[\s\S]*cannot be passed on/), /stolen/)
  assert.ok(edge.lane.answers > 0)
})

test('a connection on which nothing is said gets 408', async (t) => {
  const edge = await edgeWith(t, async () => whole('a'), { headTimeoutMs: 40 })
  assert.match(await talk(t, edge.port).closed(), /^HTTP\/1.1 408 /)
})

test('draining closes a connection that carries nothing, and one that does with its answer', async (t) => {
  const open = gate()
  const edge = await edgeWith(t, async ({ url }) => {
    if (url === '/slow') await open.promise
    return whole(url)
  })
  const [idle, busy] = [talk(t, edge.port), talk(t, edge.port)]
  idle.send(plain('GET', '/'))
  await idle.until(/\/$/)
  busy.send(plain('GET', '/slow'))
  await eventually(() => edge.active() === 1)
  const closed = edge.close(5000)
  await idle.closed()
  open.open()
  assert.match(await busy.closed(), /Connection: close\r\n[\s\S]*\/slow$/)
  await closed
})
