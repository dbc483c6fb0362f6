import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gate, get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'

describe('what cannot be understood is refused with exit code 2, naming it and what would be right', () => {
  const rows: Array<[args: string[], says: RegExp]> = [
    [[], /no target\. Say where requests go: revproxy http:\/\/localhost:3000/],
    [['ftp://x'], /target ftp:\/\/x: must be a URL such as http:\/\/localhost:3000/],
    [[':3000', '--rate', '100'], /--rate 100: per what\? 100\/s, 100\/m\./],
    [[':3000', '--timeout', '30'], /--timeout 30: 30 of what\? 30ms, 30s, 30m\./],
    [[':3000', '--timeout', 'soon'], /--timeout soon: must be a duration such as/],
    [[':3000', '--cache-size', '10'], /--cache-size 10: 10 of what\? 10b, 10kb, 10mb\./],
    [[':3000', '-p', '70000'], /--port 70000: must be a whole number from 0 to 65535/],
    [[':3000', '--cache', 'redis:6379'], /--cache redis:6379: must be memory, off, redis/],
    [[':3000', '--cache', 'memory', '--cache', 'off'], /only nodes of a Redis Cluster may be several/],
    [[':3000', '--trace', 'localhost'], /--trace localhost: must be http:\/\/host:4318 \(OTLP\)/],
    [[':3000', '--header', 'no colon'], /--header .*: must be "Name: value"/],
    [[':3000', '--header', 'Connection: close'], /Connection belongs to the connection/],
    [[':3000', '--trace-sample', '2'], /--trace-sample 2: must be a number from 0 to 1/],
    [[':3000', '--prot', '1'], /--prot is not an option\. Did you mean --port\?/],
    [['--to', 'http://x'], /--to: we call it --target/],
    [['--listen=9000'], /--listen: we call it --port/],
    [[':3000', '-p'], /--port needs a value: --port <n>/],
    [[':3000', ':4000'], /more than one target/],
    // By default; what is alike in name only is another.
    [
      [':8080'],
      /target http:\/\/localhost:8080 is where this proxy itself would listen\. Use -p for another/,
    ],
    [['http://[::1]:8080/app'], /is where this proxy itself would listen/],
    [['http://127.0.0.1:9999', '-p', '9999', '--host', '0.0.0.0'], /is where this proxy itself would listen/],
    [['http://localhost:9999', '-p', '9999', '--host', '::1'], /is where this proxy itself would listen/],
    [[':3000', '--rate', '--cache', 'off'], /--rate needs a value: --rate <n\/duration>\./],
    [[':3000', '--insecure=no'], /--insecure takes no value: it is on where it stands, and off without it\./],
    [[':3000', '-k=1'], /-=1 is not an option/],
    [[':3000', '--no-cache'], /--no-cache: we call it --cache off\./],
    [['demo', ':3000'], /the demo has a target of its own\. To proxy yours: revproxy http/],
    [['demo', '-t', ':3000'], /the demo has a target of its own/],
    [['explain'], /explain needs its url: revproxy explain <url>\./],
    [['explain', '--metod', 'PUT', '/'], /--metod is not an option\. Did you mean --method\?/],
    [['--json', 'explain', '/'], /--json stands before the command\..* see revproxy explain --help\./],
    [['explain', '/', '--color', 'yes'], /--color yes: must be one of auto, always, never\./],
    [['top', 'x'], /that is more than top takes\. See revproxy top --help\./],
    [['cache'], /cache what\? It takes one of ls, get, purge\./],
    [['cache', 'list'], /cache list: must be one of ls, get, purge\./],
    [['completion', 'tcsh'], /completion tcsh: must be one of bash, zsh, fish\./],
    [['help', 'list'], /help list: must be one of demo, explain, cache/],
    [[':3000', '--cache-mode', 'force', '--ttl', '0'], /would cache nothing/],
    [[':3000', '--json', '--log', 'off'], /contradict each other/],
    [
      [':3000', '--ca', '/nowhere/ca.pem'],
      /--ca \/nowhere\/ca\.pem: must be a file that can be read \(ENOENT\)/,
    ],
    // Any file that holds no certificate.
    [[':3000', '--ca', process.execPath], /--ca .*: must be a PEM file with a certificate\./],
    [[':3000', '--start', ''], /--start "": must be a command line such as "npm run dev"\./],
    [[':3000', '--har', ' '], /--har " ": must be the name of a file\./],
  ]
  for (const [args, says] of rows) {
    test(args.join(' ') || '(nothing)', async (t) => {
      const { code, stdout, stderr } = await runProgram(t, args)
      assert.equal(code, 2)
      assert.match(stderr, says)
      assert.equal(stdout, '')
      assert.equal(stderr.trim().split('\n').length, 1)
    })
  }
  test('a variable of the environment is named as such', async (t) => {
    const { code, stderr } = await runProgram(t, [':3000'], { REVPROXY_RATE: '100' })
    assert.equal(code, 2)
    assert.match(stderr, /REVPROXY_RATE=100: per what\? 100\/s, 100\/m\./)
  })
  test('also where values do not go together', async (t) => {
    const { code, stderr } = await runProgram(t, [':3000'], { REVPROXY_CACHE: 'memory off' })
    assert.equal(code, 2)
    assert.match(stderr, /REVPROXY_CACHE="memory off": must be one of memory, off or Redis/)
  })
  test('a secret in a header is not repeated', async (t) => {
    const { stderr } = await runProgram(t, [':3000', '--header', 'Authorization Bearer abc123'])
    assert.doesNotMatch(stderr, /abc123/)
  })
})

