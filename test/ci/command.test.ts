import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gate } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'
import { allGone, folder, gets, node } from './support.ts'

const hello = (_: unknown, res: { end(text: string): void }): void => res.end('hello')

test('the command is run without a shell, told the address, and has its streams to itself', async (t) => {
  const upstream = await startUpstream(t, hello)
  const script = `
    const { REVPROXY_URL, BASE_URL, API } = process.env
    if (BASE_URL !== REVPROXY_URL || API !== REVPROXY_URL) process.exit(90)
    fetch(REVPROXY_URL + '/x').then(async (res) => console.log(await res.text(), JSON.stringify(process.argv.slice(1))))`
  const odd = ['$HOME', 'a b', '*', '--help', '--', "'"]
  const { code, stdout, stderr } = await runProgram(t, [
    upstream.url,
    '--url-env',
    'BASE_URL',
    '--url-env',
    'API',
    '--',
    ...node(script, '--', ...odd),
  ])
  assert.equal(code, 0)
  assert.equal(stdout, `hello ${JSON.stringify(odd)}\n`)
  assert.match(stderr, /GET {2}\/x +200 {2}MISS/)
  assert.match(stderr, /1 request in/)
})

test('stdin is the command’s', async (t) => {
  const executable = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))
  const child = spawn(process.execPath, [executable, 'demo', '--admin', 'off', '--', 'cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  t.after(() => child.kill('SIGKILL'))
  const output = (async () => {
    let text = ''
    for await (const chunk of child.stdout) text += chunk
    return text
  })()
  child.stdin.end('through and through')
  assert.equal(await output, 'through and through')
})

test('two runs at once have ports of their own', async (t) => {
  const upstream = await startUpstream(t, hello)
  const print = node('console.log(process.env.REVPROXY_URL)')
  const runs = await Promise.all([1, 2].map(() => runProgram(t, [upstream.url, '--', ...print])))
  assert.deepEqual(
    runs.map(({ code }) => code),
    [0, 0],
  )
  assert.notEqual(runs[0]!.stdout, runs[1]!.stdout)
})

