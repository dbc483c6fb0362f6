import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer as overHttp } from 'node:http'
import { createServer as overTls } from 'node:https'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { localCertificate, namesFor } from '../../src/edge/local-ca.ts'
import { certificate } from '../support/certificate.ts'
import { freePort } from '../support/free-port.ts'
import { runProgram } from '../support/program.ts'
import { startRedis } from '../support/redis.ts'
import { startUpstream } from '../support/upstream.ts'
import { folder } from './support.ts'

interface Finding {
  about: string
  state: string
  text: string
  advice?: string
}

/** Runs the doctor on free ports; gives its findings and exit code. */
const examined = async (t: TestContext, args: string[], env: NodeJS.ProcessEnv = {}) => {
  const { code, stdout, stderr } = await runProgram(
    t,
    ['doctor', '-p', '0', '--admin', 'off', ...args, '--json'],
    {
      http_proxy: '',
      HTTP_PROXY: '',
      https_proxy: '',
      HTTPS_PROXY: '',
      all_proxy: '',
      ALL_PROXY: '',
      NODE_TLS_REJECT_UNAUTHORIZED: '',
      NODE_NO_WARNINGS: '1',
      ...env,
    },
  )
  assert.equal(stderr, '')
  const { findings } = JSON.parse(stdout) as { findings: Finding[] }
  return { code, of: (about: string) => findings.filter((each) => each.about === about) }
}

/** The port of a server of TLS; undefined where the address cannot be had. */
const listening = async (
  t: TestContext,
  pair: { cert: string; key: string },
  host: string,
): Promise<number | undefined> => {
  const server = overTls(pair, (_, res) => res.end())
  t.after(() => server.close())
  return new Promise((resolve) => {
    server.once('error', () => resolve(undefined))
    server.listen(0, host, () => resolve((server.address() as { port: number }).port))
  })
}

test('a healthy machine ends with 0, in words too', async (t) => {
  const upstream = await startUpstream(
    t,
    (_, res) => void res.setHeader('date', new Date().toUTCString()).end(),
  )
  const { code, stdout } = await runProgram(t, ['doctor', upstream.url, '-p', '0', '--admin', 'off'], {
    http_proxy: '',
    HTTP_PROXY: '',
    all_proxy: '',
  })
  assert.equal(code, 0, stdout)
  assert.match(stdout, /^✓ node +node \d/m)
  assert.match(
    stdout,
    /^✓ target +http:\/\/127\.0\.0\.1:\d+ answers 200 OK on 127\.0\.0\.1:\d+ in [\d.]+ms\.$/m,
  )
  assert.match(stdout, /^✓ clock +the clocks of this machine and of the target agree\.$/m)
})

describe('the target', () => {
  test('that is away: both families, and what to do, with exit code 4', async (t) => {
    const port = await freePort()
    const { code, of } = await examined(t, [`:${port}`])
    assert.equal(code, 4)
    const [four, six] = of('target')
    assert.match(four!.text, new RegExp(`^127\\.0\\.0\\.1:${port}: refused: nothing listens there\\.$`))
    assert.equal(four!.advice, 'Is it running, and on this port?')
    assert.match(six!.text, new RegExp(`^\\[::1\\]:${port}: `))
  })
  test('on one family alone is said', async (t) => {
    const upstream = await startUpstream(t, (_, res) => void res.end())
    const { code, of } = await examined(t, [`:${upstream.port}`])
    assert.equal(code, 0)
    assert.deepEqual(
      of('target').map(({ state }) => state),
      ['fine', 'notice'],
    )
  })
  test('whose clock is wrong is said', async (t) => {
    const upstream = await startUpstream(
      t,
      (_, res) => void res.setHeader('date', new Date(Date.now() - 3_600_000).toUTCString()).end(),
    )
    const [clock] = (await examined(t, [upstream.url])).of('clock')
    assert.match(clock!.text, /the clock of the target is (?:1h|1h0m|59m5\ds|60m|1h.*) behind\./)
  })
  test('with TLS: the chain, and what is wrong with it', async (t) => {
    const at = folder(t)
    const [key, cert] = [join(at, 'key.pem'), join(at, 'cert.pem')]
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'ec',
        '-pkeyopt',
        'ec_paramgen_curve:prime256v1',
        '-nodes',
        '-keyout',
        key,
        '-out',
        cert,
        '-days',
        '3',
        '-subj',
        '/CN=localhost',
        '-addext',
        'subjectAltName=DNS:localhost',
      ],
      { stdio: 'ignore' },
    )
    const server = overTls({ key: readFileSync(key), cert: readFileSync(cert) }, (_, res) => res.end())
    t.after(() => server.close())
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port))
    })
    const url = `https://localhost:${port}`
    const bad = await examined(t, [url])
    assert.equal(bad.code, 4)
    assert.match(
      bad.of('tls')[0]!.text,
      /^certificate of localhost; valid until .*; not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)\.$/,
    )
    assert.match(bad.of('tls')[0]!.advice!, /--ca <file>/)
    const trusted = await examined(t, [url, '--ca', cert])
    assert.equal(trusted.code, 0)
    assert.match(trusted.of('tls')[0]!.text, /which is in 2 days\./)
    assert.equal((await examined(t, [url, '-k'])).of('tls')[0]!.state, 'notice')
    // Plain HTTP to a port that speaks TLS, and the other way round.
    const plain = await examined(t, [`http://127.0.0.1:${port}`])
    assert.equal(
      plain.of('target')[0]!.advice,
      'It does not speak plain HTTP: is it https: rather than http:?',
    )
    const http = await startUpstream(t, (_, res) => void res.end())
    const tls = await examined(t, [`https://127.0.0.1:${http.port}`])
    assert.equal(tls.of('target')[0]!.advice, 'It does not speak TLS: is it http: rather than https:?')
    assert.match(tls.of('target')[0]!.text, /: it does not speak TLS as it should: wrong version number\.$/)
  })
  test('with TLS on ::1 alone, by an authority that is not known', async (t) => {
    const { cert, key } = await certificate()
    const port = await listening(t, { cert, key }, '::1')
    if (port === undefined) return t.skip('no IPv6 here')
    const { code, of } = await examined(t, [`https://localhost:${port}`])
    assert.equal(code, 4)
    const [tls] = of('tls')
    assert.match(
      tls!.text,
      /^certificate of .*, issued by revproxy.*; not trusted \(UNABLE_TO_VERIFY_LEAF_SIGNATURE\)\.$/,
    )
    assert.match(tls!.advice!, /^The chain is not whole: /)
    return assert.deepEqual(
      of('target').map(({ state }) => state),
      ['notice', 'wrong'],
    )
  })
  test('with a certificate whose time is over', async (t) => {
    const names = namesFor(undefined)
    const past = Date.UTC(2001)
    const { cert, key, caFile } = await localCertificate({ folder: folder(t), names, now: past })
    const port = await listening(t, { cert, key }, '127.0.0.1')
    const [tls] = (await examined(t, [`https://localhost:${port}`, '--ca', caFile])).of('tls')
    assert.match(tls!.text, /not trusted \(CERT_HAS_EXPIRED\)\.$/)
    assert.match(tls!.advice!, /^Renew it/)
  })
})