test('a flag goes before the environment, which goes before the default, and --print-config says which it was', async (t) => {
  const env = {
    REVPROXY_PORT: '1234',
    REVPROXY_TIMEOUT: '7s',
    REVPROXY_ROUTE: '/a/:id, /b/:id',
    OTEL_SERVICE_NAME: 'shop',
  }
  const { code, stdout } = await runProgram(
    t,
    [':3000', '-p', '99', '--no-redact', '-H', 'A: 1', '-H', 'B: 2', '--print-config'],
    env,
  )
  assert.equal(code, 0)
  const row = (name: string) => stdout.split('\n').find((line) => line.startsWith(`${name} `))
  assert.match(row('port')!, /99 +--port$/)
  assert.match(row('timeout')!, /7s +REVPROXY_TIMEOUT$/)
  assert.match(row('route')!, /\/a\/:id {2}\/b\/:id +REVPROXY_ROUTE$/)
  assert.match(row('service-name')!, /shop +OTEL_SERVICE_NAME$/)
  assert.match(row('header')!, /A: \*\*\* {2}B: \*\*\* +--header$/)
  assert.match(row('no-redact')!, /true +--no-redact$/)
  assert.match(row('target')!, /:3000 +target$/)
  assert.match(row('concurrency')!, /unlimited +default$/)
})

test('a target on the same port of another address is a target like any other', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const { port } = new URL(upstream.url)
  const program = await startProgram(t, [upstream.url, '-p', port, '--host', '::1', '--admin', 'off'])
  assert.equal((await get(`http://[::1]:${port}/`)).text, 'hi')
  program.kill('SIGINT')
  await program.ended
})

test('--print-config shows no secret', async (t) => {
  const given = ['http://h/?token=topsecret', '-H', 'A: topsecret', '--cache', 'redis://:topsecret@h']
  given.push('--response-header', 'Set-Cookie: a=topsecret', '--response-header', 'Vary: Accept')
  given.push('--trace', 'http://u:topsecret@h:4318/v1/traces?api_key=topsecret')
  const { code, stdout } = await runProgram(t, [...given, '--print-config'])
  assert.equal(code, 0)
  assert.doesNotMatch(stdout, /topsecret/)
  assert.match(stdout, /Set-Cookie: \*\*\* {2}Vary: Accept/)
})

test('--print-config needs no target, and takes off in capitals too', async (t) => {
  const off = ['--cache', 'OFF', '--trace', 'Off', '--metrics', 'OFF', '--admin', 'OFF', '--rate', 'OFF']
  const { code, stdout } = await runProgram(t, [...off, '--print-config'])
  assert.equal(code, 0)
  assert.match(stdout, /^target +– +default$/m)
})

