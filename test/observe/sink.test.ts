import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import { test } from 'node:test'
import { setImmediate as tick } from 'node:timers/promises'
import { lineSink } from '../../src/observe/sink.ts'

/** A stream whose writes end when the test says so; `failWith` makes them fail. */
const heldStream = ({ highWaterMark = 16, held = true } = {}) => {
  const writes: string[] = []
  const pending: Array<(error?: Error) => void> = []
  const stream = new Writable({
    highWaterMark,
    autoDestroy: false,
    write(chunk, _encoding, done) {
      writes.push(String(chunk))
      if (held) pending.push(done)
      else done()
    },
  })
  return { stream, writes, release: (error?: Error) => pending.shift()?.(error) }
}
const failure = (code: string) => Object.assign(new Error(code), { code })

test('the lines of one tick leave in one write', async () => {
  const { stream, writes } = heldStream({ held: false })
  const sink = lineSink(stream)
  sink.write('a\n')
  sink.write('b\n')
  assert.deepEqual(writes, [])
  await tick()
  sink.write('c\n')
  await tick()
  assert.deepEqual(writes, ['a\nb\n', 'c\n'])
})
test('a slow stream gets what waited once it has room', async () => {
  const { stream, writes, release } = heldStream({ highWaterMark: 2 })
  const sink = lineSink(stream)
  sink.write('one\n')
  await tick()
  sink.write('two\n')
  await tick()
  sink.write('three\n')
  await tick()
  assert.deepEqual(writes, ['one\n'])
  release()
  await tick()
  assert.deepEqual(writes, ['one\n', 'two\nthree\n'])
  assert.equal(sink.dropped(), 0)
})
test('what finds no room is dropped, counted, and told of where it is missing', async () => {
  const { stream, writes, release } = heldStream({ highWaterMark: 2 })
  const sink = lineSink(stream, { maxBytes: 8 })
  sink.write('one\n')
  await tick()
  for (const line of ['two\n', 'six\n', 'ten\n']) sink.write(line)
  assert.equal(sink.dropped(), 2)
  release()
  await tick()
  release()
  await tick()
  sink.write('end\n')
  await tick()
  assert.deepEqual(writes, ['one\n', 'two\n… 2 log lines dropped\n', 'end\n'])
  assert.equal(sink.dropped(), 2)
})
test('the notice can be worded otherwise', async () => {
  const { stream, writes, release } = heldStream({ highWaterMark: 1 })
  const sink = lineSink(stream, { maxBytes: 1, notice: (count) => `{"dropped":${count}}\n` })
  sink.write('ü')
  sink.write('a')
  await tick()
  release()
  assert.deepEqual(writes, ['a{"dropped":1}\n'])
})
for (const code of ['ENOSPC', 'EIO']) {
  test(`${code} costs the lines of that write, and the next ones are tried`, async () => {
    let fail = true
    const { stream, writes, release } = heldStream({ highWaterMark: 2 })
    stream._write = (chunk, _encoding, done) => {
      if (fail) return done(failure(code))
      writes.push(String(chunk))
      return done()
    }
    // As process.stdout does after an error.
    stream.on('error', () => (stream as unknown as { _undestroy(): void })._undestroy())
    const sink = lineSink(stream)
    sink.write('a\n')
    sink.write('b\n')
    await sink.flush(1000)
    await tick()
    assert.equal(sink.dropped(), 2)
    fail = false
    sink.write('c\n')
    await sink.flush(1000)
    assert.deepEqual(writes, ['c\n… 2 log lines dropped\n'])
    release()
  })
}
test('EPIPE ends the writing, and flush does not wait', async () => {
  const { stream, writes, release } = heldStream()
  const sink = lineSink(stream)
  sink.write('a\n')
  const flushed = sink.flush(60_000)
  release(failure('EPIPE'))
  await flushed
  sink.write('b\n')
  await tick()
  assert.deepEqual(writes, ['a\n'])
  assert.equal(sink.dropped(), 2)
  await sink.flush(60_000)
})
test('a stream that was destroyed counts what comes', async () => {
  const { stream } = heldStream()
  const sink = lineSink(stream)
  sink.write('a\n')
  stream.destroy()
  await tick()
  await tick()
  sink.write('b\n')
  await sink.flush(60_000)
  assert.equal(sink.dropped(), 2)
})
test('flush waits for what was written, and for its deadline at most', async () => {
  const { stream, writes, release } = heldStream({ highWaterMark: 2 })
  const sink = lineSink(stream)
  sink.write('one\n')
  await tick()
  sink.write('two\n')
  await sink.flush(1)
  assert.deepEqual(writes, ['one\n'])
  let done = false
  const flushed = sink.flush(60_000).then(() => {
    done = true
  })
  release()
  await tick()
  assert.equal(done, false)
  release()
  await flushed
  assert.deepEqual(writes, ['one\n', 'two\n'])
})
test('a reader that stops reading stops nothing, and one that leaves neither', () => {
  const program = `
    import { lineSink } from ${JSON.stringify(new URL('../../src/observe/sink.js', import.meta.url).href)}
    const sink = lineSink(process.stdout, { maxBytes: 100_000 })
    let turns = 0
    const timer = setInterval(() => {
      for (let i = 0; i < 100; i++) sink.write('x'.repeat(99) + '\\n')
      if (++turns < 100) return
      clearInterval(timer)
      await_()
    }, 1)
    const await_ = async () => { await sink.flush(100); console.error('dropped', sink.dropped() > 0); process.exit(0) }
  `
  for (const reader of ['sleep 1', 'head -1']) {
    const command = `"${process.execPath}" --input-type=module -e "$PROGRAM" | ${reader}`
    const ran = spawnSync('bash', ['-o', 'pipefail', '-c', command], {
      env: { ...process.env, PROGRAM: program },
      encoding: 'utf8',
      timeout: 20_000,
    })
    assert.equal(ran.stderr, 'dropped true\n')
    assert.equal(ran.status, 0)
  }
})

test('that writing fails is told once, until it has worked again', async () => {
  const outcomes = [failure('ENOSPC'), failure('ENOSPC'), undefined, failure('EIO')]
  // As process.stdout: it goes on after an error.
  const stream = Object.assign(new EventEmitter(), {
    writableLength: 0,
    writableNeedDrain: false,
    destroyed: false,
    write(_text: string, written: (error?: Error) => void) {
      written(outcomes.shift())
      return true
    },
  }) as unknown as Writable
  const told: Array<string | undefined> = []
  const sink = lineSink(stream, { onFailure: ({ code }) => told.push(code) })
  for (let line = 0; line < 4; line++) {
    sink.write('a\n')
    await tick()
  }
  assert.deepEqual(told, ['ENOSPC', 'EIO'])
})
