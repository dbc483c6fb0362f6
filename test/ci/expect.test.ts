import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { type Answer, startUpstream } from '../support/upstream.ts'
import { folder, gets, node, runs } from './support.ts'

const answering: Answer = (req, res) => {
  const status = Number(/^\/status\/(\d+)/.exec(req.url ?? '')?.[1] ?? 200)
  res.writeHead(status, req.url?.startsWith('/cached') === true ? { 'cache-control': 'max-age=60' } : {})
  res.end('x')
}

test('expectations that hold end with 0, one that fails with 5 and the requests that made it fail', async (t) => {
  const upstream = await startUpstream(t, answering)
  const holding = ['requests==3', 'hit-ratio{route=/cached}==50%', '5xx==1', 'p99<30s', 'overhead-p99<30s']
  const paths = ['/cached', '/cached', '/status/503?token=hush']
  const args = (more: string[]): string[] => [
    upstream.url,
    ...[...holding, ...more].flatMap((text) => ['--expect', text]),
    '--',
    ...gets(paths),
  ]
  const fine = await runProgram(t, args([]))
  assert.equal(fine.code, 0, fine.stderr)
  assert.equal(fine.stderr.match(/✓/g)?.length, holding.length)
  const failed = await runProgram(t, args(['5xx{route=/status/:id}==0']))
  assert.equal(failed.code, 5)
  assert.match(failed.stderr, /✗ 5xx\{route=\/status\/:id\}==0 {2}5xx\{route=\/status\/:id\} is 1, not ==0\./)
  assert.match(
    failed.stderr,
    new RegExp(`503 [\\d.]+ms {2}curl -i .*'${upstream.url}/status/503\\?token=\\*\\*\\*'`),
  )
  assert.doesNotMatch(failed.stderr, /hush/)
  assert.match(failed.stderr, /exit code 5: 1 of 6 expectations failed\./)
})

test('no traffic fails, and says which variable the command should have read', async (t) => {
  const upstream = await startUpstream(t, answering)
  const args = [upstream.url, '--url-env', 'BASE_URL', '--expect', '5xx==0', '--', ...node('')]
  const { code, stderr } = await runProgram(t, args, {
    HTTP_PROXY: 'http://proxy:3128',
    NO_PROXY: '',
    no_proxy: '',
  })
  assert.equal(code, 5)
  assert.match(stderr, /http_proxy|HTTP_PROXY is set and may send them elsewhere/i)
  assert.match(
    stderr,
    /no request came through the proxy\. .*http:\/\/localhost:\d+: does it read REVPROXY_URL or BASE_URL\?/,
  )
})

test('without expectations no traffic is said, and fails nothing', async (t) => {
  const upstream = await startUpstream(t, answering)
  const { code, stderr } = await runProgram(t, [upstream.url, '--', ...node('')])
  assert.equal(code, 0)
  assert.match(stderr, /does it read REVPROXY_URL\?/)
})

describe('--fail-fast', () => {
  test('ends the command as soon as an expectation can no longer be met; the code is ours then', async (t) => {
    const upstream = await startUpstream(t, answering)
    const forever = node(
      "process.on('SIGTERM', () => process.exit(77)); fetch(process.env.REVPROXY_URL + '/status/500'); setInterval(() => {}, 1000)",
    )
    const { code, stderr } = await runProgram(t, [
      upstream.url,
      '--fail-fast',
      '--expect',
      '5xx==0',
      '--',
      ...forever,
    ])
    assert.equal(code, 5)
    assert.match(stderr, /5xx==0 can no longer be met; ending the run/)
  })
  test('ends all that the command runs', async (t) => {
    const upstream = await startUpstream(t, answering)
    // A shell does not pass on what it is told.
    const line = `sleep 60 >&- 2>&- & echo $!; ${process.execPath} -e "fetch(process.env.REVPROXY_URL + '/status/500')"; wait`
    const args = [upstream.url, '--fail-fast', '--expect', '5xx==0', '--', 'sh', '-c', line]
    const { code, stdout } = await runProgram(t, args)
    assert.equal(code, 5)
    assert.match(stdout, /^\d+\n$/)
    assert.equal(runs(Number(stdout)), false)
  })
  test('takes nothing from the code of a command that had ended', async (t) => {
    const [late, release] = [gate(), gate()]
    const upstream = await startUpstream(t, async (req, res) => {
      if (req.url === '/late') {
        late.open()
        await release.promise
        res.statusCode = 500
      } else await late.promise
      res.end()
    })
    const left = "fetch(process.env.REVPROXY_URL + '/late')"
    const command = node(`
      const { spawn } = require('node:child_process')
      spawn(process.execPath, ['-e', ${JSON.stringify(left)}], { stdio: 'inherit', detached: true }).unref()
      fetch(process.env.REVPROXY_URL + '/go').then(() => process.exit(7))`)
    const program = await startProgram(t, [
      upstream.url,
      '--fail-fast',
      '--expect',
      '5xx==0',
      '--',
      ...command,
    ])
    await program.until('stopping: 1 request is on the way')
    release.open()
    assert.equal((await program.ended).code, 7)
  })
  test('without a command too', async (t) => {
    const upstream = await startUpstream(t, answering)
    const program = await startProgram(t, [
      upstream.url,
      '-p',
      '0',
      '--admin',
      'off',
      '--fail-fast',
      '--expect',
      'max<1ms',
    ])
    await get(program.url)
    assert.equal((await program.ended).code, 5)
  })
})

