import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseTrustProxy } from '../../src/cli/values.ts'
import { forwardingFields, type NamedClient, trusted } from '../../src/http/forwarded.ts'

const named = (address: string, scheme?: 'http' | 'https', host?: string): NamedClient => ({
  address,
  scheme,
  host,
})

const rows: Array<{
  name: string
  trust: string
  peer?: string
  fields: string[]
  want: NamedClient | undefined
}> = [
  {
    name: 'a peer that is not trusted is not listened to',
    trust: 'loopback',
    peer: '192.0.2.9',
    fields: ['X-Forwarded-For', '1.1.1.1'],
    want: undefined,
  },
  {
    name: 'a trusted peer names the client',
    trust: 'loopback',
    fields: ['X-Forwarded-For', '192.0.2.1', 'X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'a.example'],
    want: named('192.0.2.1', 'https', 'a.example'),
  },
  { name: 'and says nothing', trust: 'loopback', fields: [], want: named('127.0.0.1') },
  {
    name: 'the rightmost that is not trusted is the client: what is left of it is made up',
    trust: 'loopback,10.0.0.0/8',
    fields: ['X-Forwarded-For', '6.6.6.6, 192.0.2.1, 10.1.2.3'],
    want: named('192.0.2.1'),
  },
  {
    name: 'several lines are one list',
    trust: 'loopback,10.0.0.0/8',
    fields: ['X-Forwarded-For', '192.0.2.1', 'x-forwarded-for', '10.1.2.3'],
    want: named('192.0.2.1'),
  },
  {
    name: 'when all are trusted it is the first',
    trust: 'private,loopback',
    fields: ['X-Forwarded-For', '10.0.0.7, 192.168.1.1'],
    want: named('10.0.0.7'),
  },
  {
    name: 'one proxy: the last word',
    trust: '1',
    peer: '203.0.113.5',
    fields: ['X-Forwarded-For', '6.6.6.6, 192.0.2.1'],
    want: named('192.0.2.1'),
  },
  {
    name: 'two proxies: the last but one',
    trust: '2',
    peer: '203.0.113.5',
    fields: ['X-Forwarded-For', '6.6.6.6, 192.0.2.1, 203.0.113.4'],
    want: named('192.0.2.1'),
  },
  {
    name: 'more proxies than words: the first',
    trust: '9',
    fields: ['X-Forwarded-For', '192.0.2.1'],
    want: named('192.0.2.1'),
  },
  {
    name: 'scheme and host stand as far from the right as the client',
    trust: '2',
    fields: [
      'X-Forwarded-For',
      '6.6.6.6, 192.0.2.1, 10.0.0.1',
      'X-Forwarded-Proto',
      'ftp, https, http',
      'X-Forwarded-Host',
      'evil.example, a.example, b.internal',
    ],
    want: named('192.0.2.1', 'https', 'a.example'),
  },
  {
    name: 'a single scheme is meant for all',
    trust: '2',
    fields: ['X-Forwarded-For', '192.0.2.1, 10.0.0.1', 'X-Forwarded-Proto', 'HTTPS'],
    want: named('192.0.2.1', 'https'),
  },
  {
    name: 'scheme and host without a client',
    trust: 'loopback',
    fields: ['X-Forwarded-Proto', 'https', 'X-Forwarded-Host', 'a.example:8443'],
    want: named('127.0.0.1', 'https', 'a.example:8443'),
  },
  {
    name: 'a scheme and a host that are none are not taken',
    trust: 'loopback',
    fields: ['X-Forwarded-Proto', 'javascript', 'X-Forwarded-Host', 'a/b"<'],
    want: named('127.0.0.1'),
  },
  {
    name: 'addresses with ports and brackets',
    trust: 'loopback',
    fields: ['X-Forwarded-For', '192.0.2.1:4711'],
    want: named('192.0.2.1'),
  },
  {
    name: 'IPv6',
    trust: '::1',
    peer: '::1',
    fields: ['X-Forwarded-For', '[2001:db8::1]:4711'],
    want: named('2001:db8::1'),
  },
  {
    name: 'IPv6 ranges',
    trust: '2001:db8::/32',
    peer: '2001:db8::5',
    fields: ['X-Forwarded-For', '2001:db9::1, 2001:db8::1'],
    want: named('2001:db9::1'),
  },
  {
    name: 'IPv4 in IPv6 is IPv4',
    trust: 'loopback',
    fields: ['X-Forwarded-For', '192.0.2.1, ::ffff:127.0.0.1'],
    want: named('192.0.2.1'),
  },
  {
    name: 'behind somebody unknown nobody is believed',
    trust: 'loopback',
    fields: ['X-Forwarded-For', '192.0.2.1, unknown'],
    want: named('127.0.0.1'),
  },
  {
    name: 'Forwarded',
    trust: 'loopback',
    fields: ['Forwarded', 'for=6.6.6.6, for="[2001:db8::1]:80";proto=https;host="a.example:1"'],
    want: named('2001:db8::1', 'https', 'a.example:1'),
  },
  {
    name: 'Forwarded in any case and order',
    trust: 'loopback',
    fields: ['forwarded', 'Proto=https;FOR=192.0.2.1;by=_x'],
    want: named('192.0.2.1', 'https'),
  },
  {
    name: 'Forwarded with a made-up name',
    trust: 'loopback',
    fields: ['Forwarded', 'for=_hidden;proto=https'],
    want: named('127.0.0.1', 'https'),
  },
  {
    name: 'a quote left open swallows nothing',
    trust: 'loopback',
    fields: ['Forwarded', 'for="6.6.6.6, for=192.0.2.1'],
    want: named('192.0.2.1'),
  },
  {
    name: 'X-Forwarded-For goes before Forwarded',
    trust: 'loopback',
    fields: ['Forwarded', 'for=6.6.6.6', 'X-Forwarded-For', '192.0.2.1'],
    want: named('192.0.2.1'),
  },
  {
    name: 'X-Real-IP where there is nothing else',
    trust: 'loopback',
    fields: ['X-Real-IP', '192.0.2.1'],
    want: named('192.0.2.1'),
  },
  {
    name: 'X-Real-IP beside others is not asked',
    trust: 'loopback',
    fields: ['X-Real-IP', '6.6.6.6', 'X-Forwarded-For', '192.0.2.1'],
    want: named('192.0.2.1'),
  },
]

describe('whose word about the client is taken', () => {
  for (const { name, trust, peer = '127.0.0.1', fields, want } of rows) {
    test(name, () => assert.deepEqual(trusted(parseTrustProxy(trust)!)(peer, fields), want))
  }
})

describe('what the next hop is told', () => {
  const facts = { clientAddress: '192.0.2.1', host: 'a.example:1', scheme: 'https' }
  const told = (forwardedBy: string | undefined, ...headers: string[]): Record<string, string> => {
    const fields = forwardingFields(headers, { ...facts, forwardedBy })
    return Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]!]] : [])))
  }
  test('nothing of what a client says of itself', () => {
    assert.deepEqual(told(undefined, 'X-Forwarded-For', '6.6.6.6', 'Forwarded', 'for=6.6.6.6'), {
      'X-Forwarded-For': '192.0.2.1',
      'X-Forwarded-Proto': 'https',
      'X-Forwarded-Host': 'a.example:1',
      'X-Real-IP': '192.0.2.1',
      Forwarded: 'for=192.0.2.1;host="a.example:1";proto=https',
    })
  })
  test('what a trusted proxy says, and who that is', () => {
    assert.deepEqual(
      told('10.0.0.1', 'X-Forwarded-For', '192.0.2.1', 'Forwarded', 'for=192.0.2.1;proto=https'),
      {
        'X-Forwarded-For': '192.0.2.1, 10.0.0.1',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'a.example:1',
        'X-Real-IP': '192.0.2.1',
        Forwarded: 'for=192.0.2.1;proto=https, for=10.0.0.1;host="a.example:1";proto=https',
      },
    )
  })
  test('one list is made of the other where only one came', () => {
    const fromList = told('::1', 'X-Forwarded-For', '2001:db8::1, unknown')
    assert.equal(
      fromList.Forwarded,
      'for="[2001:db8::1]", for=unknown, for="[::1]";host="a.example:1";proto=https',
    )
    assert.equal(fromList['X-Forwarded-For'], '2001:db8::1, unknown, ::1')
    const fromElements = told('::1', 'Forwarded', 'for="[2001:db8::1]:80";proto=http')
    assert.equal(fromElements['X-Forwarded-For'], '2001:db8::1, ::1')
  })
})
