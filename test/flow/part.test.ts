import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const ten = '0123456789'

test('a stored part is completed by its rest, and the whole is a hit from then on', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '')
    if (range === null)
      return void res.writeHead(200, { 'cache-control': 'max-age=60', etag: '"a"' }).end(ten)
    const [first, last] = [Number(range[1]), range[2] === '' ? 9 : Number(range[2])]
    res
      .writeHead(206, {
        'cache-control': 'max-age=60',
        etag: '"a"',
        'content-range': `bytes ${first}-${last}/10`,
      })
      .end(ten.slice(first, last + 1))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const part = await get(proxy.url, { headers: { range: 'bytes=0-4' } })
  assert.deepEqual([part.status, part.text], [206, '01234'])
  const more = await get(proxy.url, { headers: { range: 'bytes=3-6' } })
  assert.deepEqual([more.status, more.text, more.headers['content-range']], [206, '3456', 'bytes 3-6/10'])
  const [a, b] = await Promise.all([get(proxy.url), get(proxy.url)])
  assert.deepEqual([a.status, a.text, b.text], [200, ten, ten])
  const again = await get(proxy.url)
  assert.equal(again.text, ten)
  assert.deepEqual(
    upstream.requests.map(({ headers }) => [headers.range, headers['if-range']]),
    [
      ['bytes=0-4', undefined],
      ['bytes=5-6', '"a"'],
      ['bytes=7-', '"a"'],
    ],
  )
  assert.match(
    String(a.headers['cache-status']) + String(b.headers['cache-status']),
    /fwd=partial; fwd-status=206; stored/,
  )
  assert.match(String(again.headers['cache-status']), /revproxy; hit/)
})

test('a part whose whole has changed is not completed but replaced', async (t) => {
  let version = 'a'
  const upstream = await startUpstream(t, (req, res) => {
    const head = { 'cache-control': 'max-age=60', etag: `"${version}"` }
    if (req.headers.range === undefined || (req.headers['if-range'] ?? head.etag) !== head.etag)
      return void res.writeHead(200, head).end(version.repeat(10))
    res.writeHead(206, { ...head, 'content-range': 'bytes 0-4/10' }).end(version.repeat(5))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url, { headers: { range: 'bytes=0-4' } })
  version = 'b'
  assert.equal((await get(proxy.url)).text, 'bbbbbbbbbb')
  assert.equal((await get(proxy.url)).text, 'bbbbbbbbbb')
  assert.equal(upstream.requests.length, 2)
})

test('an upstream that answers If-Range with a part of something else is asked for the whole', async (t) => {
  let version = 'a'
  const upstream = await startUpstream(t, (req, res) => {
    const head = { 'cache-control': 'max-age=60', etag: `"${version}"` }
    if (req.headers.range === undefined) return void res.writeHead(200, head).end(version.repeat(10))
    const first = version === 'a' ? 0 : 5
    res.writeHead(206, { ...head, 'content-range': `bytes ${first}-${first + 4}/10` }).end(version.repeat(5))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  await get(proxy.url, { headers: { range: 'bytes=0-4' } })
  version = 'b'
  assert.equal((await get(proxy.url)).text, 'bbbbbbbbbb')
  assert.equal(upstream.requests.length, 3)
})

for (const ranges of ['without ranges', 'with ranges']) {
  test(`a beginning without validator is never mixed with what comes of an upstream ${ranges}`, async (t) => {
    let version = 'a'
    const upstream = await startUpstream(t, (req, res) => {
      const head = { 'cache-control': 'max-age=60' }
      const first = Number(/^bytes=(\d+)-/.exec(req.headers.range ?? '')?.[1] ?? Number.NaN)
      if (Number.isNaN(first) || (first > 0 && ranges === 'without ranges'))
        return void res.writeHead(200, head).end(version.repeat(10))
      const last = first === 0 ? 4 : 9
      res
        .writeHead(206, { ...head, 'content-range': `bytes ${first}-${last}/10` })
        .end(version.repeat(last + 1 - first))
    })
    const proxy = await startProxy(t, { target: upstream.url })
    assert.equal((await get(proxy.url, { headers: { range: 'bytes=0-4' } })).text, 'aaaaa')
    version = 'b'
    const [one, other] = await Promise.all([get(proxy.url), get(proxy.url)])
    assert.deepEqual([one.status, one.text, other.text], [200, 'bbbbbbbbbb', 'bbbbbbbbbb'])
    const hit = await get(proxy.url)
    assert.equal(hit.text, 'bbbbbbbbbb')
    assert.match(String(hit.headers['cache-status']), /revproxy; hit/)
    const question = ['bytes=5-', undefined]
    const whole = [undefined, undefined]
    assert.deepEqual(
      upstream.requests.slice(1).map(({ headers }) => [headers.range, headers['if-range']]),
      ranges === 'with ranges' ? [question, whole] : [question],
    )
    const said = String(one.headers['cache-status']) + String(other.headers['cache-status'])
    assert.match(said, /fwd=partial; fwd-status=200; stored/)
    assert.equal(/bytes=5-, then as the client asked/.test(said), ranges === 'with ranges')
  })
}

test('what a Range makes the upstream refuse is for nobody else', async (t) => {
  const upstream = await startUpstream(t, (req, res) => {
    const status = req.headers.range === undefined ? 200 : req.url === '/416' ? 416 : 400
    res.writeHead(status, { 'cache-control': 'max-age=60' }).end(String(status))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  for (const path of ['/416', '/400']) {
    const refused = await get(proxy.url + path, { headers: { range: 'bytes=99-' } })
    assert.equal(`/${refused.status}`, path)
    assert.match(String(refused.headers['cache-status']), /detail="uri-miss; not stored: range"/)
    assert.equal((await get(proxy.url + path)).status, 200)
  }
})

test('what is put together has to find room among all that is on its way into the store', async (t) => {
  const whole = Buffer.alloc(200_000, 'x')
  const upstream = await startUpstream(t, (req, res) => {
    const head = { 'cache-control': 'max-age=60', etag: '"a"' }
    const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '')
    if (range === null) return void res.writeHead(200, head).end(whole)
    const [first, last] = [Number(range[1]), range[2] === '' ? 199_999 : Number(range[2])]
    res
      .writeHead(206, { ...head, 'content-range': `bytes ${first}-${last}/200000` })
      .end(whole.subarray(first, last + 1))
  })
  const proxy = await startProxy(t, { target: upstream.url, 'cache-size': '100kb' })
  await get(proxy.url, { headers: { range: 'bytes=0-4' } })
  assert.equal((await get(proxy.url)).text.length, 200_000)
  assert.deepEqual(
    upstream.requests.map(({ headers }) => headers.range),
    ['bytes=0-4', 'bytes=5-', undefined],
  )
})
