/** `-vv`: bodies in the log, and nothing else changed by that. */
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import { get, raw } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

test('-vv logs what is text of both bodies without secrets, -v does not', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    if (req.url === '/image') {
      res.writeHead(200, { 'content-type': 'image/png' }).end(Buffer.alloc(2100))
      return
    }
    res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=60' })
    req.resume().on('end', () => res.end('{"access_token":"hush","ok":true}'))
  })
  for (const [flags, wanted] of [
    [['-vv'], true],
    [['-v', '--verbose'], true],
    [['-v'], false],
  ] as const) {
    const proxy = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off', ...flags])
    await get(`${proxy.url}/a`, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'user=x&password=hush',
    })
    await get(`${proxy.url}/a`)
    await get(`${proxy.url}/a`) // out of the cache
    await get(`${proxy.url}/image`)
    await proxy.until(/GET {2}\/image[\s\S]*< Server-Timing/)
    proxy.kill('SIGINT')
    const { stdout } = await proxy.ended
    const bodies = stdout.match(/^ {13}[<>] (?![A-Za-z-]+: ).+$/gm) ?? []
    assert.deepEqual(
      bodies.map((line) => line.trim()),
      wanted
        ? [
            '> user=x&password=***',
            ...Array.from({ length: 3 }, () => '< {"access_token":"***","ok":true}'),
            '< (2.1 kB, image/png)',
          ]
        : [],
      flags.join(' '),
    )
    assert.doesNotMatch(stdout, /hush/)
  }
})

test('--log json -vv has them as strings', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'content-type': 'text/plain' })
    res.end(`\x1b[2J\u202e${'x'.repeat(9000)}`)
  })
  const proxy = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off', '--json', '-vv'])
  await get(proxy.url)
  await proxy.until('responseBody')
  proxy.kill('SIGINT')
  const { stdout } = await proxy.ended
  const line = JSON.parse(stdout.split('\n').find((text) => text.includes('"event":"request"'))!)
  assert.match(line.responseBody, /^\x1b\[2J\u202ex+$/)
  assert.equal(Buffer.byteLength(line.responseBody), 4096)
  assert.equal(line.responseBodyMore, line.bytes - 4096)
  assert.equal(line.requestBody, undefined)
  assert.doesNotMatch(stdout, /[\x00-\x09\x0b-\x1f\u202e]/)
})

test('a stream passes on piece by piece all the same, and an upload of which nobody takes more stands still', async (t) => {
  const streams: ServerResponse[] = []
  const upstream = await startUpstream(t, (req, res) => {
    if (req.method === 'POST') return // reads nothing of the upload
    res.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: 1\n\n')
    streams.push(res)
  })
  const proxy = await startProxy(t, { target: upstream.url, verbose: '2' })
  const first = await raw(proxy.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', (sofar) =>
    sofar.includes('data: 1\n\n'),
  )
  assert.match(first, /text\/event-stream/)
  assert.equal(proxy.exchanges.length, 0, 'the stream is still open')
  await proxy.until((ended) => ended.length === 1)
  const sample = proxy.exchanges[0]!.bodies?.response
  assert.equal(Buffer.concat(sample?.kept ?? []).toString(), 'data: 1\n\n')

  const leaving = new AbortController()
  const upload = get(proxy.url, {
    method: 'POST',
    body: Buffer.alloc(64 * 1024 * 1024),
    signal: leaving.signal,
  }).catch(() => {})
  await proxy.until((_, opened) => (opened[1]?.upstream?.sentBytes ?? 0) > 0)
  let before = -1
  // It stands still once all buffers in between are full.
  await proxy.until((_, opened) => {
    const now = opened[1]!.requestBytes
    const still = now === before && now > 100_000
    before = now
    return still
  })
  assert.ok(before < 32 * 1024 * 1024, `${before} bytes were taken of the client`)
  leaving.abort()
  await upload
})

test('without -vv nothing is kept, and a verbosity that is none is refused', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await startProxy(t, { target: upstream.url, verbose: '1' })
  await get(proxy.url)
  await proxy.until((ended) => ended.length === 1)
  assert.equal(proxy.exchanges[0]!.bodies, undefined)
  const { code, stderr } = await runProgram(t, [':1'], { REVPROXY_VERBOSE: 'loud' })
  assert.equal(code, 2)
  assert.match(stderr, /REVPROXY_VERBOSE.*loud.*0, 1 \(the fields\) or 2 \(the bodies too\)/)
})
