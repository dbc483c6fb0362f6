/** Copies near at hand: how long they may be used, and which of what comes is kept. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Brought, Near } from '../../src/cache/store/near.ts'
import { PROOF_MS, Proof } from '../../src/cache/store/proof.ts'
import { type Slot, Tombstone } from '../../src/cache/store/store.ts'
import { entryOf } from './entries.ts'

const MINUTE = 60_000

test('a proof holds for 100 ms from when its question was asked, not from when it was answered', () => {
  const proof = new Proof()
  assert.equal(proof.holds(0), false)
  const question = proof.asked(1000)
  assert.equal(proof.holds(1000), false)
  proof.answered(question)
  assert.equal(proof.holds(1000 + PROOF_MS - 1), true)
  assert.equal(proof.holds(1000 + PROOF_MS), false)
})

test('an answer to an earlier question takes nothing away from a later one', () => {
  const proof = new Proof()
  const [first, second] = [proof.asked(0), proof.asked(50)]
  proof.answered(second)
  proof.answered(first)
  assert.equal(proof.holds(149), true)
  assert.equal(proof.holds(150), false)
})

test('a proof is renewed before it ends, by one question at a time', () => {
  const proof = new Proof()
  assert.equal(proof.isDue(0), true)
  const question = proof.asked(0)
  assert.equal(proof.isDue(500), false, 'one is open')
  proof.answered(question)
  assert.equal(proof.isDue(10), false)
  assert.equal(proof.isDue(99), true)
  proof.failed(proof.asked(99))
  assert.equal(proof.isDue(99), true, 'one that failed is not open')
})

test('who has not answered for 100 ms is asked nothing more until it has', () => {
  const proof = new Proof()
  const first = proof.asked(0)
  proof.asked(90)
  assert.equal(proof.isSilent(99), false)
  assert.equal(proof.isSilent(100), true)
  proof.answered(first)
  assert.equal(proof.isSilent(100), false)
  assert.equal(proof.isSilent(190), true)
})

test('what was asked before the connection broke proves nothing of the next', () => {
  const proof = new Proof()
  const before = proof.asked(0)
  proof.answered(proof.asked(0))
  proof.broken()
  assert.equal(proof.holds(1), false)
  proof.answered(before)
  assert.equal(proof.holds(1), false)
  assert.equal(proof.isSilent(1000), false)
})

/** A read under way, to be ended by the test. */
const reading = (near: Near, key: string) => {
  let come!: (brought: Brought) => void
  let fail!: (error: Error) => void
  const read = new Promise<Brought>((resolve, reject) => {
    come = resolve
    fail = reject
  })
  const came = near.bring(key, () => read)
  return {
    fail: async () => {
      fail(new Error('away'))
      await assert.rejects(came, /away/)
    },
    come: async (slot: Slot | undefined, keepMs = MINUTE) => {
      come({ slot, keepMs })
      assert.equal(await came, slot)
    },
  }
}

const bodyOf = (slot: Slot | undefined): string | undefined =>
  slot === undefined || slot instanceof Tombstone || !('body' in slot) ? undefined : slot.body.toString()

test('what was read is at hand until it is outdated; the same one, so that its derived fields are kept', async () => {
  const near = new Near(1024 * 1024)
  await reading(near, 'k').come(entryOf('a'))
  assert.equal(bodyOf(near.get('k')), 'a')
  assert.equal(near.get('k'), near.get('k'))
  near.outdate('other')
  assert.equal(bodyOf(near.get('k')), 'a')
  near.outdate('k')
  assert.equal(near.get('k'), undefined)
})

const changes: Record<string, (near: Near) => void> = {
  'its key is outdated': (near) => near.outdate('k'),
  'all is outdated': (near) => near.outdateAll(),
}
for (const [what, change] of Object.entries(changes)) {
  test(`a read during which ${what} is used once and not kept; the next is`, async () => {
    const near = new Near(1024 * 1024)
    const [first, second] = [reading(near, 'k'), reading(near, 'k')]
    change(near)
    const after = reading(near, 'k')
    await first.come(entryOf('old'))
    assert.equal(near.get('k'), undefined)
    await after.come(entryOf('new'))
    // It began before the change as well, however late it comes.
    await second.come(entryOf('old'))
    assert.equal(bodyOf(near.get('k')), 'new')
    change(near)
    assert.equal(near.get('k'), undefined)
  })
}

test('a change told during the second of two reads outdates it, though the first began earlier and ended', async () => {
  const near = new Near(1024 * 1024)
  const [first, second] = [reading(near, 'k'), reading(near, 'k')]
  await first.come(entryOf('old'))
  near.outdate('k')
  await second.come(entryOf('old'))
  assert.equal(near.get('k'), undefined)
})

test('a read that failed leaves nothing behind', async () => {
  const near = new Near(1024 * 1024)
  await reading(near, 'k').fail()
  assert.equal(near.get('k'), undefined)
  await reading(near, 'k').come(entryOf('a'))
  assert.equal(bodyOf(near.get('k')), 'a')
})

test('nothing, and what changes unseen, is not kept', async () => {
  const near = new Near(1024 * 1024)
  await reading(near, 'k').come(undefined)
  await reading(near, 'k').come(entryOf('a'), 0)
  assert.equal(near.get('k'), undefined)
})

test('a tombstone is at hand as well, and an entry may follow it', async () => {
  const near = new Near(1024 * 1024)
  await reading(near, 'k').come(new Tombstone('purged', 5))
  assert.deepEqual(near.get('k'), new Tombstone('purged', 5))
  near.outdate('k')
  await reading(near, 'k').come(entryOf('a', { requestedAt: 1 }))
  assert.equal(bodyOf(near.get('k')), 'a')
})

test('copies are bounded in bytes, and hold no larger memory than their own', async () => {
  const near = new Near(256 * 1024)
  const chunk = Buffer.alloc(64 * 1024)
  for (let i = 0; i < 1000; i++) await reading(near, `k${i}`).come(entryOf(chunk.subarray(0, 1024)))
  assert.ok(near.bytes <= 256 * 1024, String(near.bytes))
  assert.equal(near.get('k0'), undefined)
  const last = near.get('k999')
  assert.ok(last !== undefined && 'body' in last)
  assert.ok(last.body.buffer.byteLength < 4096, String(last.body.buffer.byteLength))
  await reading(near, 'large').come(entryOf(Buffer.alloc(1024 * 1024)))
  assert.equal(near.get('large'), undefined)
})
