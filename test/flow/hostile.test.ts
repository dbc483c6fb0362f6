/** Whatever clients and upstreams send, nothing we print or serve steers a terminal, and no secret is in it. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { raw } from '../support/client.ts'
import { type Program, runProgram, startProgram } from '../support/program.ts'
import { startRawUpstream } from '../support/raw-upstream.ts'

/** Controls of both sets, bidi overrides and isolates, what is drawn as nothing. */
const RAW = /[\x00-\x09\x0b-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/
/** As UTF-8, which a terminal reads: C1's CSI, right-to-left override, zero-width space. */
const evil = Buffer.from('\u009b2J\u202e\u200b').toString('latin1')

const head = (type: string): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nCache-Control: max-age=60\r\nVary: x-evil\r\nX-Evil: ${evil}\r\nX-Token: hush\r\nServer-Timing: db;desc="${evil}"\r\n`
const body = Buffer.from(`{"token":"hush","a":"\x1b[2J\u202e"}`)

const hostileProxy = async (t: TestContext, flags: readonly string[]): Promise<Program> => {
  const upstream = await startRawUpstream(t, (socket, nth) => {
    if (upstream.heads[nth]!.includes('/broken')) {
      socket.end(`HTTP/1.1 200 O${evil}K\r\nX: \x01\r\n\r\n`)
      return
    }
    socket.write(`${head('application/json')}Content-Length: ${body.length}\r\n\r\n`, 'latin1')
    socket.write(body)
  })
  const proxy = await startProgram(t, [upstream.url, '-p', '0', '--hold', '0', '-vv', ...flags])
  const { port } = new URL(proxy.url)
  // node refuses such bytes in a URL, and control characters in fields.
  for (const target of [
    '/a/%1b%5B2J?token=hush&q=%e2%80%ae',
    '/a/%1b%5B2J?token=hush&q=%e2%80%ae',
    '/broken?api_key=hush',
    '/route?redirect=%2Fb%3Ftoken%3Dhush',
  ]) {
    const fields = `Host: localhost:${port}\r\nX-Evil: ${evil}\r\nCookie: id=hush\r\nUser-Agent: ${evil}\r\nContent-Type: text/plain\r\nConnection: close`
    await raw(Number(port), Buffer.from(`GET ${target} HTTP/1.1\r\n${fields}\r\n\r\n`, 'latin1'))
    await raw(
      Number(port),
      Buffer.from(
        `POST ${target.replace('/a/', '/b/')} HTTP/1.1\r\n${fields}\r\nContent-Length: 5\r\n\r\n\x1b[2J\n`,
        'latin1',
      ),
    )
  }
  await raw(Number(port), `G\x1bT / HTTP/1.1\r\n\r\n`)
  return proxy
}

const clean = (what: string, text: string): void => {
  const at = RAW.exec(text)
  assert.equal(
    at,
    null,
    `${what}: ${JSON.stringify(text.slice(Math.max(0, (at?.index ?? 0) - 40), (at?.index ?? 0) + 20))}`,
  )
  assert.ok(!text.includes('hush'), `${what} tells a secret: ${/.*hush.*/.exec(text)?.[0]}`)
}

for (const format of ['pretty', 'json', 'logfmt'] as const) {
  test(`the log (${format}), the banner and the summary are clean`, async (t) => {
    const proxy = await hostileProxy(t, ['--log', format, '--color', 'never', '--admin', 'off'])
    await proxy.until(/GET[^\n]*\/route[\s\S]*POST[^\n]*\/route/)
    proxy.kill('SIGINT')
    const { stdout, stderr } = await proxy.ended
    assert.match(stdout, /\/broken/)
    assert.match(stdout, format === 'pretty' ? /\\x9b2J/ : /\\u009b2J/)
    clean('stdout', stdout)
    clean('stderr', stderr)
  })
}

test('commands, the admin listener, metrics and a HAR are clean', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-hostile-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const har = join(folder, 'run.har')
  const proxy = await hostileProxy(t, ['--log', 'off', '--admin', '0', '--har', har, '--max-requests', '99'])
  const admin = proxy.adminUrl!
  for (const path of ['/traces', '/traces/last', '/stats', '/cache/entries', '/metrics', '/']) {
    const text = await (await fetch(admin + path)).text()
    assert.ok(text.length > 100 || path === '/', `${path}: ${text}`)
    clean(path, text)
  }
  const url = `${proxy.url}/a/${encodeURI('\u202e')}?token=hush`
  for (const args of [
    ['traces'],
    ['traces', '--json'],
    ['trace', 'last'],
    ['trace', '1'],
    ['trace', '1', '--json'],
    ['top'],
    ['top', '--json'],
    ['cache', 'ls'],
    ['cache', 'ls', '--json'],
    ['explain', url, '-H', 'Cookie: id=hush'],
    ['explain', url, '-H', 'X-Evil: \u202e', '--json'],
    ['explain', '/\x1b[2J'],
  ]) {
    const { code, stdout, stderr } = await runProgram(t, [...args, '--admin', admin, '--color', 'never'])
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
    clean(args.join(' '), stdout)
    clean(args.join(' '), stderr)
  }
  proxy.kill('SIGINT')
  await proxy.ended
  const text = readFileSync(har, 'utf8')
  assert.ok(JSON.parse(text).log.entries.length >= 8)
  clean('HAR', text)
})
