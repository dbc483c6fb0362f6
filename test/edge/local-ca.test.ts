import assert from 'node:assert/strict'
import crypto, { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { configFolder, localCertificate, namesFor } from '../../src/edge/local-ca.ts'

const DAY_MS = 86_400_000
const now = Date.parse('2026-03-01T12:00:00Z')
const names = namesFor(undefined)

const folderFor = (t: TestContext): string => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-ca-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'revproxy')
}
const caOf = (folder: string) => new X509Certificate(readFileSync(join(folder, 'ca.pem')))

test('the certificate covers this machine, is signed by the CA, and nobody else reads the keys', async (t) => {
  const folder = folderFor(t)
  const { cert, caFile } = await localCertificate({ folder, names: namesFor('dev.example'), now })
  const leaf = new X509Certificate(cert)
  for (const host of ['localhost', 'dev.example']) assert.equal(leaf.checkHost(host), host)
  assert.match(leaf.subjectAltName ?? '', /DNS:\*\.localhost/)
  for (const address of ['127.0.0.1', '::1']) assert.equal(leaf.checkIP(address), address)
  assert.equal(leaf.checkHost('example.com'), undefined)
  const ca = new X509Certificate(readFileSync(caFile))
  assert.ok(ca.ca && leaf.checkIssued(ca) && leaf.verify(ca.publicKey))
  assert.equal(leaf.ca, false)
  const days = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / DAY_MS
  assert.ok(days <= 397, `${days} days`)
  if (process.platform !== 'win32') {
    assert.equal(statSync(folder).mode & 0o777, 0o700)
    for (const file of readdirSync(folder).filter((name) => name !== 'ca.pem'))
      assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file)
  }
})

test('CA and certificate stay as they are until their end is near', async (t) => {
  const folder = folderFor(t)
  const first = await localCertificate({ folder, names, now })
  const ca = caOf(folder).fingerprint256
  const again = await localCertificate({ folder, names, now: now + 300 * DAY_MS })
  assert.equal(again.cert, first.cert)
  const renewed = await localCertificate({ folder, names, now: now + 380 * DAY_MS })
  assert.notEqual(renewed.cert, first.cert)
  assert.equal(caOf(folder).fingerprint256, ca)
  const later = await localCertificate({ folder, names, now: now + 3640 * DAY_MS })
  assert.notEqual(caOf(folder).fingerprint256, ca)
  assert.ok(new X509Certificate(later.cert).verify(caOf(folder).publicKey))
})

test('what lies there spoiled is made anew', async (t) => {
  const folder = folderFor(t)
  await localCertificate({ folder, names, now })
  for (const file of readdirSync(folder)) writeFileSync(join(folder, file), '-----BEGIN nothing')
  const { cert, key } = await localCertificate({ folder, names, now })
  assert.ok(new X509Certificate(cert).verify(caOf(folder).publicKey))
  assert.match(key, /PRIVATE KEY/)
})

test('whatever number a certificate is given by lot, it can be read', async (t) => {
  for (const byte of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
    const drawn = t.mock.method(crypto, 'randomBytes', (size: number) => Buffer.alloc(size, byte))
    syncBuiltinESMExports()
    t.after(() => syncBuiltinESMExports())
    const { cert } = await localCertificate({ folder: folderFor(t), names, now })
    drawn.mock.restore()
    const { serialNumber } = new X509Certificate(cert)
    assert.match(serialNumber, /^[0-7][\dA-F]{31}$/)
  }
})

test('several that start at once end with one CA, and leave nothing half-written', async (t) => {
  const folder = folderFor(t)
  const all = await Promise.all(Array.from({ length: 4 }, () => localCertificate({ folder, names, now })))
  for (const { cert } of all) assert.ok(new X509Certificate(cert).verify(caOf(folder).publicKey))
  const files = readdirSync(folder)
  assert.equal(files.length, 3, files.join())
})

for (const { env, platform, want } of [
  { env: { XDG_CONFIG_HOME: '/x' }, platform: 'linux', want: '/x/revproxy' },
  { env: { XDG_CONFIG_HOME: '/x' }, platform: 'darwin', want: '/x/revproxy' },
  { env: {}, platform: 'linux', want: '/home/me/.config/revproxy' },
  { env: {}, platform: 'darwin', want: '/home/me/Library/Application Support/revproxy' },
  { env: { APPDATA: '/roaming' }, platform: 'win32', want: '/roaming/revproxy' },
] as const) {
  test(`the config folder on ${platform} with ${JSON.stringify(env)}`, () => {
    assert.equal(configFolder(env, platform, '/home/me').replaceAll('\\', '/'), want)
  })
}

test('listening on all addresses, the certificate is for those of this machine too', () => {
  const all = namesFor('0.0.0.0')
  assert.ok(all.length > names.length)
  assert.ok(!all.includes('0.0.0.0'))
  assert.deepEqual(namesFor('localhost'), names)
})
