import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatDuration, formatSeconds, formatSize, formatSpan } from '../../src/observe/units.ts'

const durations: Array<[number, string]> = [
  [0, '0.0ms'],
  [-5, '0.0ms'],
  [Number.NaN, '0.0ms'],
  [0.04, '0.0ms'],
  [0.3, '0.3ms'],
  [9.95, '10.0ms'],
  [11.4, '11.4ms'],
  [99.94, '99.9ms'],
  [99.95, '100ms'],
  [245.4, '245ms'],
  [999.4, '999ms'],
  [999.5, '1.00s'],
  [1200, '1.20s'],
  [9994, '9.99s'],
  [9995, '10.0s'],
  [12_300, '12.3s'],
  [59_949, '59.9s'],
  [59_950, '1m'],
  [90_000, '1m30s'],
  [3_600_000, '1h'],
  [3_725_000, '1h2m'],
]
for (const [ms, want] of durations) test(`${ms} ms is ${want}`, () => assert.equal(formatDuration(ms), want))

const spans: Array<[number, string]> = [
  [-1, '0s'],
  [0, '0s'],
  [59, '59s'],
  [60, '1m'],
  [3599, '59m59s'],
  [3600, '1h'],
  [90_000, '1d1h'],
  [31_536_000, '365d'],
]
for (const [seconds, want] of spans)
  test(`${seconds} seconds are ${want}`, () => assert.equal(formatSeconds(seconds), want))

for (const [ms, want] of [
  [0, '0s'],
  [253.4, '253ms'],
  [1499, '1s'],
] as const)
  test(`what ran for ${ms} ms ran for ${want}`, () => assert.equal(formatSpan(ms), want))

const sizes: Array<[number, string]> = [
  [0, '0 B'],
  [4, '4 B'],
  [999, '999 B'],
  [1000, '1.0 kB'],
  [1234, '1.2 kB'],
  [9949, '9.9 kB'],
  [9950, '10 kB'],
  [35_400, '35 kB'],
  [999_499, '999 kB'],
  [999_500, '1.0 MB'],
  [2_000_000_000, '2.0 GB'],
  [5e15, '5000 TB'],
]
for (const [bytes, want] of sizes)
  test(`${bytes} bytes are ${want}`, () => assert.equal(formatSize(bytes), want))
