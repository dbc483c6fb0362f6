import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'
import { checkHar } from './har-reader.ts'
import { readJunit } from './junit-reader.ts'
import { folder, gets, node } from './support.ts'

/** A run with all sorts of traffic, three expectations of which one fails, and every report. */
const everything = async (t: TestContext, env: NodeJS.ProcessEnv = {}) => {
  const at = folder(t)
  const upstream = await startUpstream(t, (req, res) => {
    if (req.url?.startsWith('/cached')) res.setHeader('cache-control', 'max-age=60')
    if (req.url?.startsWith('/broken')) res.statusCode = 500
    res.setHeader('set-cookie', 'session=topsecret')
    req.resume()
    req.on('end', () => res.end('body'))
  })
  const script = `(async () => {
    const base = process.env.REVPROXY_URL
    for (const path of ['/cached', '/cached', '/plain/1', '/plain/2', '/broken?a=<b>&token=' + process.env.HUSH + '|']) await (await fetch(base + path)).text()
    await (await fetch(base + '/post', { method: 'POST', body: 'hello', headers: { authorization: 'Bearer ' + process.env.HUSH, 'x-odd': "it's <&\\"" } })).text()
  })()`
  const file = (name: string): string => join(at, 'reports', name)
  const ended = await runProgram(
    t,
    [
      upstream.url,
      ...['--expect', '5xx==0', '--expect', 'requests==6', '--expect', 'p99{route=/plain/:id}<30s'],
      ...['--junit', file('junit.xml'), '--har', file('traffic.har'), '--summary-file', file('summary.json')],
      '--',
      ...node(script),
    ],
    { HUSH: 'topsecret', ...env },
  )
  return { ended, file, upstream, read: (name: string) => readFileSync(file(name), 'utf8') }
}

test('the text fits a screen: totals, routes, costly misses with what would help, failed expectations with curl', async (t) => {
  const { ended, upstream } = await everything(t)
  assert.equal(ended.code, 5)
  const report = ended.stderr.slice(ended.stderr.indexOf('6 requests in'))
  assert.ok(report.split('\n').length <= 32, report)
  const lines = report.split('\n').filter((line) => !line.includes('curl'))
  assert.ok(
    lines.every((line) => line.length <= 110),
    report,
  )
  assert.match(report, /route +requests +hits +p50 +p95 +p99 +max +failed/)
  assert.match(report, /\/cached +2 +50% .* 0\n/)
  assert.match(report, /\/plain\/:id +2 +0% .* 0\n/)
  assert.match(report, /\/broken +1 .* 1\n/)
  assert.match(report, /all +6 +20% .* 1\n/)
  assert.match(
    report,
    /\/plain\/:id ×2 {2}uri-miss, not stored: no-freshness .* upstream\n +The backend says nothing about freshness/,
  )
  assert.match(report, /✓ requests==6 {2}it was 6/)
  assert.match(report, /✗ 5xx==0 {2}5xx is 1, not ==0\./)
  const curl = / (curl .*broken.*)\n/.exec(report)![1]!
  assert.ok(curl.includes(`'${upstream.url}/broken?a=%3Cb%3E&token=***'`), curl)
  assert.doesNotMatch(ended.stderr, /topsecret/)
})

test('a curl command of the report can be pasted into a shell', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.statusCode = req.headers['x-odd'] === undefined ? 200 : 500
    res.end()
  })
  const script = `fetch(process.env.REVPROXY_URL + "/o'dd?q=$HOME", { headers: { 'x-odd': "it's $(odd)" } })`
  const { stderr } = await runProgram(t, [upstream.url, '--expect', '5xx==0', '--', ...node(script)])
  const curl = / {2}(curl -i.*)\n/.exec(stderr)![1]!
  upstream.requests.length = 0
  await promisify(execFile)('sh', ['-c', `${curl} -s -o /dev/null --noproxy '*'`])
  assert.equal(upstream.requests.length, 1)
  assert.equal(upstream.requests[0]!.url, "/o'dd?q=$HOME")
  assert.equal(upstream.requests[0]!.headers['x-odd'], "it's $(odd)")
})

