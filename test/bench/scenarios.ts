/** What is measured: each scenario with those that can play it, and the scripts of its load. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  bare,
  type Contestant,
  caddy,
  echo,
  httpProxy,
  nginx,
  peers,
  revproxy,
  squid,
  temporary,
  undiciPipe,
  varnish,
} from './contestants.ts'
import { canScript } from './load.ts'
import type { Scenario } from './measure.ts'
import { many, paths } from './servers/payload.ts'

/** Our name in the tables. */
export const us = 'revproxy'

const present = (...contestants: ReadonlyArray<Contestant | undefined>): Contestant[] =>
  contestants.filter((contestant) => contestant !== undefined)

const URLS = 10_000
/** Share of the requests that no cache may answer. */
const NOT_CACHED = 0.1

/** 10,000 URLs after Zipf's law (the second is asked for half as often as the first), and some that are never cached. */
const zipf = `
local sum, upTo, known = 0, {}, {}
for i = 1, ${URLS} do sum = sum + 1 / i; upTo[i] = sum end
math.randomseed(1)
local function drawn()
  local wanted, low, high = math.random() * sum, 1, ${URLS}
  while low < high do
    local middle = math.floor((low + high) / 2)
    if upTo[middle] < wanted then low = middle + 1 else high = middle end
  end
  return low
end
local pass
request = function()
  pass = pass or wrk.format("GET", "${paths.pass}")
  if math.random() < ${NOT_CACHED} then return pass end
  local url = drawn()
  known[url] = known[url] or wrk.format("GET", "${many.mixed}" .. url)
  return known[url]
end
`

const post = `
wrk.method = "POST"
wrk.body = string.rep("p", 10 * 1024)
wrk.headers["Content-Type"] = "application/octet-stream"
`

const script = (name: string, text: string): string => {
  const file = join(temporary, `${name}.lua`)
  writeFileSync(file, text)
  return file
}

/**
 * All scenarios that can be played here; `redisPort` is where a Redis listens. In a quick run nobody plays but ourselves
 * and those whom a budget names, but for Caddy and Squid: it has a minute.
 */
export const scenarios = (redisPort: number | undefined, quick = false): Scenario[] => {
  const all = <T>(...contestants: readonly T[]): readonly T[] => (quick ? [] : contestants)
  const redis = `redis://127.0.0.1:${redisPort}`
  const scripted: Scenario[] = canScript
    ? [
        {
          name: `mixed: ${URLS} URLs after Zipf, ${(1 - NOT_CACHED) * 100} % cacheable`,
          path: paths.hit,
          cached: undefined,
          how: { script: script('zipf', zipf) },
          contestants: present(...all(bare, nginx(), varnish, squid), revproxy(us, [])),
          warmUps: 4,
        },
        {
          name: 'POST of 10 KB',
          path: paths.pass,
          cached: undefined,
          how: { script: script('post', post) },
          contestants: present(
            ...[...all(bare), undiciPipe, httpProxy],
            ...[...all(nginx(), varnish, squid), revproxy(us, [])],
          ),
        },
      ]
    : []
  return [
    {
      name: 'pass-through, 1 KB, not cacheable',
      path: paths.pass,
      cached: false,
      contestants: present(
        ...[...all(bare), undiciPipe, httpProxy, ...all(...peers)],
        ...[...all(caddy, nginx(), varnish, squid), revproxy(us, [])],
      ),
    },
    {
      name: 'hit, 1 KB',
      path: paths.hit,
      cached: true,
      contestants: present(
        ...[bare, ...all(nginx(), squid), varnish, revproxy(us, [])],
        ...all(revproxy(`${us}, --workers 2`, ['--workers', '2'])),
      ),
    },
    {
      name: 'hit, 100 KB',
      path: paths.large,
      cached: true,
      contestants: present(...all(bare, squid), nginx(), varnish, revproxy(us, [])),
    },
    {
      name: 'hit, 1 KB, log to a file',
      path: paths.hit,
      cached: true,
      contestants: present(bare, ...all(nginx('file')), revproxy(us, [], 'file')),
    },
    {
      name: 'hit, 1 KB, Redis',
      path: paths.hit,
      cached: true,
      contestants:
        redisPort === undefined
          ? []
          : [
              ...all(
                bare,
                revproxy(`${us}, memory`, []),
                // A machine that is busy for 50 ms must not turn hits into misses.
                revproxy(`${us}, Redis`, ['--cache', redis, '--cache-timeout', '5s', '--no-near-cache']),
              ),
              revproxy(`${us}, Redis with copies nearby`, ['--cache', redis, '--cache-timeout', '5s']),
            ],
    },
    ...scripted,
    {
      name: 'WebSocket, 1 KB there and back',
      path: '/',
      cached: undefined,
      how: { client: 'ws-client' },
      upstream: echo,
      contestants: [...all(echo, httpProxy), revproxy(us, [])],
    },
  ].filter(({ contestants }) => contestants.length > 0)
}
