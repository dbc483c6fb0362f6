import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Link } from '../../src/cluster/link.ts'
import { Reported, reporter } from '../../src/cluster/records.ts'
import type { Exchange } from '../../src/core/exchange.ts'
import { Exchanges } from '../../src/core/exchanges.ts'

const clock = { now: () => 1000 }
const noFault = (error: unknown): void => assert.fail(String(error))

/** A worker's exchanges, and what comes of them where they are told; `pass` lets the oldest batch through. */
const ends = ({
  wholeFields = false,
  maxWaitingBytes,
}: {
  wholeFields?: boolean
  maxWaitingBytes?: number
}) => {
  const batches: Array<{ bytes: Buffer; text: number; taken: () => void }> = []
  const link = {
    call: (_what: string, { text }: { text: number }, bytes: Buffer) =>
      new Promise((resolve) => batches.push({ bytes, text, taken: () => resolve({ said: {}, bytes }) })),
  } as unknown as Pick<Link, 'call'>
  const report = reporter(link, { wholeFields, maxWaitingBytes })
  const exchanges = new Exchanges({ observers: [report], clock, onObserverError: noFault })
  const heard: string[] = []
  const ended: Array<Readonly<Exchange>> = []
  let lost = 0
  const reported = new Reported({
    observers: [
      {
        opened: ({ id }) => void heard.push(`opened ${id}`),
        ended(exchange) {
          heard.push(`ended ${exchange.id}`)
          ended.push(exchange)
        },
      },
    ],
    clock,
    onFault: noFault,
    onLost(n) {
      lost += n
    },
  })
  const open = (url = '/') =>
    exchanges.open({
      cause: 'client',
      method: 'GET',
      url,
      host: 'a',
      scheme: 'http',
      clientAddress: '127.0.0.1',
      httpVersion: '1.1',
      requestHeaders: ['Host', 'a', 'User-Agent', 'curl/8', 'Cookie', 'secret=1'],
    })
  const pass = async (): Promise<void> => {
    const { bytes, text, taken } = batches.shift()!
    reported.take(bytes, text)
    taken()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { exchanges, open, report, batches, pass, heard, ended, reported, lost: () => lost }
}

for (const [wholeFields, request, response] of [
  [false, ['User-Agent', 'curl/8'], ['Content-Type', 'text/html']],
  [
    true,
    ['Host', 'a', 'User-Agent', 'curl/8', 'Cookie', 'secret=1'],
    ['X-One', '1', 'Content-Type', 'text/html', 'content-type', 'text/plain'],
  ],
] as const) {
  test(`field lines go along ${wholeFields ? 'as they are' : 'where every observer looks at them'}`, async () => {
    const { exchanges, open, report, pass, ended } = ends({ wholeFields })
    const exchange = open()
    exchange.responseHeaders = ['X-One', '1', 'Content-Type', 'text/html', 'content-type', 'text/plain']
    exchanges.end(exchange, 200, 5)
    exchanges.end(open(), 502, 0)
    report.flush()
    await pass()
    assert.deepEqual(ended[0]!.requestHeaders, request)
    assert.deepEqual(ended[0]!.responseHeaders, response)
    assert.equal(ended[1]!.responseHeaders, undefined)
    assert.deepEqual(ended[0]!.ended, { at: 1000, status: 200, bytes: 5 })
  })
}

test('bodies that are kept go along once, with the end, and nobody remembers them longer than they are wanted', async () => {
  const { exchanges, open, report, pass, ended, reported } = ends({ wholeFields: true })
  const exchange = open()
  const kept = { bytes: Buffer.from([0, 255, 10]), whole: false }
  let taken = 0
  exchange.copies = {
    response: {
      take() {
        taken++
        return kept
      },
    },
  }
  report.flush()
  await pass()
  assert.deepEqual([taken, reported.active], [0, 1])
  exchanges.end(exchange, 200, 5)
  report.flush()
  await pass()
  assert.equal(taken, 1)
  const { copies } = ended[0]!
  assert.equal(copies?.request, undefined)
  assert.deepEqual(copies?.response?.take(), kept)
  assert.equal(copies?.response?.take().bytes.length, 0)
})

test('where much waits bodies are left out, and the records arrive', async () => {
  const { exchanges, open, report, pass, ended, lost } = ends({ wholeFields: true, maxWaitingBytes: 8000 })
  const bodies = ['a', 'b'].map((letter) => Buffer.alloc(6000, letter))
  for (const bytes of bodies) {
    const exchange = open()
    exchange.copies = { response: { take: () => ({ bytes, whole: true }) } }
    exchanges.end(exchange, 200, bytes.length)
    report.flush()
  }
  await pass()
  await pass()
  assert.deepEqual(
    ended.map(({ copies }) => copies?.response?.take()),
    [{ bytes: bodies[0], whole: true }, undefined],
  )
  assert.equal(lost(), 0)
})

test('so many bytes wait; what ends meanwhile is counted, and whose beginning was told ends', async () => {
  const { exchanges, open, report, batches, pass, heard, reported, lost } = ends({ maxWaitingBytes: 2000 })
  const long = open('/long')
  report.flush()
  await pass()
  for (let i = 0; i < 10; i++) {
    exchanges.end(open(`/${'x'.repeat(500)}`), 200, 0)
    report.flush()
  }
  // Full: nothing is sent but the end of what had begun.
  const sent = batches.length
  assert.ok(sent < 10)
  const running = open('/running')
  report.flush()
  assert.equal(batches.length, sent)
  exchanges.end(long, 200, 0)
  report.flush()
  assert.equal(batches.length, sent + 1)
  while (batches.length > 0) await pass()
  assert.deepEqual(heard.slice(0, 3), ['opened 1', 'opened 2', 'ended 2'])
  assert.equal(heard.at(-1), 'ended 1')
  assert.equal(reported.active, 0)
  report.flush()
  await pass()
  assert.equal(heard.at(-1), `opened ${running.id}`)
  assert.equal(lost(), 10 - heard.filter((each) => /^ended (?!1$)/.test(each)).length)
  assert.ok(lost() > 0)
  exchanges.end(running, 200, 0)
  report.flush()
  await pass()
  assert.equal(reported.active, 0)
})
