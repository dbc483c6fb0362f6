import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { trustCommand } from '../../src/cli/trust.ts'
import { certificate } from '../support/certificate.ts'
import { runProgram, startProgram } from '../support/program.ts'

const folderFor = (t: TestContext): string => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-https-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('--cert and --key that cannot be used are refused with exit code 2, naming the flag', async (t) => {
  const { certFile, keyFile } = await certificate()
  const folder = folderFor(t)
  const other = join(folder, 'other.pem')
  writeFileSync(
    other,
    generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }),
  )
  for (const [args, want] of [
    [['--cert', certFile], 'revproxy: --cert needs its private key: --key <file>.\n'],
    [['--key', keyFile], 'revproxy: --key needs its certificate: --cert <file>.\n'],
    [
      ['--cert', join(folder, 'none'), '--key', keyFile],
      `revproxy: --cert ${join(folder, 'none')}: must be a file that can be read (ENOENT).\n`,
    ],
    [
      ['--cert', keyFile, '--key', keyFile],
      `revproxy: --cert ${keyFile}: must be a PEM file with a certificate.\n`,
    ],
    [
      ['--cert', certFile, '--key', certFile],
      `revproxy: --key ${certFile}: must be a PEM file with a private key without a passphrase.\n`,
    ],
    [
      ['--cert', certFile, '--key', other],
      'revproxy: --key is not the key of the certificate in --cert. Give the pair that belongs together.\n',
    ],
  ] as const) {
    const { code, stderr } = await runProgram(t, ['http://localhost:1', ...args])
    assert.equal(stderr, want)
    assert.equal(code, 2)
  }
})

test('a config folder that cannot be used is said so, with exit code 3', async (t) => {
  const file = join(folderFor(t), 'file')
  writeFileSync(file, '')
  const { code, stderr } = await runProgram(
    t,
    ['http://localhost:1', '--https', '-p', '0', '--admin', 'off'],
    {
      XDG_CONFIG_HOME: file,
    },
  )
  assert.match(stderr, /^revproxy: a certificate for --https cannot be kept in .* Give one with --cert/)
  assert.equal(code, 3)
})

test('--https says where it listens, how to trust it, and is trusted then', async (t) => {
  const { caFile, ca } = await certificate()
  const home = folderFor(t)
  writeFileSync(join(home, 'x'), '')
  const program = await startProgram(t, ['demo', '--https', '-p', '0', '--admin', 'off'], {
    XDG_CONFIG_HOME: home,
  })
  assert.match(program.url, /^https:\/\/localhost:\d+$/)
  const kept = join(home, 'revproxy', 'ca.pem')
  assert.ok(program.stderr().includes(`  trust      `) && program.stderr().includes(kept))
  assert.match(program.stderr(), /try +curl --cacert \S+ -i 'https:/)
  assert.notEqual(dirname(caFile), dirname(kept))
  // Another CA's word is not enough.
  await assert.rejects(
    new Promise((resolve, reject) => request(program.url, { ca }, resolve).on('error', reject).end()),
    /self-signed|unable to verify|signature/,
  )
  program.kill('SIGTERM')
  assert.equal((await program.ended).code, 143)
})

test('a command after -- is told the https address, and its node trusts it', async (t) => {
  const program = await runProgram(
    t,
    [
      'demo',
      '--https',
      '--admin',
      'off',
      '--',
      process.execPath,
      '-e',
      'fetch(process.env.REVPROXY_URL + "/api/echo?echo=trusted").then(async (r) => console.log(await r.text()))',
    ],
    { XDG_CONFIG_HOME: folderFor(t), NODE_EXTRA_CA_CERTS: '' },
  )
  assert.equal(program.stdout.trim(), 'trusted')
  assert.equal(program.code, 0)
})

test('the command to trust the CA is the one of the platform', () => {
  const has = (): boolean => true
  assert.equal(
    trustCommand('/a b/ca.pem', 'linux', has),
    "sudo cp '/a b/ca.pem' /usr/local/share/ca-certificates/revproxy.crt && sudo update-ca-certificates",
  )
  assert.equal(
    trustCommand('/a/ca.pem', 'linux', () => false),
    'sudo trust anchor --store /a/ca.pem',
  )
  assert.equal(
    trustCommand('/a/ca.pem', 'darwin', has),
    'sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain /a/ca.pem',
  )
  assert.equal(
    trustCommand('C:\\Users\\A B\\ca.pem', 'win32', has),
    'certutil -addstore -user Root "C:\\Users\\A B\\ca.pem"',
  )
})
