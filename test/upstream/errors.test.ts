import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ProxyError } from '../../src/core/errors.ts'
import { brokenOff, isReset, upstreamError } from '../../src/upstream/errors.ts'

const facts = { target: 'http://app:3000', timeoutMs: 60_000, connectTimeoutMs: 1500 }
const error = (code: string | undefined, message = 'why', more: object = {}) =>
  Object.assign(new Error(message), code === undefined ? {} : { code }, more)
const refused = (address: string) => error('ECONNREFUSED', 'connect', { address, port: 3000 })

for (const [given, status, code, says] of [
  [refused('127.0.0.1'), 502, 'upstream-refused', 'refused the connection on 127.0.0.1:3000. Is it running?'],
  [
    error('ECONNREFUSED', '', { errors: [refused('::1'), refused('127.0.0.1')] }),
    502,
    'upstream-refused',
    'refused the connection on [::1]:3000 and 127.0.0.1:3000. Is it running?',
  ],
  [
    error('ECONNREFUSED', '', { address: '/run/a.sock' }),
    502,
    'upstream-refused',
    'refused the connection. Is',
  ],
  [error('ENOENT'), 502, 'upstream-refused', 'is not there. Is it running?'],
  [error('ENOTFOUND'), 502, 'upstream-unresolved', 'cannot be resolved (ENOTFOUND)'],
  [error('EAI_AGAIN'), 502, 'upstream-unresolved', 'cannot be resolved (EAI_AGAIN)'],
  [error('EHOSTUNREACH'), 502, 'upstream-unreachable', 'cannot be reached (EHOSTUNREACH)'],
  [error('EACCES'), 502, 'upstream-unreachable', 'cannot be reached (EACCES)'],
  [error('UND_ERR_CONNECT_TIMEOUT'), 504, 'connect-timeout', 'within 1500 ms (--connect-timeout)'],
  [error(undefined, '', { errors: [error('ETIMEDOUT')] }), 504, 'connect-timeout', 'within 1500 ms'],
  [error('UND_ERR_HEADERS_TIMEOUT'), 504, 'upstream-timeout', 'was silent for 60 s (--timeout)'],
  [error('UND_ERR_HEADERS_OVERFLOW'), 502, 'upstream-protocol', 'sent a head larger than 64 kB'],
  [error('UND_ERR_INVALID_ARG', 'invalid x'), 400, 'bad-request', 'cannot be forwarded: invalid x.'],
  [error('UND_ERR_DESTROYED'), 503, 'shutting-down', 'shutting down'],
  [
    error('DEPTH_ZERO_SELF_SIGNED_CERT', 'self-signed'),
    502,
    'upstream-tls',
    'failed: self-signed. -k accepts',
  ],
  [
    error('ERR_TLS_CERT_ALTNAME_INVALID', 'other name'),
    502,
    'upstream-tls',
    'failed: other name. -k accepts',
  ],
  [error('CERT_HAS_EXPIRED', 'expired'), 502, 'upstream-tls', 'failed: expired. -k accepts'],
  [error('ERR_SSL_WRONG_VERSION_NUMBER'), 502, 'upstream-tls', 'Is it http: rather than https:?'],
  [error(undefined, 'odd', { name: 'HTTPParserError' }), 502, 'upstream-protocol', 'not valid HTTP (odd).'],
  [
    error(undefined, 'odd', { name: 'HTTPParserError', data: '\x15\x03' }),
    502,
    'upstream-protocol',
    'Is it https: rather than http:?',
  ],
  [
    error('UND_ERR_SOCKET', 'bad upgrade'),
    502,
    'upstream-protocol',
    'a 100 or 101 that nobody had asked for',
  ],
  [
    error('UND_ERR_SOCKET', 'other side closed'),
    502,
    'upstream-reset',
    'closed the connection before it answered',
  ],
  [error('EPIPE'), 502, 'upstream-reset', 'closed the connection before it answered'],
] as const) {
  test(`${given.code ?? given.name} "${given.message}" is ${status} ${code}`, () => {
    const made = upstreamError(given, facts)
    assert.deepEqual([made.status, made.code], [status, code])
    assert.ok(made.message.includes(says), made.message)
    assert.equal(made.cause, given)
  })
}

test('an error that is one of ours already stays what it is', () => {
  const ours = new ProxyError(413, 'body-too-large', 'too large')
  assert.equal(upstreamError(ours, facts), ours)
  assert.equal(brokenOff(ours, facts), ours)
})

test('what breaks an answer off says how', () => {
  assert.match(
    brokenOff(error('UND_ERR_SOCKET', 'closed'), facts).message,
    /the connection was closed \(closed\)/,
  )
  const unreadable = brokenOff(error(undefined, 'chunk', { name: 'HTTPParserError' }), facts)
  assert.match(unreadable.message, /what followed is not valid HTTP \(chunk\)/)
  assert.equal(unreadable.code, 'upstream-aborted')
})

test('only the end of a connection counts as reset', () => {
  const reset = [
    'UND_ERR_SOCKET',
    'ECONNRESET',
    'EPIPE',
    'ECONNREFUSED',
    'UND_ERR_HEADERS_TIMEOUT',
    undefined,
  ]
  assert.deepEqual(
    reset.map((code) => isReset(error(code))),
    [true, true, true, false, false, false],
  )
  assert.equal(isReset(error('UND_ERR_SOCKET', 'bad response')), false)
})
