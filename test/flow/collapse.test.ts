/** Many clients, one request to the upstream: who shares, who goes alone, and who ends what. */
import assert from 'node:assert/strict'
import { Agent, type IncomingMessage, type ServerResponse } from 'node:http'
import { type TestContext, test } from 'node:test'
import { formatDate } from '../../src/http/date.ts'
import { gate, get } from '../support/client.ts'
import { startProxy, type TextOptions } from '../support/proxy.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'

const cacheable = { 'cache-control': 'max-age=60' }

/** A proxy whose upstream answers when the test lets it. */
const setup = async (
  t: TestContext,
  answer: (req: IncomingMessage, res: ServerResponse, letGo: Promise<void>) => void | Promise<void>,
  options: TextOptions = {},
) => {
  const opened = gate()
  const upstream = await startUpstream(t, (req, res) => answer(req, res, opened.promise))
  const proxy = await startProxy(t, { target: upstream.url, ...options })
  const coalesced = (count: number): Promise<void> =>
    proxy.until((_, all) => all.filter((x) => x.cache?.status === 'coalesced').length === count)
  return { upstream, proxy, open: () => opened.open(), coalesced }
}

/** Resolves once the condition holds; rejects after 5 s. */
const until = async (what: string, condition: () => boolean): Promise<void> => {
  const end = performance.now() + 5000
  while (!condition()) {
    assert.ok(performance.now() < end, what)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

for (const kind of ['memory', 'redis'] as const) {
  test(`1,000 misses for one key at once reach the upstream once (${kind})`, async (t) => {
    const cache = kind === 'memory' ? 'memory' : (await startRedis(t)).url
    const { upstream, proxy, open } = await setup(
      t,
      async (_, res, letGo) => {
        res.writeHead(200, cacheable)
        res.write('hel')
        await letGo
        res.end('lo')
      },
      { cache, 'cache-timeout': '2s' },
    )
    if (kind === 'redis') {
      // Until the connection stands the store is away, and everyone goes alone.
      await until('the store is used', () => {
        void get(`${proxy.url}/warm`).catch(() => {})
        return proxy.opened.some((x) => x.cache?.reason === 'uri-miss')
      })
    }
    const before = upstream.requests.filter(({ url }) => url === '/').length
    const agent = new Agent({ keepAlive: true, maxSockets: 1000 })
    t.after(() => agent.destroy())
    const answers = Array.from({ length: 1000 }, () => get(`${proxy.url}/`, { agent }))
    await proxy.until(
      (_, all) => all.filter((x) => x.url === '/' && x.cache?.status === 'coalesced').length === 999,
    )
    open()
    assert.deepEqual(new Set((await Promise.all(answers)).map(({ text }) => text)), new Set(['hello']))
    assert.equal(upstream.requests.filter(({ url }) => url === '/').length - before, 1)
    const leaders = new Set(
      proxy.exchanges.filter((x) => x.url === '/').map(({ cache: facts }) => facts?.leader),
    )
    assert.equal(leaders.size, 2, 'one leader, which itself names none')
  })
}

test('who waits is seen to wait, and for whom', async (t) => {
  const { proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
    await letGo
    res.writeHead(200, cacheable).end('x')
  })
  const answers = [get(proxy.url), get(proxy.url)]
  await coalesced(1)
  const waiting = proxy.opened.find((x) => x.cache?.status === 'coalesced')!
  assert.deepEqual([waiting.cache!.reason, waiting.ended], ['collapsed-hit', undefined])
  assert.equal(waiting.cache!.leader, proxy.opened.find((x) => x !== waiting)!.id)
  open()
  const all = await Promise.all(answers)
  assert.ok(all.some(({ headers }) => /collapsed/.test(String(headers['cache-status']))))
})

test('bytes reach all who wait while they arrive', async (t) => {
  const { proxy, open } = await setup(t, async (_, res, letGo) => {
    res.writeHead(200, cacheable)
    res.write('first')
    await letGo
    res.end('second')
  })
  const seen: string[] = []
  const ask = () =>
    new Promise<string>((resolve, reject) => {
      fetch(proxy.url).then(async (res) => {
        let text = ''
        for await (const chunk of res.body!) {
          text += Buffer.from(chunk).toString()
          seen.push(text)
        }
        resolve(text)
      }, reject)
    })
  const one = ask()
  await until('the first has the first bytes', () => seen.length === 1)
  const two = ask()
  await until('the second has them too', () => seen.length === 2)
  assert.deepEqual(seen, ['first', 'first'])
  open()
  assert.deepEqual(await Promise.all([one, two]), ['firstsecond', 'firstsecond'])
})

test('the leader leaves while others wait: the fetch goes on', async (t) => {
  const { upstream, proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
    await letGo
    res.writeHead(200, cacheable).end('hello')
  })
  const leaving = new AbortController()
  const leader = get(proxy.url, { signal: leaving.signal }).catch((error: Error) => error.name)
  await until('the upstream is asked', () => upstream.requests.length === 1)
  const other = get(proxy.url)
  await coalesced(1)
  leaving.abort()
  await proxy.until((ended) => ended.length === 1)
  open()
  assert.equal((await other).text, 'hello')
  assert.equal(await leader, 'AbortError')
  assert.equal(upstream.requests.length, 1)
  assert.equal((await get(proxy.url)).headers['cache-status']?.includes('hit'), true)
})

