import assert from 'node:assert/strict'
import { test } from 'node:test'
import { banner } from '../../src/cli/banner.ts'

const least = {
  urls: ['http://localhost:8080'],
  target: 'http://localhost:3000',
  cache: 'memory, 128 MB',
  color: 0,
  demo: false,
} as const

test('the least banner', () => {
  assert.equal(
    banner(least),
    `revproxy
  listening  http://localhost:8080
  target     http://localhost:3000
  cache      memory, 128 MB

`,
  )
})
test('the full banner', () => {
  assert.equal(
    banner({
      ...least,
      urls: ['http://127.0.0.1:8080/', 'http://[::1]:8080/'],
      cache: 'redis://me:secret@localhost:6379',
      rate: '100/s by ip',
      concurrency: 10,
      trace: ['http://u:p@localhost:4318/v1/traces', 'jaeger://localhost:6832'],
      metricsPath: '/metrics',
      adminUrl: 'http://127.0.0.1:9900',
      demo: true,
    }),
    `revproxy
  listening  http://127.0.0.1:8080/  http://[::1]:8080/
  target     http://localhost:3000
  cache      redis://***@localhost:6379
  limits     100/s by ip · 10 at once to the target
  traces     http://***@localhost:4318/v1/traces  jaeger://localhost:6832
  metrics    http://127.0.0.1:8080/metrics
  admin      http://127.0.0.1:9900
  try        curl -i 'http://127.0.0.1:8080/api/echo?echo=test'   twice: a miss, then a hit

`,
  )
})
test('what is only a hint goes where the window is too narrow for it', () => {
  const tried = (width: number | undefined) =>
    banner({ ...least, demo: true, width })
      .split('\n')
      .find((line) => line.includes('try'))
  assert.match(tried(undefined)!, /test' {3}twice: a miss, then a hit$/)
  assert.match(tried(100)!, /then a hit$/)
  assert.match(tried(80)!, /test'$/)
  assert.equal(tried(0), tried(undefined), 'a window of no width does not know its own')
})
test('colours change no word', () => {
  assert.equal(banner({ ...least, color: 3 }).replace(/\x1b\[[\d;]*m/g, ''), banner(least))
})
