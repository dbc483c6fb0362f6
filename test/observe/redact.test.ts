import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redactor } from '../../src/observe/redact.ts'

const redact = redactor({ names: ['Authorization', 'cookie', 'Code'], enabled: true })

const urls: Array<[given: string, want: string]> = [
  ['/api/echo', '/api/echo'],
  ['/api/echo?echo=test&page=2', '/api/echo?echo=test&page=2'],
  ['/a?token=abc', '/a?token=***'],
  ['/a?x=1&ACCESS_TOKEN=abc&y=2', '/a?x=1&ACCESS_TOKEN=***&y=2'],
  ['/a?code=abc', '/a?code=***'],
  ['/a?CODE=abc&encoded=1', '/a?CODE=***&encoded=1'],
  ['/a?api_key=1&apikey=2&x-api-key=3', '/a?api_key=***&apikey=***&x-api-key=***'],
  ['/a?client_secret=1&user[password]=2&passwd=3', '/a?client_secret=***&user[password]=***&passwd=***'],
  [
    '/a?X-Amz-Signature=1&X-Amz-Credential=2&sessionId=3',
    '/a?X-Amz-Signature=***&X-Amz-Credential=***&sessionId=***',
  ],
  ['/a?%74oken=abc', '/a?%74oken=***'],
  ['/a?token%zz=abc', '/a?token%zz=***'],
  ['/a?token=', '/a?token='],
  ['/a?token', '/a?token'],
  ['/a?token=a=b;c?d&e=f', '/a?token=***&e=f'],
  ['/a?next=/b?token=abc&x=1', '/a?next=/b?token=***&x=1'],
  ['/a?next=%2Fb%3Ftoken%3Dabc%26x%3D1&y=2', '/a?next=%2Fb%3Ftoken%3D***%26x%3D1&y=2'],
  ['/a?token=b%26c', '/a?token=***'],
  ['/a?n=%252Fb%253Ftoken%253Dx%2525y%2526z%253D1&y=2', '/a?n=%252Fb%253Ftoken%253D***%2526z%253D1&y=2'],
  ['/a?n=%252Fb%253Fpass%252577ord%253Dx&y=2', '/a?n=%252Fb%253Fpass%252577ord%253D***&y=2'],
  ['/a?n=%2Fb%3Ftoken%3Dx%2526y%26z%3D1', '/a?n=%2Fb%3Ftoken%3D***%26z%3D1'],
  ['/a?n=https%3A%2F%2Fuser%3Apass%40host%2Fb', '/a?n=https%3A%2F%2F***%40host%2Fb'],
  ['/a?n=https%253A%252F%252Fu%253Ap%2540host', '/a?n=https%253A%252F%252F***%2540host'],
  ['/a?n=https://u:p%40host/b', '/a?n=https://***%40host/b'],
  ['/a?n=https%3A%2F%2Fhost%2Fb%40c', '/a?n=https%3A%2F%2Fhost%2Fb%40c'],
  ['/a?q=%7B%22token%22%3A%22x%22%2C%22b%22%3A1%7D', '/a?q=%7B%22token%22%3A%22***%22%2C%22b%22%3A1%7D'],
  ['/a?q={"token":"x","b":1}', '/a?q={"token":"***","b":1}'],
  ['/a;jsessionid=abc', '/a;jsessionid=***'],
  ['/cb#access_token=abc&expires=1', '/cb#access_token=***&expires=1'],
  ['http://user:pass@host/a', 'http://***@host/a'],
  ['http://us@er:p@host/a?token=1', 'http://***@host/a?token=***'],
  ['/proxy/http://u:p@host/', '/proxy/http://***@host/'],
  ['/a@b?c=d@e', '/a@b?c=d@e'],
  ['/a?b=c?d', '/a?b=c?d'],
  ['', ''],
]
for (const [given, want] of urls)
  test(`shows ${given} as ${want}`, () => assert.equal(redact.url(given), want))

test('hides the values of secret fields, keeps order, case and repeats', () => {
  const fields = [
    'Accept',
    '*/*',
    'AUTHORIZATION',
    'Bearer x',
    'X-Auth-Token',
    'y',
    'Cookie',
    'a=b',
    'cookie',
    'c',
    'X-Token',
    '',
  ]
  assert.deepEqual(redact.fields(fields), [
    ['Accept', '*/*'],
    ['AUTHORIZATION', '***'],
    ['X-Auth-Token', '***'],
    ['Cookie', '***'],
    ['cookie', '***'],
    ['X-Token', ''],
  ])
})
test('hides secrets in URLs that are field values', () => {
  assert.equal(redact.value('location', 'https://u:p@h/?token=1'), 'https://***@h/?token=***')
  assert.equal(redact.value('link', '</a?token=1>; rel=next, </b>'), '</a?token=*** rel=next, </b>')
  assert.equal(redact.value('content-type', 'text/html; charset=utf-8'), 'text/html; charset=utf-8')
})
test('hides secrets in JSON and in lists that are field values', () => {
  assert.equal(redact.value('x-data', '{"token":"x","a":{"b":1}}'), '{"token":"***","a":{"b":1}}')
  assert.equal(redact.value('baggage', 'a=1,token=x;p=2, b=2'), 'a=1,token=***;p=2, b=2')
  assert.equal(redact.value('cache-control', 'max-age=60, private'), 'max-age=60, private')
})
test('hides secrets in the key that Cache-Status shows', () => {
  const key = 'key="http://h/a?b=1%0Ax-api-key:k%0Aaccept:text/html%0Acookie sid=s"; detail="hit"'
  const shown = 'key="http://h/a?b=1%0Ax-api-key:***%0Aaccept:text/html%0Acookie sid=***"; detail="hit"'
  assert.equal(redact.value('Cache-Status', `revproxy; hit; ${key}`), `revproxy; hit; ${shown}`)
})
test('shows everything when it is switched off', () => {
  const open = redactor({ names: ['authorization'], enabled: false })
  assert.equal(open.url('http://u:p@h/?token=1'), 'http://u:p@h/?token=1')
  assert.equal(open.value('authorization', 'x'), 'x')
  assert.deepEqual(open.fields(['authorization', 'x']), [['authorization', 'x']])
})
test('the work grows with the length only, whatever the text', () => {
  for (const piece of [
    '?',
    '%3f',
    '&a',
    '?a=',
    '%26a%3d',
    '://',
    '@',
    '?token=&',
    '%25',
    '%252525',
    '%3a%2f%2f',
    ':%2f%2fa',
    '\\',
    '"',
    '%22a',
  ]) {
    const text = piece.repeat(200_000 / piece.length)
    const before = process.cpuUsage().user
    redact.url(text)
    // Quadratic work would take minutes.
    assert.ok(process.cpuUsage().user - before < 2_000_000, piece)
  }
})
