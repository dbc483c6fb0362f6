import assert from 'node:assert/strict'
import { test } from 'node:test'
import { palette, tones } from '../../src/observe/palette.ts'

/** Relative luminance (WCAG 2.2). */
const luminance = (hex: string): number => {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!
}
for (const [meaning, tone] of Object.entries(tones)) {
  test(`${meaning} is readable on black and on white`, () => {
    const light = luminance(tone)
    assert.ok((light + 0.05) / 0.05 >= 4, `on black ${(light + 0.05) / 0.05}`)
    assert.ok(1.05 / (light + 0.05) >= 4, `on white ${1.05 / (light + 0.05)}`)
  })
}
test('levels: none, 16, 256 and all colours', () => {
  assert.equal(palette(0).failure('x'), 'x')
  assert.equal(palette(1).failure('x'), '\x1b[31mx\x1b[39m')
  assert.match(palette(2).failure('x'), /^\x1b\[38;5;\d+mx\x1b\[39m$/)
  assert.equal(palette(3).failure('x'), '\x1b[38;2;211;47;47mx\x1b[39m')
  assert.equal(palette(3).failure(''), '')
})
