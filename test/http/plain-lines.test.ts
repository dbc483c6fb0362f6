import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { NameKinds, plainLines } from '../../src/http/plain-lines.ts'

const KB = 1024
const MB = 1024 * KB

test('names that are remembered do not keep the heads in which they came', () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const kinds = new NameKinds({})
  const heads = (from: number, count: number): void => {
    for (let n = from; n < from + count; n++) {
      const head = Buffer.from(
        `X-Name-That-Nobody-Has-Seen-${n}: a\r\n${'X-Y: b\r\n'.repeat(50)}Long: ${'x'.repeat(60 * KB)}\r\n`,
      )
      const text = head.toString('latin1')
      assert.equal(plainLines(text, 0, text.length, kinds, () => true)?.length, 52 * 2)
    }
  }
  heads(0, 10)
  collect()
  const before = process.memoryUsage().heapUsed
  heads(10, 490)
  // Names as long as a head are not remembered at all.
  for (let n = 0; n < 490; n++)
    assert.equal(kinds.of(Buffer.from(`${'n'.repeat(60 * KB)}${n}`).toString('latin1')).kind, 'plain')
  collect()
  const grown = process.memoryUsage().heapUsed - before
  assert.ok(grown < 4 * MB, `grew by ${grown / MB} MB`)
})

test('a name is the same string each time, and means the same in whatever case', () => {
  const kinds = new NameKinds({ 'content-length': 'length' })
  const read = (head: string) => plainLines(head, 0, head.length, kinds, () => true)
  const [first] = read('Content-Length: 5\r\n')!
  assert.equal(kinds.of('Content-Length').text, first)
  for (const name of ['Content-Length', 'content-length', 'CONTENT-LENGTH'])
    assert.deepEqual(kinds.of(name), { text: name, kind: 'length' })
  assert.deepEqual(kinds.of('constructor'), { text: 'constructor', kind: 'plain' })
  assert.equal(kinds.of('Content-Length ').kind, undefined)
})
