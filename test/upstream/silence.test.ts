import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SilenceWatch, Watched } from '../../src/upstream/silence.ts'
import { MovedClock } from '../support/proxy.ts'
import { eventually } from '../support/sockets.ts'

class Body extends Watched {
  waitsForClient = false
  silences = 0
  onSilent: () => void = () => {}

  constructor(now: number) {
    super()
    this.lastByteAt = now
  }

  override silent(): void {
    this.silences++
    this.onSilent()
  }
}

const watching = (t: { after(undo: () => void): void }, bodies: number) => {
  const clock = new MovedClock()
  const watch = new SilenceWatch(100, clock)
  t.after(() => watch.stop())
  const watched = Array.from({ length: bodies }, () => new Body(clock.now()))
  for (const body of watched) watch.watch(body)
  return { clock, watch, watched }
}

test('what was silent for too long is told once, and the rest is left alone', async (t) => {
  const { clock, watch, watched } = watching(t, 5)
  clock.advance(3_600_000)
  watched[1]!.lastByteAt = clock.now() + 3_600_000
  watched[2]!.waitsForClient = true
  watch.forget(watched[3]!)
  await eventually(() => watched[0]!.silences === 1 && watched[4]!.silences === 1)
  await new Promise((resolve) => setTimeout(resolve, 100))
  assert.deepEqual(
    watched.map(({ silences }) => silences),
    [1, 0, 0, 0, 1],
  )
})

test('who is told may forget any other, and be watched again', async (t) => {
  const { clock, watch, watched } = watching(t, 4)
  watched[0]!.onSilent = () => {
    for (const body of watched) watch.forget(body)
    watched[0]!.onSilent = () => {}
    watch.watch(watched[0]!)
  }
  clock.advance(3_600_000)
  await eventually(() => watched[0]!.silences === 2)
})

test('watching or forgetting twice is the same as once', async (t) => {
  const { clock, watch, watched } = watching(t, 3)
  watch.watch(watched[1]!)
  watch.forget(watched[0]!)
  watch.forget(watched[0]!)
  watch.forget(new Body(0))
  clock.advance(3_600_000)
  await eventually(() => watched[1]!.silences === 1 && watched[2]!.silences === 1)
  assert.equal(watched[0]!.silences, 0)
})

test('a watch without a limit watches nothing, and an empty one keeps no timer', async () => {
  const clock = new MovedClock()
  const body = new Body(0)
  new SilenceWatch(0, clock).watch(body)
  const watch = new SilenceWatch(40, clock)
  watch.watch(body)
  watch.forget(body)
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  await new Promise((resolve) => setTimeout(resolve, 60))
  assert.equal(body.silences, 0)
  assert.equal(timers(), 0)
})
