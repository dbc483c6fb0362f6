import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  allValues,
  editFields,
  endToEnd,
  firstValue,
  hasField,
  joinedValue,
  listMembers,
  nominated,
  trimOws,
  withField,
  withoutFields,
} from '../../src/http/fields.ts'

const fields = ['A', '1', 'b', '2', 'a', '3']

test('fields are read without regard to case, first, all or joined', () => {
  assert.deepEqual([firstValue(fields, 'a'), firstValue(fields, 'c')], ['1', undefined])
  assert.deepEqual([allValues(fields, 'a'), allValues(fields, 'c')], [['1', '3'], []])
  assert.deepEqual([joinedValue(fields, 'a'), joinedValue(fields, 'c')], ['1, 3', undefined])
  assert.deepEqual([hasField(fields, 'b'), hasField(fields, 'c'), hasField([], 'a')], [true, false, false])
  assert.deepEqual([hasField(['x', 'a'], 'a'), firstValue(['x', 'a', 'a', '1'], 'a')], [false, '1'])
})

test('copies leave the original alone and keep the order', () => {
  assert.deepEqual(withoutFields(fields, new Set(['a'])), ['b', '2'])
  assert.deepEqual(withField(fields, 'A', '4'), ['b', '2', 'A', '4'])
  assert.deepEqual(fields, ['A', '1', 'b', '2', 'a', '3'])
})

test('edits replace all lines of a name, or remove them', () => {
  assert.equal(editFields(fields, []), fields)
  assert.deepEqual(
    editFields(fields, [
      { name: 'A', value: undefined },
      { name: 'C', value: '5' },
    ]),
    ['b', '2', 'C', '5'],
  )
})

test('lists are split at commas outside of quoted strings (RFC 9110 §5.6.1)', () => {
  const rows: ReadonlyArray<readonly [string, readonly string[]]> = [
    ['', []],
    [' \t', []],
    ['a', ['a']],
    [' a ', ['a']],
    ['a,b', ['a', 'b']],
    [' a\t, ,b ,', ['a', 'b']],
    ['a="b,c", d', ['a="b,c"', 'd']],
    ['"a\\",b", c', ['"a\\",b"', 'c']],
    ['"a\\\\", b', ['"a\\\\"', 'b']],
    ['"", b', ['""', 'b']],
    ['a="b, c', ['a="b', 'c']],
    ['"a", "b, c', ['"a"', '"b', 'c']],
    ['a, "', ['a', '"']],
    ['"\\', ['"\\']],
    ['a\u00a0,b', ['a\u00a0', 'b']],
  ]
  for (const [text, members] of rows) assert.deepEqual(listMembers(text), members, JSON.stringify(text))
})

test('optional white space is spaces and tabs (RFC 9110 §5.6.3)', () => {
  assert.deepEqual([trimOws(' \ta b\t '), trimOws('  '), trimOws('\u00a0a')], ['a b', '', '\u00a0a'])
})

test('Connection names fields of the connection (RFC 9110 §7.6.1)', () => {
  assert.equal(nominated(['Connection', 'close', 'connection', 'keep-alive']), undefined)
  assert.equal(nominated(['Connection', 'Close, Keep-Alive, upgrade, Host, ,']), undefined)
  assert.deepEqual(
    [...nominated(['Connection', 'X-Foo , close', 'CONNECTION', 'x-bar'])!],
    ['x-foo', 'x-bar'],
  )
})

test('what goes to the other side is without them, in order (RFC 9110 §7.6.1)', () => {
  assert.deepEqual(
    endToEnd([
      'A',
      '1',
      'Connection',
      'x-foo, upgrade',
      'X-Foo',
      '1',
      'Upgrade',
      'h2c',
      'HTTP2-Settings',
      'x',
      'Keep-Alive',
      '5',
      'B',
      '2',
    ]),
    ['A', '1', 'B', '2'],
  )
})
