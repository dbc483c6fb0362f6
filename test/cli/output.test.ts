import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { toleratePipes } from '../../src/cli/output.ts'

const failure = (code: string): Error => Object.assign(new Error(code), { code })

test('what cannot be printed is told once, though the telling fails too', () => {
  const [out, err] = [new EventEmitter(), new EventEmitter()]
  const told: string[] = []
  toleratePipes([out, err], ({ message }) => {
    told.push(message)
    if (told.length < 10) err.emit('error', failure('EIO'))
  })
  out.emit('error', failure('EPIPE'))
  assert.deepEqual(told, [])
  out.emit('error', failure('EIO'))
  out.emit('error', failure('EIO'))
  assert.deepEqual(told, ['EIO'])
})
