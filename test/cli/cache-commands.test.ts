import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { runProgram, startProgram } from '../support/program.ts'
import { startUpstream } from '../support/upstream.ts'

test('explain says why, for five different misses and a hit, and what would have made it a hit', async (t) => {
  const proxy = await startProgram(t, ['demo', '-p', '0', '--admin', '0'])
  const explain = async (path: string, ...args: string[]) => {
    const { code, stdout, stderr } = await runProgram(t, [
      'explain',
      `${proxy.url}${path}`,
      '--admin',
      proxy.adminUrl!,
      ...args,
    ])
    assert.deepEqual([code, stderr], [0, ''])
    return stdout
  }
  await get(`${proxy.url}/api/echo?echo=a`)
  await get(`${proxy.url}/api/echo?echo=a`)
  const hit = await explain('/api/echo?echo=a')
  assert.match(
    hit,
    /^GET http:\/\/localhost:\d+\/api\/echo\?echo=a\nHIT {2}hit\nServed from the cache: fresh for \d+(?:\.\d)? s more/,
  )
  assert.match(hit, /✓ fresh: lifetime > age \(RFC 9111 §4\.2\): 60 s from max-age, age \d/)
  assert.match(hit, /lifetime +60 s from max-age/)
  assert.match(hit, /served +1 time/)

  // 1: nothing stored, and the nearest stored key differs in one parameter
  const utm = await explain('/api/echo?echo=a&utm_source=mail')
  assert.match(utm, /MISS {2}uri-miss/)
  assert.match(utm, /nearest +http:\/\/localhost:\d+\/api\/echo\?echo=a\n/)
  assert.match(utm, /--cache-key -query:utm_source would make it a hit/)

  // 1b: the first request there is
  assert.match(
    await explain('/nowhere/else'),
    /What would have made it a hit\n {2}Nothing: the first request for a URI is forwarded/,
  )
  assert.match(
    await explain('/api/echo?echo=a', '-H', 'X-Original-URL: /admin'),
    /✗ no field makes it another request \(local\): X-Original-URL\n/,
  )

  // 2: another variant
  await get(`${proxy.url}/api/vary`, { headers: { 'accept-language': 'en' } })
  const variant = await explain('/api/vary', '-H', 'Accept-Language: pl')
  assert.match(variant, /MISS {2}vary-miss/)
  assert.match(variant, /accept-language \(stored en, given pl\)/)
  assert.match(variant, /Variants: 1\n {2}accept-language: en {2}differs in accept-language/)

  // 3: refused by the upstream's own words; no-cache of the request is told apart
  await get(`${proxy.url}/api/cache?no-store`)
  const refused = await explain('/api/cache?no-store', '-H', 'Cache-Control: no-cache')
  assert.match(refused, /The last answer \(200, .* ago\) was not stored: no-store \(RFC 9111 §5\.2\.2\.5\)/)
  assert.match(refused, /The request says no-cache too, but that is not the reason/)

  // 4: the client asks for a fresh one although one is stored
  const impatient = await explain('/api/echo?echo=a', '-H', 'Cache-Control: no-cache')
  assert.match(impatient, /REVALIDATE {2}req-no-cache/)
  assert.match(impatient, /✗ request accepts it \(RFC 9111 §5\.2\.1\): Cache-Control: no-cache/)

  // 5: expired
  await get(`${proxy.url}/api/cache?max-age=0,stale-if-error=60`)
  assert.match(
    await explain('/api/cache?max-age=0,stale-if-error=60'),
    /REVALIDATE {2}expired\n.*no longer fresh \(RFC 9111 §4\.2\) \(by \d.* It has no ETag and no Last-Modified to ask by/,
  )

  // 6: a method that is not cached
  assert.match(await explain('/api/echo', '-X', 'POST'), /BYPASS {2}method/)

  const json = JSON.parse(await explain('/api/vary', '-H', 'Accept-Language: pl', '--json'))
  assert.deepEqual(
    [json.verdict, json.reason, json.variants[0].differsIn],
    ['miss', 'vary-miss', 'accept-language'],
  )
  assert.ok(json.steps.every((step: { section: unknown }) => typeof step.section === 'string'))
})

test('explain tells a part, another name of the host, and what may not be forwarded, from what is not there', async (t) => {
  const modified = new Date(Date.now() - 1000_000).toUTCString()
  const upstream = await startUpstream(t, (req, res) => {
    if (req.url === '/part')
      return void res
        .writeHead(206, { 'cache-control': 'max-age=60', 'content-range': 'bytes 0-4/10' })
        .end('01234')
    const head = { '/guess': { 'last-modified': modified }, '/tag': { etag: '"a"' } }[req.url ?? '']
    res.writeHead(200, head ?? { 'cache-control': 'max-age=60' }).end('x')
  })
  const proxy = await startProgram(t, [upstream.url, '-p', '0', '--admin', '0'])
  const explain = async (url: string, ...args: string[]): Promise<string> =>
    (await runProgram(t, ['explain', url, '--admin', proxy.adminUrl!, ...args])).stdout
  for (const path of ['/a?x=1&y=2', '/guess', '/tag']) await get(proxy.url + path)
  await get(`${proxy.url}/part`, { headers: { range: 'bytes=0-4' } })

  const part = await explain('/part')
  assert.match(part, /MISS {2}range-incomplete\nForwarded: only a part is stored .*, bytes 0-4 of 10\.\n/)
  assert.match(part, /✗ what is stored .*: bytes 0-4 of 10 are stored, the whole is asked for\n/)
  assert.match(await explain('/part', '-H', 'Range: bytes=3-7'), /are stored, bytes=3-7 is asked for\n/)

  const { port } = new URL(proxy.url)
  assert.match(
    await explain(`http://127.0.0.1:${port}/a?x=1&y=2`),
    /It is stored for who asks http:\/\/localhost:\d+\. Scheme and host count in the key/,
  )
  assert.match(await explain('/a?y=2&x=1'), /only in the order of the query, which counts in the key/)

  const only = ['-H', 'Cache-Control: only-if-cached']
  assert.match(await explain('/none', ...only), /MISS {2}only-if-cached\nAnswered 504: .* nothing is stored/)
  assert.match(await explain('/none', ...only), /✗ the upstream may be asked \(RFC 9111 §5\.2\.1\.7\)/)
  assert.match(await explain('/a?x=1&y=2', ...only), /HIT {2}hit\n/)

  const tag = await explain('/tag')
  assert.match(tag, /no freshness given\)\. The upstream is asked by its ETag whether it is still good\.\n/)
  assert.match(tag, /The backend says nothing about freshness: .* --ttl 60s/)
  assert.match(
    await explain('/guess'),
    /lifetime +\d+(?:\.\d)? s from heuristic \(RFC 9111 §4\.2\.2: a tenth/,
  )
})

test('cache ls, get and purge handle what a running proxy has stored', async (t) => {
  const proxy = await startProgram(t, ['demo', '-p', '0', '--admin', '0'])
  const run = async (...args: string[]) => runProgram(t, ['cache', ...args, '--admin', proxy.adminUrl!])
  for (const path of ['/api/echo?echo=a', '/api/echo?echo=b', '/api/vary']) await get(proxy.url + path)
  const list = (await run('ls')).stdout
  assert.match(list, /200 {2}ttl (?:5\d|60)s? .*1 B .* 0 hits {2}http:\/\/localhost:\d+\/api\/echo\?echo=a\n/)
  assert.match(list, /3 stored/)
  assert.match((await run('ls', '/api/vary')).stdout, /accept-language: –\n1 stored/)
  const shown = (await run('get', '/api/echo?echo=b')).stdout
  assert.match(shown, /Cache-Control: max-age=60/)
  assert.match(shown, /\n\nb\n$/)
  assert.equal((await run('get', '/api/none')).code, 1)
  assert.equal((await run('purge')).code, 2)
  assert.equal((await run('purge', '/api/echo?echo=a')).stdout, 'purged 1 URI\n')
  const { headers } = await get(`${proxy.url}/api/echo?echo=a`)
  assert.match(String(headers['cache-status']), /fwd=uri-miss.*detail="purged"/)
  assert.equal((await run('purge', '/api/echo*')).stdout, 'purged 2 URIs\n')
  assert.equal((await run('purge', '--all')).stdout, 'purged 1 URI\n')
  assert.match((await run('ls')).stdout, /^0 stored/)
})

test('what the listing conceals, and what a URL parser would write anew, is found and purged all the same', async (t) => {
  const rules = ['--cache-key', '+header:x-api-key']
  const proxy = await startProgram(t, ['demo', '-p', '0', '--admin', '0', ...rules])
  const run = async (...args: string[]) => (await runProgram(t, [...args, '--admin', proxy.adminUrl!])).stdout
  const odd = "/api/echo?echo='1'&x={a}"
  for (const path of ['/api/echo?echo=a&token=s3cret', '/api/echo?echo=b&token=s3cret', odd])
    await get(proxy.url + path)
  await get(`${proxy.url}/api/echo?echo=c`, { headers: { 'x-api-key': 's3cret' } })
  assert.doesNotMatch(await run('cache', 'ls'), /s3cret/)
  assert.match(await run('cache', 'get', odd), /\n\n'1'\n$/)
  assert.match(await run('explain', `${odd}#top`), /HIT {2}hit\n/)
  assert.equal(await run('cache', 'purge', '/api/echo?echo=a&token=s3cret'), 'purged 1 URI\n')
  assert.equal(await run('cache', 'purge', '--all'), 'purged 3 URIs\n')
  assert.match(await run('cache', 'ls'), /^0 stored/)
})

test('without a running proxy the commands say where they looked', async (t) => {
  const gone = await startUpstream(t, () => {})
  await gone.stop()
  const { code, stderr } = await runProgram(t, ['explain', '/x', '--admin', String(gone.port)])
  assert.equal(code, 3)
  assert.match(stderr, /no proxy answers on http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)\. Is one running\?/)
})
