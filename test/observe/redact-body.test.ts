import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TextKind } from '../../src/http/media-type.ts'
import { redactor } from '../../src/observe/redact.ts'

const redact = redactor({ names: ['pin', 'password', 'authorization'], enabled: true })

const table: Array<[name: string, kind: TextKind, given: string, want: string]> = [
  ['a member', 'json', '{"a":1,"password":"x","b":2}', '{"a":1,"password":"***","b":2}'],
  ['a name of --redact, a number', 'json', '{"PIN": 1234, "b": 2}', '{"PIN": "***", "b": 2}'],
  ['a name that speaks of a token', 'json', '{"accessToken":"x"}', '{"accessToken":"***"}'],
  ['a name written with escapes', 'json', '{"\\u0074oken":"x"}', '{"\\u0074oken":"***"}'],
  ['a value with escapes', 'json', '{"token":"a\\"b\\\\","b":"c"}', '{"token":"***","b":"c"}'],
  [
    'an object as a whole',
    'json',
    '{"credentials":{"a":["}",{}],"b":2},"c":3}',
    '{"credentials":"***","c":3}',
  ],
  ['a list as a whole', 'json', '{"tokens":["a","b"],"c":3}', '{"tokens":"***","c":3}'],
  ['null, true', 'json', '[{"token":null},{"token":true}]', '[{"token":"***"},{"token":"***"}]'],
  ['over several lines', 'json', '{\n  "token" :\n    "x"\n}', '{\n  "token" :\n    "***"\n}'],
  ['one a line', 'json', '{"token":"a"}\n{"token":"b"}\n', '{"token":"***"}\n{"token":"***"}\n'],
  ['a string that is called so', 'json', '{"kind":"token","b":"c"}', '{"kind":"token","b":"c"}'],
  ['a string that was cut', 'json', '{"a":1,"token":"eyJhbGci', '{"a":1,"token":"***"'],
  ['a string cut within an escape', 'json', '{"token":"eyJ\\', '{"token":"***"'],
  ['an object that was cut', 'json', '{"credentials":{"a":"b', '{"credentials":"***"'],
  ['cut before the value', 'json', '{"token":', '{"token":"***"'],
  ['a URL in a string', 'json', '{"next":"/a?token=x&b=c"}', '{"next":"/a?token=***&b=c"}'],
  ['a form', 'form', 'token=x&user=y&pass%77ord=z', 'token=***&user=y&pass%77ord=***'],
  ['a form that was cut', 'form', 'user=y&token=ey', 'user=y&token=***'],
  ['JSON in an event stream', 'text', 'data: {"token":"x"}\n\n', 'data: {"token":"***"}\n\n'],
  ['JSON behind a stray quote', 'text', '5" wide {"token":"x"}', '5" wide {"token":"***"}'],
  ['a script', 'text', "f({'apiKey': 'x', b: 1})", 'f({\'apiKey\': "***", b: 1})'],
  ['an element', 'text', '<a><password>x</password><b>c</b></a>', '<a><password>***</password><b>c</b></a>'],
  ['an element with a prefix', 'text', '<s:token id="1">x</s:token>', '<s:token id="1">***</s:token>'],
  ['an element in CDATA', 'text', '<token><![CDATA[x<y]]></token><b>c</b>', '<token>***</token><b>c</b>'],
  ['an element in CDATA that was cut', 'text', '<token><![CDATA[x\n', '<token>***'],
  ['an element that was cut', 'text', '<a><password>x', '<a><password>***'],
  ['an attribute', 'text', '<user name="x" token=\'y\'/>', '<user name="x" token="***"/>'],
  [
    'a field of an HTML form, in either order',
    'text',
    '<input name="csrf_token" value="x"><input value=y id=password><input name="q" value="z">',
    '<input name="csrf_token" value="***"><input value="***" id=password><input name="q" value="z">',
  ],
  [
    'a meta element',
    'text',
    '<meta name="csrf-token" content="x"><meta name="author" content="y">',
    '<meta name="csrf-token" content="***"><meta name="author" content="y">',
  ],
  ['a URL in text', 'text', 'see https://u:p@h/?token=x&a=b', 'see https://***@h/?token=***&a=b'],
  [
    'JSON in a string of JSON',
    'json',
    String.raw`{"a":"{\"token\":\"x\",\"b\":\"{\\\"password\\\": [1,{}],\\\"c\\\":2}\"}","d":1}`,
    String.raw`{"a":"{\"token\":\"***\",\"b\":\"{\\\"password\\\": \\\"***\\\",\\\"c\\\":2}\"}","d":1}`,
  ],
  [
    'a number and a cut string in a string of JSON',
    'json',
    String.raw`{"a":"{\"pin\":12,\"b\":3}","c":"{\"token\":\"x`,
    String.raw`{"a":"{\"pin\":\"***\",\"b\":3}","c":"{\"token\":\"***\"`,
  ],
  [
    'JSON in a form',
    'form',
    'payload=%7B%22token%22%3A%22x%22%2C%22a%22%3A+1%7D&b=2',
    'payload=%7B%22token%22%3A%22***%22%2C%22a%22%3A+1%7D&b=2',
  ],
  [
    'fields that a server echoes',
    'text',
    'Host: a\r\nAuthorization: Bearer x\r\nX-Auth-Token: y',
    'Host: a\r\nAuthorization: ***\r\nX-Auth-Token: ***',
  ],
  [
    'lines of YAML and of settings',
    'text',
    '- password: x y\n  secret_key: "z"\nexport API_KEY=w\n# a: b',
    '- password: ***\n  secret_key: "***"\nexport API_KEY=***\n# a: b',
  ],
  [
    'an argument in GraphQL',
    'text',
    '{ login(password: "x", user: "y") { token } }',
    '{ login(password: "***", user: "y") { token } }',
  ],
  ['nothing secret', 'text', '<p class="x">1 < 2 && "a": 3</p>', '<p class="x">1 < 2 && "a": 3</p>'],
]
for (const [name, kind, given, want] of table)
  test(`hides secrets in a body: ${name}`, () => assert.equal(redact.body(given, kind), want))

test('shows bodies as they are when it is switched off', () => {
  const open = redactor({ names: [], enabled: false })
  assert.equal(open.body('{"token":"x"}', 'json'), '{"token":"x"}')
})

test('no text of the size that is kept takes long', () => {
  const long = 4096
  for (const kind of ['json', 'form', 'text'] as const) {
    for (const piece of [
      '"',
      '\\"',
      '{"token":',
      '{"token":{',
      "'",
      '<a b="',
      '<token>',
      '<a b=',
      '<a><![CDATA[',
      '&token',
      '%3f',
      '\\',
      '%22',
      '%2522a%2522%253a',
      '\\"token\\":\\"',
      'a = ',
      '--',
      ' ',
    ]) {
      const text = piece.repeat(long / piece.length)
      const startedAt = performance.now()
      redact.body(text, kind)
      assert.ok(performance.now() - startedAt < 2000, `${kind} ${piece}`)
    }
  }
})

test('a body as large as a HAR may keep takes time linear in its length', () => {
  for (const kind of ['json', 'form', 'text'] as const) {
    for (const piece of ['\\"', '\\"token\\":{', '"', '%22a', 'a = ', 'x']) {
      const text = piece.repeat(200_000 / piece.length)
      const before = process.cpuUsage().user
      redact.body(text, kind)
      // Quadratic work took 20 s.
      assert.ok(process.cpuUsage().user - before < 4_000_000, `${kind} ${piece}`)
    }
  }
})
