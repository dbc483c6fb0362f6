import assert from 'node:assert/strict'
import { request } from 'node:http'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { talk } from '../support/sockets.ts'
import { startUpstream } from '../support/upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
const MB = 1024 * 1024
const CHUNK = Buffer.alloc(256 * 1024, 'x')

/** Highest resident size over the one at the beginning, looked at while `work` runs. */
const growthDuring = async (work: () => Promise<void>): Promise<number> => {
  const before = process.memoryUsage().rss
  let most = before
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss)
  }, 5)
  await work()
  clearInterval(timer)
  return Math.max(most, process.memoryUsage().rss) - before
}

for (const cache of ['off', 'memory']) {
  test(`the first byte is passed on while the upstream has not sent the second (cache ${cache})`, async (t) => {
    const more = gate()
    const upstream = await startUpstream(t, async (_, res) => {
      res.writeHead(200, { 'cache-control': 'max-age=60' })
      res.write('a')
      await more.promise
      res.end('b')
    })
    const proxy = await startProxy(t, { target: upstream.url, cache })
    const client = talk(t, proxy.port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    await client.until(/\r\n1\r\na\r\n$/)
    more.open()
    await client.until(/\r\n1\r\nb\r\n0\r\n\r\n$/)
  })

  test(`the head of an event stream is passed on before its first event (cache ${cache})`, async (t) => {
    const more = gate()
    const left = gate()
    const upstream = await startUpstream(t, async (_, res) => {
      res.on('close', left.open)
      res.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      await more.promise
      res.write('data: 1\n\n')
    })
    const proxy = await startProxy(t, { target: upstream.url, cache })
    const client = talk(t, proxy.port)
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.match(
      await client.until(/\r\n\r\n$/),
      /^HTTP\/1\.1 200 OK\r\ncontent-type: text\/event-stream\r\n/i,
    )
    more.open()
    await client.until(/data: 1\n\n\r\n$/)
    client.socket.destroy()
    await left.promise
  })
}

test('400 MB go to a client in bounded memory, and a slow reader pauses the upstream', async (t) => {
  const size = 400 * MB
  let written = 0
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'content-length': size })
    const write = (): void => {
      while (written < size) {
        written += CHUNK.length
        if (!res.write(CHUNK)) {
          res.once('drain', write)
          return
        }
      }
      res.end()
    }
    write()
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  let received = 0
  const growth = await growthDuring(
    () =>
      new Promise((resolve, reject) => {
        request(proxy.url, { agent: false }, async (res) => {
          res.on('error', reject)
          res.pause()
          // It does not read: what is written comes to a stop.
          let before = -1
          while (before !== written) {
            before = written
            await new Promise((again) => setTimeout(again, 100))
          }
          assert.ok(written < 32 * MB, `${written / MB} MB written to a reader that does not read`)
          res.on('data', (chunk: Buffer) => {
            received += chunk.length
          })
          res.on('end', resolve)
          res.resume()
        })
          .on('error', reject)
          .end()
      }),
  )
  assert.equal(received, size)
  // Client and upstream live in this process too, and Node 26 collects what they drop later than others do.
  assert.ok(growth < 160 * MB, `grew by ${growth / MB} MB`)
  await proxy.until((ended) => ended.length === 1)
  assert.deepEqual(
    [proxy.exchanges[0]!.ended?.bytes, proxy.exchanges[0]!.upstream?.receivedBytes],
    [size, size],
  )
})

for (const framing of ['content-length', 'chunked']) {
  test(`200 MB go to the upstream in bounded memory, and a slow upstream pauses the client (${framing})`, async (t) => {
    const size = 200 * MB
    const read = gate()
    let got = 0
    const upstream = await startUpstream(t, async (req, res) => {
      await read.promise
      for await (const chunk of req) got += chunk.length
      res.end(`got ${got} ${req.headers['content-length'] ?? req.headers['transfer-encoding']}`)
    })
    const proxy = await startProxy(t, { target: upstream.url, ...passing })
    let written = 0
    let text = ''
    const growth = await growthDuring(
      () =>
        new Promise((resolve, reject) => {
          const req = request(
            proxy.url,
            { agent: false, method: 'PUT', headers: framing === 'chunked' ? {} : { 'content-length': size } },
            (res) => {
              res.on('data', (chunk) => {
                text += chunk
              })
              res.on('end', resolve)
            },
          ).on('error', reject)
          const write = (): void => {
            while (written < size) {
              written += CHUNK.length
              if (!req.write(CHUNK)) {
                req.once('drain', write)
                return
              }
            }
            req.end()
          }
          write()
          const stopped = async (): Promise<void> => {
            let before = -1
            while (before !== written) {
              before = written
              await new Promise((again) => setTimeout(again, 100))
            }
            assert.ok(written < 32 * MB, `${written / MB} MB taken for an upstream that does not read`)
            read.open()
          }
          stopped().catch(reject)
        }),
    )
    assert.equal(text, `got ${size} ${framing === 'chunked' ? 'chunked' : size}`)
    assert.ok(growth < 96 * MB, `grew by ${growth / MB} MB`)
    assert.deepEqual([proxy.opened[0]!.requestBytes, proxy.opened[0]!.upstream?.sentBytes], [size, size])
  })
}

test('a body of many small chunks arrives whole', async (t) => {
  const upstream = await startUpstream(t, async (_, res) => {
    for (let i = 0; i < 2000; i++)
      if (!res.write(`${i},`)) await new Promise((drained) => res.once('drain', drained))
    res.end()
  })
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  const { text } = await get(proxy.url)
  assert.equal(text, Array.from({ length: 2000 }, (_, i) => `${i},`).join(''))
})
