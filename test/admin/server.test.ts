import assert from 'node:assert/strict'
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect, createServer } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { type TestContext, test } from 'node:test'
import { type Admin, type AdminOptions, startAdmin } from '../../src/admin/server.ts'

const setUp = async (t: TestContext, options: Partial<AdminOptions> = {}): Promise<Admin> => {
  const admin = await startAdmin({ host: undefined, port: 0, tryNext: false, routes: [], ...options })
  t.after(() => admin.close())
  return admin
}

/** The loopback addresses this machine has; some containers lack ::1. */
const loopback = ['127.0.0.1', '::1'].filter((host) =>
  Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === host)),
)

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

const ask = (
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; host?: string; body?: string | Buffer } = {},
): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const { method = 'GET', headers = {}, host = '127.0.0.1', body } = options
    request({ host, port, path, method, headers, agent: false }, (res) => {
      let text = ''
      res.setEncoding('utf8')
      res.on('data', (chunk) => {
        text += chunk
      })
      res.on('end', () => resolve({ status: res.statusCode!, headers: res.headers, body: text }))
      res.on('error', reject)
    })
      .on('error', reject)
      .end(body)
  })

test('it answers on the loopback addresses there are, and gives the list at /', async (t) => {
  const admin = await setUp(t)
  assert.equal(admin.url, `http://localhost:${admin.port}`)
  for (const host of loopback) {
    const answer = await ask(admin.port, '/', { host })
    assert.equal(answer.status, 200)
    assert.match(answer.body, /GET {4}\/healthz {2}200 ok/)
  }
})

test('/healthz is ok until the proxy drains', async (t) => {
  let draining = false
  const { port } = await setUp(t, { draining: () => draining })
  const before = await ask(port, '/healthz')
  assert.deepEqual([before.status, before.body], [200, 'ok\n'])
  draining = true
  const after = await ask(port, '/healthz')
  assert.deepEqual([after.status, after.body], [503, 'draining\n'])
})

test('/metrics gives what scrape gives, in the format asked for', async (t) => {
  const { port } = await setUp(t, {
    scrape: async (accept) => ({ contentType: 'text/plain; version=0.0.4', body: `# ${accept}\n` }),
  })
  const answer = await ask(port, '/metrics', { headers: { accept: 'x/y' } })
  assert.deepEqual([answer.status, answer.body], [200, '# x/y\n'])
  assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4')
  const head = await ask(port, '/metrics', { method: 'HEAD' })
  assert.deepEqual([head.status, head.body, head.headers['content-length']], [200, '', '12'])
})

test('every answer forbids storing, sniffing, framing and scripts', async (t) => {
  const { port } = await setUp(t)
  for (const [path, headers] of [
    ['/', {}],
    ['/nothing', {}],
    ['/', { host: 'evil.example' }],
  ] as const) {
    const answer = await ask(port, path, { headers })
    assert.equal(answer.headers['cache-control'], 'no-store')
    assert.equal(answer.headers['x-content-type-options'], 'nosniff')
    assert.match(answer.headers['content-security-policy'] as string, /^default-src 'none'/)
  }
})

const hosts: Array<{ host: string; given?: string; want: number }> = [
  { host: 'localhost:PORT', want: 200 },
  { host: 'LOCALHOST:PORT', want: 200 },
  { host: '127.0.0.1:PORT', want: 200 },
  { host: '[::1]:PORT', want: 200 },
  { host: 'localhost', want: 421 },
  { host: 'localhost:1', want: 421 },
  { host: 'localhost.evil.example:PORT', want: 421 },
  { host: 'evil.example:PORT', want: 421 },
  { host: '127.0.0.1.evil.example:PORT', want: 421 },
  { host: '192.168.1.2:PORT', want: 421 },
  { host: 'user@localhost:PORT', want: 421 },
  { given: '0.0.0.0', host: 'localhost:PORT', want: 200 },
  { given: '0.0.0.0', host: 'localhost:19900', want: 200 },
  { given: '0.0.0.0', host: '192.168.1.2:PORT', want: 200 },
  { given: '0.0.0.0', host: '192.168.1.2:19900', want: 200 },
  { given: '0.0.0.0', host: `${hostname()}:PORT`, want: 200 },
  { given: '0.0.0.0', host: 'proxy-in-compose:PORT', want: 200 },
  { given: '0.0.0.0', host: 'evil.example:PORT', want: 421 },
  { given: 'localhost', host: 'localhost:PORT', want: 200 },
]
for (const { host, given, want } of hosts) {
  test(`Host ${JSON.stringify(host)}${given === undefined ? '' : ` on ${given}`} is answered with ${want}`, async (t) => {
    const { port } = await setUp(t, { host: given, names: ['proxy-in-compose'] })
    const answer = await ask(port, '/healthz', {
      headers: { host: host.replace('PORT', String(port)) },
      host: given === 'localhost' ? 'localhost' : '127.0.0.1',
    })
    assert.equal(answer.status, want)
    if (want === 421)
      assert.match(answer.body, /does not answer to the name it was asked by; use localhost:\d+/)
  })
}

test('a request without a Host is answered with 421', async (t) => {
  const { port } = await setUp(t)
  const socket = connect(port, '127.0.0.1')
  socket.end('GET /healthz HTTP/1.0\r\n\r\n')
  let answer = ''
  for await (const chunk of socket) answer += chunk
  assert.match(answer, /^HTTP\/1\.1 421 /)
})

