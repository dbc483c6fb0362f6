import assert from 'node:assert/strict'
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { topScreen } from '../../src/cli/top-screen.ts'
import type { Stats } from '../../src/observe/stats.ts'
import { get } from '../support/client.ts'
import { startProxy, type TestProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const at = (now: number, requests: number): Stats => ({
  target: 'http://localhost:3000',
  version: '1.2.3',
  startedAt: 0,
  now,
  requests,
  active: 3,
  waiting: 2,
  failures: requests / 100,
  rateLimited: 0,
  upstreamRequests: requests / 4,
  cache: { hit: 600, stale: 0, revalidated: 100, miss: 200, coalesced: 50, bypass: 50 },
  routes: [
    {
      route: '/api/users/:id',
      requests: 800,
      fromCache: 700,
      failures: 0,
      p50Ms: 1.2,
      p99Ms: 35,
      missReasons: { expired: 90, 'uri-miss': 10 },
    },
    {
      route: '/api/reports',
      requests: 200,
      fromCache: 0,
      failures: 10,
      p50Ms: 400,
      p99Ms: 1200,
      missReasons: { 'req-no-cache': 100 },
    },
    { route: '/health', requests: 10, fromCache: 0, failures: 0, p50Ms: 0.3, p99Ms: 0.4, missReasons: {} },
  ],
  lately: { requests: 500, spanMs: 9000, p50Ms: 2.1, p99Ms: 480, hitRatio: 0.755 },
})

test('the screen shows rates between two looks, the slowest and the most missed routes', () => {
  const lines = topScreen(at(61_000, 1100), { before: at(60_000, 1000), width: 90, color: 0 })
  assert.deepEqual(lines, [
    'revproxy 1.2.3 → http://localhost:3000   up 1m1s',
    'requests 100/s   in flight 3 (2 waiting)   upstream 25/s   errors 1/s   limited 0/s',
    'p50 2.1ms   p99 480ms   hits 76%   (last 500)   since start: 1,100 requests, hits 79%',
    '',
    'slowest routes      requests     p50     p99  errors',
    '/api/reports             200   400ms   1.20s      10',
    '/api/users/:id           800   1.2ms  35.0ms       0',
    '/health                   10   0.3ms   0.4ms       0',
    '',
    'most missed routes    misses    hits  why',
    '/api/users/:id           100     88%  expired ×90, uri-miss ×10',
    '/api/reports             100      0%  req-no-cache ×100',
  ])
})

test('without a look before, rates are those since the start; a proxy started anew begins at 0', () => {
  const rate = (lines: string[]) => /requests (\S+)/.exec(lines[1]!)?.[1]
  assert.equal(rate(topScreen(at(10_000, 1000), { width: 90, color: 0 })), '100/s')
  const before = { ...at(60_000, 9000), startedAt: 1 }
  assert.equal(rate(topScreen(at(10_000, 1000), { before, width: 90, color: 0 })), '100/s')
})

test('no line is wider than the window and no more than fit in it', () => {
  const routes = Array.from({ length: 100 }, (_, i) => ({
    ...at(0, 0).routes[i % 3]!,
    route: `/a/long/route/of/many/${i}`,
  }))
  for (let width = 20; width < 140; width += 11) {
    for (let height = 1; height < 60; height += 7) {
      const lines = topScreen({ ...at(61_000, 1100), routes }, { width, height, color: 0 })
      assert.ok(lines.length <= height, `${lines.length} lines in ${height}`)
      for (const line of lines) assert.ok(line.length <= width, `${line.length} > ${width}: ${line}`)
    }
  }
  const lines = topScreen({ ...at(61_000, 1100), routes }, { width: 80, height: 30, color: 0 })
  assert.equal(lines.length, 30)
  assert.ok(
    lines.some((line) => line.startsWith('most missed')),
    'both tables have their share',
  )
})

test('nothing asked yet', () => {
  const none = {
    ...at(1000, 0),
    routes: [],
    cache: {},
    lately: { requests: 0, spanMs: 0, p50Ms: null, p99Ms: null, hitRatio: null },
  }
  assert.deepEqual(topScreen(none, { width: 80, color: 0 }).slice(2), [
    'p50 –   p99 –   hits –   (last 0)   since start: 0 requests, hits –',
  ])
})

const commands = fileURLToPath(new URL('../support/commands.js', import.meta.url))

const busy = async (t: TestContext): Promise<TestProxy> => {
  const upstream = await startUpstream(t, (_, res) => {
    res.writeHead(200, { 'cache-control': 'max-age=60' })
    res.end('hello')
  })
  const proxy = await startProxy(t, { target: upstream.url, admin: '0' })
  for (const path of ['/a', '/a', '/b']) await get(proxy.url + path)
  await proxy.until((ended) => ended.length === 3)
  return proxy
}

test('where stdout is no terminal it prints once', async (t) => {
  const proxy = await busy(t)
  const stdout = await new Promise<string>((resolve, reject) =>
    execFile(process.execPath, [commands, 'top', '--admin', proxy.adminUrl!], (error, out) =>
      error === null ? resolve(out) : reject(error),
    ),
  )
  assert.match(stdout, /^revproxy test → http:\/\/127\.0\.0\.1:\d+ {3}up \d+s\nrequests /)
  assert.match(stdout, /\/a +2 /)
  assert.match(stdout, /most missed routes[\s\S]*uri-miss ×1/)
  assert.doesNotMatch(stdout, /\x1b/)
})

const hasTmux = spawnSync('tmux', ['-V']).status === 0

test('in a terminal it redraws each second, follows the size, and leaves with q', {
  skip: hasTmux ? false : 'tmux is not installed',
}, async (t) => {
  const proxy = await busy(t)
  const socket = `revproxy-${process.pid}`
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' })
  const screen = (): string => tmux('capture-pane', '-p', '-t', 'top')
  const shows = async (what: RegExp): Promise<string> => {
    for (let tries = 0; ; tries++) {
      const text = screen()
      if (what.test(text)) return text
      if (tries > 100) throw new Error(`no ${what} within 10 s in:\n${text}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  tmux('new-session', '-d', '-s', 'top', '-x', '100', '-y', '24', 'sh')
  t.after(() => void spawnSync('tmux', ['-L', socket, 'kill-server']))
  tmux(
    'send-keys',
    '-t',
    'top',
    `clear; echo before; '${process.execPath}' '${commands}' top --admin ${proxy.adminUrl}; echo left with $?`,
    'Enter',
  )
  const first = await shows(/since start: 3 requests[\s\S]*\nq quits/)
  assert.doesNotMatch(first, /before/, 'the other screen')
  t.diagnostic(first)

  await get(`${proxy.url}/c`)
  await shows(/since start: 4 requests/)
  tmux('resize-window', '-t', 'top', '-x', '60', '-y', '12')
  const small = await shows(/^(?:.*\n){11}q quits/)
  assert.ok(small.split('\n').every((line) => line.length <= 60))

  await proxy.close(0)
  await shows(/no proxy answers on/)
  tmux('send-keys', '-t', 'top', 'q')
  assert.match(await shows(/left with 0/), /before/, 'the first screen is as it was')
})

test('it ends when its terminal is closed', {
  skip: hasTmux ? false : 'tmux is not installed',
  timeout: 30_000,
}, async (t) => {
  const proxy = await busy(t)
  const socket = `revproxy-closed-${process.pid}`
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-L', socket, '-f', '/dev/null', ...args], { encoding: 'utf8' })
  const program = fileURLToPath(new URL('../../bin/revproxy.js', import.meta.url))
  const command = `exec '${process.execPath}' '${program}' top --admin ${proxy.adminUrl}`
  tmux('new-session', '-d', '-s', 'top', '-x', '80', '-y', '24', command)
  t.after(() => void spawnSync('tmux', ['-L', socket, 'kill-server']))
  const pid = Number(tmux('list-panes', '-t', 'top', '-F', '#{pane_pid}'))
  const alive = (): boolean => spawnSync('kill', ['-0', String(pid)]).status === 0
  t.after(() => void (alive() && process.kill(pid, 'SIGKILL')))
  while (!tmux('capture-pane', '-p', '-t', 'top').includes('q quits'))
    await new Promise((resolve) => setTimeout(resolve, 100))
  spawnSync('tmux', ['-L', socket, 'kill-server'])
  for (let tries = 0; alive(); tries++) {
    assert.ok(tries < 100, 'it is still there after 10 s')
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
})
