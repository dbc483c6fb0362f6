import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { runProgram } from '../support/program.ts'
import { type Answer, startUpstream } from '../support/upstream.ts'
import { checkHar, type HarEntry } from './har-reader.ts'
import { folder, node } from './support.ts'

/** Runs a script behind the proxy; `ask` in it sends a request and reads the answer. Gives the entries of the HAR. */
const recorded = async (
  t: TestContext,
  answer: Answer,
  script: string,
  args: readonly string[] = [],
): Promise<{ entries: HarEntry[]; output: string }> => {
  const upstream = await startUpstream(t, answer)
  const file = join(folder(t), 'traffic.har')
  const prelude =
    'const ask = async (path, init) => Buffer.from(await (await fetch(process.env.REVPROXY_URL + path, init)).arrayBuffer());'
  const { code, stdout, stderr } = await runProgram(t, [
    ...[upstream.url, '--admin', 'off', '--har', file, ...args],
    ...['--', ...node(`${prelude} (async () => { ${script} })()`)],
  ])
  assert.equal(code, 0, stderr)
  const text = readFileSync(file, 'utf8')
  assert.doesNotMatch(text, /topsecret/)
  return { entries: checkHar(JSON.parse(text)), output: stdout }
}

/** Sends back what it was sent, with its type. */
const echo: Answer = (req, res) => {
  res.setHeader('content-type', req.headers['content-type'] ?? '')
  req.pipe(res)
}

describe('bodies in a HAR', () => {
  const rows: Array<[type: string, sent: string, kept: string]> = [
    [
      'application/json',
      '{"user":"ada","password" : "topsecret\\"x","n":{"api_key":7,"a":"b"}}',
      '{"user":"ada","password" : "***","n":{"api_key":"***","a":"b"}}',
    ],
    [
      'application/vnd.api+json',
      '{"tokens":["topsecret",{"a":"topsecret"}],"e":"{\\"password\\":\\"topsecret\\"}"}',
      '{"tokens":"***","e":"{\\"password\\":\\"***\\"}"}',
    ],
    ['application/problem+json', '{"session_id":"topsecret', '{"session_id":"***"'],
    ['application/x-www-form-urlencoded', 'passwd=topsecret&b=1', 'passwd=***&b=1'],
    ['text/plain; charset=utf-8', 'see http://a/?token=topsecret ünd', 'see http://a/?token=*** ünd'],
    [
      'text/xml',
      '<a><db:Password k="1">topsecret</db:Password>x</a>',
      '<a><db:Password k="1">***</db:Password>x</a>',
    ],
  ]
  for (const [type, sent, kept] of rows) {
    test(`${type}: what is secret is hidden in both`, async (t) => {
      const script = `process.stdout.write(await ask('/', { method: 'POST', headers: { 'content-type': ${JSON.stringify(type)} }, body: ${JSON.stringify(sent)} }))`
      const { entries, output } = await recorded(t, echo, script)
      assert.equal(output, sent)
      assert.equal(entries[0]!.request.postData!.text, kept)
      assert.equal(entries[0]!.response.content.text, kept)
    })
  }

  test('are cut at --har-bodies, and whole for whoever asked', async (t) => {
    const script = `
      const body = 'ab'.repeat(500_000)
      const got = await ask('/', { method: 'POST', headers: { 'content-type': 'text/plain' }, body })
      console.log(got.toString() === body)`
    const { entries, output } = await recorded(t, echo, script, ['--har-bodies', '1kb'])
    assert.equal(output, 'true\n')
    const [{ request, response }] = entries as [HarEntry]
    assert.equal(request.bodySize, 1_000_000)
    assert.deepEqual(
      [request.postData!.text, request.postData!.comment],
      ['ab'.repeat(512), 'the first 1024 bytes'],
    )
    assert.deepEqual(
      [response.content.text, response.content.comment],
      ['ab'.repeat(512), 'the first 1024 bytes'],
    )
  })

  test('are left out with --har-bodies 0', async (t) => {
    const script = `await ask('/', { method: 'POST', body: 'hello' })`
    const [entry] = (await recorded(t, echo, script, ['--har-bodies', '0'])).entries
    assert.equal(entry!.request.postData!.text, '')
    assert.equal(entry!.response.content.text, undefined)
  })

  test('that are compressed are read when they fit, and never kept as they are', async (t) => {
    const answer: Answer = (req, res) => {
      const text = JSON.stringify({ token: 'topsecret', fill: 'x'.repeat(req.url === '/large' ? 5000 : 50) })
      const bytes = gzipSync(text)
      res.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' }).end(bytes)
    }
    const script = `await ask('/small'); await ask('/large')`
    const [small, large] = (await recorded(t, answer, script, ['--har-bodies', '1kb'])).entries
    const { content } = small!.response
    assert.equal(content.text, `{"token":"***","fill":"${'x'.repeat(50)}"}`)
    // Of the decoded body: with a token as long as it was.
    assert.equal(content.size, content.text!.length - 3 + 'topsecret'.length)
    assert.equal(large!.response.content.text, undefined)
    assert.match(large!.response.content.comment!, /gzip, and larger than what is kept/)
  })

  test('of a hit, of bytes, and of a part that was cut off', async (t) => {
    const bytes = Buffer.from([0, 255, 1, 254])
    const answer: Answer = (req, res) => {
      if (req.url === '/cut') {
        res.writeHead(200, { 'content-type': 'text/plain', 'content-length': '100' })
        res.write('only this')
        setImmediate(() => res.destroy())
        return
      }
      res.writeHead(200, { 'content-type': 'image/png', 'cache-control': 'max-age=60' }).end(bytes)
    }
    const script = `await ask('/image'); await ask('/image'); await ask('/cut').catch(() => {})`
    const [miss, hit, cut] = (await recorded(t, answer, script)).entries
    for (const entry of [miss, hit]) {
      const { text, encoding } = entry!.response.content
      assert.deepEqual([Buffer.from(text!, encoding as 'base64'), encoding], [bytes, 'base64'])
    }
    assert.equal(hit!._cache, 'hit')
    assert.match(cut!.response.content.comment!, /^the first \d+ bytes$/)
  })

  test('multipart forms are not kept', async (t) => {
    const script = `const form = new FormData(); form.set('password', 'topsecret'); await ask('/', { method: 'POST', body: form })`
    const [entry] = (await recorded(t, (req, res) => void req.resume().on('end', () => res.end('x')), script))
      .entries
    assert.equal(entry!.request.postData!.text, '')
    assert.match(entry!.request.postData!.comment!, /multipart/)
  })
})