const pages: Array<{ name: string; headers: Record<string, string>; want: number }> = [
  {
    name: 'its own page',
    headers: { origin: 'http://127.0.0.1:PORT', 'sec-fetch-site': 'same-origin' },
    want: 200,
  },
  { name: 'an address typed in', headers: { 'sec-fetch-site': 'none' }, want: 200 },
  { name: 'a page of another origin', headers: { origin: 'http://evil.example' }, want: 403 },
  { name: 'a page on another port', headers: { origin: 'http://127.0.0.1:3000' }, want: 403 },
  { name: 'a page without an origin', headers: { origin: 'null' }, want: 403 },
  { name: 'an image of another site', headers: { 'sec-fetch-site': 'cross-site' }, want: 403 },
]
for (const { name, headers, want } of pages) {
  test(`${name} gets ${want}`, async (t) => {
    const { port } = await setUp(t)
    const sent = Object.entries(headers).map(([field, value]) => [field, value.replace('PORT', String(port))])
    assert.equal((await ask(port, '/healthz', { headers: Object.fromEntries(sent) })).status, want)
  })
}

test('an unknown path and a wrong method are told in a sentence', async (t) => {
  const { port } = await setUp(t)
  const missing = await ask(port, '//evil.example/healthz')
  assert.deepEqual(
    [missing.status, missing.body],
    [404, 'There is nothing at this path; / lists what there is.\n'],
  )
  const wrong = await ask(port, '/healthz', { method: 'DELETE' })
  assert.deepEqual(
    [wrong.status, wrong.headers.allow, wrong.body],
    [405, 'GET, HEAD', 'This path takes GET, HEAD.\n'],
  )
  assert.equal((await ask(port, `http://127.0.0.1:${port}/healthz`)).status, 400)
})

test('routes get the request and its body; what lies below a path is theirs with /*', async (t) => {
  const { port } = await setUp(t, {
    routes: [
      {
        method: 'POST',
        path: '/cache/entries/*',
        about: 'test',
        handle: async ({ url, method, headers, body }) => ({
          status: 202,
          contentType: 'text/plain',
          body: `${method} ${url.pathname}${url.search} ${headers['x-a']} ${await body()}`,
        }),
      },
    ],
  })
  const options = { method: 'POST', headers: { 'x-a': 'b' }, body: 'hello' }
  const answer = await ask(port, '/cache/entries/k%2F1?q=2', options)
  assert.deepEqual([answer.status, answer.body], [202, 'POST /cache/entries/k%2F1?q=2 b hello'])
  assert.equal((await ask(port, '/cache/entries', options)).status, 404)
  assert.match((await ask(port, '/')).body, /POST {3}\/cache\/entries\/\* {2}test/)
  const large = await ask(port, '/cache/entries/x', { method: 'POST', body: Buffer.alloc(1024 * 1024 + 1) })
  assert.deepEqual([large.status, large.body], [413, 'The body is larger than 1 MB.\n'])
})

test('a route that fails is answered with 500 and reported, and the listener goes on', async (t) => {
  const reported: string[] = []
  const { port } = await setUp(t, {
    scrape: async () => {
      throw new Error('no registry')
    },
    routes: [
      {
        method: 'GET',
        path: '/bad',
        about: '',
        handle: async () => ({ status: 9999, contentType: 'a\nb', body: '' }),
      },
      {
        method: 'GET',
        path: '/sync',
        about: '',
        handle: () => {
          throw new TypeError('at once')
        },
      },
    ],
    onError: (error, where) => reported.push(`${where}: ${(error as Error).name}`),
  })
  const answer = await ask(port, '/metrics?x')
  assert.deepEqual([answer.status, answer.body], [500, 'This failed: no registry\n'])
  assert.equal((await ask(port, '/bad')).status, 500)
  assert.equal((await ask(port, '/sync')).status, 500)
  assert.equal((await ask(port, '/healthz')).status, 200)
  assert.deepEqual(reported, ['GET /metrics: Error', 'GET /bad: RangeError', 'GET /sync: TypeError'])
})

/** Holds a port of one family until the test ends. */
const occupy = (t: TestContext, host: string, port = 0): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(port, host, () => resolve((server.address() as { port: number }).port))
    t.after(() => server.close())
  })

for (const host of loopback) {
  test(`a port taken on ${host} is an error, with its code`, async (t) => {
    const port = await occupy(t, host)
    await assert.rejects(startAdmin({ host: undefined, port, tryNext: false, routes: [] }), {
      code: 'EADDRINUSE',
      port,
    })
    // The attempt that failed holds none of the others.
    for (const other of loopback) if (other !== host) await occupy(t, other, port)
  })

  test(`a port taken on ${host} leads to a further one where that is wanted`, async (t) => {
    const port = await occupy(t, host)
    const admin = await setUp(t, { port, tryNext: true })
    assert.ok(admin.port > port && admin.port <= port + 20)
    assert.equal((await ask(admin.port, '/healthz')).status, 200)
  })
}

test('an address that is not of this machine is an error, with its code', async () => {
  await assert.rejects(startAdmin({ host: '192.0.2.1', port: 0, tryNext: true, routes: [] }), {
    code: 'EADDRNOTAVAIL',
  })
})

test('close ends a connection that would never end', async (t) => {
  let entered = () => {}
  const inside = new Promise<void>((resolve) => {
    entered = resolve
  })
  const admin = await setUp(t, {
    routes: [
      {
        method: 'GET',
        path: '/never',
        about: '',
        handle: () => {
          entered()
          return new Promise(() => {})
        },
      },
    ],
  })
  const answer = assert.rejects(ask(admin.port, '/never'), { code: 'ECONNRESET' })
  await inside
  await admin.close()
  await answer
  await assert.rejects(ask(admin.port, '/'), { code: 'ECONNREFUSED' })
})
