/**
 * What our own connections make of an answer, undici makes of it too: answers by lot, many of them nearly right, in pieces
 * by lot, to both.
 */
import assert from 'node:assert/strict'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { Client, type Dispatcher } from 'undici'
import { trimOws } from '../../src/http/fields.ts'
import type { Attempt } from '../../src/upstream/attempt.ts'
import { PlainPool } from '../../src/upstream/plain-pool.ts'
import { plainRequest } from '../../src/upstream/plain-request.ts'
import type { UpstreamRequest } from '../../src/upstream/transport.ts'
import { Random } from './random.ts'

const ANSWERS = 20_000

const starts = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 404 Not Found',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 200 ',
  'HTTP/1.1 200',
  'HTTP/1.0 200 OK',
  'HTTP/1.1 103 Early Hints',
  'HTTP/1.1 099 Odd',
  'HTTP/1.1 2000 OK',
  'http/1.1 200 OK',
  'HTTP/1.1  200 OK',
  'HTTP/2 200 OK',
  '\r\nHTTP/1.1 200 OK',
  '',
]
const framings = [
  ['Content-Length: 5', 'hello'],
  ['Content-Length: 5', 'hello'],
  ['Content-Length: 0', ''],
  ['Content-Length: 5', 'hell'],
  ['Content-Length: 5', 'hello, and more'],
  ['Content-Length: 5\r\nContent-Length: 5', 'hello'],
  ['Content-Length: +5', 'hello'],
  ['Content-Length: 5, 5', 'hello'],
  ['Content-Length:', 'hello'],
  ['Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\n'],
  ['Transfer-Encoding: Chunked', '2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\nA: b\r\n\r\n'],
  ['Transfer-Encoding: chunked', '5\r\nhello\r\n0\r\n\r\nmore'],
  ['Transfer-Encoding: chunked', '5\r\nhello'],
  ['Transfer-Encoding: chunked', '5\r\nhello!\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked', '5\nhello\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked', '5 \r\nhello\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked', 'zz\r\nhello\r\n0\r\n\r\n'],
  ['Transfer-Encoding: gzip, chunked', '5\r\nhello\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked\r\nContent-Length: 5', '5\r\nhello\r\n0\r\n\r\n'],
  ['X-None: 1', 'hello'],
] as const
const names = ['A', 'x-y', 'Connection', 'Keep-Alive', 'Upgrade', 'A ', '', ' A', 'A\x00', 'constructor']
const values = [
  'b',
  '',
  ' b ',
  '\tb',
  'close',
  'keep-alive',
  'timeout=5',
  '\xff',
  'b\x00',
  'b\rc',
  'b\nc',
  'b\x7f',
]
const colons = [': ', ':', ' : ', '']
const ends = ['\r\n', '\n', '\r', '\r\n ', '\r\r\n']

const anyAnswer = (random: Random): string => {
  const mostly = <T>(right: T, of: readonly T[]): T => (random.chance(0.85) ? right : random.pick(of))
  const [framing, body] = mostly(framings[random.below(2) * 9]!, framings)
  let text = `${mostly('HTTP/1.1 200 OK', starts)}${mostly('\r\n', ends)}`
  for (let lines = random.below(4); lines > 0; lines--)
    text += `${mostly('X-Plain', names)}${mostly(': ', colons)}${mostly('a value', values)}${mostly('\r\n', ends)}`
  text += `${framing}\r\n\r\n${body}`
  return random.chance(0.1) ? text.slice(0, random.below(text.length)) : text
}

const pieces = (random: Random, text: string): Buffer[] => {
  const cut: Buffer[] = []
  for (let at = 0; at < text.length; ) {
    const end = random.chance(0.5) ? text.length : at + 1 + random.below(text.length - at)
    cut.push(Buffer.from(text.slice(at, end), 'latin1'))
    at = end
  }
  return cut
}

/** A connection that answers its first request with these pieces, and ends. */
const connection = (answer: Buffer[]): Duplex => {
  const socket = new Duplex({
    read() {},
    write(_chunk, _encoding, done) {
      done()
      void (async () => {
        for (const piece of answer.splice(0)) {
          if (socket.destroyed) return
          socket.push(piece)
          await new Promise((resolve) => setImmediate(resolve))
        }
        if (!socket.destroyed) socket.push(null)
      })()
    },
  })
  return socket
}

interface Outcome {
  end: 'whole' | 'failed' | undefined
  status: number
  fields: string[]
  body: string
  trailers: string[]
}

/** What is told of an answer, as an attempt hears it. */
const listener = () => {
  const outcome: Outcome = { end: undefined, status: 0, fields: [], body: '', trailers: [] }
  let done = (): void => {}
  const over = new Promise<void>((resolve) => {
    done = resolve
  })
  // undici leaves the blanks behind a value.
  const texts = (raw: ReadonlyArray<Buffer | string> | null): string[] =>
    (raw ?? []).map((each) => trimOws(typeof each === 'string' ? each : each.toString('latin1')))
  const attempt = {
    isOver: false,
    onConnect() {},
    abortedBy() {},
    onResponseStarted() {},
    onRequestSent() {},
    onHead(status: number, fields: string[]) {
      outcome.status = status
      outcome.fields = fields
    },
    onHeaders(status: number, raw: Buffer[]) {
      if (status >= 200) attempt.onHead(status, texts(raw))
      return true
    },
    onData(bytes: Buffer) {
      outcome.body += bytes.toString('latin1')
      return true
    },
    onComplete(trailers: string[] | null) {
      outcome.end ??= 'whole'
      outcome.trailers = texts(trailers)
      done()
    },
    onError() {
      outcome.end ??= 'failed'
      done()
    },
  }
  return { attempt, outcome, over }
}

const asked: UpstreamRequest = {
  method: 'GET',
  path: '/',
  headers: ['Host', 'a'],
  body: null,
  trailers: undefined,
  servername: 'a',
  acceptsTrailers: false,
}

test(`${ANSWERS} answers by lot: our own connections read what undici reads`, async (t) => {
  const random = new Random()
  t.diagnostic(`FUZZ_SEED=${random.seed}`)
  let whole = 0
  for (let i = 0; i < ANSWERS; i++) {
    const text = anyAnswer(random)
    const cut = pieces(random, text)
    const said = `FUZZ_SEED=${random.seed}, answer ${JSON.stringify(cut.map((piece) => piece.toString('latin1')))}`

    const ours = listener()
    const pool = new PlainPool({
      origin: 'http://a',
      dial: (done) => queueMicrotask(() => done(null, connection([...cut]) as never)),
    })
    pool.dispatch(plainRequest(asked)!, ours.attempt as unknown as Attempt)
    await ours.over
    await pool.close()

    const theirs = listener()
    const client = new Client('http://a', {
      connect: (_asked, done) => queueMicrotask(() => done(null, connection([...cut]) as never)),
    })
    client.dispatch(asked, theirs.attempt as unknown as Dispatcher.DispatchHandler)
    await theirs.over
    await client.destroy()

    // undici takes a Content-Length in a 304 for a body that did not come.
    if (theirs.outcome.status === 304 && ours.outcome.end === 'whole') continue
    assert.equal(ours.outcome.end, theirs.outcome.end, said)
    if (ours.outcome.end !== 'whole') continue
    whole++
    assert.deepEqual(ours.outcome, theirs.outcome, said)
  }
  assert.ok(whole > ANSWERS / 3, `only ${whole} answers were whole`)
})
