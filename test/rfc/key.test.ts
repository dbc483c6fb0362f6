import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { bypassingField, cacheKey, requestMarks } from '../../src/cache/key.ts'
import { keyRules } from '../../src/cache/key-rules.ts'
import { parseKeyRules } from '../../src/cli/values.ts'

test('the key is scheme and authority as addressed, and path and query byte for byte (RFC 9111 §2)', () => {
  assert.equal(
    cacheKey('http', 'LocalHost:80', '//a/../b%2F;x?y={}|'),
    'http://localhost:80//a/../b%2F;x?y={}|',
  )
})

describe('what is not in the key and makes another request of it keeps the request out of the cache', () => {
  for (const name of [
    'X-HTTP-Method-Override',
    'x-http-method',
    'X-Method-Override',
    'X-Original-URL',
    'X-Original-URI',
    'X-Original-Host',
    'X-Rewrite-URL',
    'X-Host',
    'X-HTTP-Host-Override',
    'X-Script-Name',
    'X-URL-Scheme',
    'Front-End-HTTPS',
    'X-Envoy-Original-Path',
    'If-Match',
    'If-Unmodified-Since',
    // The same to servers that make variables of names.
    'X_HTTP_Method_Override',
    'X_Original-URL',
    'If_Match',
  ]) {
    test(name, () => {
      const fields = ['Accept', '*/*', name, 'x']
      assert.equal(requestMarks(fields).bypass, 'rule-bypass')
      assert.equal(bypassingField(fields), name)
    })
  }
  test('and nothing else does', () => {
    const fields = ['X-Foo', 'If-Match', 'Accept', 'X-Host', 'Cookie', 'a=b', 'User-Agent', 'x']
    assert.equal(requestMarks(fields).bypass, undefined)
    assert.equal(bypassingField(fields), undefined)
  })
})

describe('--cache-key', () => {
  const rows: Array<{ rules: string; url: string; headers?: string[]; want: string }> = [
    { rules: '-query:utm_*', url: '/a?utm_source=x&b=1&utm_medium=y', want: '/a?b=1' },
    { rules: '-query:utm_*', url: '/a?utm_source=x', want: '/a' },
    { rules: '-query:utm_*', url: '/a?b=2&b=1&c', want: '/a?b=2&b=1&c' },
    { rules: '-query:*,+query:page', url: '/a?x=1&page=2&y=3', want: '/a?page=2' },
    { rules: '-query:a?b', url: '/?a%3fb=1&a?b=2&ab=3', want: '/?ab=3' },
    { rules: '-query:x', url: '/?%ff=1&x=2', want: '/?%ff=1' },
    { rules: '+header:x-tenant', url: '/a', headers: ['X-Tenant', 'blue'], want: '/a\nx-tenant:blue' },
    { rules: '+header:x-tenant', url: '/a', want: '/a\nx-tenant:' },
    { rules: '+cookie:plan', url: '/a', headers: ['Cookie', 'id=1; plan=pro'], want: '/a\ncookie plan=pro' },
    { rules: '+cookie:plan', url: '/a', headers: ['Cookie', 'explan=x'], want: '/a\ncookie plan=' },
    { rules: '+cookie:plan', url: '/a', headers: ['Cookie', 'plan=a,b'], want: '/a\ncookie plan=a,b' },
    // Whichever of them the upstream takes.
    {
      rules: '+cookie:plan',
      url: '/a',
      headers: ['Cookie', 'plan=free; plan=pro', 'Cookie', 'plan=x'],
      want: '/a\ncookie plan=free;pro;x',
    },
    // The upstream does not get what Connection names.
    {
      rules: '+header:x-tenant',
      url: '/a',
      headers: ['X-Tenant', 'blue', 'Connection', 'close, X-Tenant'],
      want: '/a\nx-tenant:',
    },
    {
      rules: '+cookie:plan',
      url: '/a',
      headers: ['Cookie', 'plan=pro', 'Connection', 'cookie'],
      want: '/a\ncookie plan=',
    },
    // Two parameters to some.
    { rules: '-query:utm_*', url: '/a?utm_source=x;page=2', want: '/a?utm_source=x;page=2' },
  ]
  for (const { rules, url, headers = [], want } of rows) {
    test(`${rules} on ${url}`, () => {
      assert.equal(keyRules(parseKeyRules(rules))!.part(url, headers), want)
    })
  }
  test('-header takes a name out of Vary, -cookie a cookie out of what Vary sees', () => {
    const rules = keyRules(parseKeyRules('-header:User-Agent,-cookie:_ga*'))!
    assert.ok(rules.ignored.has('user-agent'))
    assert.deepEqual(rules.selecting(['Cookie', '_ga=1; plan=pro; _gat=2']), ['Cookie', 'plan=pro'])
    assert.deepEqual(rules.selecting(['Cookie', '_ga=1']), [])
    assert.deepEqual(rules.selecting(['Cookie', '_ga=1', 'Cookie', 'plan=pro']), ['Cookie', 'plan=pro'])
  })
  for (const wrong of ['utm', 'query:x', '-query', '*query:x', '-body:x']) {
    test(`${wrong} is refused`, () =>
      assert.throws(() => parseKeyRules(wrong), /rules such as -query:utm_\*/))
  }
})
