import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '../support/free-port.ts'
import { type Program, runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'
import { readJunit } from './junit-reader.ts'
import { allGone, backendScript, folder, gets, node, pidsIn, runs, until } from './support.ts'

const executable = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))

/** A shell command line that runs the backend, in a shell of its own as `npm run` does. */
const backend = (port: number, pids: string, delayMs = 0): string =>
  `node -e '${backendScript.replaceAll("'", `'\\''`)}' ${port} '${pids}' ${delayMs}; true`

const waiting = node(
  "process.on('SIGINT', () => console.log('deaf')); console.log('command runs'); setInterval(() => {}, 1000)",
)

/** A run with a backend, while its command runs. */
const running = async (
  t: TestContext,
  more: string[] = [],
): Promise<{ program: Program; pids: number[] }> => {
  const port = await freePort()
  const file = join(folder(t), 'pids')
  const program = await startProgram(t, [
    `:${port}`,
    '--start',
    backend(port, file),
    ...more,
    '--',
    ...waiting,
  ])
  await program.until('command runs')
  const pids = pidsIn(file)
  t.after(() => {
    for (const pid of pids) if (runs(pid)) process.kill(pid, 'SIGKILL')
  })
  assert.deepEqual(pids.map(runs), [true, true, true])
  return { program, pids }
}

test('the backend is started, waited for, shown with a name before its lines, and ended with all it started', async (t) => {
  const port = await freePort()
  const file = join(folder(t), 'pids')
  const { code, stderr } = await runProgram(
    t,
    [`:${port}`, '--start', backend(port, file, 300), '--expect', 'requests==1', '--', ...gets(['/'])],
    { DEAF: '1' },
  )
  assert.equal(code, 0, stderr)
  assert.match(stderr, /^node \| backend listens$/m)
  assert.match(stderr, /✓ requests==1/)
  // Also the one that SIGTERM does not end, and the one that has left the group.
  assert.deepEqual(pidsIn(file).map(runs), [false, false, false])
})

describe('the whole tree ends, however we end', () => {
  test('by the command’s own failure', async (t) => {
    const port = await freePort()
    const file = join(folder(t), 'pids')
    const { code } = await runProgram(t, [
      `:${port}`,
      '--start',
      backend(port, file),
      '--',
      ...gets(['/'], 3),
    ])
    assert.equal(code, 3)
    assert.deepEqual(pidsIn(file).map(runs), [false, false, false])
  })
  test('by a signal', async (t) => {
    const { program, pids } = await running(t)
    program.kill('SIGTERM')
    assert.equal((await program.ended).code, 143)
    assert.deepEqual(pids.map(runs), [false, false, false])
  })
  test('by SIGINT twice', async (t) => {
    const { program, pids } = await running(t)
    program.kill('SIGINT')
    await program.until('deaf')
    program.kill('SIGINT')
    assert.equal((await program.ended).code, 130)
    await allGone(pids)
  })
  test('by SIGKILL', async (t) => {
    const { program, pids } = await running(t)
    program.kill('SIGKILL')
    assert.equal((await program.ended).signal, 'SIGKILL')
    await allGone(pids)
  })
})

test('several backends have a name each', async (t) => {
  const port = await freePort()
  const files = [join(folder(t), 'a'), join(folder(t), 'b')]
  const { code, stderr } = await runProgram(t, [
    `:${port}`,
    ...[
      '--start',
      backend(port, files[0]!),
      '--start',
      "printf '\\033[2J\\033[32mgreen\\033[0m\\n'; sleep 600",
    ],
    '--',
    ...gets(['/']),
  ])
  assert.equal(code, 0, stderr)
  assert.match(stderr, /^node +\| backend listens$/m)
  // Colours only where ours are; what steers a terminal never.
  assert.match(stderr, /^printf \| green$/m)
})

describe('-q', () => {
  test('keeps their output back', async (t) => {
    const port = await freePort()
    const args = [`:${port}`, '-q', '--start', backend(port, join(folder(t), 'p'))]
    const fine = await runProgram(t, [...args, '--', ...gets(['/'])])
    assert.equal(fine.code, 0)
    assert.doesNotMatch(fine.stderr, /backend listens|listening/)
    assert.match(fine.stderr, /1 request in/)
    const failed = await runProgram(t, [...args, '--', ...gets(['/'], 1)])
    assert.equal(failed.code, 1)
    assert.match(failed.stderr, /node \| backend listens[\s\S]*1 request in/)
  })
})

test('an older server on the port is said at once and at the end, and fails nothing by itself', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('an older server'))
  const at = folder(t)
  const { code, stderr } = await runProgram(
    t,
    [
      upstream.url,
      ...['--start', 'sleep 600', '--junit', join(at, 'j.xml'), '--summary-file', join(at, 's.md')],
      ...['--expect', '5xx==0', '--', ...gets(['/'])],
    ],
    { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: '' },
  )
  assert.equal(code, 0, stderr)
  const sentence =
    /revproxy: something answers on 127\.0\.0\.1:\d+ already, before --start: an older server\?/g
  assert.equal(stderr.match(sentence)?.length, 2, stderr)
  assert.match(stderr, /^::warning title=revproxy::something answers/m)
  assert.match(readFileSync(join(at, 's.md'), 'utf8'), /^### ✅ revproxy: fine\n\n> ⚠️ something answers/)
  assert.deepEqual(
    readJunit(join(at, 'j.xml')).map(({ outcome }) => outcome),
    ['passed', 'passed'],
  )
})

describe('exit code 4', () => {
  test('when the target is never ready: what was tried, what came back, the end of the output', async (t) => {
    const [port, other] = [await freePort(), await freePort()]
    const { code, stdout, stderr } = await runProgram(t, [
      `:${port}`,
      '--start',
      backend(other, join(folder(t), 'p')),
      '--wait',
      '2s',
      '--expect',
      '5xx==0',
      '--',
      ...node('console.log("ran")'),
    ])
    assert.deepEqual([code, stdout], [4, ''])
    assert.match(stderr, new RegExp(`http://localhost:${port} was not ready within [\\d.]+m?s\\.`))
    assert.match(
      stderr,
      new RegExp(`GET / on 127\\.0\\.0\\.1:${port}, \\d+ times: refused: nothing listens there`),
    )
    assert.match(
      stderr,
      new RegExp(`GET / on \\[::1\\]:${port}, \\d+ times?: (?:refused|this machine has no way)`),
    )
    assert.match(stderr, /its last lines:\n {2}node \| backend listens/)
    assert.match(stderr, /- 5xx==0 {2}|- .*5xx==0.* the run did not come to it\./)
    assert.match(stderr, /exit code 4: the target was not ready\./)
  })

  test('at once when the backend ends with a failure', async (t) => {
    const { code, stderr } = await runProgram(t, [
      `:${await freePort()}`,
      '--start',
      'echo cannot do it >&2; exit 7',
      '--',
      ...gets(['/']),
    ])
    assert.equal(code, 4)
    assert.match(stderr, /--start "echo cannot do it >&2; exit 7" ended with code 7 after/)
    assert.match(stderr, /its last lines:\n {2}echo \| cannot do it/)
    assert.match(stderr, /exit code 4: a command of --start ended before its time\./)
  })

  test('with -q the output stands once, before the reason', async (t) => {
    const args = [
      `:${await freePort()}`,
      '-q',
      '--start',
      'echo cannot do it >&2; exit 7',
      '--',
      ...gets(['/']),
    ]
    const { code, stderr } = await runProgram(t, args)
    assert.equal(code, 4)
    assert.match(stderr, /^echo \| cannot do it\nrevproxy: --start .* ended with code 7 after/)
    assert.equal(stderr.match(/\| cannot do it/g)?.length, 1)
  })

  test('a command that has ended well and left nothing there is named', async (t) => {
    const args = [`:${await freePort()}`, '--wait', '500ms', '--start', 'true', '--', ...gets(['/'])]
    const { code, stderr } = await runProgram(t, args)
    assert.equal(code, 4)
    assert.match(stderr, /was not ready within .*\n {2}--start "true" ended with code 0 after/)
    assert.match(stderr, /exit code 4: the target was not ready\./)
  })

  test('when the backend fails while the command runs, though that ends well', async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('an older server'))
    const at = folder(t)
    // Its process is there until the proxy has been told of its end.
    const { code, stderr } = await runProgram(t, [
      upstream.url,
      '--start',
      `echo $$ > '${at}/new'; mv '${at}/new' '${at}/pid'; while [ ! -e '${at}/flag' ]; do sleep 0.02; done; exit 98`,
      '--',
      ...node(
        `
        const fs = require('node:fs'), [at] = process.argv.slice(1)
        let pid
        const wait = setInterval(() => {
          try {
            pid ??= Number(fs.readFileSync(at + '/pid', 'utf8'))
          } catch {
            return
          }
          fs.writeFileSync(at + '/flag', '')
          try {
            process.kill(pid, 0)
          } catch {
            clearInterval(wait)
          }
        }, 5)`,
        at,
      ),
    ])
    assert.equal(code, 4)
    assert.match(stderr, /something answers on 127\.0\.0\.1:\d+ already, before --start: an older server\?/)
    assert.match(stderr, /ended with code 98 after/)
    assert.match(stderr, /exit code 4: a command of --start ended before its time\./)
  })
})