test('the leader leaves in the middle of the body: the others get all of it', async (t) => {
  const { upstream, proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
    res.writeHead(200, cacheable)
    res.write('hel')
    await letGo
    res.end('lo')
  })
  const leaving = new AbortController()
  void get(proxy.url, { signal: leaving.signal }).catch(() => {})
  await proxy.until((_, all) => all[0]?.headAt !== undefined)
  const other = get(proxy.url)
  await coalesced(1)
  await proxy.until((_, all) => all.every((x) => x.headAt !== undefined))
  leaving.abort()
  await proxy.until((ended) => ended.length === 1)
  open()
  assert.equal((await other).text, 'hello')
  assert.equal(upstream.requests.length, 1)
})

for (const when of ['before the head', 'in the middle of the body'] as const) {
  test(`all leave ${when}: the upstream request is aborted`, async (t) => {
    let closed = 0
    const { upstream, proxy, coalesced } = await setup(t, async (_, res, letGo) => {
      res.on('close', () => {
        if (!res.writableFinished) closed++
      })
      if (when !== 'before the head') {
        res.writeHead(200, cacheable)
        res.write('hel')
      }
      await letGo
      res.end('lo')
    })
    const leaving = new AbortController()
    for (let i = 0; i < 3; i++) void get(proxy.url, { signal: leaving.signal }).catch(() => {})
    await coalesced(2)
    if (when !== 'before the head') await proxy.until((_, all) => all.every((x) => x.headAt !== undefined))
    await until('the upstream is asked', () => upstream.requests.length === 1)
    leaving.abort()
    await until('it is aborted', () => closed === 1)
    await proxy.until((ended) => ended.length === 3)
    assert.ok(proxy.exchanges.every(({ ended }) => ended!.error === 'client-gone'))
    // Nothing was stored, and the next one starts anew.
    upstream.answer((_, res) => void res.writeHead(200, cacheable).end('new'))
    assert.equal((await get(proxy.url)).text, 'new')
  })
}

const unshareable: Record<string, Record<string, string>> = {
  private: { 'cache-control': 'private, max-age=60' },
  'no-store': { 'cache-control': 'no-store' },
  'an event stream': { 'cache-control': 'max-age=60', 'content-type': 'text/event-stream' },
  'Vary: *': { 'cache-control': 'max-age=60', vary: '*' },
  'no freshness': {},
  // Stored, but each use has to be asked for (RFC 9111 §4, §5.2.2.4).
  'an ETag and no freshness': { etag: '"a"' },
  'no-cache': { 'cache-control': 'no-cache', etag: '"a"' },
  'no lifetime': { 'cache-control': 'max-age=0', etag: '"a"' },
}
for (const [what, headers] of Object.entries(unshareable)) {
  test(`an answer that is not for sharing (${what}): the others go on by themselves, later ones do not wait`, async (t) => {
    let count = 0
    const { upstream, proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
      const own = ++count
      if (own === 1) await letGo
      res.writeHead(200, headers).end(`${own}`)
    })
    const answers = [get(proxy.url)]
    await until('the upstream is asked', () => upstream.requests.length === 1)
    answers.push(get(proxy.url), get(proxy.url))
    await coalesced(2)
    open()
    const texts = (await Promise.all(answers)).map(({ text }) => text)
    assert.deepEqual(texts.sort(), ['1', '2', '3'])
    const reasons = proxy.exchanges.map(({ cache }) => [cache?.status, cache?.reason, cache?.leader])
    assert.deepEqual(
      reasons.filter(([, reason]) => reason === 'collapsed-failed'),
      Array(2).fill(['miss', 'collapsed-failed', undefined]),
    )
    // Known for a while: two at once do not queue.
    const hold = gate()
    upstream.answer(async (_, res) => {
      await hold.promise
      res.writeHead(200, headers).end('later')
    })
    const later = [get(proxy.url), get(proxy.url)]
    await until('both are asked for', () => upstream.requests.length === 5)
    hold.open()
    await Promise.all(later)
  })
}

