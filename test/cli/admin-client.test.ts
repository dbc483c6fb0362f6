import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { AdminError, callAdmin } from '../../src/cli/admin-client.ts'

const listening = async (t: TestContext, listener: RequestListener): Promise<URL> => {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}
const stats = { path: '/stats', query: [] }
const refusal = (what: RegExp) => (error: unknown) => {
  assert.ok(error instanceof AdminError)
  assert.match(error.message, what)
  assert.equal(error.exitCode, 3)
  return true
}

for (const [what, status, body] of [
  ['an API', 200, '{"entries":1}'],
  ['a page that is not there', 404, '<h1>Not found</h1>'],
] as const)
  test(`what is no revproxy is told so: ${what}`, async (t) => {
    const base = await listening(t, (_, res) => void res.writeHead(status).end(body))
    await assert.rejects(callAdmin(base, stats), refusal(/^http\S+ is not the admin listener of a revproxy$/))
  })

test('a proxy that is silent is told so after a while', async (t) => {
  const base = await listening(t, () => {})
  await assert.rejects(callAdmin(base, stats, 100), refusal(/^http\S+ has not answered for 0\.1 s$/))
})