describe('--wait', () => {
  test('takes what answers, but not a gateway whose backend starts', async (t) => {
    let asked = 0
    const upstream = await startUpstream(t, (_, res) => {
      asked++
      res.statusCode = asked < 3 ? 503 : 404
      res.end()
    })
    const { code } = await runProgram(t, [upstream.url, '--wait', '10s', '--', ...node('')])
    assert.equal(code, 0)
    assert.equal(asked, 3)
  })

  test('asks with GET for --wait-path until --wait-status', async (t) => {
    const upstream = await startUpstream(t, (req, res) => {
      res.statusCode = req.url === '/base/health?deep=1' && upstream.requests.length > 2 ? 204 : 404
      res.end()
    })
    const args = [`${upstream.url}/base`, '--wait-path', '/health?deep=1', '--wait-status', '200-299']
    assert.equal((await runProgram(t, [...args, '--wait', '10s', '--', ...node('')])).code, 0)
    assert.deepEqual(
      new Set(upstream.requests.map(({ method, url }) => `${method} ${url}`)),
      new Set(['GET /base/health?deep=1']),
    )
    upstream.answer((_, res) => void res.writeHead(404).end())
    const late = await runProgram(t, [...args, '--wait', '300ms', '--', ...node('')])
    assert.equal(late.code, 4)
    assert.match(late.stderr, /: 404 Not Found\n.*It is there and answers, but not as wanted/)
  })

  test('finds a target on ::1 alone', async (t) => {
    const server = createServer((_, res) => res.end('six'))
    const port = await freePort()
    const listens = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(port, '::1', () => resolve(true))
    })
    t.after(() => server.close())
    if (!listens) return t.skip('no IPv6 here')
    const { code } = await runProgram(t, [
      `http://localhost:${port}`,
      '--wait',
      '10s',
      '--expect',
      '5xx==0',
      '--',
      ...gets(['/']),
    ])
    return assert.equal(code, 0)
  })

  test('ends with a signal while it waits', async (t) => {
    const program = await startProgram(t, [`:${await freePort()}`, '--wait', '--', ...node('')])
    await program.until('waiting for http://localhost')
    program.kill('SIGINT')
    assert.equal((await program.ended).code, 130)
  })
})

