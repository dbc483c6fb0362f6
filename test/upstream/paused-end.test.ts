import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { test } from 'node:test'
import { Client, type Dispatcher } from 'undici'
import { endPausedAnswers } from '../../src/upstream/paused-end.ts'

const HEAD = 'HTTP/1.1 200 OK\r\n'
const chunks = 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n'

for (const [name, answer, broken, want] of [
  ['up to the end of the connection', '\r\nhello', false, 'whole'],
  [
    'of a length, on a connection to be closed',
    'Connection: close\r\nContent-Length: 5\r\n\r\nhello',
    false,
    'whole',
  ],
  ['in chunks, on a connection to be closed', `Connection: close\r\n${chunks}`, false, 'whole'],
  ['of a length, on a connection to be kept', 'Content-Length: 5\r\n\r\nhello', false, 'whole'],
  ['in chunks, on a connection to be kept', chunks, false, 'whole'],
  ['shorter than its length', 'Connection: close\r\nContent-Length: 9\r\n\r\nhello', false, 'failed'],
  ['up to the end of a connection that is reset', '\r\nhello', true, 'failed'],
] as const)
  test(`a body ${name} whose reader pauses comes to its end (${want}): nodejs/undici#5360`, async (t) => {
    const socket = new Duplex({
      allowHalfOpen: false,
      read() {},
      write(_chunk, _encoding, done) {
        done()
        setImmediate(() => {
          // The end is there when the last bytes are read.
          socket.push(HEAD + answer)
          if (!broken) socket.push(null)
        })
      },
    })
    const client = new Client('http://a', {
      connect: (_asked, done) =>
        queueMicrotask(() => {
          endPausedAnswers(socket as Socket)
          done(null, socket as Socket)
        }),
    })
    t.after(() => client.destroy())
    let body = ''
    let resume = (): void => {}
    const end = new Promise<string>((resolve) => {
      client.dispatch({ path: '/', method: 'GET' }, {
        onConnect() {},
        onHeaders(_status: number, _fields: Buffer[], go: () => void) {
          resume = go
          return true
        },
        onData(chunk: Buffer) {
          body += chunk
          setTimeout(() => {
            if (broken) socket.destroy(Object.assign(new Error('reset'), { code: 'ECONNRESET' }))
            else resume()
          }, 20)
          return false
        },
        onComplete: () => resolve('whole'),
        onError: () => resolve('failed'),
      } as unknown as Dispatcher.DispatchHandler)
    })
    assert.equal(await end, want)
    assert.equal(body, 'hello')
  })
