/**
 * The clients of a soak. Each kind of request knows what may become of it: what has to pass whatever happens, and what
 * may fail if, and only if, the backend was killed while it was under way (a GET that was answered by nothing yet: twice).
 */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import WebSocket from 'ws'
import type { Random } from '../fuzz/random.ts'
import { Digest, digestOf, payload } from './payload.ts'
import type { World } from './world.ts'

/** What has been asked, and what went wrong. */
export interface Tally {
  /** Requests by kind. */
  readonly done: Map<string, number>
  /** Those that a kill of the backend was allowed to break, and did. */
  readonly excused: Map<string, number>
  /** Clients that left on purpose. */
  aborted: number
  readonly failures: string[]
}

type Kind = (world: World, random: Random, agent: Agent, tally: Tally) => Promise<void>

const count = (counts: Map<string, number>, key: string): void =>
  void counts.set(key, (counts.get(key) ?? 0) + 1)

interface Got {
  readonly status: number
  readonly digest: Digest
  readonly text: string
}

const ask = (
  world: World,
  agent: Agent,
  path: string,
  {
    method = 'GET',
    headers = {},
    body,
  }: { method?: string; headers?: Record<string, string>; body?: NodeJS.ReadableStream } = {},
  onRequest?: (req: ClientRequest) => void,
): Promise<Got> =>
  new Promise((resolve, reject) => {
    const req = request(
      { host: '127.0.0.1', port: world.port, path, method, headers, agent },
      (res: IncomingMessage) => {
        const digest = new Digest()
        let text = ''
        res.on('data', (chunk: Buffer) => {
          digest.add(chunk)
          if (text.length < 1000) text += chunk.toString('latin1', 0, 1000)
        })
        res.on('error', reject)
        res.on('end', () => resolve({ status: res.statusCode!, digest, text }))
      },
    )
    req.on('error', reject)
    // Nothing here takes longer than the longest outage and --hold together.
    req.setTimeout(45_000, () => req.destroy(new Error('no answer for 45 s')))
    onRequest?.(req)
    if (body === undefined) req.end()
    else {
      body.on('error', () => {})
      req.on('close', () => (body as NodeJS.ReadableStream & { destroy(): void }).destroy())
      body.pipe(req)
    }
  })

/** A kill is only noticed by a kept connection a while after it. */
const NOTICED_MS = 1000
const killsSince = (world: World, from: number): number =>
  world.outages.filter((outage) => outage.from >= from - NOTICED_MS).length

/** A GET is sent a second time, and no third. */
const SURVIVES_ONE = 1
/** What has begun to stream, and what may have been acted on, is not sent again. */
const SURVIVES_NONE = 0

/** Runs one request; a failure counts unless the backend was killed more often meanwhile than it is to survive. */
const judged =
  (kind: string, survives: number, run: (...given: Parameters<Kind>) => Promise<string | undefined>): Kind =>
  async (world, random, agent, tally) => {
    const from = performance.now()
    count(tally.done, kind)
    let wrong: string | undefined
    try {
      wrong = await run(world, random, agent, tally)
    } catch (error) {
      wrong = `${(error as NodeJS.ErrnoException).code ?? ''} ${(error as Error).message}`
    }
    if (wrong === undefined) return
    if (killsSince(world, from) > survives) count(tally.excused, kind)
    else tally.failures.push(`${kind} after ${Math.round(performance.now() - from)} ms: ${wrong}`)
  }

const expected = (got: Got, status: number, text: string): string | undefined =>
  got.status === status && got.text === text ? undefined : `${got.status} ${got.text.slice(0, 200)}`

const size = (random: Random): number =>
  random.chance(0.05) ? 8 * 1024 * 1024 : random.below(1024 * 1024) + 1

let lastId = 0
const post = (chunked: boolean) =>
  judged(chunked ? 'POST, chunked' : 'POST', SURVIVES_NONE, async (world, random, agent) => {
    const seed = random.below(1_000_000)
    const bytes = size(random)
    const id = String(++lastId)
    const got = await ask(world, agent, '/post', {
      method: 'POST',
      headers: { 'x-id': id, ...(chunked ? {} : { 'content-length': String(bytes) }) },
      body: payload(seed, bytes),
    })
    return expected(got, 200, digestOf(seed, bytes))
  })