test('the JSON summary has everything, in plain numbers', async (t) => {
  const { read } = await everything(t)
  const summary = JSON.parse(read('summary.json'))
  assert.deepEqual(summary.exit, { code: 5, reason: 'expectation-failed' })
  assert.equal(summary.totals.requests, 6)
  assert.equal(typeof summary.totals.p95Ms, 'number')
  assert.equal(summary.routes.find(({ route }: { route: string }) => route === '/cached').hitRatio, 0.5)
  assert.deepEqual(
    summary.expectations.map(({ text, outcome, actual }: Record<string, unknown>) => [
      text,
      outcome,
      typeof actual,
    ]),
    [
      ['5xx==0', 'failed', 'number'],
      ['requests==6', 'passed', 'number'],
      ['p99{route=/plain/:id}<30s', 'passed', 'number'],
    ],
  )
  assert.equal(summary.command.code, 0)
  assert.ok(
    summary.costliestMisses.some(
      ({ remedy }: { remedy?: string }) => remedy?.startsWith('The backend says') === true,
    ),
  )
  assert.doesNotMatch(JSON.stringify(summary), /topsecret/)
})

describe('--summary', () => {
  const run = async (t: TestContext, ...args: string[]) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('x'))
    return runProgram(t, [upstream.url, '-q', ...args, '--', ...gets(['/'])])
  }
  test('json on stderr is all there is', async (t) => {
    assert.equal(JSON.parse((await run(t, '--summary', 'json')).stderr).totals.requests, 1)
  })
  test('markdown', async (t) => {
    assert.match(
      (await run(t, '--summary', 'markdown')).stderr,
      /^### ✅ revproxy: fine\n\n[\s\S]*\| route \| requests \|/,
    )
  })
  test('off', async (t) => assert.equal((await run(t, '--summary', 'off')).stderr, ''))
  test('to stdout with --summary-file -', async (t) => {
    const { stdout, stderr } = await run(t, '--summary', 'json', '--summary-file', '-')
    assert.equal(JSON.parse(stdout).totals.requests, 1)
    assert.match(stderr, /1 request in/)
  })
  test('the form of a file follows its name', async (t) => {
    const file = join(folder(t), 'summary.md')
    await run(t, '--summary-file', file)
    assert.match(readFileSync(file, 'utf8'), /^### ✅ revproxy/)
  })
  test('without CI, the full text at the end of a run', async (t) => {
    const program = await startProgram(t, ['demo', '-p', '0', '--admin', 'off', '--summary', 'text'])
    await get(`${program.url}/api/echo?echo=a`)
    program.kill('SIGINT')
    assert.match((await program.ended).stderr, /route +requests/)
  })
})

test('JUnit XML is read by another reader: valid, a case for the command and each expectation, a failure with its text', async (t) => {
  const { file } = await everything(t)
  const [command, ...cases] = readJunit(file('junit.xml'))
  assert.equal(command!.classname, 'revproxy.command')
  assert.deepEqual(
    cases.map(({ classname, name, outcome }) => [classname, name, outcome]),
    [
      ['revproxy.expectation', '5xx==0', 'failure'],
      ['revproxy.expectation', 'requests==6', 'passed'],
      ['revproxy.expectation', 'p99{route=/plain/:id}<30s', 'passed'],
    ],
  )
  assert.equal(cases[0]!.message, '5xx is 1, not ==0.')
  assert.match(cases[0]!.text, /curl -i .*a=%3Cb%3E&token=\*\*\*/)

  const never = join(folder(t), 'never.xml')
  await runProgram(t, [':1', '--wait', '100ms', '--junit', never, '--expect', '5xx==0', '--', ...node('')])
  assert.deepEqual(
    readJunit(never).map(({ classname, name, outcome }) => [classname, name, outcome]),
    [
      ['revproxy.run', 'target not ready', 'error'],
      ['revproxy.expectation', '5xx==0', 'skipped'],
    ],
  )
})