test('nobody waits for another’s endless event stream', async (t) => {
  const { proxy, upstream, coalesced, open } = await setup(t, async (_, res, letGo) => {
    await letGo
    res.writeHead(200, { 'content-type': 'text/event-stream' })
    res.write('data: 1\n\n')
  })
  const firsts: string[] = []
  const leaving = new AbortController()
  for (let i = 0; i < 3; i++) {
    fetch(proxy.url, { signal: leaving.signal })
      .then(async (res) => {
        for await (const chunk of res.body!) firsts.push(Buffer.from(chunk).toString())
      })
      .catch(() => {})
  }
  await coalesced(2)
  open()
  await until('all have their first event', () => firsts.length === 3)
  assert.equal(upstream.requests.length, 3)
  leaving.abort()
  await proxy.until((ended) => ended.length === 3)
})

test('an answer that varies on what differs: each its own, and next time each its flight', async (t) => {
  let held = gate()
  const upstream = await startUpstream(t, async (req, res) => {
    await held.promise
    res.writeHead(200, { ...cacheable, vary: 'accept-language' }).end(String(req.headers['accept-language']))
  })
  const proxy = await startProxy(t, { target: upstream.url })
  const ask = (language: string, path = '/') =>
    get(`${proxy.url}${path}`, { headers: { 'accept-language': language } })
  const answers = [ask('en'), ask('en'), ask('pl')]
  await proxy.until((_, all) => all.filter((x) => x.cache?.status === 'coalesced').length === 2)
  held.open()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ text }) => text),
    ['en', 'en', 'pl'],
  )
  assert.ok(upstream.requests.length <= 3)
  assert.equal((await ask('en')).text, 'en')
  // Now that it is known what it varies on, those who ask alike share one request.
  held = gate()
  proxy.advance(61_000)
  const before = upstream.requests.length
  const again = [ask('en'), ask('pl'), ask('en'), ask('pl')]
  await until('two are asked for', () => upstream.requests.length === before + 2)
  await proxy.until((_, all) => all.slice(-4).filter((x) => x.cache?.status === 'coalesced').length === 2)
  held.open()
  assert.deepEqual(
    (await Promise.all(again)).map(({ text }) => text),
    ['en', 'pl', 'en', 'pl'],
  )
  assert.equal(upstream.requests.length, before + 2)
})

test('a failure of the upstream is one for all who wait', async (t) => {
  const { upstream, proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
    await letGo
    res.destroy()
  })
  const answers = [get(proxy.url), get(proxy.url), get(proxy.url)]
  await coalesced(2)
  open()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ status }) => status),
    [502, 502, 502],
  )
  assert.equal(upstream.requests.length, 1)
  upstream.answer((_, res) => void res.writeHead(200, cacheable).end('x'))
  assert.equal((await get(proxy.url)).text, 'x')
})

test('a body cut short is cut short for all who share it, and not stored', async (t) => {
  const { upstream, proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
    res.writeHead(200, { ...cacheable, 'content-length': '10' })
    res.write('hello')
    await letGo
    res.destroy()
  })
  const ask = () =>
    get(proxy.url).then(
      () => 'whole',
      () => 'cut',
    )
  const answers = [ask(), ask(), ask()]
  await coalesced(2)
  await proxy.until((_, all) => all.every((x) => x.headAt !== undefined))
  open()
  assert.deepEqual(await Promise.all(answers), ['cut', 'cut', 'cut'])
  upstream.answer((_, res) => void res.writeHead(200, cacheable).end('whole'))
  assert.equal((await get(proxy.url)).text, 'whole')
  assert.equal(upstream.requests.length, 2)
})

