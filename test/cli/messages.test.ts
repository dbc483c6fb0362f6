import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as messages from '../../src/cli/messages.ts'
import { BadValue, parseDuration, parseRate } from '../../src/cli/values.ts'

const { badOption, othersFlag, redisAway, shownUrl, targetRefused, unknownOption } = messages
const right = (parse: (text: string) => unknown, given: string): string => {
  try {
    parse(given)
  } catch (error) {
    if (error instanceof BadValue) return error.message
  }
  throw new Error(`${given} was understood`)
}

const sentences: Array<[given: string | undefined, want: string | undefined]> = [
  [messages.portInUse(8080), 'port 8080 is in use. Use -p 0 for a free one.'],
  [
    redisAway('redis://localhost:6379', 1),
    'redis://localhost:6379 does not answer; serving without the shared cache, trying again in 1 s.',
  ],
  [
    redisAway('rediss://me:secret@redis.test:6380/2', 0.25),
    'rediss://***@redis.test:6380/2 does not answer; serving without the shared cache, trying again in 0.3 s.',
  ],
  [
    redisAway('redis://localhost:6379', 1, 'connect ECONNREFUSED 127.0.0.1:6379'),
    'redis://localhost:6379 does not answer; serving without the shared cache, trying again in 1 s.',
  ],
  [
    redisAway('redis://h', 1, 'ECONNRESET'),
    'redis://h does not answer; serving without the shared cache, trying again in 1 s.',
  ],
  [
    redisAway('redis://h', 1, 'WRONGPASS invalid username-password pair or user is disabled.'),
    'redis://h refuses: WRONGPASS invalid username-password pair or user is disabled. Serving without what it refuses, trying again.',
  ],
  [
    redisAway('redis://h', 1, 'ERR \x1b[2J'),
    'redis://h refuses: ERR \\x1b[2J. Serving without what it refuses, trying again.',
  ],
  [
    targetRefused(['127.0.0.1:3000', '[::1]:3000'], 5),
    'target refused on 127.0.0.1:3000 and [::1]:3000 for 5 s. Is it running?',
  ],
  [targetRefused(['/run/app.sock'], 0), 'target refused on /run/app.sock. Is it running?'],
  [badOption('--rate', '100', right(parseRate, '100')), '--rate 100: per what? 100/s, 100/m.'],
  [
    badOption('--timeout', 'abc', right(parseDuration, 'abc')),
    '--timeout abc: must be a duration such as 250ms, 30s, 5m, 2h, 1d or 1m30s.',
  ],
  [
    badOption('--timeout', '1.5', right(parseDuration, '1.5')),
    '--timeout 1.5: 1.5 of what? 1.5ms, 1.5s, 1.5m.',
  ],
  [badOption('--timeout', '', 'a duration'), '--timeout "": must be a duration.'],
  [badOption('--route', 'a b', 'a template'), '--route "a b": must be a template.'],
  [badOption('REVPROXY_RATE', '1', 'per what? 1/s'), 'REVPROXY_RATE=1: per what? 1/s.'],
  [
    badOption('--cache', 'redis://u:p@h:x', 'memory or rediss://…'),
    '--cache redis://***@h:x: must be memory or rediss://…',
  ],
  [badOption('--ca', '\x1b[2J', 'a file'), '--ca \\x1b[2J: must be a file.'],
  [badOption('--ca', 'x'.repeat(100), 'a file'), `--ca ${'x'.repeat(79)}…: must be a file.`],
  [othersFlag('--to'), '--to: we call it --target.'],
  [othersFlag('--upstream=http://x'), '--upstream: we call it --target.'],
  [othersFlag('--backend'), '--backend: we call it --target.'],
  [othersFlag('--listen'), '--listen: we call it --port (and --host).'],
  [othersFlag('--from'), '--from: we call it --port (and --host).'],
  [othersFlag('--target'), undefined],
  [othersFlag('--nothing'), undefined],
  [unknownOption('--tiemout', '--timeout'), '--tiemout is not an option. Did you mean --timeout?'],
  [unknownOption('--x', undefined), '--x is not an option. See --help.'],
  [shownUrl('http://host/v1?api_key=1&x=2'), 'http://host/v1?api_key=***&x=2'],
  [
    messages.notLoopback('0.0.0.0'),
    'listening on 0.0.0.0: others can reach this proxy, and the target through it. Leave --host out to keep it to this machine.',
  ],
  [messages.stopping(1), 'stopping: 1 request is on the way. Ctrl-C again ends them.'],
]
for (const [given, want] of sentences) test(`says: ${want}`, () => assert.equal(given, want))

test('every sentence is one line that ends', () => {
  const all = [
    messages.addressUnavailable('10.0.0.1'),
    messages.adminPortInUse(9900),
    messages.missingValue('--rate', '<n/duration>'),
    messages.noTarget(),
    messages.portForbidden(80),
    messages.redisBack('redis://h'),
    messages.stopping(3),
    messages.targetUnresolved('nowhere.test'),
    messages.targetUntrusted('h', 'SELF_SIGNED_CERT_IN_CHAIN'),
    messages.traceAway('http://u:p@h:4318/v1/traces', 'ECONNREFUSED'),
  ]
  for (const text of all) assert.match(text, /^[^\n]+[.?]$/)
  assert.ok(!all.join().includes('u:p'))
})