test('HAR is read by another reader: every request, nothing secret', async (t) => {
  const { read } = await everything(t)
  const text = read('traffic.har')
  assert.doesNotMatch(text, /topsecret/)
  const entries = checkHar(JSON.parse(text))
  assert.deepEqual(
    entries.map(({ request, response }) => [request.method, new URL(request.url).pathname, response.status]),
    [
      ['GET', '/cached', 200],
      ['GET', '/cached', 200],
      ['GET', '/plain/1', 200],
      ['GET', '/plain/2', 200],
      ['GET', '/broken', 500],
      ['POST', '/post', 200],
    ],
  )
  const [, hit, , , broken, post] = entries
  assert.equal(hit!._cache, 'hit')
  assert.deepEqual(broken!.request.queryString, [
    { name: 'a', value: '<b>' },
    { name: 'token', value: '***' },
  ])
  assert.equal(post!.request.bodySize, 5)
  assert.equal(post!.request.postData!.text, 'hello')
  assert.equal(post!.response.content.size, 4)
  assert.equal(post!.response.content.text, 'body')
  assert.equal(hit!.response.content.text, 'body')
  assert.ok(post!.request.headers.some(({ name, value }) => name === 'authorization' && value === '***'))
})

describe('on GitHub Actions', () => {
  test('the step summary is added to, and failures are annotated', async (t) => {
    const summary = join(folder(t), 'step.md')
    writeFileSync(summary, 'before\n')
    const { ended } = await everything(t, { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary })
    const text = readFileSync(summary, 'utf8')
    assert.match(text, /^before\n### ❌ revproxy: expectation failed\n/)
    assert.match(text, /\| ❌ \| <code>5xx==0<\/code> \| 1 \| 5xx is 1, not ==0\. \|/)
    assert.match(text, /\| <code>\/plain\/:id<\/code> \| 2 \| 0% \|/)
    assert.match(text, /```sh\ncurl -i /)
    assert.doesNotMatch(text, /topsecret/)
    const [annotation] = ended.stderr.match(/^::error .*$/m)!
    assert.match(annotation, /^::error title=revproxy%3A 5xx==0::5xx is 1, not ==0\.%0Acurl -i .*%253Cb%253E/)
  })
  test('elsewhere there is neither', async (t) => {
    const { ended } = await everything(t, { GITHUB_ACTIONS: '', GITHUB_STEP_SUMMARY: '' })
    assert.doesNotMatch(ended.stderr, /::error/)
  })
})

describe('--json', () => {
  test('without a command: start, request, expectation and end events on stdout, the end being last', async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('x'))
    const args = [
      '-p',
      '0',
      '--admin',
      'off',
      '--json',
      '--expect',
      'requests==1',
      '--expect',
      'p99<1ms',
      '--max-requests',
      '1',
    ]
    const program = await startProgram(t, [upstream.url, ...args])
    await get(`${program.url}/a`)
    const { stdout, code } = await program.ended
    assert.equal(code, 5)
    const events = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual(
      events.map(({ event }) => event),
      ['start', 'request', 'expectation', 'expectation', 'end'],
    )
    const [start, request, met, , end] = events
    assert.equal(start.url, program.url)
    assert.equal(start.target, upstream.url)
    assert.equal(request.url, '/a')
    assert.deepEqual([met.expectation, met.outcome, met.actual, met.bound], ['requests==1', 'passed', 1, 1])
    assert.deepEqual(end.exit, { code: 5, reason: 'expectation-failed' })
    assert.equal(end.summary.totals.requests, 1)
    for (const { time, level } of events) {
      assert.ok(!Number.isNaN(Date.parse(time)))
      assert.match(level, /^(?:info|warn|error)$/)
    }
  })
  test('with a command they are on stderr', async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('x'))
    const { stdout, stderr } = await runProgram(t, [
      upstream.url,
      '--json',
      '-q',
      '--summary',
      'off',
      '--',
      ...gets(['/']),
    ])
    assert.equal(stdout, '')
    const events = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).event)
    assert.deepEqual([events[0], events.at(-1)], ['start', 'end'])
  })
  for (const [reason, code, args] of [
    ['target-not-ready', 4, [':1', '-p', '0', '--admin', 'off', '--wait', '50ms']],
    ['cannot-start', 3, ['demo', '--admin', 'off', '--host', '192.0.2.1', '-p', '0']],
  ] as const) {
    test(`the end says ${reason}`, async (t) => {
      const { stdout, code: ended } = await runProgram(t, [...args, '--json'])
      assert.equal(ended, code)
      assert.deepEqual(JSON.parse(stdout.trim().split('\n').at(-1)!).exit, { code, reason })
    })
  }
})