describe('a backend that writes much', () => {
  /** Writes lines, so many or for ever, then \`then\`. */
  const writes = (port: number, lines: string, then = ''): string =>
    `${process.execPath} -e "let n = ${lines}; const go = () => { while (n-- > 0) if (!process.stdout.write('y'.repeat(99) + '\\n')) return process.stdout.once('drain', go); ${then} }; require('node:http').createServer((_, res) => res.end()).listen(${port}, '127.0.0.1', go)"`

  test('writes nothing behind the report', async (t) => {
    const port = await freePort()
    const args = [`:${port}`, '--start', writes(port, '1e9'), '--', ...gets(['/'], 3)]
    const { code, stderr } = await runProgram(t, args)
    assert.equal(code, 3)
    assert.match(stderr.slice(-1000), /\nrevproxy: exit code 3: the command ended with 3\.\n$/)
  })

  test('costs no report, when stderr is read late', async (t) => {
    const port = await freePort()
    const flag = join(folder(t), 'flag')
    const child = spawn(
      process.execPath,
      [
        executable,
        `:${port}`,
        '--admin',
        'off',
        '--start',
        writes(port, '80_000', `require('node:fs').writeFileSync('${flag}', '')`),
        '--',
        ...node(
          "const wait = setInterval(() => { if (require('node:fs').existsSync(process.argv[1])) { clearInterval(wait); fetch(process.env.REVPROXY_URL + '/late') } }, 5)",
          flag,
        ),
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    t.after(() => child.kill('SIGKILL'))
    await until(() => existsSync(flag), 'all that the backend writes')
    // By then the run is over, and its report has nowhere to go.
    await sleep(1500)
    const stderr = (await child.stderr.toArray()).join('')
    assert.match(stderr, /log lines dropped/)
    assert.match(stderr.slice(-2000), /\n {2}\/late +1 /)
  })
})

test('without a command the backend is started and ended too', async (t) => {
  const port = await freePort()
  const file = join(folder(t), 'pids')
  const program = await startProgram(t, [
    `:${port}`,
    '-p',
    '0',
    '--admin',
    'off',
    '--start',
    backend(port, file),
  ])
  await program.until('backend listens')
  await until(() => existsSync(file) && readFileSync(file, 'utf8') !== '', 'the pids')
  assert.equal(await (await fetch(program.url)).text(), 'from the backend')
  program.kill('SIGINT')
  assert.equal((await program.ended).code, 130)
  assert.deepEqual(pidsIn(file).map(runs), [false, false, false])
})
