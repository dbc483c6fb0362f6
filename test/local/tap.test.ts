import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { Cancel } from '../../src/core/cancel.ts'
import { Exchange } from '../../src/core/exchange.ts'
import type { Fields, ProxyRequest, ProxyResponse } from '../../src/core/types.ts'
import { KEPT_BYTES, tap } from '../../src/local/tap.ts'

const requestOf = (headers: Fields, body: Readable | undefined): ProxyRequest => ({
  method: 'POST',
  url: '/',
  headers,
  body,
  cancel: new Cancel(),
  exchange: new Exchange({
    id: 1,
    cause: 'client',
    method: 'POST',
    url: '/',
    host: 'localhost',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: 0,
    requestHeaders: headers,
  }),
})

const keptOf = (req: ProxyRequest, side: 'request' | 'response'): string | undefined => {
  const sample = req.exchange.bodies?.[side]
  return sample === undefined ? undefined : Buffer.concat(sample.kept).toString()
}

/** A body that tells whether anybody made it flow. */
const body = (...chunks: string[]): Readable & { reads: number } => {
  const stream = Object.assign(new Readable(), { reads: 0 })
  stream._read = () => {
    stream.reads++
    const chunk = chunks.shift()
    stream.push(chunk === undefined ? null : Buffer.from(chunk))
  }
  return stream
}

const readAll = async (stream: Readable): Promise<string> => {
  let text = ''
  stream.on('data', (chunk: Buffer) => {
    text += chunk
  })
  await new Promise((resolve) => stream.on('end', resolve))
  return text
}

const ask = (req: ProxyRequest, answer: ProxyResponse): Promise<ProxyResponse> => tap(async () => answer)(req)

test('the beginning of both bodies is kept, and whoever reads them gets all', async () => {
  const long = 'x'.repeat(3000)
  const req = requestOf(['Content-Type', 'application/json'], body(long, long))
  const answer = { status: 200, headers: ['Content-Type', 'text/plain'], body: body(long, long, long) }
  const given = await ask(req, answer)
  assert.equal(given, answer)
  assert.equal(await readAll(req.body!), long + long)
  assert.equal(await readAll(answer.body), long + long + long)
  assert.equal(keptOf(req, 'request'), 'x'.repeat(KEPT_BYTES))
  assert.equal(keptOf(req, 'response'), 'x'.repeat(KEPT_BYTES))
})

test('a body that nobody reads does not begin to flow', async () => {
  const req = requestOf([], body('hello'))
  const answer = { status: 200, headers: [], body: body('hello') }
  await ask(req, answer)
  await new Promise((resolve) => setImmediate(resolve))
  for (const stream of [req.body as ReturnType<typeof body>, answer.body]) {
    assert.equal(stream.reads, 0)
    assert.equal(stream.readableFlowing, null)
  }
})

test('of a whole body a copy is kept, not the buffer', async () => {
  const whole = Buffer.alloc(100_000, 'y')
  const req = requestOf([], undefined)
  await ask(req, { status: 200, headers: ['content-type', 'text/html'], body: whole })
  whole.fill('z')
  assert.equal(keptOf(req, 'response'), 'y'.repeat(KEPT_BYTES))
  assert.equal(keptOf(req, 'request'), undefined)
})

test('what is no text by its fields is not kept, and nobody listens to it', async () => {
  for (const headers of [
    ['Content-Type', 'image/png'],
    ['Content-Type', 'text/html', 'Content-Encoding', 'br'],
    ['Content-Type', 'multipart/form-data; boundary=x'],
  ]) {
    const req = requestOf(headers, body('hello'))
    const answer = { status: 200, headers, body: body('hello') }
    await ask(req, answer)
    assert.equal(keptOf(req, 'request'), undefined)
    assert.equal(keptOf(req, 'response'), undefined)
    assert.equal(answer.body.listenerCount('newListener'), 0)
  }
})
