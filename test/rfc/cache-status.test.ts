/** What Cache-Status says (RFC 9211). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CacheStatusDetail, cacheStatus } from '../../src/cache/cache-status.ts'
import type { CacheFacts } from '../../src/core/exchange.ts'
import { type Reason, reasons, storageReasons } from '../../src/core/reasons.ts'
import { parseDictionary } from '../../src/http/structured.ts'
import { type Row, table } from './table.ts'

interface StatusRow extends Row<string | undefined> {
  readonly facts: CacheFacts
  readonly how?: CacheStatusDetail
}

const rows: readonly StatusRow[] = [
  {
    rfc: '9211 §2.1',
    name: 'a hit',
    facts: { status: 'hit', reason: 'hit', ttlSeconds: 50 },
    want: 'revproxy; hit; ttl=50',
  },
  {
    rfc: '9211 §2.4',
    name: 'ttl is an Integer',
    facts: { status: 'hit', reason: 'hit', ttlSeconds: 50.9 },
    want: 'revproxy; hit; ttl=50',
  },
  {
    rfc: '9211 §2.4',
    name: 'ttl is negative for what is stale',
    facts: { status: 'stale', reason: 'stale-served-swr', ttlSeconds: -4.5 },
    want: 'revproxy; hit; ttl=-5',
  },
  {
    rfc: '9211 §2.2',
    name: 'a miss',
    facts: { status: 'miss', reason: 'uri-miss', forwardStatus: 200, storage: 'stored' },
    want: 'revproxy; fwd=uri-miss; fwd-status=200; stored',
  },
  {
    rfc: '9211 §2.5',
    name: 'a miss that is not stored',
    facts: { status: 'miss', reason: 'uri-miss', forwardStatus: 200, storage: 'no-store' },
    want: 'revproxy; fwd=uri-miss; fwd-status=200',
  },
  {
    rfc: '9211 §2.2',
    name: 'another variant',
    facts: { status: 'miss', reason: 'vary-miss' },
    want: 'revproxy; fwd=vary-miss',
  },
  {
    rfc: '9211 §2.2',
    name: 'it was there once',
    facts: { status: 'miss', reason: 'purged' },
    want: 'revproxy; fwd=uri-miss',
  },
  {
    rfc: '9211 §2.2',
    name: 'the client wants it fresh',
    facts: { status: 'miss', reason: 'req-max-age' },
    want: 'revproxy; fwd=request',
  },
  {
    rfc: '9211 §2.2',
    name: 'stale, found good',
    facts: {
      status: 'revalidated',
      reason: 'expired',
      forwardStatus: 304,
      storage: 'stored',
      ttlSeconds: 60,
    },
    want: 'revproxy; fwd=stale; fwd-status=304; stored; ttl=60',
  },
  {
    rfc: '9211 §2.2',
    name: 'only a part is stored',
    facts: { status: 'miss', reason: 'range-incomplete' },
    want: 'revproxy; fwd=partial',
  },
  {
    rfc: '9211 §2.2',
    name: 'another method',
    facts: { status: 'bypass', reason: 'method' },
    want: 'revproxy; fwd=method',
  },
  {
    rfc: '9211 §2.2',
    name: 'kept away from the cache',
    facts: { status: 'bypass', reason: 'request-body' },
    want: 'revproxy; fwd=bypass',
  },
  {
    rfc: '9211 §2.6',
    name: 'collapsed',
    facts: { status: 'coalesced', reason: 'collapsed-hit', forwardStatus: 200 },
    want: 'revproxy; fwd=uri-miss; fwd-status=200; collapsed',
  },
  {
    rfc: '9211 §2.6',
    name: 'collapsed in vain',
    facts: { status: 'miss', reason: 'collapsed-failed' },
    want: 'revproxy; fwd=uri-miss; collapsed=?0',
  },
  {
    rfc: '9211 §2.2',
    name: 'neither hit nor forwarded',
    facts: { status: 'miss', reason: 'only-if-cached' },
    want: 'revproxy',
  },
  {
    rfc: '9211 §2.7',
    name: 'the key is a String',
    facts: { status: 'hit', reason: 'hit', key: 'http://h/"a"\\\nü' },
    how: 'full',
    want: 'revproxy; hit; key="http://h/\\"a\\"\\\\%0A%C3%BC"; detail="hit"',
  },
  {
    rfc: '9211 §2.7',
    name: 'half a letter in the key',
    facts: { status: 'hit', reason: 'hit', key: 'a\udc00' },
    how: 'full',
    want: 'revproxy; hit; key="a%EF%BF%BD"; detail="hit"',
  },
  {
    rfc: '9211 §2.7',
    name: 'a long key',
    facts: { status: 'hit', reason: 'hit', key: 'a'.repeat(1000) },
    how: 'full',
    want: `revproxy; hit; key="${'a'.repeat(1000)}"; detail="hit"`,
  },
  {
    rfc: '9211 §2.7',
    name: 'a key beyond all measure is left out',
    facts: { status: 'hit', reason: 'hit', key: 'a'.repeat(1001) },
    how: 'full',
    want: 'revproxy; hit; detail="hit"',
  },
  {
    rfc: '9211 §2.8',
    name: 'the detail',
    facts: {
      status: 'miss',
      reason: 'vary-miss',
      detail: 'accept (stored a, given "b")',
      storage: 'no-store',
    },
    how: 'full',
    want: 'revproxy; fwd=vary-miss; detail="vary-miss accept (stored a, given \\"b\\"); not stored: no-store"',
  },
  {
    rfc: '9211 §2',
    name: 'switched off',
    facts: { status: 'hit', reason: 'hit' },
    how: 'off',
    want: undefined,
  },
]

table('Cache-Status', rows, ({ facts, how = 'basic' }) => cacheStatus(facts, how))

test('Cache-Status of every reason is one member of a list with valid parameters (RFC 9211 §2)', () => {
  const fwd = /^(?:bypass|method|uri-miss|vary-miss|miss|request|stale|partial)$/
  for (const reason of Object.keys(reasons) as Reason[]) {
    for (const status of ['hit', 'stale', 'revalidated', 'miss', 'coalesced', 'bypass'] as const) {
      for (const storage of [undefined, 'stored', ...Object.keys(storageReasons)] as const) {
        const facts = {
          status,
          reason,
          key: 'http://ü/',
          ttlSeconds: -1.5,
          forwardStatus: 200,
          storage,
          detail: 'é"\\',
        }
        const said = cacheStatus(facts as CacheFacts, 'full')!
        // An Item with parameters is read like a dictionary member of that value.
        assert.notEqual(parseDictionary(`x=${said}`), undefined, said)
        const forwarded = /; fwd=([^;]+)/.exec(said)?.[1]
        if (forwarded !== undefined) assert.match(forwarded, fwd)
        assert.notEqual(forwarded !== undefined, /; hit/.test(said) || reason === 'only-if-cached', said)
      }
    }
  }
})
