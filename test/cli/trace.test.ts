import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { traceText } from '../../src/cli/show-trace.ts'
import type { TraceView } from '../../src/observe/trace-view.ts'
import { get } from '../support/client.ts'
import { startProxy } from '../support/proxy.ts'
import { startUpstream } from '../support/upstream.ts'

const AT = Date.UTC(2026, 0, 2, 12)

test('a trace is what was asked, what became of it, the drawing and the notes', () => {
  const span = (
    spanId: string,
    parentSpanId: string | undefined,
    name: string,
    [from, to]: [number, number],
    more: Partial<TraceView['spans'][number]> = {},
  ): TraceView['spans'][number] => ({
    spanId,
    parentSpanId,
    name,
    kind: 'internal',
    startMs: AT + from,
    endMs: AT + to,
    status: 'unset',
    events: [],
    attributes: {},
    ...more,
  })
  const view: TraceView = {
    id: 7,
    traceId: 'ab'.repeat(16),
    cause: 'client',
    method: 'GET',
    url: '/users?\x1b[2J',
    status: 200,
    startedAt: AT,
    durationMs: 20,
    cache: 'miss',
    reason: 'uri-miss',
    sampled: true,
    spans: [
      span('1', undefined, 'GET /users', [0, 20], { kind: 'server' }),
      span('2', '1', 'cache get', [0.5, 1]),
      span('3', '1', 'GET', [1, 19], { kind: 'client' }),
      span('4', '3', 'GET /users', [2, 18], { kind: 'server', service: 'shop' }),
    ],
    notes: ['It is so.'],
  }
  assert.equal(
    traceText(view, { window: 60, color: 0 }),
    `GET  /users?\\x1b[2J  200  miss uri-miss  20.0ms
request 7 at 2026-01-02T12:00:00.000Z, trace
${'ab'.repeat(16)}

GET /users           ▊────────────────────────────█▌  20.0ms
├ cache get           ▊                                0.5ms
└ GET                  █▌────────────────────────█▌   18.0ms
  └ shop: GET /users    ████████████████████████▊     16.0ms

Made of shop: GET /users 16.0ms (80%), upstream 2.0ms (10%),
revproxy 1.5ms (8%), cache get 0.5ms (3%).

It is so.
`,
  )
})

const commands = fileURLToPath(new URL('../support/commands.js', import.meta.url))
const run = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) =>
    execFile(process.execPath, [commands, ...args], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    ),
  )

test('revproxy trace and traces ask a running proxy', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end('hello'))
  const proxy = await startProxy(t, { target: upstream.url, admin: '0' })
  const at = ['--admin', proxy.adminUrl!]
  assert.deepEqual(await run('trace', ...at), {
    code: 1,
    stdout: '',
    stderr: 'revproxy: no request has ended yet.\n',
  })
  await get(`${proxy.url}/users?token=secret`)
  await proxy.until((ended) => ended.length === 1)
  const drawn = await run('trace', 'last', ...at)
  assert.equal(drawn.code, 0, drawn.stderr)
  assert.match(
    drawn.stdout,
    /^GET {2}\/users\?token=\*\*\* {2}200 {2}miss uri-miss {2}[\d.]+ms\nrequest 1 at /,
  )
  assert.match(drawn.stdout, /\n├ cache get +[█▏▎▍▌▋▊▉]+ +[\d.]+ms\n[├└] GET /)
  assert.equal(JSON.parse((await run('trace', '1', '--json', ...at)).stdout).spans.length >= 3, true)
  assert.match((await run('traces', ...at)).stdout, /^ {5}1 {2}GET {2}\/users/)
  const missing = await run('trace', '99', ...at)
  assert.equal(missing.code, 1)
  assert.match(missing.stderr, /none of the last 500 requests is 99/)
  const nobody = await run('trace', '--admin', '1')
  assert.equal(nobody.code, 3)
  assert.match(nobody.stderr, /no proxy answers on http:\/\/127\.0\.0\.1:1 /)
})
