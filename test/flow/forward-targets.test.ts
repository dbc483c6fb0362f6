import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const passing = { cache: 'off', hold: '0' } as const
let folder: string

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'revproxy-targets-'))
  execFileSync(
    'openssl',
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1'.split(
      ' ',
    ),
    { cwd: folder, stdio: 'ignore' },
  )
})
after(() => rmSync(folder, { recursive: true }))

const listening = async (t: TestContext, server: Server, ...where: [string] | [number, string]) => {
  await new Promise<void>((resolve) => server.listen(...(where as [number, string]), resolve))
  t.after(() => {
    ;(server as ReturnType<typeof createServer>).closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return (server.address() as AddressInfo).port
}
const startTls = (t: TestContext, answer: RequestListener): Promise<number> =>
  listening(
    t,
    createTlsServer(
      { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) },
      answer,
    ),
    0,
    '127.0.0.1',
  )

for (const [base, asked, want] of [
  ['/v1', '/users?a=1', '/v1/users?a=1'],
  ['/v1/', '//users', '/v1//users'],
  ['/?key=k', '/users', '/users?key=k'],
  ['/v1?key=k', '/users?a=1', '/v1/users?a=1&key=k'],
  ['/a%2Fb', '/%2e%2e/c', '/a%2Fb/%2e%2e/c'],
] as const) {
  test(`a target with ${base} has ${asked} asked for as ${want}`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
    const proxy = await startProxy(t, { target: `${upstream.url}${base}`, ...passing })
    await get(`${proxy.url}${asked}`)
    assert.equal(upstream.requests[0]!.url, want)
    assert.equal(proxy.opened[0]!.url, asked)
  })
}

test('a target may be a unix socket, with a path of its own', async (t) => {
  const path = join(folder, 'up.sock')
  const seen: Array<[string, string]> = []
  const server = createServer((req, res) => {
    seen.push([req.url!, req.headers.host!])
    res.end('hi')
  })
  await listening(t, server, path)
  const proxy = await startProxy(t, { target: `unix:${path}:/base`, ...passing })
  assert.equal((await get(`${proxy.url}/x`)).text, 'hi')
  assert.deepEqual(seen, [['/base/x', 'localhost']])
  assert.equal(proxy.opened[0]!.upstream?.address, path)
})

test('a unix socket that is not there gets 502 with a question', async (t) => {
  const proxy = await startProxy(t, { target: `unix:${join(folder, 'none.sock')}`, ...passing, hold: '0' })
  const { status, text } = await get(proxy.url)
  assert.equal(status, 502)
  assert.match(text, /none\.sock is not there\. Is it running\?\n$/)
})

test('a target may be an IPv6 address', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'), 0, '::1')
  const proxy = await startProxy(t, { target: upstream.url, ...passing })
  assert.equal((await get(proxy.url)).text, 'hi')
  assert.equal(upstream.requests[0]!.headers.host, `[::1]:${upstream.port}`)
})

for (const host of ['127.0.0.1', '::1']) {
  test(`localhost reaches an upstream that listens on ${host} only`, async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end('hi'), 0, host)
    const proxy = await startProxy(t, { target: `http://localhost:${upstream.port}`, ...passing })
    assert.equal((await get(proxy.url)).text, 'hi')
    assert.equal(upstream.requests[0]!.headers.host, `localhost:${upstream.port}`)
  })
}

test('localhost where nothing listens names both addresses (http-proxy-middleware#783)', async (t) => {
  const upstream = await startUpstream(t, () => {})
  await upstream.stop()
  const proxy = await startProxy(t, { target: `localhost:${upstream.port}`, ...passing, hold: '0' })
  const { status, text, headers } = await get(proxy.url)
  assert.equal(status, 502)
  assert.match(
    text,
    new RegExp(
      `^revproxy: http://localhost:${upstream.port} refused the connection on .* Is it running\\?\n$`,
    ),
  )
  assert.ok(text.includes(`127.0.0.1:${upstream.port}`) && text.includes(`[::1]:${upstream.port}`), text)
  assert.equal(headers['proxy-status'], 'revproxy; error=connection_refused')
})

test('a name that does not resolve gets 502 and says so', async (t) => {
  const proxy = await startProxy(t, { target: 'http://nowhere.invalid', ...passing })
  const { status, text } = await get(proxy.url)
  assert.equal(status, 502)
  assert.match(text, /^revproxy: the name of http:\/\/nowhere\.invalid cannot be resolved/)
})

test('a certificate that nobody vouches for gets 502 and the two ways out (local-cors-proxy#13)', async (t) => {
  const port = await startTls(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: `https://localhost:${port}`, ...passing })
  const { status, text } = await get(proxy.url)
  assert.equal(status, 502)
  assert.match(
    text,
    /^revproxy: TLS with https:\/\/localhost:\d+ failed: self.signed certificate\. -k accepts any certificate, --ca trusts yours\.\n$/,
  )
  assert.equal(proxy.opened[0]!.ended?.error ?? 'upstream-tls', 'upstream-tls')
})

for (const host of ['localhost', '127.0.0.1']) {
  for (const choice of ['target', 'client', 'api.example']) {
    test(`-k and --ca serve https://${host} with Host ${choice}, by one connection for all`, async (t) => {
      const names = new Set<unknown>()
      const sockets = new Set<unknown>()
      const port = await startTls(t, (req, res) => {
        names.add((req.socket as TLSSocket & { servername?: unknown }).servername)
        sockets.add(req.socket)
        res.end('hi')
      })
      for (const trust of [{ insecure: 'true' }, { ca: join(folder, 'cert.pem') }]) {
        const proxy = await startProxy(t, {
          target: `https://${host}:${port}`,
          ...passing,
          'host-header': choice,
          ...trust,
        })
        for (const asked of ['a.example', 'b.example:81', 'a.example'])
          assert.equal((await get(proxy.url, { headers: { host: asked } })).text, 'hi')
      }
      assert.equal(sockets.size, 2)
      // RFC 6066 §3: a name, never an address and never the client's Host.
      assert.deepEqual([...names], [host === 'localhost' ? 'localhost' : false])
    })
  }
}

test('a certificate for another name gets 502 and says which', async (t) => {
  const port = await startTls(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, {
    target: `https://[::1]:${port}`.replace('[::1]', '127.0.0.1'),
    ...passing,
    ca: join(folder, 'cert.pem'),
  })
  assert.equal((await get(proxy.url)).status, 200)
})

test('https: asked of an upstream that speaks http: is said plainly', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hi'))
  const proxy = await startProxy(t, { target: `https://127.0.0.1:${upstream.port}`, ...passing })
  const { status, text } = await get(proxy.url)
  assert.equal(status, 502)
  assert.match(text, /does not speak TLS\. Is it http: rather than https:\?\n$/)
})
