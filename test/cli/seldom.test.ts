import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMistake, watchFaults } from '../../src/cli/faults.ts'
import { seldom } from '../../src/cli/seldom.ts'

test('the first is told at once, then one a second with how many there were, and after a quiet second at once again', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const told: string[] = []
  const { say, flush } = seldom((sentence) => told.push(sentence))
  say('a')
  assert.deepEqual(told, ['a'])
  say('b')
  say('c')
  say('d')
  assert.deepEqual(told, ['a'])
  t.mock.timers.tick(1000)
  assert.deepEqual(told, ['a', 'd (2 more like it)'])
  say('e')
  t.mock.timers.tick(1000)
  assert.deepEqual(told.slice(2), ['e'])
  t.mock.timers.tick(1000)
  say('f')
  assert.deepEqual(told.slice(3), ['f'])
  say('g')
  flush()
  flush()
  assert.deepEqual(told.slice(4), ['g'])
})

for (const [error, mistake] of [
  [new TypeError('x is not a function'), true],
  [new RangeError('stack'), true],
  ['a string', true],
  [undefined, true],
  [new Error('the port of --trace-receive is in use'), false],
  [Object.assign(new Error('in use'), { code: 'EADDRINUSE' }), false],
  [Object.assign(new TypeError('bad URL'), { code: 'ERR_INVALID_URL' }), false],
] as const)
  test(`${String(error)} is ${mistake ? 'a mistake of the program' : 'something to tell the user'}`, () =>
    assert.equal(isMistake(error), mistake))

test('before the start is through a fault that nobody caught ends the process with 8; afterwards it is told and counted', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const listeners = new Map<string, (error: unknown) => void>()
  const exits: unknown[] = []
  const written: string[] = []
  const told: string[] = []
  let count = 0
  const faults = watchFaults({ say: (sentence) => told.push(sentence), count: () => count++ }, {
    on: (name: string, listener: (error: unknown) => void) => listeners.set(name, listener),
    exit: (code: number) => {
      exits.push(code)
      throw new Error('ended')
    },
    stderr: { write: (text: string) => written.push(text) },
  } as never)
  for (const name of ['uncaughtException', 'unhandledRejection']) {
    assert.throws(() => listeners.get(name)!(new TypeError('early')), /ended/)
  }
  assert.deepEqual(exits, [8, 8])
  assert.match(written[0]!, /^revproxy: cannot start, by a fault of its own: TypeError: early\n +at /)
  faults.started()
  listeners.get('uncaughtException')!(new TypeError('late'))
  listeners.get('unhandledRejection')!('a string')
  faults.met(new TypeError('in a request'))
  t.mock.timers.tick(1000)
  assert.equal(exits.length, 2)
  assert.equal(count, 3)
  assert.match(told[0]!, /^unexpected: TypeError: late\n +at /)
  assert.match(told[1]!, /^a fault of the proxy itself: TypeError: in a request\n[\s\S]* \(1 more like it\)$/)
})
