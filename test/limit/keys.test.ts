import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseRateBy } from '../../src/cli/values.ts'
import { addressKey, keyBy } from '../../src/limit/keys.ts'
import { request } from './request.ts'

test('an address counts as the client it stands for', () => {
  const table: Array<[address: string, want: string]> = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:192.0.2.7', '192.0.2.7'],
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '127.0.0.1'],
    ['0:0:0:0:0:0:0:1', '127.0.0.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:0:ffff::', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::1', '2001:db8:0:1::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['', ''],
    ['not:an:address', 'not:an:address'],
  ]
  for (const [address, want] of table) assert.equal(addressKey(address), want, address)
})

test('keys tell apart what the option says', () => {
  const secret = 'Bearer abc'
  const one = request({ address: '192.0.2.1', host: 'API.example.com:80', headers: ['X-Key', secret] })
  const other = request({ address: '192.0.2.2', host: 'api.example.com:80', headers: ['x-key', secret] })
  const third = request({ address: '192.0.2.1', host: 'b.example.com', headers: [] })
  const table: Array<[by: string, sameAsOther: boolean, sameAsThird: boolean]> = [
    ['ip', false, true],
    ['host', true, false],
    ['global', true, true],
    ['header:X-Key', true, false],
    ['header:X-Absent', true, true],
  ]
  for (const [by, sameAsOther, sameAsThird] of table) {
    const keyOf = keyBy(parseRateBy(by))
    assert.equal(keyOf(one) === keyOf(other), sameAsOther, by)
    assert.equal(keyOf(one) === keyOf(third), sameAsThird, by)
  }
})

test('keys are short and tell no secrets', () => {
  const long = 'x'.repeat(16_000)
  const byKey = keyBy(parseRateBy('header:x-key'))
  for (const value of ['', 'Bearer abc', long, '\xff\xfe']) {
    const key = byKey(request({ headers: ['X-Key', value] }))
    assert.ok(key.length < 64, key)
    assert.ok(!key.includes('Bearer'), key)
  }
  const keys = ['', 'a', 'b', `${long}a`, `${long}b`].map((value) =>
    byKey(request({ headers: ['X-Key', value] })),
  )
  assert.equal(new Set([...keys, byKey(request())]).size, 6)
  assert.ok(keyBy({ kind: 'host' })(request({ host: long })).length < 64)
  assert.notEqual(
    keyBy({ kind: 'host' })(request({ host: `${long}a` })),
    keyBy({ kind: 'host' })(request({ host: long })),
  )
})

test('several lines of a field are one value', () => {
  const keyOf = keyBy(parseRateBy('header:x-key'))
  assert.equal(
    keyOf(request({ headers: ['X-Key', 'a', 'X-Key', 'b'] })),
    keyOf(request({ headers: ['x-key', 'a, b'] })),
  )
  assert.notEqual(
    keyOf(request({ headers: ['X-Key', 'a', 'X-Key', 'b'] })),
    keyOf(request({ headers: ['x-key', 'a'] })),
  )
})