test('a body that turns out too large goes to all who share it, whole, and is not stored', async (t) => {
  const body = Buffer.alloc(3_000_000, 'abcdefg')
  const { upstream, proxy, open, coalesced } = await setup(
    t,
    async (_, res, letGo) => {
      res.writeHead(200, cacheable)
      res.write(body.subarray(0, 1000))
      await letGo
      for (let at = 1000; at < body.length; at += 100_000)
        res.write(body.subarray(at, Math.min(at + 100_000, body.length)))
      res.end()
    },
    { 'cache-max-entry': '1mb' },
  )
  const answers = Array.from({ length: 5 }, () => get(proxy.url))
  await coalesced(4)
  await proxy.until((_, all) => all.every((x) => x.headAt !== undefined))
  open()
  for (const answer of await Promise.all(answers)) assert.ok(Buffer.compare(answer.body, body) === 0)
  assert.equal(upstream.requests.length, 1)
  await proxy.until((ended) => ended.length === 5)
  assert.ok(proxy.exchanges.some(({ cache }) => cache?.storage === 'too-large'))
  await get(proxy.url)
  assert.equal(upstream.requests.length, 2)
})

test('--no-collapse sends each miss on', async (t) => {
  const { upstream, proxy, open } = await setup(
    t,
    async (_, res, letGo) => {
      await letGo
      res.writeHead(200, cacheable).end('x')
    },
    { 'no-collapse': 'true' },
  )
  const answers = [get(proxy.url), get(proxy.url)]
  await until('both are asked for', () => upstream.requests.length === 2)
  open()
  await Promise.all(answers)
})

test('requests with credentials, ranges or no-cache never join', async (t) => {
  const { upstream, proxy, open } = await setup(t, async (_, res, letGo) => {
    await letGo
    res.writeHead(200, cacheable).end('x')
  })
  const answers = [
    get(proxy.url),
    get(proxy.url, { headers: { authorization: 'Basic x' } }),
    get(proxy.url, { headers: { range: 'bytes=0-1' } }),
    get(proxy.url, { headers: { 'cache-control': 'no-cache' } }),
    get(proxy.url, { headers: { pragma: 'no-cache' } }),
  ]
  await until('all are asked for', () => upstream.requests.length === 5)
  open()
  await Promise.all(answers)
})

test('a 304 is for who asked where it says that each use is to be asked for, and for all where it makes fresh', async (t) => {
  for (const [lifetime, want] of [
    ['no-cache', 4],
    ['max-age=60', 2],
  ] as const) {
    const { upstream, proxy, open, coalesced } = await setup(t, async (req, res, letGo) => {
      const head = { etag: '"a"', date: formatDate(proxy.clock.now()) }
      if (req.headers['if-none-match'] === undefined)
        return void res.writeHead(200, { ...head, 'cache-control': 'max-age=1' }).end('x')
      await letGo
      res.writeHead(304, { ...head, 'cache-control': lifetime }).end()
    })
    await get(proxy.url)
    proxy.advance(2000)
    const answers = Array.from({ length: 3 }, () => get(proxy.url))
    await coalesced(2)
    open()
    const texts = (await Promise.all(answers)).map(({ text }) => text)
    assert.deepEqual(texts, ['x', 'x', 'x'])
    assert.equal(upstream.requests.length, want, lifetime)
  }
})

test('what is short-lived is shared by those who waited for longer than it lives', async (t) => {
  const { upstream, proxy, open, coalesced } = await setup(t, async (_, res, letGo) => {
    await letGo
    const date = formatDate(proxy.clock.now())
    res.writeHead(200, { 'cache-control': 'max-age=1', etag: '"a"', date }).end('x')
  })
  const answers = [get(proxy.url), get(proxy.url)]
  await coalesced(1)
  proxy.advance(5000)
  open()
  await Promise.all(answers)
  assert.equal(upstream.requests.length, 1)
})
