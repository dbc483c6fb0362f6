import assert from 'node:assert/strict'
import { Readable, Writable } from 'node:stream'
import { test } from 'node:test'
import { Recording, type RecordingOptions, recordingRoom } from '../../src/cache/recording.ts'

type Outcome = { body: Buffer } | { refusal: string }

/** A source that a test feeds, and that tells whether it is wanted. */
class Source extends Readable {
  reads = 0

  constructor() {
    super({ highWaterMark: 64 * 1024 })
  }

  override _read(): void {
    this.reads++
  }
}

const setup = (options: Partial<RecordingOptions> = {}) => {
  const source = new Source()
  const outcomes: Outcome[] = []
  let claimed = 0
  const recording = new Recording(source, {
    maxBytes: 1000,
    expectedBytes: undefined,
    claim: (bytes) => {
      claimed += bytes
      return true
    },
    release: (bytes) => {
      claimed -= bytes
    },
    onSettled: (outcome) => outcomes.push(outcome),
    ...options,
  })
  return { source, recording, outcomes, claimed: () => claimed }
}

/** Lets everything that is due happen. */
const turn = async (times = 5): Promise<void> => {
  for (let i = 0; i < times; i++) await new Promise(setImmediate)
}

/** Reads all; what it has so far, and how it ends. */
const collect = (reader: Readable) => {
  const chunks: Buffer[] = []
  reader.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = new Promise<string>((resolve) => {
    reader.on('end', () => resolve('end'))
    reader.on('error', (error) => resolve(error.message))
  })
  return { sofar: () => Buffer.concat(chunks).toString(), chunks, ended, reader }
}

test('bytes go to the first reader as they come, and to one that joins later from the first on', async () => {
  const { source, recording, outcomes, claimed } = setup()
  const one = collect(recording.reader())
  source.push('a')
  await turn()
  assert.equal(one.sofar(), 'a')
  const two = collect(recording.reader())
  source.push('b')
  await turn()
  assert.deepEqual([one.sofar(), two.sofar()], ['ab', 'ab'])
  assert.equal(claimed(), 2)
  source.push(null)
  assert.deepEqual(await Promise.all([one.ended, two.ended]), ['end', 'end'])
  assert.deepEqual(outcomes, [{ body: Buffer.from('ab') }])
  assert.equal(claimed(), 0)
})

test('a whole body stays for readers that come after its end', async () => {
  const { source, recording } = setup()
  const one = collect(recording.reader())
  source.push('a')
  source.push('b')
  source.push(null)
  await one.ended
  assert.equal(recording.joinable, true)
  const late = collect(recording.reader())
  assert.equal(await late.ended, 'end')
  assert.equal(late.sofar(), 'ab')
})

test('a reader that is in the middle when the body is whole gets the rest, once', async () => {
  const { source, recording } = setup({ maxBytes: 1_000_000 })
  const fast = collect(recording.reader())
  const slow = recording.reader()
  const body = Buffer.alloc(300_000, 'abcdefg')
  for (let at = 0; at < body.length; at += 10_000) {
    source.push(body.subarray(at, at + 10_000))
    await turn(1)
  }
  const first = slow.read() as Buffer
  source.push(null)
  await fast.ended
  const rest = collect(slow)
  assert.equal(await rest.ended, 'end')
  assert.ok(Buffer.compare(Buffer.concat([first ?? Buffer.alloc(0), ...rest.chunks]), body) === 0)
  assert.ok(Buffer.compare(Buffer.concat(fast.chunks), body) === 0)
})

test('an empty body is one', async () => {
  const { source, recording, outcomes } = setup({ expectedBytes: 0 })
  const one = collect(recording.reader())
  source.push(null)
  assert.equal(await one.ended, 'end')
  assert.deepEqual(outcomes, [{ body: Buffer.alloc(0) }])
  assert.equal(await collect(recording.reader()).ended, 'end')
})

test('a body shorter or longer than announced is not stored', async () => {
  for (const expectedBytes of [1, 3]) {
    const { source, recording, outcomes, claimed } = setup({ expectedBytes })
    const one = collect(recording.reader())
    source.push('ab')
    source.push(null)
    assert.equal(await one.ended, 'end')
    assert.deepEqual(outcomes, [{ refusal: 'incomplete' }])
    assert.equal(recording.joinable, false)
    assert.equal(claimed(), 0)
  }
})

