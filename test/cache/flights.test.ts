import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { Flights, type Landing } from '../../src/cache/flights.ts'
import { Recording } from '../../src/cache/recording.ts'
import { Cancel } from '../../src/core/cancel.ts'
import { entryOf } from './entries.ts'

const whole = (): Landing => ({
  kind: 'shared',
  head: [],
  entry: entryOf('x'),
  recording: undefined,
  settled: Promise.resolve(),
  shareable: true,
})

const alone: Landing = { kind: 'alone', response: { status: 200, headers: [], body: Buffer.alloc(0) } }

const recordingOf = (source: Readable): Recording =>
  new Recording(source, {
    maxBytes: 10,
    expectedBytes: undefined,
    claim: () => true,
    release: () => {},
    onSettled: () => {},
  })

test('all who wait get the landing', async () => {
  const flights = new Flights()
  const flight = flights.start('k', 1)
  assert.equal(flights.joinable('k'), flight)
  const waiting = [flight.wait(new Cancel()), flight.wait(new Cancel())]
  const landing = whole()
  flight.land(landing)
  assert.deepEqual(await Promise.all(waiting), [landing, landing])
  flights.settle('k', flight)
  assert.equal(flights.has('k'), false)
  assert.equal(flights.joinable('k'), undefined)
})

test('all who wait get the failure, and one that nobody waits for is no unhandled rejection', async () => {
  const flights = new Flights()
  const flight = flights.start('k', 1)
  const waiting = flight.wait(new Cancel())
  flight.fail(new Error('refused'))
  await assert.rejects(waiting, /refused/)
  flights.start('l', 1).fail(new Error('nobody hears this'))
  await new Promise(setImmediate)
})

test('the last client to leave cancels the flight; while one remains it goes on', () => {
  const flights = new Flights()
  const flight = flights.start('k', 1)
  const clients = [new Cancel(), new Cancel(), new Cancel()]
  for (const client of clients) flight.wait(client).catch(() => {})
  clients[0]!.fire()
  clients[1]!.fire()
  assert.equal(flight.cancel.fired, false)
  assert.equal(flights.joinable('k'), flight)
  clients[2]!.fire()
  assert.equal(flight.cancel.fired, true)
  assert.equal(flights.joinable('k'), undefined)
})

test('a client that was gone before it waited counts as one that leaves', () => {
  const flight = new Flights().start('k', 1)
  const client = new Cancel()
  client.fire()
  flight.wait(client).catch(() => {})
  assert.equal(flight.cancel.fired, true)
})

test('once it has landed nobody’s leaving cancels it', async () => {
  for (const landing of [whole(), alone]) {
    const flight = new Flights().start('k', 1)
    const client = new Cancel()
    const waiting = flight.wait(client)
    flight.land(landing)
    client.fire()
    await waiting
    assert.equal(flight.cancel.fired, false)
  }
})

test('a flight can be joined as long as its body can be had from the first byte', async () => {
  const flights = new Flights()
  const flight = flights.start('k', 1)
  const source = new Readable({ read() {} })
  const recording = recordingOf(source)
  flight.land({ ...whole(), recording } as Landing)
  recording
    .reader()
    .on('error', () => {})
    .resume()
  source.push('12345')
  await new Promise(setImmediate)
  assert.equal(flights.joinable('k'), flight)
  source.push('1234567')
  await new Promise(setImmediate)
  assert.equal(flights.joinable('k'), undefined)
  source.destroy()
})

test('a flight whose body is whole, but not in the store yet, can be joined', async () => {
  const flights = new Flights()
  const flight = flights.start('k', 1)
  const source = new Readable({ read() {} })
  const recording = recordingOf(source)
  flight.land({ ...whole(), recording } as Landing)
  const reader = recording.reader().resume()
  source.push('123')
  source.push(null)
  await new Promise((resolve) => reader.on('close', resolve))
  assert.equal(flights.joinable('k'), flight)
})

test('who looked into the store before a flight settled may use what it brought', () => {
  const flights = new Flights()
  const before = flights.mark()
  for (const order of ['land first', 'settle first']) {
    const flight = flights.start(order, 1)
    if (order === 'land first') flight.land(whole())
    flights.settle(order, flight)
    if (order === 'settle first') flight.land(whole())
    assert.equal(flights.joinable(order, before), flight)
    assert.equal(flights.joinable(order, flights.mark()), undefined)
    assert.equal(flights.joinable(order), undefined)
  }
})

test('what is of no use to others is of none to those either', () => {
  const flights = new Flights()
  const before = flights.mark()
  const apart = flights.start('alone', 1)
  apart.land(alone)
  flights.settle('alone', apart)
  const failed = flights.start('failed', 1)
  failed.fail(new Error('x'))
  flights.settle('failed', failed)
  const stale = flights.start('stale', 1)
  stale.land({ kind: 'stood-in', entry: entryOf('') })
  flights.settle('stale', stale)
  for (const key of ['alone', 'failed', 'stale']) assert.equal(flights.joinable(key, before), undefined)
})

test('what landed is let go after a while', async () => {
  const flights = new Flights()
  const before = flights.mark()
  const flight = flights.start('k', 1)
  flight.land(whole())
  flights.settle('k', flight)
  await new Promise((resolve) => setTimeout(resolve, 1300))
  assert.equal(flights.joinable('k', before), undefined)
})

test('a flight that another took the place of does not settle that one', () => {
  const flights = new Flights()
  const first = flights.start('k', 1)
  first.cancel.fire()
  const second = flights.start('k', 2)
  flights.settle('k', first)
  assert.equal(flights.joinable('k'), second)
})

test('after an invalidation nobody joins what was under way, variants with it', () => {
  const flights = new Flights()
  const before = flights.mark()
  const landed = flights.start('k\na:0', 1)
  landed.land(whole())
  flights.settle('k\na:0', landed)
  const keys = ['k', 'k\naccept:a', 'k2', 'k2\naccept:a']
  for (const key of keys) flights.start(key, 1)
  flights.invalidate('k')
  assert.deepEqual(
    keys.map((key) => flights.joinable(key) !== undefined),
    [false, false, true, true],
  )
  assert.equal(flights.joinable('k\na:0', before), undefined)
  const after = flights.start('k', 2)
  assert.equal(flights.joinable('k'), after)
})

test('keys whose answers are not for sharing are known for a while', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  const flights = new Flights()
  assert.equal(flights.mayShare('k'), true)
  flights.rememberUnshared('k')
  assert.equal(flights.mayShare('k'), false)
  flights.forgetUnshared('k')
  assert.equal(flights.mayShare('k'), true)
  for (let i = 0; i < 200; i++) flights.rememberUnshared(`${i}${'x'.repeat(60_000)}`)
  const known = Array.from({ length: 200 }, (_, i) => flights.mayShare(`${i}${'x'.repeat(60_000)}`))
  assert.ok(known.filter((may) => !may).length <= 70)
})
