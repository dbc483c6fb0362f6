import assert from 'node:assert/strict'
import { test } from 'node:test'
import { columnsOf, cutEnd, cutMiddle, padded, rowsOf, wrapped } from '../../src/observe/fit.ts'

for (const [text, columns] of [
  ['', 0],
  ['GET /a', 6],
  ['├ é', 3],
  ['日本語', 6],
  ['ｆｕｌｌ', 8],
  ['한국', 4],
  ['e\u0301', 1],
  ['👧🚀', 4],
  ['𠮷', 2],
] as const)
  test(`"${text}" takes ${columns} columns`, () => assert.equal(columnsOf(text), columns))

test('texts are cut and padded by columns, and no character is cut in two', () => {
  assert.equal(cutEnd('日本語', 6), '日本語')
  assert.equal(cutEnd('日本語', 5), '日本…')
  assert.equal(cutEnd('日本語', 4), '日…')
  assert.equal(cutEnd('a👧b', 3), 'a…')
  assert.equal(padded('日本', 5), '日本 ')
  assert.deepEqual(rowsOf('a日本語👧', 4), ['a日', '本語', '👧'])
  assert.deepEqual(rowsOf('日', 1), ['日'])
  assert.deepEqual(rowsOf('abcdefg', 3), ['abc', 'def', 'g'])
  assert.deepEqual(rowsOf('', 3), [])
  assert.equal(cutMiddle('/abcdefgh', 6), '/ab…gh')
})

test('words are wrapped by columns', () => {
  assert.deepEqual(wrapped('日本 語 ab', 7), ['日本 語', 'ab'])
})