test('a source that fails fails its readers, after what came, and is not stored', async () => {
  const { source, recording, outcomes, claimed } = setup()
  const one = collect(recording.reader())
  const idle = recording.reader()
  source.push('ab')
  await turn()
  source.destroy(new Error('reset'))
  assert.equal(await one.ended, 'reset')
  assert.equal(one.sofar(), 'ab')
  const late = collect(idle)
  assert.equal(await late.ended, 'reset')
  assert.deepEqual(outcomes, [{ refusal: 'aborted' }])
  assert.equal(recording.joinable, false)
  assert.equal(claimed(), 0)
})

test('a source that closes without a word is aborted', async () => {
  const { source, recording, outcomes } = setup()
  const one = collect(recording.reader())
  source.destroy()
  assert.equal(await one.ended, 'closed before its end')
  assert.deepEqual(outcomes, [{ refusal: 'aborted' }])
})

test('a source that had failed before anyone listened', async () => {
  const source = new Source()
  source.on('error', () => {})
  source.destroy(new Error('early'))
  await turn()
  const outcomes: Outcome[] = []
  const recording = new Recording(source, {
    maxBytes: 10,
    expectedBytes: undefined,
    claim: () => true,
    release: () => {},
    onSettled: (outcome) => outcomes.push(outcome),
  })
  assert.equal(await collect(recording.reader()).ended, 'early')
  assert.deepEqual(outcomes, [{ refusal: 'aborted' }])
})

test('the last reader to leave ends the source, not one before', async () => {
  const { source, recording, outcomes, claimed } = setup()
  const one = recording.reader().resume()
  const two = recording.reader().resume()
  source.push('ab')
  await turn()
  one.destroy()
  await turn()
  assert.equal(source.destroyed, false)
  two.destroy()
  await turn()
  assert.equal(source.destroyed, true)
  assert.deepEqual(outcomes, [{ refusal: 'aborted' }])
  assert.equal(claimed(), 0)
})

test('a reader that leaves after the end ends nothing', async () => {
  const { source, recording, outcomes } = setup()
  const one = recording.reader()
  source.push('ab')
  const other = collect(recording.reader())
  source.push(null)
  await other.ended
  one.destroy()
  await turn()
  assert.equal(outcomes.length, 1)
  assert.ok('body' in outcomes[0]!)
})

test('nobody came: the source is ended', async () => {
  const { source, recording, outcomes } = setup()
  recording.abandonIfUnread()
  await turn()
  assert.equal(source.destroyed, true)
  assert.deepEqual(outcomes, [{ refusal: 'aborted' }])
})

test('nothing is read from the source before there is a reader', async () => {
  const { source, recording } = setup()
  source.push('ab')
  await turn()
  assert.equal(source.readableFlowing, false)
  const one = collect(recording.reader())
  await turn()
  assert.equal(one.sofar(), 'ab')
  one.reader.destroy()
})

test('a body that is too large goes on to its readers, says so once, and takes no more of them', async () => {
  const { source, recording, outcomes, claimed } = setup({ maxBytes: 3 })
  const one = collect(recording.reader())
  for (const chunk of ['ab', 'cd', 'ef', 'gh']) {
    source.push(chunk)
    await turn()
  }
  assert.deepEqual(outcomes, [{ refusal: 'too-large' }])
  assert.equal(recording.joinable, false)
  assert.equal(claimed(), 0)
  source.push(null)
  assert.equal(await one.ended, 'end')
  assert.equal(one.sofar(), 'abcdefgh')
  assert.equal(outcomes.length, 1)
})

test('a body for which there is no room goes on to its readers', async () => {
  const room = recordingRoom(5)
  const first = setup(room)
  const second = setup(room)
  const one = collect(first.recording.reader())
  const two = collect(second.recording.reader())
  first.source.push('abc')
  await turn()
  second.source.push('defg')
  await turn()
  assert.deepEqual(second.outcomes, [{ refusal: 'too-large' }])
  for (const { source } of [first, second]) source.push(null)
  await Promise.all([one.ended, two.ended])
  assert.deepEqual([one.sofar(), two.sofar()], ['abc', 'defg'])
  // All of it was given back, once.
  assert.equal(room.claim(5), true)
  assert.equal(room.claim(1), false)
})

/** A stream without end, of chunks of 64 KB, that counts what was taken. */
const endless = () => {
  const state = { bytes: 0 }
  const chunk = Buffer.alloc(64 * 1024, 'x')
  const source = new Readable({
    highWaterMark: 64 * 1024,
    read() {
      setImmediate(() => {
        state.bytes += chunk.length
        this.push(chunk)
      })
    },
  })
  return { source, state }
}

/** Ends a source with all that follows, so that nothing of it meets the timers of another test. */
const end = async (source: Readable): Promise<void> => {
  source.destroy()
  await turn()
}

/** A reader whose failure is of no interest. */
const quiet = (recording: Recording): Readable => recording.reader().on('error', () => {})

