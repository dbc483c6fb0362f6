import assert from 'node:assert/strict'
import { test } from 'node:test'
import { routes } from '../../src/observe/routes.ts'

const uuid = '550e8400-e29b-41d4-a716-446655440000'
const table: Array<{ url: string; want: string; templates?: string[] }> = [
  { url: '/', want: '/' },
  { url: '', want: '/' },
  { url: '/?a=1', want: '/' },
  { url: '?a=1', want: '/' },
  { url: '/api/echo?echo=test', want: '/api/echo' },
  { url: '/api/echo#part?x', want: '/api/echo' },
  { url: '/api/echo/', want: '/api/echo/' },
  { url: '//api', want: '//api' },

  { url: '/users/42', want: '/users/:id' },
  { url: '/users/42/posts/7', want: '/users/:id/posts/:id' },
  { url: '/users/-1', want: '/users/:id' },
  { url: '/users/42.json', want: '/users/:id.json' },
  { url: '/files/42.tar.gz', want: '/files/:id.tar.gz' },
  { url: '/days/2024-01-31', want: '/days/:id' },
  { url: '/days/2024-01-31T12:30:00.000Z', want: '/days/:id' },
  { url: '/days/20240131T123000Z', want: '/days/:id' },
  { url: '/hosts/192.168.0.1', want: '/hosts/:id' },
  { url: `/users/${uuid}`, want: '/users/:uuid' },
  { url: `/users/${uuid.toUpperCase()}/x`, want: '/users/:uuid/x' },
  { url: '/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV', want: '/jobs/:id' },
  { url: '/by/ada@example.com', want: '/by/:id' },
  { url: '/by/ada%40example.com', want: '/by/:id' },
  { url: '/commit/3f2a1b9c', want: '/commit/:hash' },
  { url: '/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709', want: '/commit/:hash' },
  { url: '/things/507f1f77bcf86cd799439011', want: '/things/:hash' },
  { url: '/s/dGhpcyBpcyBhIHRlc3Qx', want: '/s/:hash' },
  { url: '/s/V1StGXR8_Z5jdHi6B-myT', want: '/s/:hash' },
  { url: '/s/cjld2cjxh0000qzrmn831i7rn', want: '/s/:hash' },

  { url: '/v1/health', want: '/v1/health' },
  { url: '/facade/deadbeef', want: '/facade/deadbeef' },
  { url: '/package.v1.UserService/GetUser', want: '/package.v1.UserService/GetUser' },
  { url: '/oauth2-callback-handler-v2', want: '/oauth2-callback-handler-v2' },
  { url: '/createOrUpdateUserV2', want: '/createOrUpdateUserV2' },
  { url: '/@babel/core', want: '/@babel/core' },
  { url: '/jquery-3.6.0.min.js', want: '/jquery-3.6.0.min.js' },

  { url: '/caf%C3%A9/menu', want: '/:id/menu' },
  { url: '/a\x1b[31m/b', want: '/:id/b' },
  { url: '/a"b/c\\d', want: '/:id/:id' },
  { url: '/é', want: '/:id' },
  { url: `/${'a'.repeat(65)}`, want: '/:id' },
  { url: '/a/b/c/d/e/f/g/h', want: '/a/b/c/d/e/f/g/h' },
  { url: '/a/b/c/d/e/f/g/h/i/j', want: '/a/b/c/d/e/f/g/h/*' },
  { url: '/a/b/c/d/e/f/g/h/', want: '/a/b/c/d/e/f/g/h/*' },
  { url: `/${'x'.repeat(60)}/${'y'.repeat(60)}`, want: `/${'x'.repeat(60)}/*` },
  { url: `/${'a/'.repeat(8000)}`, want: '/a/a/a/a/a/a/a/a/*' },

  { url: 'http://example.com/users/42?x', want: '/users/:id' },
  { url: 'http://example.com', want: '/' },
  { url: 'http://example.com?x', want: '/' },
  { url: '*', want: '*' },
  { url: 'example.com:443', want: 'other' },
  { url: '/__proto__/constructor', want: '/__proto__/constructor' },

  { templates: ['/users/:name'], url: '/users/ada?x=1', want: '/users/:name' },
  { templates: ['/users/:name'], url: '/users/ada/', want: '/users/:name' },
  { templates: ['/users/:name'], url: '/users/caf%C3%A9', want: '/users/:name' },
  { templates: ['/users/:name'], url: '/users/', want: '/users/' },
  { templates: ['/users/:name'], url: '/users/ada/posts', want: '/users/ada/posts' },
  { templates: ['/users/me', '/users/:name'], url: '/users/me', want: '/users/me' },
  { templates: ['/users/:name', '/users/me'], url: '/users/me', want: '/users/:name' },
  { templates: ['/files/*'], url: '/files/a/b/c', want: '/files/*' },
  { templates: ['/files/*'], url: '/files/', want: '/files/*' },
  { templates: ['/files/*'], url: '/files', want: '/files' },
  { templates: ['/*'], url: '/', want: '/*' },
  { templates: ['/a/*/z'], url: '/a/b/z', want: '/a/*/z' },
  { templates: ['/shop/'], url: '/shop', want: '/shop/' },
  { templates: ['/'], url: '/', want: '/' },
  { templates: ['/users/:name'], url: 'http://example.com/users/ada', want: '/users/:name' },
]
for (const { url, want, templates = [] } of table) {
  const given = url.length > 80 ? `${url.slice(0, 80)}…` : url
  test(`${JSON.stringify(given)} is ${want}${templates.length > 0 ? ` with ${templates}` : ''}`, () => {
    const route = routes({ templates })
    assert.equal(route({ url }), want)
    assert.equal(route({ url }), want, 'remembered')
  })
}

test('after so many routes the rest is other; templates keep their name', () => {
  const route = routes({ templates: ['/users/:name'], max: 2 })
  assert.deepEqual(
    ['/a', '/b', '/c', '/a', '/users/ada', '/d', '*'].map((url) => route({ url })),
    ['/a', '/b', 'other', '/a', '/users/:name', 'other', '*'],
  )
})

test('a million random paths give at most 100 routes, and labels of plain ASCII', () => {
  const route = routes({ templates: [] })
  const seen = new Set<string>()
  for (let i = 0; i < 1_000_000; i++) {
    seen.add(route({ url: `/${((i * 2_654_435_761) % 4_294_967_296).toString(36)}z/\u0001${i}?${i}` }))
  }
  assert.ok(seen.size <= 101, `${seen.size} routes`)
  for (const label of seen) assert.match(label, /^[\x21-\x7e]{1,122}$/)
})