describe('without a command', () => {
  test('--max-requests ends the run once they are answered', async (t) => {
    const upstream = await startUpstream(t, answering)
    const args = [upstream.url, '-p', '0', '--admin', 'off', '--max-requests', '2', '--expect', 'requests==2']
    const program = await startProgram(t, args)
    await get(program.url)
    await get(program.url)
    assert.equal((await program.ended).code, 0)
  })
  test('--exit-after ends it after that time', async (t) => {
    const upstream = await startUpstream(t, answering)
    const args = [upstream.url, '-p', '0', '--admin', 'off', '--exit-after', '50ms']
    assert.equal((await runProgram(t, args)).code, 0)
    assert.equal((await runProgram(t, [...args, '--expect', 'requests>0'])).code, 5)
  })
  test('a signal ends it with 130 when all holds, and with 5 when not', async (t) => {
    const upstream = await startUpstream(t, answering)
    for (const [text, code] of [
      ['requests==1', 130],
      ['requests==2', 5],
    ] as const) {
      const program = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off', '--expect', text])
      await get(program.url)
      program.kill('SIGINT')
      assert.equal((await program.ended).code, code)
    }
  })
})

describe('a baseline', () => {
  test('is written by a first run, and held against by the next', async (t) => {
    const upstream = await startUpstream(t, answering)
    const file = join(folder(t), 'kept', 'baseline.json')
    const run = (paths: string[], expected: string[], more: string[] = []) =>
      runProgram(t, [
        upstream.url,
        '--baseline',
        file,
        ...more,
        ...expected.flatMap((text) => ['--expect', text]),
        '--',
        ...gets(paths),
      ])
    const expected = [
      'upstream-requests<=baseline',
      'misses{route=/cached}<=baseline*1.5',
      'p95<=baseline*1000+10s',
    ]
    const first = await run(['/cached', '/cached'], expected, ['--save-baseline', file])
    assert.equal(first.code, 0, first.stderr)
    assert.match(first.stderr, /- upstream-requests<=baseline {2}there is no baseline yet/)
    assert.match(first.stderr, /wrote the first baseline to/)
    const saved = JSON.parse(readFileSync(file, 'utf8'))
    assert.equal(saved.revproxyBaseline, 1)
    assert.equal(saved.metrics['upstream-requests'], 1)
    assert.equal(saved.metrics['misses{route=/cached}'], 1)
    assert.equal(saved.metrics['hit-ratio{route=/cached}'], 0.5)

    assert.equal((await run(['/cached', '/cached'], expected)).code, 0)
    const worse = await run(['/cached', '/a', '/b'], expected, ['--save-baseline', file])
    assert.equal(worse.code, 5)
    assert.match(worse.stderr, /upstream-requests is 3, not <=1 \(baseline\)\./)
    // A run that failed is no baseline.
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), saved)
  })
  test('is met by the same traffic again, also where a share has no last digit', async (t) => {
    const upstream = await startUpstream(t, answering)
    const file = join(folder(t), 'baseline.json')
    for (let time = 1; time <= 2; time++) {
      const { code, stderr } = await runProgram(t, [
        ...[upstream.url, '--baseline', file, '--save-baseline', file],
        ...['--expect', 'hit-ratio>=baseline', '--expect', 'hit-ratio<=baseline'],
        ...['--', ...gets(['/cached', '/cached', '/cached'])],
      ])
      assert.equal(code, 0, stderr)
    }
  })
  test('is not written by a first run that saw nothing', async (t) => {
    const upstream = await startUpstream(t, answering)
    const file = join(folder(t), 'b.json')
    const args = [upstream.url, '--baseline', file, '--save-baseline', file, '--expect', '5xx<=baseline']
    const { code, stderr } = await runProgram(t, [...args, '--', ...node('')])
    assert.equal(code, 5)
    assert.match(stderr, /5xx<=baseline {2}no request came through the proxy\./)
    assert.equal(existsSync(file), false)
  })
  test('that has no such value, or is none, is refused before anything starts', async (t) => {
    const file = join(folder(t), 'b.json')
    writeFileSync(file, '{"revproxyBaseline":1,"savedAt":"","metrics":{"p95":1}}')
    const args = (metric: string): string[] => [
      ':1',
      '--baseline',
      file,
      '--expect',
      `${metric}<=baseline`,
      '--',
      ...node(''),
    ]
    const lacking = await runProgram(t, args('p99'))
    assert.equal(lacking.code, 2)
    assert.match(lacking.stderr, /has no value for p99<=baseline/)
    for (const text of ['{}', '{"revproxyBaseline":1,"savedAt":"","metrics":{"p95":null}}']) {
      writeFileSync(file, text)
      const none = await runProgram(t, args('p95'))
      assert.equal(none.code, 2)
      assert.match(none.stderr, /is not a baseline; --save-baseline writes one/)
    }
    assert.ok(existsSync(file))
  })
})
