import assert from 'node:assert/strict'
import { test } from 'node:test'
import { localCookie } from '../../src/local/cookies.ts'

const rows: Array<{
  name: string
  line: string
  want: string
  host?: string
  secure?: boolean
  targets?: string[]
  base?: string
}> = [
  {
    name: 'Domain of the target goes',
    line: 'a=b; Domain=api.example.com; Path=/',
    want: 'a=b; Path=/',
  },
  { name: 'Domain above the target goes', line: 'a=b;domain=.Example.com', want: 'a=b' },
  {
    name: 'Domain of somebody else stays, as a browser would refuse it there too',
    line: 'a=b; Domain=other.com',
    want: 'a=b; Domain=other.com',
  },
  {
    name: 'a name that only ends alike is somebody else',
    line: 'a=b; Domain=ample.com',
    want: 'a=b; Domain=ample.com',
  },
  {
    name: 'Domain that covers the host the client asked for stays',
    line: 'a=b; Domain=example.com',
    host: 'dev.example.com:8080',
    want: 'a=b; Domain=example.com',
  },
  {
    name: 'Domain by the Host that the target is sent goes',
    line: 'a=b; Domain=shop.test',
    targets: ['127.0.0.1', 'www.shop.test:443'],
    want: 'a=b',
  },
  { name: 'the last Domain counts', line: 'a=b; Domain=x.com; Domain=example.com', want: 'a=b' },
  {
    name: 'a last Domain of somebody else stays',
    line: 'a=b; Domain=example.com; Domain=x.com',
    want: 'a=b; Domain=example.com; Domain=x.com',
  },
  {
    name: 'Domain of one label goes, though it is ours: browsers refuse it',
    line: 'a=b; Domain=localhost',
    targets: ['localhost'],
    want: 'a=b',
  },
  { name: 'an empty Domain stays', line: 'a=b; Domain=', want: 'a=b; Domain=' },
  { name: 'Secure goes on plain http', line: 'a=b; Secure; HttpOnly', want: 'a=b; HttpOnly' },
  { name: 'SECURE in any case', line: 'a=b;SECURE ;HttpOnly', want: 'a=b;HttpOnly' },
  {
    name: 'Secure stays on https',
    line: 'a=b; Secure; SameSite=None; Partitioned',
    secure: true,
    want: 'a=b; Secure; SameSite=None; Partitioned',
  },
  {
    name: 'SameSite=None cannot be without Secure',
    line: 'a=b; samesite=none; secure; Partitioned',
    want: 'a=b; SameSite=Lax',
  },
  {
    name: 'SameSite=None that never was Secure is left',
    line: 'a=b; SameSite=None',
    want: 'a=b; SameSite=None',
  },
  {
    name: 'other SameSite stays',
    line: 'a=b; SameSite=Strict; Secure',
    want: 'a=b; SameSite=Strict',
  },
  {
    name: '__Secure- keeps what it cannot be without',
    line: '__Secure-a=b; Secure; SameSite=None; Domain=example.com',
    want: '__Secure-a=b; Secure; SameSite=None',
  },
  {
    name: '__Host- keeps what it cannot be without',
    line: '__Host-a=b; Path=/; Secure',
    want: '__Host-a=b; Path=/; Secure',
  },
  {
    name: 'prefixes in any case',
    line: '__host-a=b; Path=/; Secure',
    want: '__host-a=b; Path=/; Secure',
  },
  {
    name: 'the path of the target goes',
    line: 'a=b; Path=/v1/users',
    base: '/v1',
    want: 'a=b; Path=/users',
  },
  { name: 'the whole path of the target goes', line: 'a=b; path=/v1', base: '/v1', want: 'a=b; Path=/' },
  { name: 'with a slash', line: 'a=b; Path=/v1/', base: '/v1', want: 'a=b; Path=/' },
  { name: 'another path stays', line: 'a=b; Path=/v10', base: '/v1', want: 'a=b; Path=/v10' },
  {
    name: 'values with odd bytes stay',
    line: 'a="x, y"; Expires=Wed, 21 Oct 2026 07:28:00 GMT; Secure',
    want: 'a="x, y"; Expires=Wed, 21 Oct 2026 07:28:00 GMT',
  },
  { name: 'an empty value is one', line: 'a=; Secure', want: 'a=' },
  {
    name: 'unknown attributes and empty parts stay',
    line: 'a=b;; Priority=High;Secure;',
    want: 'a=b;; Priority=High;',
  },
  { name: 'no name: left alone', line: '=b; Secure', want: '=b; Secure' },
  { name: 'no pair: left alone', line: 'Secure; Domain=example.com', want: 'Secure; Domain=example.com' },
  { name: 'nothing at all', line: '', want: '' },
  { name: 'only a pair', line: 'a=b', want: 'a=b' },
]

for (const { name, line, want, host = 'localhost:8080', secure = false, targets, base = '' } of rows) {
  test(`Set-Cookie: ${name}`, () => {
    const options = { targetHosts: targets ?? ['api.example.com'], basePath: base }
    assert.equal(localCookie(line, { host, secure }, options), want)
  })
}
