import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KnownFields } from '../../src/core/types.ts'

test('what was written of fields stands for those that still begin with them, and for no others', () => {
  const known = new KnownFields(['A', '1', 'B', '2'])
  for (const [headers, want] of [
    [['A', '1', 'B', '2'], true],
    [['A', '1', 'B', '2', 'Age', '3'], true],
    [['A', '1', 'B', '3', 'Age', '3'], false],
    [['A', '1', 'b', '2'], false],
    [['B', '2', 'A', '1'], false],
    [['Age', '3', 'A', '1', 'B', '2'], false],
    [['A', '1'], false],
    [[], false],
  ] satisfies Array<[string[], boolean]>)
    assert.equal(known.begin(headers), want, headers.join())
})
