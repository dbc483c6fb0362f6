import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gate, get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const fresh = { 'cache-control': 'max-age=60' }

test('--cache-key -query:utm_* lets links from a newsletter hit', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, fresh).end('x'))
  const proxy = await startProxy(t, { target: upstream.url, 'cache-key': '-query:utm_*' })
  await get(`${proxy.url}/a?b=1&utm_source=mail`)
  await get(`${proxy.url}/a?b=1`)
  await get(`${proxy.url}/a?b=2`)
  // The upstream still gets what the client sent.
  assert.deepEqual(
    upstream.requests.map(({ url }) => url),
    ['/a?b=1&utm_source=mail', '/a?b=2'],
  )
})

test('a POST invalidates under its own value of a --cache-key +header, and no other', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, fresh).end('x'))
  const proxy = await startProxy(t, { target: upstream.url, 'cache-key': '+header:x-tenant' })
  const ask = async (tenant: string, method = 'GET'): Promise<string> =>
    String((await get(proxy.url, { method, headers: { 'x-tenant': tenant } })).headers['cache-status']).slice(
      0,
      15,
    )
  for (const tenant of ['a', 'b']) await ask(tenant)
  await ask('a', 'POST')
  assert.deepEqual([await ask('a'), await ask('b')], ['revproxy; fwd=u', 'revproxy; hit; '])
})

test('--cache-key -header:user-agent heals a Vary that shatters the cache', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { ...fresh, vary: 'User-Agent, Accept' }).end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url, 'cache-key': '-header:user-agent' })
  for (const agent of ['a', 'b', 'c']) await get(proxy.url, { headers: { 'user-agent': agent } })
  await get(proxy.url, { headers: { accept: 'text/html' } })
  assert.equal(upstream.requests.length, 2)
})

test('a response in the language that is wanted most is one for all, unless --cache-key +header:accept-language', async (t) => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { ...fresh, vary: 'Accept-Language', 'content-language': 'de' }).end('hallo')
  })
  const ask = async (url: string): Promise<string[]> => {
    const seen: string[] = []
    for (const list of ['en, de', 'fr;q=0.5, de', 'de, en;q=0.1', 'fr, de;q=0.5'])
      seen.push(String((await get(url, { headers: { 'accept-language': list } })).headers['cache-status']))
    return seen.map((said) => (/; hit/.test(said) ? 'hit' : 'miss'))
  }
  const plain = await startProxy(t, { target: upstream.url })
  assert.deepEqual(await ask(plain.url), ['miss', 'hit', 'hit', 'miss'])
  const apart = await startProxy(t, { target: upstream.url, 'cache-key': '+header:accept-language' })
  assert.deepEqual(await ask(apart.url), ['miss', 'miss', 'miss', 'miss'])
})

test('--cache-mode force stores what the backend forbids, and says over what on each such answer', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'cache-control': 'no-store, private' }).end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url, 'cache-mode': 'force', ttl: '30s' })
  const first = await get(proxy.url)
  const second = await get(proxy.url)
  assert.match(String(first.headers['cache-status']), /stored; .*detail="uri-miss forced over no-store"/)
  assert.match(
    String(second.headers['cache-status']),
    /hit; ttl=(?:29|30); .*detail="hit forced over no-store"/,
  )
  proxy.advance(31_000)
  await get(proxy.url)
  assert.equal(upstream.requests.length, 2)
})

test('force leaves what belongs to one user alone, unless --force-private', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, req.url === '/cookie' ? { 'set-cookie': 'a=b' } : {}).end('x')
  })
  const ask = async (url: string) => {
    await get(`${url}/cookie`)
    await get(`${url}/cookie`)
    await get(`${url}/auth`, { headers: { authorization: 'Basic x' } })
    await get(`${url}/auth`, { headers: { authorization: 'Basic x' } })
  }
  const careful = await startProxy(t, { target: upstream.url, 'cache-mode': 'force' })
  await ask(careful.url)
  assert.equal(upstream.requests.length, 4)
  assert.match(
    String((await get(`${careful.url}/cookie`)).headers['cache-status']),
    /detail="uri-miss not forced with Set-Cookie \(--force-private\); not stored: no-freshness"/,
  )
  assert.match(
    String(
      (await get(`${careful.url}/auth`, { headers: { authorization: 'Basic x' } })).headers['cache-status'],
    ),
    /detail="uri-miss not forced with Authorization \(--force-private\); not stored: authorization"/,
  )
  const bold = await startProxy(t, { target: upstream.url, 'cache-mode': 'force', 'force-private': 'true' })
  await ask(bold.url)
  assert.equal(upstream.requests.length, 8)
})

test('--ttl gives freshness to responses that carry none, and to no others', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    res.writeHead(200, req.url === '/none' ? {} : { 'cache-control': 'max-age=0' }).end('x')
  })
  const proxy = await startProxy(t, { target: upstream.url, ttl: '30s' })
  for (const path of ['/none', '/none', '/zero', '/zero']) await get(proxy.url + path)
  assert.deepEqual(
    upstream.requests.map(({ url }) => url),
    ['/none', '/zero', '/zero'],
  )
})

test('--no-collapse lets every miss go to the upstream', async (t) => {
  const opened = gate()
  const upstream = await startUpstream(t, async (_, res) => {
    if (upstream.requests.length === 3) opened.open()
    await opened.promise
    res.writeHead(200, fresh).end('x')
  })
  const proxy = await startProxy(t, { target: upstream.url, 'no-collapse': 'true' })
  await Promise.all([get(proxy.url), get(proxy.url), get(proxy.url)])
  assert.equal(upstream.requests.length, 3)
})

