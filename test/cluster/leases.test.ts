import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LeaseBook } from '../../src/cluster/leases.ts'
import { until } from './support.ts'

test('a key is one worker’s at a time; the others are told what became of it', async () => {
  const book = new LeaseBook()
  assert.deepEqual(await book.take('k', 1, 11), { mine: true, stored: undefined })
  const second = book.take('k', 2, 22)
  const third = book.take('k', 3, 33)
  book.release('k', 2, 'stored') // not its own
  book.release('k', 1, 'alone')
  assert.deepEqual(await second, { mine: false, leader: 11, outcome: 'alone' })
  assert.deepEqual(await third, { mine: false, leader: 11, outcome: 'alone' })
  assert.deepEqual(await book.take('other', 2, 22), { mine: true, stored: undefined })
})

test('whoever comes just after an answer was stored is told of it', async () => {
  const book = new LeaseBook()
  await book.take('k', 1, 11)
  book.release('k', 1, 'stored')
  assert.deepEqual(await book.take('k', 2, 22), { mine: true, stored: 11 })
  book.release('k', 2, 'failed')
  await book.take('failed', 1, 11)
  book.release('failed', 1, 'failed')
  assert.deepEqual(await book.take('failed', 2, 22), { mine: true, stored: undefined })
})

test('a lease that is only tried for is not waited for', async () => {
  const book = new LeaseBook()
  assert.equal(book.tryTake('k', 1, 11), true)
  assert.equal(book.tryTake('k', 2, 22), false)
  book.release('k', 1, 'failed')
  assert.equal(book.tryTake('k', 2, 22), true)
})

test('the leases of a worker that is gone are given back', async () => {
  const book = new LeaseBook()
  await book.take('a', 1, 11)
  await book.take('b', 2, 22)
  const waiting = book.take('a', 2, 23)
  book.releaseAll(1)
  assert.deepEqual(await waiting, { mine: false, leader: 11, outcome: 'failed' })
  assert.equal(book.tryTake('a', 2, 24), true)
  assert.equal(book.tryTake('b', 1, 12), false)
})

test('a worker that does not answer keeps nobody waiting; one that does, for as long as it takes', async () => {
  const book = new LeaseBook()
  let asked = 0
  book.join(1, async () => void asked++)
  book.join(2, () => Promise.reject(new Error('silent')))
  await book.take('slow', 1, 11)
  await book.take('stopped', 2, 22)
  assert.equal(asked, 0, 'nobody waits')
  const slow = book.take('slow', 3, 31)
  assert.deepEqual(await book.take('stopped', 3, 32), { mine: false, leader: 22, outcome: 'failed' })
  // What it says once it goes on is no longer about its own.
  assert.equal(book.tryTake('stopped', 3, 33), true)
  book.release('stopped', 2, 'stored')
  assert.equal(book.tryTake('stopped', 1, 12), false)
  await until('it was asked again', () => asked >= 2)
  book.release('slow', 1, 'stored')
  assert.deepEqual(await slow, { mine: false, leader: 11, outcome: 'stored' })
})