describe('exit codes', () => {
  test('the command’s own, also against expectations that fail', async (t) => {
    const upstream = await startUpstream(t, hello)
    const failing = ['--expect', 'requests>5']
    for (const code of [1, 7, 255]) {
      const ended = await runProgram(t, [upstream.url, ...failing, '--', ...gets(['/'], code)])
      assert.equal(ended.code, code)
      assert.match(ended.stderr, /✗ requests>5 {2}requests is 1, not >5\./)
      assert.match(ended.stderr, new RegExp(`exit code ${code}: the command ended with ${code}\\.`))
    }
  })

  test('128 and the signal when the command dies of one', async (t) => {
    const upstream = await startUpstream(t, hello)
    for (const [signal, code] of [
      ['SIGKILL', 137],
      ['SIGTERM', 143],
      ['SIGSEGV', 139],
      ['SIGXCPU', 128 + constants.signals.SIGXCPU],
    ] as const) {
      const ended = await runProgram(t, [
        upstream.url,
        '--',
        ...node(`process.kill(process.pid, '${signal}')`),
      ])
      assert.equal(ended.code, code)
      assert.match(ended.stderr, new RegExp(`the command ended by ${signal}`))
    }
  })

  test('2 when nothing stands after --', async (t) => {
    const ended = await runProgram(t, [':3000', '--'])
    assert.equal(ended.code, 2)
    assert.match(ended.stderr, /after -- a command must stand/)
  })

  test('2 for what does not go together, before anything is started', async (t) => {
    const rows: Array<[args: string[], says: RegExp]> = [
      [
        ['--expect', 'p98<1s'],
        /--expect: column 1: p98 is not a metric\. Did you mean p99\?\n {2}p98<1s\n {2}\^\n$/,
      ],
      [
        ['--expect', '5xx==0', '--expect', 'p99{route=/a}<1'],
        /column 15: 1 of what\?[^\n]*\n {2}p99.*\n {16}\^\n$/,
      ],
      [['--exit-after', '1s'], /--exit-after is for runs without a command/],
      [['--max-requests', '1'], /--max-requests is for runs without a command/],
      [['--expect', 'p95<=baseline'], /needs --baseline <file>/],
      [
        ['--expect', 'p95<=baseline', '--baseline', '/nowhere/b.json'],
        /\/nowhere\/b\.json is not there\. A first run/,
      ],
      [
        ['--junit', '/proc/nowhere/j.xml'],
        /--junit \/proc\/nowhere\/j\.xml: must be a file that can be written/,
      ],
      [['--har', '/'], /--har \/: must be a file that can be written \(EISDIR\)/],
      [['--wait', ':3000'], /--wait :3000: must be a duration.*before the flag/],
      [['--wait-status', '2x'], /--wait-status 2x: must be statuses such as/],
      [['--url-env', 'A=B'], /--url-env A=B: must be the name of an environment variable/],
      [['--start', ' '], /--start " ": must be/],
    ]
    for (const [args, says] of rows) {
      const { code, stdout, stderr } = await runProgram(t, [
        ':1',
        ...args,
        '--',
        ...node('console.log("ran")'),
      ])
      assert.equal(code, 2, args.join(' '))
      assert.match(stderr, says)
      assert.equal(stdout, '')
    }
  })

  test('3 when the command is not there, before anything is started', async (t) => {
    const missing = await runProgram(t, [':1', '--start', 'echo started >&2', '--', 'no-such-program', 'x'])
    assert.equal(missing.code, 3)
    assert.match(
      missing.stderr,
      /^revproxy: the command no-such-program is not found\..*npx no-such-program\.\n$/,
    )
    const words = await runProgram(t, [':1', '--', 'npm test'])
    assert.equal(words.code, 3)
    assert.match(words.stderr, /not run by a shell; for that: -- sh -c 'npm test'\./)
    const forbidden = await runProgram(t, [':1', '--', '/etc/passwd'])
    assert.equal(forbidden.code, 3)
    assert.match(forbidden.stderr, /may not be run/)
  })

  test('3 when the port is taken, and the command is not run; whatever else is open or tried again', async (t) => {
    const upstream = await startUpstream(t, hello)
    const other = await startUpstream(t, hello)
    const nobody = `127.0.0.1:${await freePort()}`
    for (const more of [
      [],
      ['--cache', `redis://${nobody}`],
      ['--trace', `http://${nobody}`, '--trace-receive', '0'],
    ]) {
      const args = [upstream.url, '-p', String(other.port), ...more, '--', ...node('console.log("ran")')]
      const { code, stdout, stderr } = await runProgram(t, args)
      assert.deepEqual([code, stdout], [3, ''])
      assert.match(stderr, new RegExp(`port ${other.port} is in use`))
    }
  })

  test('3 when the system does not run the command', async (t) => {
    const file = join(folder(t), 'script')
    writeFileSync(file, '#!/no/such/interpreter\n', { mode: 0o755 })
    const { code, stderr } = await runProgram(t, ['demo', '--expect', '5xx==0', '--', file])
    assert.equal(code, 3)
    assert.match(
      stderr,
      /script cannot be run \(ENOENT\): the program that its first line names is not there\.\n[\s\S]*- 5xx==0 {2}the run did not come to it\./,
    )
  })

  test('8 after a fault of ours, however well all went', async (t) => {
    const upstream = await startUpstream(t, hello)
    const flag = join(folder(t), 'flag')
    const script = `
      if (process.argv[1]?.endsWith('revproxy.js')) setInterval(() => {
        const { existsSync, unlinkSync } = process.getBuiltinModule('node:fs')
        if (!existsSync(process.env.FLAG)) return
        unlinkSync(process.env.FLAG)
        throw new Error('boom')
      }, 5).unref()`
    const command = `
      const fs = require('node:fs')
      fs.writeFileSync(process.env.FLAG, '')
      const wait = setInterval(() => { if (!fs.existsSync(process.env.FLAG)) clearInterval(wait) }, 5)`
    const { code, stderr } = await runProgram(t, [upstream.url, '--', ...node(command)], {
      FLAG: flag,
      NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}`,
    })
    assert.equal(code, 8)
    assert.match(stderr, /unexpected: Error: boom/)
    assert.match(stderr, /exit code 8: a fault of the proxy itself\./)
  })
})

describe('signals', () => {
  /** Says that it is there, and ends with `code` when told to. */
  const waits = (signal: string, code: number): string[] =>
    node(
      `process.on('${signal}', () => { console.log('got ${signal}'); process.exit(${code}) }); console.log('ready'); setInterval(() => {}, 1000)`,
    )

  for (const [signal, code, own] of [
    ['SIGINT', 130, 0],
    ['SIGTERM', 143, 0],
    ['SIGHUP', 129, 0],
    ['SIGTERM', 33, 33],
  ] as const) {
    test(`${signal} is passed on; a command that ends with ${own} makes it ${code}`, async (t) => {
      const program = await startProgram(t, ['demo', '--', ...waits(signal, own)])
      await program.until('ready')
      program.kill(signal)
      const ended = await program.ended
      assert.equal(ended.code, code)
      assert.match(ended.stdout, new RegExp(`got ${signal}`))
    })
  }

  test('a second one ends the command that does not listen, and us', async (t) => {
    const deaf = node(
      "process.on('SIGTERM', () => console.log('deaf')); console.log('pid', process.pid); setInterval(() => {}, 1000)",
    )
    const program = await startProgram(t, ['demo', '--', ...deaf])
    await program.until(/pid \d+/)
    program.kill('SIGTERM')
    await program.until('deaf')
    program.kill('SIGTERM')
    assert.equal((await program.ended).code, 143)
  })

  test('SIGKILL to us ends the command and what it runs', async (t) => {
    const line = 'sleep 60 >&- 2>&- & echo pid $!; wait'
    const program = await startProgram(t, ['demo', '--', 'sh', '-c', line])
    await program.until(/pid \d+\n/)
    program.kill('SIGKILL')
    await allGone([Number(/pid (\d+)/.exec((await program.ended).stdout)?.[1])])
  })

  test('a second one ends what the command runs too', async (t) => {
    const deaf = ['sh', '-c', "trap 'echo deaf' TERM; sleep 60 >&- 2>&- & echo pid $!; wait; wait"]
    const program = await startProgram(t, ['demo', '--', ...deaf])
    await program.until(/pid \d+\n/)
    program.kill('SIGTERM')
    await program.until('deaf')
    program.kill('SIGTERM')
    const { code, stdout } = await program.ended
    assert.equal(code, 143)
    await allGone([Number(/pid (\d+)/.exec(stdout)?.[1])])
  })
})

test('the last requests are answered, though the command has ended', async (t) => {
  const [late, release] = [gate(), gate()]
  const upstream = await startUpstream(t, async (req, res) => {
    if (req.url === '/late') {
      late.open()
      await release.promise
    } else await late.promise
    res.end('at last')
  })
  // What the command leaves behind still waits for its answer when the command ends.
  const left =
    "fetch(process.env.REVPROXY_URL + '/late').then(async (res) => console.log(res.status, await res.text()))"
  const command = node(`
    const { spawn } = require('node:child_process')
    spawn(process.execPath, ['-e', ${JSON.stringify(left)}], { stdio: 'inherit', detached: true }).unref()
    fetch(process.env.REVPROXY_URL + '/go').then(() => process.exit(0))`)
  const program = await startProgram(t, [upstream.url, '--expect', 'requests==2', '--', ...command])
  await program.until('stopping: 1 request is on the way')
  release.open()
  const { stdout, code } = await program.ended
  assert.match(stdout, /200 at last/)
  assert.equal(code, 0)
})
