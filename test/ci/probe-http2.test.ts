import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Address, probe } from '../../src/ci/probe.ts'
import { parseTarget } from '../../src/cli/values.ts'
import { certificate } from '../support/certificate.ts'
import { startHttp2Upstream } from '../support/http2-upstream.ts'

for (const tls of [false, true]) {
  test(`whether a target is ready is asked in HTTP/2 where it speaks nothing else (${tls ? 'TLS' : 'h2c'})`, async (t) => {
    const upstream = await startHttp2Upstream(
      t,
      (stream) => stream.respond({ ':status': 204 }, { endStream: true }),
      { tls },
    )
    const { ca } = await certificate()
    const target = parseTarget(`${upstream.url}/base`)
    const address: Address = {
      text: '127.0.0.1',
      host: '127.0.0.1',
      family: 4,
      port: upstream.port,
      socketPath: undefined,
    }
    const ask = { target, path: '/healthz', hostHeader: 'target', header: [], insecure: false, ca }
    const came = await probe(address, ask, { timeoutMs: 5000 })
    assert.equal(came.kind, 'answer', JSON.stringify(came))
    assert.equal(came.kind === 'answer' && came.status, 204)
    assert.equal(upstream.requests[0]!.headers[':path'], '/base/healthz')
    upstream.answer(() => {})
    const late = await probe(address, ask, { timeoutMs: 100 })
    assert.equal(late.kind === 'error' && late.code, 'TIMEOUT')
    const nobody = await probe({ ...address, port: 1 }, ask, { timeoutMs: 5000 })
    assert.equal(nobody.kind === 'error' && nobody.code, 'ECONNREFUSED')
  })
}
