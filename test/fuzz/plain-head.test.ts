/**
 * What the lane reads by itself, node's parser must read in the same way: heads by lot, many of them nearly right, to
 * both. The other direction does not matter: what the lane does not read goes to node.
 */
import assert from 'node:assert/strict'
import { createServer, type IncomingMessage } from 'node:http'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { plainHead } from '../../src/edge/plain-head.ts'
import { Random } from './random.ts'

const HEADS = 20_000

const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'get', 'OPTIONS', 'CONNECT', 'PURGE', 'GE T', '']
const targets = [
  '/',
  '/a',
  '/a?b=c',
  '//a/../b%2F;x?y={}|',
  '/#',
  '*',
  'http://a/',
  '/a b',
  '/\xe9',
  '/\x01',
  '/\x7f',
  '',
]
const versions = ['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/1.1 ', 'http/1.1', 'HTTP/2.0', '']
const names = [
  'Host',
  'host',
  'A',
  'x-y',
  'Connection',
  'Content-Length',
  'Transfer-Encoding',
  'Upgrade',
  'A ',
  '',
  ' A',
  'Ä',
  'A\x00',
  'TE',
]
const values = [
  'a',
  'a:80',
  '[::1]',
  'a b',
  '',
  ' a ',
  '\ta\t',
  'keep-alive',
  'Keep-Alive',
  'close',
  '0',
  '5',
  'chunked',
  '\xff',
  'a\x00',
  'a\rb',
  'a\nb',
  'a\x7f',
  '"a, b"',
  'websocket',
]
const colons = [':', ': ', ':  ', ':\t', ' : ', '', '::']
const ends = ['\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '\r\n ', '\r\n\t', '\r\r\n']

const anyHead = (random: Random): string => {
  // Most lines are right, or next to nothing would be read.
  const mostly = <T>(right: T, of: readonly T[]): T => (random.chance(0.8) ? right : random.pick(of))
  let text = `${mostly(random.pick(['GET', 'POST']), methods)} ${mostly('/a?b', targets)} ${mostly('HTTP/1.1', versions)}${mostly('\r\n', ends)}`
  text += mostly('Host: a.example\r\n', [''])
  for (let lines = random.below(4); lines > 0; lines--)
    text += `${mostly('X-Plain', names)}${mostly(': ', colons)}${mostly('a value', values)}${mostly('\r\n', ends)}`
  return `${text}\r\n`
}

/** What node makes of a whole head: the requests it hears of, and whether it refuses anything. */
const nodeReads = async (
  text: string,
): Promise<{ requests: IncomingMessage[]; refused: boolean; bodyBytes: number }> => {
  let bodyBytes = 0
  const requests: IncomingMessage[] = []
  let refused = false
  const server = createServer(
    { requireHostHeader: false, connectionsCheckingInterval: 1 << 30 },
    (req, res) => {
      requests.push(req)
      req.on('data', (chunk: Buffer) => {
        bodyBytes += chunk.length
      })
      req.on('end', () => res.end())
    },
  )
  server.on('clientError', () => {
    refused = true
  })
  server.on('upgrade', () => {
    refused = true
  })
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  server.emit('connection', socket)
  socket.push(Buffer.from(text, 'latin1'))
  await new Promise((resolve) => setImmediate(resolve))
  socket.destroy()
  return { requests, refused, bodyBytes }
}

test(`${HEADS} heads by lot: what the lane reads, node reads in the same way`, async (t) => {
  const random = new Random()
  t.diagnostic(`FUZZ_SEED=${random.seed}`)
  let read = 0
  for (let i = 0; i < HEADS; i++) {
    const text = anyHead(random)
    // As the lane cuts it: one head, its end the end of what came.
    if (text.indexOf('\r\n\r\n') !== text.length - 4) continue
    const ours = plainHead(text)
    if (ours === undefined) continue
    read++
    const { requests, refused, bodyBytes } = await nodeReads(text + 'x'.repeat(ours.length))
    const said = `FUZZ_SEED=${random.seed}, head ${JSON.stringify(text)}`
    assert.equal(refused, false, said)
    assert.equal(requests.length, 1, said)
    const theirs = requests[0]!
    assert.deepEqual(
      { ...ours },
      {
        method: theirs.method,
        url: theirs.url,
        host: theirs.headers.host,
        fields: theirs.rawHeaders,
        length: bodyBytes,
      },
      said,
    )
    assert.equal(theirs.httpVersion, '1.1', said)
    assert.equal(theirs.headers['transfer-encoding'], undefined, said)
    assert.ok(theirs.complete, said)
  }
  assert.ok(read > HEADS / 20, `only ${read} heads were read by the lane`)
})
