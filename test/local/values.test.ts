import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BadValue, parseCors, parseTrustProxy } from '../../src/cli/values.ts'

for (const [text, want] of [
  ['true', 'request'],
  ['off', undefined],
  ['*', '*'],
  ['null', 'null'],
  ['http://localhost:5173', 'http://localhost:5173'],
  ['HTTPS://App.Example:443/', 'https://app.example'],
  ['capacitor://localhost', 'capacitor://localhost'],
] as const) {
  test(`--cors ${text}`, () => assert.equal(parseCors(text), want))
}

for (const text of ['localhost:5173', 'http://a/b', 'http://a?b', 'http://a, http://b', 'http://u@a', '']) {
  test(`--cors ${text} is refused with what would be right`, () =>
    assert.throws(() => parseCors(text), { constructor: BadValue, message: /an origin such as/ }))
}

test('--cors :3000 says that the target comes first', () =>
  assert.throws(() => parseCors(':3000'), /write the target before the flag/))

for (const [text, want] of [
  ['off', undefined],
  ['0', undefined],
  ['2', { hops: 2 }],
  ['10.0.0.0/8, ::1', { ranges: ['10.0.0.0/8', '::1'] }],
  ['[2001:db8::]/32', { ranges: ['2001:db8::/32'] }],
  ['Loopback', { ranges: ['127.0.0.0/8', '::1'] }],
] as const) {
  test(`--trust-proxy ${text}`, () => assert.deepEqual(parseTrustProxy(text), want))
}

for (const text of [
  'true',
  'nginx',
  '10.0.0.0/33',
  '10.0.0.0/8/8',
  '::1/129',
  '1.2.3',
  '101',
  '',
  'toString',
]) {
  test(`--trust-proxy ${text} is refused with what would be right`, () =>
    assert.throws(() => parseTrustProxy(text), { constructor: BadValue, message: /loopback, private/ }))
}