test('--json and --log: the one on the command line goes before one in the environment', async (t) => {
  const quietly = ['demo', '-p', '0', '--admin', 'off']
  const plain = await startProgram(t, [...quietly, '--log', 'plain'], { REVPROXY_JSON: '1' })
  const json = await startProgram(t, [...quietly, '--json'], { REVPROXY_LOG: 'off' })
  for (const program of [plain, json]) {
    await get(`${program.url}/api/status/204`)
    program.kill('SIGINT')
  }
  assert.match((await plain.ended).stdout, /^\S+ GET {2}\/api\/status\/204/)
  assert.match((await json.ended).stdout, /^\{.*"event":"request"/m)
})

test('colours that are asked for are in the request lines of a pipe too, unless these are to be plain', async (t) => {
  const ask = ['--', process.execPath, '-e', 'fetch(process.env.REVPROXY_URL + "/api/status/204")']
  const lines = async (options: string[], env: NodeJS.ProcessEnv = {}) =>
    (await runProgram(t, ['demo', '--admin', 'off', ...options, ...ask], env)).stderr
  assert.match(await lines(['--color', 'always']), /\x1b\[\S*mMISS/)
  assert.match(await lines([], { FORCE_COLOR: '1' }), /\x1b\[\S*mMISS/)
  assert.match(await lines(['--color', 'always', '--log', 'plain']), /204 {2}MISS/)
  assert.match(await lines([]), /204 {2}MISS/)
})

test('what stands before demo counts as what stands behind it, and its backend is its own', async (t) => {
  const { code, stdout } = await runProgram(
    t,
    ['--rate', '5/m', '-p', '1', '--route', '/a', 'demo', '--route', '/b', '-p', '2', '--print-config'],
    { REVPROXY_TARGET: ':3000' },
  )
  assert.equal(code, 0)
  const row = (name: string) => stdout.split('\n').find((line) => line.startsWith(`${name} `))
  assert.match(row('rate')!, /5\/m +--rate$/)
  assert.match(row('route')!, /\/a {2}\/b +--route$/)
  assert.match(row('target')!, /http:\/\/127\.0\.0\.1:\d+ +demo$/)
  assert.match(row('port')!, /2 +--port$/)
})

test('--version and --help go to stdout with exit code 0', async (t) => {
  const version = await runProgram(t, ['--version'])
  assert.deepEqual([version.code, version.stderr], [0, ''])
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
  const help = await runProgram(t, ['--help'])
  assert.deepEqual([help.code, help.stderr], [0, ''])
  assert.match(help.stdout, /--cache-size <size>/)
  assert.deepEqual(await runProgram(t, ['help']), help)
  const { code, stdout } = await runProgram(t, ['help', 'explain'])
  assert.equal(code, 0)
  assert.match(stdout, /^Usage: revproxy explain/)
})

test('what force does is said at the start', async (t) => {
  const force = ['demo', '-p', '0', '--admin', 'off', '--cache-mode', 'force']
  for (const [args, said] of [
    [
      [],
      /cache +memory, 128 MB, every GET and HEAD 2xx for 1m by force, over no-store, private, .*, but none with Auth/,
    ],
    [
      ['--ttl', '5s', '--force-private'],
      /2xx for 5s by force, over no-store, private, no-cache and the like\n/,
    ],
  ] as const) {
    const program = await startProgram(t, [...force, ...args])
    program.kill('SIGTERM')
    const { stdout, stderr } = await program.ended
    assert.match(stdout + stderr, said)
  }
})

test('a port in use is said so, with exit code 3', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  t.after(() => taken.close())
  const { port } = taken.address() as { port: number }
  const { code, stderr } = await runProgram(t, ['demo', '-p', String(port), '--admin', 'off'])
  assert.equal(code, 3)
  assert.match(stderr, new RegExp(`port ${port} is in use\\. Use -p 0 for a free one\\.`))
})

test('the demo shows a miss, a hit, and a summary at Ctrl-C with exit code 130', async (t) => {
  const program = await startProgram(t, ['demo', '-p', '0', '--admin', '0'])
  await get(`${program.url}/api/echo?echo=test`)
  const { text, headers } = await get(`${program.url}/api/echo?echo=test`)
  assert.equal(text, 'test')
  assert.match(String(headers['cache-status']), /hit/)
  program.kill('SIGINT')
  const { code, stdout, stderr } = await program.ended
  assert.equal(code, 130)
  assert.match(stdout, /GET {2}\/api\/echo\?echo=test {2}200 {2}MISS {2}uri-miss/)
  assert.match(stdout, /GET {2}\/api\/echo\?echo=test {2}200 {2}HIT {3}ttl (?:5\d|60)s/)
  assert.doesNotMatch(stdout, /\x1b/)
  assert.match(stderr, /2 requests in .* 50% hits · p50 .* p99 .* 1 upstream call saved · 0 errors/)
})

test('Ctrl-C lets a running request end, refuses new connections, and a second one ends at once', async (t) => {
  const arrived = gate()
  const release = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    arrived.open()
    await release.promise
    res.end('done')
  })
  const program = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off'])
  const answer = get(program.url)
  await arrived.promise
  program.kill('SIGINT')
  await program.until('stopping: 1 request is on the way')
  await assert.rejects(get(program.url))
  release.open()
  assert.equal((await answer).text, 'done')
  assert.equal((await program.ended).code, 130)

  const stuck = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off'])
  upstream.answer(() => {})
  const lost = assert.rejects(get(stuck.url))
  await new Promise<void>((resolve) => {
    upstream.answer(() => resolve())
  })
  stuck.kill('SIGINT')
  await stuck.until('stopping')
  stuck.kill('SIGINT')
  assert.equal((await stuck.ended).code, 130)
  await lost
})