const recordEndless = () => {
  const { source, state } = endless()
  const recording = new Recording(source, {
    maxBytes: 1000,
    expectedBytes: undefined,
    claim: () => true,
    release: () => {},
    onSettled: () => {},
  })
  return { source, state, recording }
}

test('once too large, a slow reader that is alone paces the source', async () => {
  const { source, state, recording } = recordEndless()
  let takeOne: () => void = () => {}
  quiet(recording).pipe(
    new Writable({
      highWaterMark: 1,
      write(_chunk, _encoding, done) {
        takeOne = done
      },
    }),
  )
  await turn(200)
  assert.ok(state.bytes < 2 * 1024 * 1024, String(state.bytes))
  assert.equal(source.isPaused(), true)
  const before = state.bytes
  for (let i = 0; i < 50; i++) {
    takeOne()
    await turn()
  }
  assert.ok(state.bytes > before)
  assert.ok(state.bytes - before < 5 * 1024 * 1024)
  await end(source)
})

test('once too large, readers are no further apart than a window, and the slow one paces', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { source, state, recording } = recordEndless()
  let fastBytes = 0
  quiet(recording).on('data', (chunk: Buffer) => {
    fastBytes += chunk.length
  })
  const slow = quiet(recording)
  await turn(200)
  assert.ok(fastBytes >= 1024 * 1024 && fastBytes < 1.5 * 1024 * 1024, String(fastBytes))
  assert.ok(state.bytes < 2 * 1024 * 1024)
  for (let i = 0; i < 20; i++) {
    slow.read(64 * 1024)
    await turn()
  }
  assert.ok(fastBytes >= 1.8 * 1024 * 1024, String(fastBytes))
  await end(source)
})

test('a reader that takes nothing while others wait is cut off after a while; they go on', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { source, recording } = recordEndless()
  let fastBytes = 0
  quiet(recording).on('data', (chunk: Buffer) => {
    fastBytes += chunk.length
  })
  const slow = recording.reader()
  const error = new Promise<Error>((resolve) => slow.once('error', resolve))
  await turn(200)
  const before = fastBytes
  t.mock.timers.tick(9_999)
  await turn(50)
  assert.equal(slow.destroyed, false)
  assert.equal(fastBytes, before)
  t.mock.timers.tick(1)
  assert.match((await error).message, /too slow/)
  await turn(200)
  assert.ok(fastBytes > before + 1024 * 1024)
  await end(source)
})

test('a reader that takes a little now and then is cut off all the same, one that takes enough is not', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  for (const [chunksPerSecond, cut] of [
    [0.5, true],
    [2, false],
  ] as const) {
    const { source, recording } = recordEndless()
    quiet(recording).resume()
    const slow = quiet(recording)
    await turn(200)
    let due = 0
    for (let second = 0; second < 40 && !slow.destroyed; second++) {
      for (due += chunksPerSecond; due >= 1; due--) {
        slow.read(64 * 1024)
        await turn()
      }
      t.mock.timers.tick(1000)
      await turn()
    }
    assert.equal(slow.destroyed, cut, String(chunksPerSecond))
    await end(source)
  }
})

test('a reader that is alone is never cut off', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { source, recording } = recordEndless()
  const slow = quiet(recording)
  const fast = quiet(recording).resume()
  await turn(200)
  fast.destroy()
  slow.read(1)
  await turn(200)
  t.mock.timers.tick(100_000)
  await turn(50)
  assert.equal(slow.destroyed, false)
  await end(source)
})

test('a thousand readers each get all of it', async () => {
  const { source, recording } = setup({ maxBytes: 10_000_000 })
  const readers = Array.from({ length: 1000 }, () => {
    const reader = recording.reader()
    let bytes = 0
    reader.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    return new Promise<number>((resolve) => reader.on('end', () => resolve(bytes)))
  })
  for (let i = 0; i < 40; i++) {
    source.push(Buffer.alloc(50_000))
    await turn(1)
  }
  source.push(null)
  assert.deepEqual(new Set(await Promise.all(readers)), new Set([2_000_000]))
})

test('readers that come and go leave no listeners behind', async () => {
  const { source, recording } = setup({ maxBytes: 10_000_000 })
  const stays = collect(recording.reader())
  const counts = () => source.eventNames().map((name) => source.listenerCount(name))
  const before = counts()
  for (let i = 0; i < 100; i++) {
    const reader = recording.reader().resume()
    source.push('x')
    await turn(1)
    reader.destroy()
  }
  assert.deepEqual(counts(), before)
  source.push(null)
  await stays.ended
  assert.equal(stays.sofar(), 'x'.repeat(100))
})