test('Redis: there, wanting a password, away', async (t) => {
  const redis = await startRedis(t)
  assert.match(
    (await examined(t, ['--cache', redis.url, '--cache-timeout', '5s'])).of('redis')[0]!.text,
    /answers in [\d.]+ms/,
  )
  const away = await examined(t, ['--cache', `redis://me:hush@127.0.0.1:${await freePort()}`])
  assert.equal(away.code, 3)
  assert.match(
    away.of('redis')[0]!.text,
    /^redis:\/\/\*\*\*@127\.0\.0\.1:\d+ does not answer \(ECONNREFUSED\)\.$/,
  )
  const silent = createServer((socket) =>
    socket.on('data', () => socket.write('-NOAUTH Authentication required.\r\n')),
  )
  t.after(() => silent.close())
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const { port } = silent.address() as { port: number }
  assert.match(
    (await examined(t, ['--cache', `redis://127.0.0.1:${port}`])).of('redis')[0]!.text,
    /wants a password/,
  )
})

test('the places that spans go to', async (t) => {
  const collector = overHttp((req, res) => {
    res.statusCode = req.url === '/v1/traces' ? 200 : req.url === '/api/traces' ? 400 : 404
    req.resume().on('end', () => res.end())
  })
  t.after(() => collector.close())
  await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
  const { port } = collector.address() as { port: number }
  const base = `http://127.0.0.1:${port}`
  const agent = createSocket('udp4')
  t.after(() => agent.close())
  await new Promise<void>((resolve) => agent.bind(0, '127.0.0.1', resolve))
  const closed = await freePort()
  const places = [
    base,
    `${base}/api/traces`,
    `${base}/elsewhere`,
    `http://127.0.0.1:${closed}`,
    `jaeger://127.0.0.1:${agent.address().port}`,
  ]
  const { code, of } = await examined(
    t,
    places.flatMap((place) => ['--trace', place]),
  )
  assert.equal(code, 3)
  assert.deepEqual(
    of('trace').map(({ state }) => state),
    ['fine', 'fine', 'wrong', 'wrong', 'notice'],
  )
})

test('a port that is taken', async (t) => {
  const upstream = await startUpstream(t, (_, res) => void res.end())
  const { code, stdout } = await runProgram(t, ['doctor', '-p', String(upstream.port), '--admin', 'off'])
  assert.equal(code, 3)
  assert.match(
    stdout,
    new RegExp(`✗ ports +port ${upstream.port} is in use on 127\\.0\\.0\\.1\\.\n +→ Use -p 0`),
  )
  const admin = await runProgram(t, ['doctor', '-p', '0', '--admin', String(upstream.port)])
  assert.equal(admin.code, 3)
  assert.match(admin.stdout, /→ Use --admin 0 for a free one/)
})

test('what stands in the environment', async (t) => {
  const { code, of } = await examined(t, ['https://127.0.0.2:1'], {
    HTTP_PROXY: 'http://proxy:3128',
    NO_PROXY: 'example.com',
    no_proxy: '',
    NODE_TLS_REJECT_UNAUTHORIZED: '0',
    REVPROXY_CAHCE: 'off',
    REVPROXY_URL: 'http://localhost:1',
  })
  assert.equal(code, 4)
  const texts = of('environment').map(({ text }) => text)
  assert.match(texts[0]!, /HTTP_PROXY is set, and NO_PROXY does not name localhost/)
  assert.ok(texts.some((text) => text.startsWith('NODE_TLS_REJECT_UNAUTHORIZED=0')))
  assert.ok(texts.includes('REVPROXY_CAHCE is not a variable of revproxy.'))
  assert.ok(!texts.some((text) => text.startsWith('REVPROXY_URL')))
})

test('options that cannot be understood are refused as ever', async (t) => {
  const { code, stderr } = await runProgram(t, ['doctor', '--rate', '5'])
  assert.equal(code, 2)
  assert.match(stderr, /--rate 5: per what\?/)
})
