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
    /REVALIDATE {2}expired\n.*no longer fresh \(RFC 9111 §4\.2\) \(by \d/,
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

test('without a running proxy the commands say where they looked', async (t) => {
  const gone = await startUpstream(t, () => {})
  await gone.stop()
  const { code, stderr } = await runProgram(t, ['explain', '/x', '--admin', String(gone.port)])
  assert.equal(code, 3)
  assert.match(stderr, /no proxy answers on http:\/\/127\.0\.0\.1:\d+ \(ECONNREFUSED\)\. Is one running\?/)
})