test('nobody gets the cookie of another, whatever an entity tag says of the rest', async (t) => {
  let cookies = 0
  const upstream = await startUpstream(t, (req, res) => {
    // As session middleware does: a cookie for whom it does not know, an entity tag for all.
    const head: Record<string, string> = { etag: 'W/"home"' }
    if (req.url === '/fresh') head['cache-control'] = 'max-age=60'
    if (req.headers.cookie === undefined) head['set-cookie'] = `sid=${++cookies}`
    res.writeHead(req.headers['if-none-match'] === undefined ? 200 : 304, head).end()
  })
  const cookieFor = async (url: string, cookie?: string) =>
    (await get(url, cookie === undefined ? {} : { headers: { cookie } })).headers['set-cookie']
  const proxy = await startProxy(t, { target: upstream.url })
  assert.deepEqual(await cookieFor(proxy.url), ['sid=1'])
  assert.equal(await cookieFor(proxy.url, 'mine'), undefined)

  const strict = await startProxy(t, { target: upstream.url, 'no-cache-cookies': 'true' })
  assert.equal(await cookieFor(`${strict.url}/fresh`, 'mine'), undefined)
  strict.advance(61_000)
  assert.deepEqual(await cookieFor(`${strict.url}/fresh`), ['sid=2'])
  assert.equal(await cookieFor(`${strict.url}/fresh`, 'mine'), undefined)
})

test('--no-cache-cookies refuses responses that set one, and says so', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { ...fresh, 'set-cookie': 'a=b' }).end('x'),
  )
  const lenient = await startProxy(t, { target: upstream.url })
  await get(lenient.url)
  assert.match(String((await get(lenient.url)).headers['set-cookie']), /a=b/)
  assert.equal(lenient.exchanges[0]!.cache!.detail, 'stores Set-Cookie')
  assert.equal(upstream.requests.length, 1)
  const strict = await startProxy(t, { target: upstream.url, 'no-cache-cookies': 'true' })
  await get(strict.url)
  await get(strict.url)
  assert.equal(upstream.requests.length, 3)
  assert.equal(strict.exchanges[0]!.cache!.storage, 'set-cookie-policy')
})

test('--private keeps what a shared cache may not', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.writeHead(200, { 'cache-control': 'private, max-age=60, s-maxage=0' }).end('x'),
  )
  const proxy = await startProxy(t, { target: upstream.url, private: 'true' })
  await get(proxy.url)
  await get(proxy.url, { headers: { authorization: 'Basic x' } })
  assert.equal(upstream.requests.length, 1)
})

test('--private does not read CDN-Cache-Control, which is for shared caches, before and after a 304', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    const fields = { 'cdn-cache-control': 'max-age=60', 'cache-control': 'max-age=1', etag: '"a"' }
    res.writeHead(req.headers['if-none-match'] === undefined ? 200 : 304, fields).end()
  })
  const shared = await startProxy(t, { target: upstream.url })
  const single = await startProxy(t, { target: upstream.url, private: 'true' })
  for (const proxy of [shared, single]) {
    for (let i = 0; i < 3; i++) {
      await get(proxy.url)
      proxy.advance(2000)
    }
  }
  const statuses = (proxy: typeof shared) => proxy.exchanges.map(({ cache }) => cache!.status)
  assert.deepEqual(statuses(shared), ['miss', 'hit', 'hit'])
  assert.deepEqual(statuses(single), ['miss', 'revalidated', 'revalidated'])
})

test('PURGE goes to the upstream like any method, unless --purge', async (t) => {
  const upstream = await startUpstream(
    t,
    (req, res) => void res.writeHead(req.method === 'PURGE' ? 405 : 200, fresh).end('x'),
  )
  const plain = await startProxy(t, { target: upstream.url })
  await get(plain.url)
  assert.equal((await get(plain.url, { method: 'PURGE' })).status, 405)
  assert.match(String((await get(plain.url)).headers['cache-status']), /hit/)
  const purging = await startProxy(t, { target: upstream.url, purge: 'true' })
  await get(purging.url)
  assert.equal((await get(purging.url, { method: 'PURGE' })).status, 200)
  assert.equal((await get(purging.url, { method: 'PURGE' })).status, 404)
  assert.match(String((await get(purging.url)).headers['cache-status']), /detail="purged"/)
})

test('--cache-status off says nothing, basic neither key nor detail', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, fresh).end('x'))
  const off = await startProxy(t, { target: upstream.url, 'cache-status': 'off' })
  assert.equal((await get(off.url)).headers['cache-status'], undefined)
  const basic = await startProxy(t, { target: upstream.url, 'cache-status': 'basic' })
  assert.equal(
    (await get(basic.url)).headers['cache-status'],
    'revproxy; fwd=uri-miss; fwd-status=200; stored',
  )
})

test('--cache off passes everything, with no cache words at all', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.writeHead(200, fresh).end('x'))
  const proxy = await startProxy(t, { target: upstream.url, cache: 'off' })
  await get(proxy.url)
  const { headers } = await get(proxy.url)
  assert.equal(headers['cache-status'], undefined)
  assert.equal(upstream.requests.length, 2)
  assert.equal(proxy.exchanges[0]!.cache, undefined)
})
