import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cancel } from '../../src/core/cancel.ts'
import { ProxyError } from '../../src/core/errors.ts'
import { Exchange } from '../../src/core/exchange.ts'
import type { ProxyRequest, ProxyResponse } from '../../src/core/types.ts'
import { type HoldOptions, hold } from '../../src/local/hold.ts'
import { gate } from '../support/client.ts'
import { MovedClock } from '../support/proxy.ts'

const request = (): ProxyRequest & { cancel: Cancel } => ({
  method: 'GET',
  url: '/',
  headers: [],
  body: undefined,
  cancel: new Cancel(),
  exchange: new Exchange({
    id: 1,
    cause: 'client',
    method: 'GET',
    url: '/',
    host: 'a',
    scheme: 'http',
    clientAddress: '127.0.0.1',
    httpVersion: '1.1',
    startedAt: 0,
    requestHeaders: [],
  }),
})

const refusal = () => new ProxyError(502, 'upstream-refused', 'no')
const fine: ProxyResponse = { status: 200, headers: [], body: Buffer.from('x') }

/** A target that is up or down, and how often it was asked. */
const place = (options: Partial<HoldOptions> = {}) => {
  const target = { up: false, tries: 0, probes: 0 }
  const clock = new MovedClock()
  const holding = hold({
    holdMs: 5000,
    target: 'http://t',
    clock,
    async probe() {
      target.probes++
      return target.up ? { state: 'open', tried: [] } : { state: 'refused', tried: ['127.0.0.1:1'] }
    },
    ...options,
  })
  const handle = holding.stage(async () => {
    target.tries++
    if (!target.up) throw refusal()
    return fine
  })
  return { target, clock, holding, handle }
}

const coded = (code: string) => (error: unknown) => error instanceof ProxyError && error.code === code

test('one probe looks for all that wait, and only the first of them has tried', async () => {
  const { handle, target } = place()
  const first = handle(request())
  // It has been refused once its promise had its turn.
  await new Promise(setImmediate)
  const others = Array.from({ length: 1000 }, () => handle(request()))
  while (target.probes < 3) await new Promise(setImmediate)
  assert.equal(target.tries, 1)
  target.up = true
  assert.equal((await Promise.all([first, ...others])).length, 1001)
  assert.equal(target.tries, 1002)
})

test('those who waited go on some at a time, and wait again when it goes down meanwhile', async () => {
  const { handle, target } = place()
  const asked = Array.from({ length: 200 }, () => handle(request()))
  await new Promise(setImmediate)
  assert.equal(target.tries, 200)
  target.up = true
  const downAgain = new Promise<void>((resolve) => {
    const look = (): void => {
      if (target.tries === 200) setImmediate(look)
      else {
        target.up = false
        resolve()
      }
    }
    look()
  })
  await downAgain
  const letGo = target.tries - 200
  assert.ok(letGo > 0 && letGo < 200, `${letGo}`)
  target.up = true
  await Promise.all(asked)
})

test('so many wait and no more; the place of one who leaves is free at once', async () => {
  const { handle, holding } = place({ maxHeld: 2 })
  const [one, two] = [request(), request()]
  const waiting = [handle(one), handle(two)]
  await new Promise(setImmediate)
  await assert.rejects(handle(request()), coded('queue-full'))
  one.cancel.fire()
  await assert.rejects(waiting[0]!, coded('client-gone'))
  const third = handle(request())
  await new Promise(setImmediate)
  await assert.rejects(handle(request()), coded('queue-full'))
  holding.close()
  await assert.rejects(waiting[1]!, coded('shutting-down'))
  await assert.rejects(third, coded('shutting-down'))
  await assert.rejects(handle(request()), coded('shutting-down'))
})

test('each waits for its own time', async () => {
  const { handle, clock, target } = place()
  const early = handle(request())
  await new Promise(setImmediate)
  clock.advance(4000)
  const late = request()
  const waiting = handle(late)
  clock.advance(1000)
  await assert.rejects(
    early,
    /http:\/\/t refused the connection on 127\.0\.0\.1:1 for 5 s \(--hold\)\. Is it running\?/,
  )
  target.up = true
  assert.equal(await waiting, fine)
  assert.ok(late.exchange.heldMs! >= 1000)
})

test('other failures are not waited for', async () => {
  const { holding, target } = place()
  const handle = holding.stage(() => Promise.reject(new ProxyError(504, 'upstream-timeout', 'late')))
  await assert.rejects(handle(request()), coded('upstream-timeout'))
  assert.equal(target.probes, 0)
})

test('a target whose state cannot be told is tried by those who wait', async () => {
  const asked = gate()
  const { handle } = place({
    async probe() {
      asked.open()
      return { state: 'unknown', tried: [] }
    },
    holdMs: 60,
  })
  const waiting = handle(request())
  await asked.promise
  await assert.rejects(waiting, coded('upstream-refused'))
})

test('who has something to stand in does not wait', async () => {
  const { handle, target } = place()
  const waiting = handle(request())
  await assert.rejects(handle({ ...request(), hasStandIn: true }), coded('upstream-refused'))
  target.up = true
  await waiting
})

test('a target that breaks a GET off a moment before it stops listening is looked at twice', async () => {
  let tries = 0
  let probes = 0
  const holding = hold({
    holdMs: 5000,
    target: 'http://t',
    clock: new MovedClock(),
    // It listens still, then no more, and is back at the third look.
    probe: async () => (++probes === 2 ? { state: 'refused', tried: [] } : { state: 'open', tried: [] }),
  })
  const handle = holding.stage(async () => {
    if (++tries === 1) throw new ProxyError(502, 'upstream-reset', 'closed')
    return fine
  })
  assert.equal((await handle(request())).status, 200)
  assert.equal(tries, 2)
})
