import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { curlCommand, shellQuoted } from '../../src/ci/curl.ts'
import { annotations } from '../../src/ci/github.ts'
import { harEntry } from '../../src/ci/har.ts'
import { junitXml } from '../../src/ci/junit.ts'
import { lineSplitter, shownLine } from '../../src/ci/lines.ts'
import { type Happened, outcomeOf } from '../../src/ci/outcome.ts'
import type { Report } from '../../src/ci/report.ts'
import { reportMarkdown } from '../../src/ci/report-markdown.ts'
import { reportText } from '../../src/ci/report-text.ts'
import { worst } from '../../src/ci/worst.ts'
import { parseStatuses, parseTarget } from '../../src/cli/values.ts'
import { Exchange } from '../../src/core/exchange.ts'
import type { ProxyRequest } from '../../src/core/types.ts'
import { keepBodies } from '../../src/local/keep-bodies.ts'
import { redactor } from '../../src/observe/redact.ts'
import { summary } from '../../src/observe/summary.ts'
import type { HarEntry } from './har-reader.ts'

describe('which exit code wins', () => {
  const calm: Happened = {
    command: 'none',
    cutShort: false,
    notReached: false,
    signalled: undefined,
    faults: 0,
    backendDied: false,
    failedExpectations: 0,
  }
  const ended = (code: number) => ({ code, signal: undefined, afterMs: 1 })
  const rows: Array<[happened: Partial<Happened>, code: number, reason: string]> = [
    [{}, 0, 'ok'],
    [{ command: ended(0) }, 0, 'ok'],
    [{ command: ended(9), failedExpectations: 1, faults: 1, backendDied: true }, 9, 'command-failed'],
    [{ command: ended(130), signalled: 'SIGINT' }, 130, 'interrupted'],
    [{ command: ended(1), signalled: 'SIGTERM' }, 1, 'terminated'],
    [{ command: ended(0), signalled: 'SIGINT', failedExpectations: 1 }, 130, 'interrupted'],
    [{ command: ended(143), cutShort: true, failedExpectations: 1 }, 5, 'expectation-failed'],
    [{ command: 'not run', notReached: true }, 4, 'target-not-ready'],
    [{ command: 'not run', notReached: true, backendDied: true }, 4, 'backend-ended'],
    [{ command: 'not run', signalled: 'SIGTERM' }, 143, 'terminated'],
    [{ command: 'not run' }, 3, 'cannot-start'],
    [{ command: ended(0), faults: 1, failedExpectations: 1 }, 8, 'internal-error'],
    [{ command: ended(0), backendDied: true, failedExpectations: 1 }, 4, 'backend-ended'],
    [{ command: ended(0), failedExpectations: 2 }, 5, 'expectation-failed'],
    [{ signalled: 'SIGINT' }, 130, 'interrupted'],
    [{ signalled: 'SIGINT', failedExpectations: 1 }, 5, 'expectation-failed'],
  ]
  for (const [happened, code, reason] of rows) {
    test(`${JSON.stringify(happened)}: ${code}`, () =>
      assert.deepEqual(outcomeOf.run({ ...calm, ...happened }), { code, reason }))
  }
})

describe('lines of another program', () => {
  test('are whole, whatever the pieces; a progress bar counts as its last state', () => {
    const lines: string[] = []
    const splitter = lineSplitter((line) => lines.push(line))
    const bytes = Buffer.from('one\ntwö\r\n10%\r50%\r100%\nlast')
    for (const byte of bytes) splitter.write(Buffer.from([byte]))
    splitter.end()
    assert.deepEqual(lines, ['one', 'twö', '100%', 'last'])
  })
  test('keep their colours where ours are, and nothing else that steers a terminal', () => {
    const line = '\x1b[2J\x1b]0;title\x07\x1b[1;32mgreen\x1b[0m\t\x1b[5Aup\x07'
    assert.equal(shownLine(line, true), '\x1b[1;32mgreen\x1b[0m  up\\x07\x1b[0m')
    assert.equal(shownLine(line, false), 'green  up\\x07')
  })
})

test('the worst stay, one for each name', () => {
  const kept = worst<number>(2)
  for (const [name, rank] of [
    ['a', 1],
    ['b', 5],
    ['a', 7],
    ['c', 6],
    ['b', 2],
  ] as const)
    kept.add(name, rank, rank)
  assert.deepEqual(kept.items(), [7, 6])
})

test('statuses', () => {
  const takes = parseStatuses('200, 3xx,401-403')
  assert.deepEqual(
    [200, 201, 301, 399, 400, 402, 403, 404].filter((status) => takes(status)),
    [200, 301, 399, 402, 403],
  )
})

test('a word of a shell', () => {
  assert.deepEqual(["it's", 'plain-1', '$x', ''].map(shellQuoted), [`'it'\\''s'`, 'plain-1', "'$x'", "''"])
})

