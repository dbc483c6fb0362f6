/** Guests of the bench are there by chance: what one of them does wrong ends its own part, and no other's. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { after, test } from 'node:test'
import { endAll, type Server } from './children.ts'
import { bare, type Contestant, temporary } from './contestants.ts'
import { measure, type Plan } from './measure.ts'
import { paths } from './servers/payload.ts'
import { storm } from './storm.ts'

const plan: Plan = {
  rounds: 1,
  seconds: 1,
  warmUp: { requests: 0, seconds: 0 },
  serverCore: undefined,
  loadCore: undefined,
}

after(() => {
  endAll()
  rmSync(temporary, { recursive: true, force: true })
})

const started: Server[] = []
const guest = (name: string, start: Contestant['start']): Contestant => ({
  name,
  guest: true,
  async start(place) {
    const server = await start(place)
    started.push(server)
    return server
  },
})
const gone = guest('a guest that does not start', async () => {
  throw new Error('it is not itself today')
})
const caching = guest('a guest that does not ask the upstream', (place) => bare.start(place))
const dying = guest('a guest that ends before its round', async (place) => {
  const server = await bare.start(place)
  setTimeout(() => server.child.kill('SIGKILL'), 300)
  return server
})

test('a guest that fails at its start, at its checks or in its round is left out and ended; the others are measured', async () => {
  const before = started.length
  const measured = await measure(
    {
      name: 'guests',
      path: paths.hit,
      cached: undefined,
      contestants: [dying, bare, gone],
    },
    plan,
  )
  assert.deepEqual(
    measured.map(({ name }) => name),
    [bare.name],
  )
  assert.deepEqual(measured[0]!.rounds.length, 1)
  const checked = await measure(
    { name: 'guests', path: paths.hit, cached: false, contestants: [caching, bare] },
    plan,
  )
  assert.deepEqual(
    checked.map(({ name }) => name),
    [bare.name],
  )
  for (const { child } of started.slice(before))
    assert.ok(child.exitCode !== null || child.signalCode !== null)
})

test('one that is no guest ends the bench', async () => {
  const contestants = [{ ...gone, guest: false }]
  await assert.rejects(
    measure({ name: 'no guest', path: paths.hit, cached: undefined, contestants }, plan),
    /not itself/,
  )
})

test('a guest that does not start for the storm leaves the others to it', async () => {
  const table = await storm([gone, bare], plan)
  assert.match(table, /bare node:http/)
  assert.doesNotMatch(table, /guest/)
})
