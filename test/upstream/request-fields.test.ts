import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancel } from '../../src/core/cancel.ts'
import { Exchange } from '../../src/core/exchange.ts'
import { requestFields, upstreamPath } from '../../src/upstream/request-fields.ts'

const fieldsFor = (
  headers: readonly string[],
  more: {
    host?: string
    address?: string
    hostHeader?: string
    edits?: Parameters<typeof requestFields>[1]['edits']
  } = {},
): readonly string[] => {
  const exchange = new Exchange({
    id: 1,
    cause: 'client',
    method: 'GET',
    url: '/',
    host: more.host ?? 'shop',
    scheme: 'http',
    clientAddress: more.address ?? '10.0.0.1',
    httpVersion: '1.1',
    startedAt: 0,
    requestHeaders: headers,
  })
  return requestFields(
    { method: 'GET', url: '/', headers, body: undefined, cancel: new Cancel(), exchange },
    { hostHeader: more.hostHeader ?? 'target', targetAuthority: 'app:3000', edits: more.edits ?? [] },
  )
}
const valuesOf = (fields: readonly string[], name: string): string[] =>
  fields.filter((_, i) => i % 2 === 1 && fields[i - 1]!.toLowerCase() === name)

for (const [name, given, want] of [
  [
    'keeps what is end-to-end',
    ['A', '1', 'a', '2', 'Content-Length', '3'],
    ['A', '1', 'a', '2', 'Content-Length', '3'],
  ],
  [
    'drops what is of the connection',
    ['Connection', 'close', 'TE', 'trailers', 'Upgrade', 'x', 'Expect', '100-continue'],
    [],
  ],
  [
    'drops what Connection names',
    ['Connection', 'X-A, x-b', 'x-a', '1', 'X-B', '2', 'X-C', '3'],
    ['X-C', '3'],
  ],
  [
    'ignores a wish to drop the framing',
    ['Connection', 'content-length, host', 'Content-Length', '3'],
    ['Content-Length', '3'],
  ],
  [
    'drops what the client forged',
    ['X-Forwarded-Anything', '1', 'Forwarded', 'for=x', 'X-Real-IP', '6.6.6.6'],
    [],
  ],
  [
    'drops it in the spelling of variables too',
    ['X_Forwarded_Host', 'evil', 'x-forwarded_proto', 'https', 'X_REAL_IP', '6.6.6.6', 'X_Foo', '1'],
    ['X_Foo', '1'],
  ],
] as const) {
  test(`a request's field list ${name}`, () => {
    const fields = fieldsFor(given)
    const ours = fields.indexOf('Via')
    assert.deepEqual(fields.slice(0, 2), ['Host', 'app:3000'])
    assert.deepEqual(fields.slice(2, ours), want)
  })
}

for (const [address, host, want] of [
  ['10.0.0.1', 'shop', 'for=10.0.0.1;host=shop;proto=http'],
  ['2001:db8::1', 'shop:81', 'for="[2001:db8::1]";host="shop:81";proto=http'],
  ['::1', '[::1]:81', 'for="[::1]";host="[::1]:81";proto=http'],
  ['10.0.0.1', '', 'for=10.0.0.1;proto=http'],
] as const) {
  test(`Forwarded for ${address} asking ${host || 'no host'} follows RFC 7239`, () => {
    const fields = fieldsFor([], { address, host })
    assert.deepEqual(valuesOf(fields, 'forwarded'), [want])
    assert.deepEqual(valuesOf(fields, 'x-forwarded-host'), host === '' ? [] : [host])
    assert.deepEqual(valuesOf(fields, 'x-real-ip'), [address])
    assert.deepEqual(valuesOf(fields, 'x-forwarded-for'), [address])
  })
}

test('several Via lines become one list, with ours at its end', () => {
  assert.deepEqual(valuesOf(fieldsFor(['Via', '1.0 a', 'via', '1.1 b']), 'via'), [
    '1.0 a, 1.1 b, 1.1 revproxy',
  ])
})

for (const [hostHeader, host, want] of [
  ['target', 'shop', 'app:3000'],
  ['client', 'shop', 'shop'],
  ['client', '', 'app:3000'],
  ['api:1', 'shop', 'api:1'],
] as const) {
  test(`Host by ${hostHeader} of ${host || 'none'} is ${want}`, () => {
    assert.deepEqual(valuesOf(fieldsFor(['Host', 'given'], { hostHeader, host }), 'host'), [want])
  })
}

test('edits have the last word, also over our own fields', () => {
  const edits = [
    { name: 'Via', value: undefined },
    { name: 'x-real-ip', value: '1.2.3.4' },
    { name: 'A', value: 'new' },
  ]
  const fields = fieldsFor(['a', 'old'], { edits })
  assert.deepEqual(
    [valuesOf(fields, 'via'), valuesOf(fields, 'x-real-ip'), valuesOf(fields, 'a')],
    [[], ['1.2.3.4'], ['new']],
  )
})

for (const [url, path, query, want] of [
  ['/a?b', '', '', '/a?b'],
  ['/a?b', '/v1', '', '/v1/a?b'],
  ['/a', '', 'k=1', '/a?k=1'],
  ['/a?b', '/v1', 'k=1', '/v1/a?b&k=1'],
] as const) {
  test(`${url} under ${path || '/'}${query && `?${query}`} is asked for as ${want}`, () => {
    assert.equal(upstreamPath(url, path, query), want)
  })
}