const kinds: ReadonlyArray<readonly [share: number, kind: Kind]> = [
  [
    30,
    judged('GET, cached', SURVIVES_ONE, async (world, random, agent) => {
      const path = `/cached/${random.below(50)}`
      const headers = { 'x-kind': random.pick(['a', 'b']) }
      return expected(await ask(world, agent, path, { headers }), 200, `hello ${path}`)
    }),
  ],
  [
    30,
    judged('GET, not cached', SURVIVES_ONE, async (world, random, agent) => {
      const path = `/plain/${random.below(1000)}`
      return expected(await ask(world, agent, path), 200, `hello ${path}`)
    }),
  ],
  [
    10,
    judged('GET, slow', SURVIVES_ONE, async (world, random, agent) =>
      expected(await ask(world, agent, `/slow?ms=${random.below(300)}`), 200, 'hello /slow'),
    ),
  ],
  [
    6,
    judged('GET, large', SURVIVES_NONE, async (world, random, agent) => {
      const seed = random.below(1_000_000)
      const bytes = size(random)
      const got = await ask(
        world,
        agent,
        `/big?seed=${seed}&bytes=${bytes}${random.chance(0.5) ? '&chunked' : ''}`,
      )
      const digest = got.digest.text()
      return got.status === 200 && digest === digestOf(seed, bytes)
        ? undefined
        : `${got.status} ${digest} ${got.text.slice(0, 100)}`
    }),
  ],
  [5, post(false)],
  [5, post(true)],
  [
    3,
    judged('event stream', SURVIVES_NONE, async (world, _random, agent) => {
      const { status, text } = await ask(world, agent, '/events')
      return status === 200 && text.endsWith('data: 19\n\n') ? undefined : `${status} ${text.slice(-50)}`
    }),
  ],
  [3, judged('WebSocket', SURVIVES_NONE, async (world, random) => chat(world.port, random))],
  [6, leaving],
  [2, garbage],
]

/** Says something and hears it back, several times. */
const chat = (port: number, random: Random): Promise<string | undefined> =>
  new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { handshakeTimeout: 45_000 })
    let left = 5
    let said = Buffer.alloc(0)
    const say = (): void => {
      said = Buffer.alloc(random.below(50_000), random.below(256))
      socket.send(said)
    }
    socket.on('open', say)
    socket.on('message', (data: Buffer) => {
      if (!data.equals(said)) {
        resolve('another echo')
        socket.terminate()
      } else if (--left > 0) say()
      else {
        resolve(undefined)
        if (random.chance(0.5)) socket.close()
        else socket.terminate()
      }
    })
    socket.on('error', (error) => resolve(error.message))
    socket.on('close', (code) => resolve(`closed with ${code}`))
  })

/** Leaves at a random moment; nothing is expected but that nobody else notices. */
async function leaving(world: World, random: Random, agent: Agent, tally: Tally): Promise<void> {
  tally.aborted++
  const how = random.below(4)
  const after = random.below(60)
  const leave = (req: ClientRequest): void => void setTimeout(() => req.destroy(), after)
  const gone =
    how === 0
      ? ask(world, agent, '/big?seed=1&bytes=20000000', {}, leave)
      : how === 1
        ? ask(world, agent, '/slow?ms=500', {}, leave)
        : how === 2
          ? ask(world, agent, '/events', {}, leave)
          : ask(
              world,
              agent,
              '/post',
              { method: 'POST', headers: { 'x-id': 'left' }, body: payload(1, 20_000_000) },
              leave,
            )
  await gone.catch(() => {})
}

/** What is no HTTP, or only the beginning of it. */
async function garbage(world: World, random: Random, _agent: Agent, tally: Tally): Promise<void> {
  tally.aborted++
  const socket = connect(world.port, '127.0.0.1')
  socket.on('error', () => {})
  socket.resume()
  socket.write(
    random.pick([
      '\x16\x03\x01\x02\x00',
      'GET / HTTP/1.1\r\nHo',
      'POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab',
      '\0'.repeat(100),
    ]),
  )
  await sleep(random.below(100))
  if (random.chance(0.5)) socket.resetAndDestroy()
  else socket.destroy()
}

const total = kinds.reduce((sum, [share]) => sum + share, 0)
const pick = (random: Random): Kind => {
  let at = random.below(total)
  for (const [share, kind] of kinds) {
    at -= share
    if (at < 0) return kind
  }
  return kinds[0]![1]
}

/** Clients that ask without pause until they are stopped. */
export const startLoad = (world: World, random: Random, clients: number) => {
  const tally: Tally = { done: new Map(), excused: new Map(), aborted: 0, failures: [] }
  const agent = new Agent({ keepAlive: true, maxFreeSockets: clients })
  let going = true
  const one = async (): Promise<void> => {
    while (going) {
      await pick(random)(world, random, agent, tally)
      await sleep(random.below(10))
    }
  }
  const all = Promise.all(Array.from({ length: clients }, one))
  return {
    tally,
    /** Resolves when everybody has got an answer. */
    async stop() {
      going = false
      await all
      agent.destroy()
    },
  }
}
