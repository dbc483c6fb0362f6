import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BadValue, parseTarget } from '../../src/cli/values.ts'
import { options } from '../../src/options.ts'

for (const [given, want] of [
  ['h2c://localhost:50051', { display: 'h2c://localhost:50051', port: 50051, h2c: true }],
  ['H2C://10.0.0.1/base/', { display: 'h2c://10.0.0.1/base', port: 80, basePath: '/base', h2c: true }],
  ['h2c://[::1]:9', { hostname: '::1', authority: '[::1]:9', protocol: 'http:', h2c: true }],
  ['http://localhost:3000', { display: 'http://localhost:3000', h2c: undefined }],
] as const) {
  test(`the target ${given}`, () => {
    const target = parseTarget(given)
    for (const [name, value] of Object.entries(want)) assert.equal(target[name as keyof typeof target], value)
  })
}

test('a target of another scheme is refused with those there are', () => {
  assert.throws(() => parseTarget('h2://localhost'), BadValue)
  assert.throws(() => parseTarget('h2c://user:pw@localhost'), /without user and password/)
})

for (const [given, display] of [
  ['http://localhost/a?token=x&b=1', 'http://localhost/a?token=***&b=1'],
  ['unix:/run/a.sock:/b?token=x', 'unix:/run/a.sock:/b?token=***'],
] as const) {
  test(`the target ${given} is shown as ${display}`, () => {
    const target = options.target.parse(given, {})
    assert.equal(target!.display, display)
    assert.match(target!.baseQuery, /token=x/)
  })
}