test('the banner says the size of a small cache; SIGTERM ends with 143', async (t) => {
  const program = await startProgram(t, ['demo', '-p', '0', '--admin', 'off', '--cache-size', '64kb'])
  assert.match(program.stderr(), /cache +memory, 64 KB\n/)
  program.kill('SIGTERM')
  assert.equal((await program.ended).code, 143)
})

test('--json writes one object a line, with durations in ms as numbers, and no other line to stdout', async (t) => {
  const program = await startProgram(t, ['demo', '-p', '0', '--admin', 'off', '--json'])
  await get(`${program.url}/api/echo?echo=a`)
  await get(`${program.url}/api/status/404`)
  program.kill('SIGINT')
  const { stdout } = await program.ended
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(
    lines.map(({ event }) => event),
    ['start', 'request', 'request', 'end'],
  )
  const [, first, second] = lines
  assert.deepEqual(
    [first.event, first.method, first.status, first.cache, first.reason],
    ['request', 'GET', 200, 'miss', 'uri-miss'],
  )
  assert.equal(typeof first.durationMs, 'number')
  assert.equal(second.status, 404)
})

test('the target that is down gives 502 with a sentence, and the log line says the code', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  await upstream.stop()
  const program = await startProgram(t, [upstream.url, '-p', '0', '--admin', 'off', '--hold', '0'])
  const { status, text } = await get(program.url)
  assert.equal(status, 502)
  assert.match(text, /refused the connection on 127\.0\.0\.1:\d+\. Is it running\?/)
  program.kill('SIGINT')
  assert.match((await program.ended).stdout, /502 .*upstream-refused/)
})

test('listening for others is said', async (t) => {
  const program = await startProgram(t, ['demo', '-p', '0', '--admin', 'off', '--host', '0.0.0.0'])
  await program.until('others can reach this proxy')
  const { headers } = await get(`${program.url.replace('0.0.0.0', '127.0.0.1')}/api/echo?echo=x`)
  assert.doesNotMatch(String(headers['cache-status']), /key=/)
})

test('Redis that is away is said once, and requests are served all the same', async (t) => {
  const program = await startProgram(t, [
    'demo',
    '-p',
    '0',
    '--admin',
    'off',
    '--cache',
    'redis://:hidden@127.0.0.1:1',
  ])
  await program.until(
    /redis:\/\/.*127\.0\.0\.1:1 does not answer; serving without the shared cache, trying again in 1 s\./,
  )
  const { status, headers } = await get(`${program.url}/api/echo?echo=x`)
  assert.equal(status, 200)
  assert.match(String(headers['cache-status']), /fwd=bypass.*store-down/)
  program.kill('SIGINT')
  const { stderr } = await program.ended
  assert.equal(stderr.match(/does not answer/g)?.length, 1)
  assert.doesNotMatch(stderr, /hidden/)
})

// By util-linux; that of BSD takes other options.
const script =
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') === true

test('--help is one line an option in a pipe, and wrapped in columns on a terminal of 80', {
  skip: !script,
}, async (t) => {
  const option = (text: string) =>
    text.split('\n').find((line) => line.includes('--connect-timeout <duration>'))
  const { stdout } = await runProgram(t, ['--help'])
  assert.match(option(stdout)!, /no connection to the upstream within that time: 504 \(default: 5s\)$/)
  const shown = inShell(`script -qec 'stty cols 80; revproxy --help' /dev/null < /dev/null`).stdout
  const help = shown.replaceAll('\r', '').split('\nExamples:')[0]!
  assert.match(option(help)!, / {3}no connection to the upstream$/)
  for (const line of help.split('\n')) assert.ok(line.length <= 80, line)
})

/** Runs a line of the shell in which `revproxy` stands for the program. */
const inShell = (line: string) => {
  const program = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))
  const text = line.replace('revproxy', `"${process.execPath}" "${program}"`)
  return spawnSync('/bin/sh', ['-c', text], { encoding: 'utf8', timeout: 30_000 })
}

for (const command of ['--help', 'completion zsh', ':3000 --print-config'])
  test(`a reader that has seen enough of ${command} is no fault`, () => {
    // What reads nothing has left before the program prints.
    const { stdout, stderr } = inShell(`{ revproxy ${command}; echo "exit code $?" >&2; } | true`)
    assert.deepEqual([stdout, stderr], ['', 'exit code 0\n'])
  })

test('what cannot be printed for another reason is told, and is no success', {
  skip: !existsSync('/dev/full'),
}, () => {
  const { status, stderr } = inShell('revproxy --help > /dev/full')
  assert.equal(status, 8)
  assert.equal(stderr, 'revproxy: what it says cannot be written: ENOSPC: no space left on device, write\n')
})
