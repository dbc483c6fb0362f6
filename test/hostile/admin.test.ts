/** The admin listener of the built program, as a page in a browser or a stranger would try it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { get } from '../support/client.ts'
import { startProgram } from '../support/program.ts'

test('the admin listener answers only its own names, its own pages, and changes nothing on GET', async (t) => {
  const program = await startProgram(t, ['demo', '-p', '0', '--admin', '0'])
  const admin = program.adminUrl!
  const { port } = new URL(admin)
  await get(`${program.url}/api/echo?echo=x`)
  const stored = async () => (await get(`${admin}/cache/entries`)).text
  const before = await stored()
  assert.match(before, /echo=x/)
  for (const [name, method, path, headers, status] of [
    ['DNS rebinding: the name of a page', 'GET', '/metrics', { host: 'evil.example' }, 421],
    ['DNS rebinding: the same with our port', 'GET', '/metrics', { host: `evil.example:${port}` }, 421],
    ['another port', 'GET', '/metrics', { host: 'localhost:1' }, 421],
    ['a name that begins like ours', 'GET', '/metrics', { host: `localhost.evil.example:${port}` }, 421],
    ['another origin', 'GET', '/metrics', { origin: 'http://evil.example' }, 403],
    ['the null origin of a sandbox', 'GET', '/metrics', { origin: 'null' }, 403],
    ['a purge from another origin', 'DELETE', '/cache/entries', { origin: 'http://evil.example' }, 403],
    [
      'a form of another site',
      'POST',
      '/cache/purge',
      { 'sec-fetch-site': 'cross-site', 'content-type': 'text/plain' },
      403,
    ],
    ['an image of another site', 'GET', '/cache/entries', { 'sec-fetch-site': 'cross-site' }, 403],
  ] as const) {
    const answer = await get(admin + path, { method, headers })
    assert.equal(answer.status, status, name)
    assert.equal(answer.headers['access-control-allow-origin'], undefined, name)
  }
  for (const path of ['/cache/purge', '/cache/entries?purge=1', '/cache/entries/x', '/cache/clear'])
    await get(admin + path)
  assert.equal((await get(`${program.url}/api/echo?echo=x`)).headers['cache-status']?.includes('hit'), true)
})
