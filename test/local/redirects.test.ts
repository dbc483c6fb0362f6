import assert from 'node:assert/strict'
import { test } from 'node:test'
import { localUrl, type RedirectOptions, redirectEdits } from '../../src/local/redirects.ts'

const plain: RedirectOptions = {
  protocol: 'http:',
  authority: 'backend:3000',
  hostHeader: 'target',
  basePath: '',
}
const https: RedirectOptions = { ...plain, protocol: 'https:', authority: 'api.example.com' }
const based: RedirectOptions = { ...plain, basePath: '/v1' }
const here: RedirectOptions = { ...plain, authority: 'localhost:3000' }
const site = { host: 'localhost:8080', scheme: 'http' as const }

const rows: Array<[name: string, value: string, want: string, options?: RedirectOptions, host?: string]> = [
  ['the target is us', 'http://backend:3000/a?b#c', 'http://localhost:8080/a?b#c'],
  ['in any case', 'HTTP://Backend:3000/A', 'http://localhost:8080/A'],
  ['without a path', 'http://backend:3000', 'http://localhost:8080'],
  ['with a query only', 'http://backend:3000?x', 'http://localhost:8080?x'],
  ['without a scheme', '//backend:3000/a', '//localhost:8080/a'],
  ['bytes of the path stay', 'http://backend:3000//a/../b%2f', 'http://localhost:8080//a/../b%2f'],
  ['another port is elsewhere', 'http://backend:4000/a', 'http://backend:4000/a'],
  ['another host is elsewhere', 'http://other/a', 'http://other/a'],
  ['a name in front is elsewhere', 'http://x@backend:3000/a', 'http://x@backend:3000/a'],
  ['a longer name is elsewhere', 'http://backend:3000.evil.example/a', 'http://backend:3000.evil.example/a'],
  [
    'https of a http target is elsewhere, or it would never end',
    'https://backend:3000/',
    'https://backend:3000/',
  ],
  ['a path is ours already', '/a', '/a'],
  ['a relative path is ours already', '../a', '../a'],
  ['something else stays', 'mailto:a@backend', 'mailto:a@backend'],
  ['nothing stays', '', ''],
  ['a https target comes back by http', 'https://api.example.com/a', 'http://localhost:8080/a', https],
  ['its port may be said', 'https://api.example.com:443/a', 'http://localhost:8080/a', https],
  ['http of a https target is elsewhere', 'http://api.example.com/a', 'http://api.example.com/a', https],
  ['the base path goes', 'http://backend:3000/v1/a', 'http://localhost:8080/a', based],
  ['the base path alone', 'http://backend:3000/v1', 'http://localhost:8080/', based],
  ['the base path with a query', 'http://backend:3000/v1?x', 'http://localhost:8080/?x', based],
  ['a path beside it cannot be asked of us', 'http://backend:3000/v2/a', 'http://backend:3000/v2/a', based],
  ['a path that only begins alike', 'http://backend:3000/v10', 'http://backend:3000/v10', based],
  ['the base path of a path goes', '/v1/a', '/a', based],
  ['a path beside it stays', '/login', '/login', based],
  ['our own name with the base path', 'http://localhost:8080/v1/a', 'http://localhost:8080/a', based],
  ['our own name without it', 'http://localhost:8080/a', 'http://localhost:8080/a', based],
  ['a target here by another of its names', 'http://127.0.0.1:3000/a', 'http://localhost:8080/a', here],
  ['by its IPv6 address', 'http://[::1]:3000/a', 'http://localhost:8080/a', here],
  ['another port here is elsewhere', 'http://127.0.0.1:3001/a', 'http://127.0.0.1:3001/a', here],
  [
    'the Host it is sent',
    'http://www.shop.test/a',
    'http://localhost:8080/a',
    { ...plain, hostHeader: 'www.shop.test' },
  ],
  [
    "the client's Host with the target's scheme",
    'https://localhost:8080/a',
    'http://localhost:8080/a',
    { ...https, hostHeader: 'client' },
  ],
  ['a client without Host gets a path', 'http://backend:3000/a', '/a', plain, ''],
  ['and the root', 'http://backend:3000', '/', plain, ''],
]

for (const [name, value, want, options = plain, host = site.host] of rows) {
  test(`Location: ${name}`, () => assert.equal(localUrl(value, { ...site, host }, options), want))
}

for (const [value, want] of [
  ['5; url=http://backend:3000/a', '5; url=http://localhost:8080/a'],
  ['0;URL="http://backend:3000/a"', '0;URL="http://localhost:8080/a"'],
  ["0, 'http://backend:3000/a'", "0, 'http://localhost:8080/a'"],
  ['5', '5'],
  ['0; url=http://elsewhere/', '0; url=http://elsewhere/'],
  ['later; url=http://backend:3000/', 'later; url=http://backend:3000/'],
] as const) {
  test(`Refresh: ${value}`, () => {
    const edit = redirectEdits(plain).get('refresh')!
    assert.equal(edit(value, site as Parameters<typeof edit>[1]), want)
  })
}