const asked = (url: string, more: Partial<ConstructorParameters<typeof Exchange>[0]> = {}): Exchange =>
  new Exchange({
    id: 1,
    cause: 'client',
    method: 'GET',
    url,
    host: 'h',
    scheme: 'http',
    clientAddress: '',
    httpVersion: '1.1',
    startedAt: 0,
    requestHeaders: [],
    ...more,
  })

test('whatever a client asks for becomes an entry of a HAR', () => {
  const how = { redact: redactor({ names: [], enabled: true }), maxBodyBytes: 0 }
  for (const url of ['//', '*', 'example.com:443', '/%zz?%', 'http://[', '/a b?x=1&x=2', '/\u0000']) {
    const entry = harEntry(asked(url), 'http://localhost:1', how) as { request: { url: string } }
    assert.equal(typeof entry.request.url, 'string', url)
  }
  const entry = harEntry(asked('/a?token=1&b=2'), 'http://localhost:1', how) as HarEntry
  assert.equal(entry.request.url, 'http://localhost:1/a?token=***&b=2')
})

test('bodies are not remembered once they stand in a HAR', async () => {
  const exchange = asked('/')
  const answer = { status: 200, headers: [], body: Buffer.from('hello') }
  await keepBodies(100)(async () => answer)({ exchange } as unknown as ProxyRequest)
  const how = { redact: redactor({ names: [], enabled: true }), maxBodyBytes: 100 }
  const entry = harEntry(exchange, 'http://localhost:1', how) as HarEntry
  assert.equal(entry.response.content.text, 'hello')
  assert.equal(exchange.copies?.response?.take().bytes.length, 0)
})

const report = (text: string): Report => {
  const row = { route: text, requests: 1, hitRatio: null, p50Ms: 1, p95Ms: 1, p99Ms: 1, maxMs: 1, failed: 0 }
  return {
    version: '0',
    startedAt: new Date(0),
    durationMs: 1,
    exit: { code: 5, reason: 'expectation-failed' },
    target: text,
    url: '',
    command: { text, code: 0, durationMs: 1 },
    problems: [text],
    warnings: [text],
    totals: summary({ clock: { now: () => 0 } }).facts(),
    all: row,
    routes: [row],
    costliestMisses: [
      { route: text, reason: 'expired', storage: undefined, count: 1, upstreamMs: 1, remedy: text },
    ],
    expectations: [
      {
        text,
        metric: 'p99',
        outcome: 'failed',
        actual: 1,
        actualText: '1',
        bound: 0,
        because: text,
        offenders: [{ id: 1, method: 'GET', url: text, status: 200, durationMs: 1, curl: text }],
      },
    ],
  }
}

test('nothing that stands in a report can break out of it', () => {
  const evil = 'a|b <script> `x` ``` ]]> "q" \'s\' & \u0000\u001b[2J\ud800\n::error::x'
  const markdown = reportMarkdown(report(evil))
  assert.doesNotMatch(markdown, /\x1b|\x00/)
  // What stands between the fences is literal (GFM §4.5): HTML stays as it is there, and no line of it ends the block.
  const [block, fence, inside] = /^(`{3,})sh\n([\s\S]*?)\n\1`*$/m.exec(markdown)!
  assert.equal(inside!.split('\n').length, 1)
  assert.ok(inside!.includes('<script>') && !inside!.includes(fence!), block)
  assert.doesNotMatch(markdown.replace(block, ''), /<script>/)
  const table = markdown.split('\n').filter((line) => line.startsWith('|'))
  for (const line of table) assert.ok([...line.matchAll(/(?<!\\)\|/g)].length >= 5, line)
  assert.equal(table.filter((line) => line.includes('script')).length, 3)
  const xml = junitXml(report(evil))
  assert.doesNotMatch(xml, /<script>|\x1b|\x00|\ud800/)
  assert.equal(xml.match(/<testcase /g)?.length, 3)
  assert.doesNotMatch(reportText(report(evil), { totals: '', color: 0, width: 80 }), /\x1b|\x00/)
  for (const line of annotations(report(evil), { GITHUB_ACTIONS: 'true' }).split('\n'))
    assert.match(line, /^(?:::(?:error|warning) title=[^\x00-\x1f]*|)$/)
})

test('a curl command has what makes the request what it is', () => {
  const curl = curlCommand(
    parseTarget('unix:/run/app.sock:/v1?key=1'),
    redactor({ names: ['cookie'], enabled: true }),
  )
  const exchange = asked('/a?b=1', {
    method: 'PUT',
    requestHeaders: [
      'Host',
      'h',
      'Cookie',
      'a=1',
      'Accept',
      '*/*',
      'Accept-Encoding',
      'gzip, br',
      'X-Empty',
      '',
      'Content-Length',
      '3',
    ],
  })
  exchange.requestBytes = 3
  assert.equal(
    curl(exchange),
    "curl -i --unix-socket /run/app.sock -X PUT -H 'Cookie: ***' --compressed -H 'X-Empty;' 'http://localhost/v1/a?b=1&key=1'  # it had a body of 3 bytes, which is not kept",
  )
})
