import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lostLines } from '../../src/observe/lost-lines.ts'

test('missing lines are told in the format of the log', () => {
  assert.equal(lostLines('pretty')(1), '… 1 log line dropped\n')
  assert.equal(lostLines('plain')(12), '… 12 log lines dropped\n')
  const { time, ...told } = JSON.parse(lostLines('json')(3))
  assert.deepEqual(told, { level: 'warn', event: 'lines-dropped', lines: 3 })
  assert.ok(Date.parse(time) > 0)
  assert.match(lostLines('logfmt')(3), /^time=\S+ level=warn event=lines-dropped lines=3\n$/)
})
