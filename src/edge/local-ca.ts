/**
 * A certificate of one's own for `--https`, from a CA that is made once and kept in the user's config folder.
 *
 * - Each file is written whole beside its place and then put there in one step, key and certificate in the same file:
 *   processes that start together end with one CA, and no key ever stands beside another's certificate.
 * - Files with keys are for the user alone (mode 0600), the folder too (0700).
 * - node-forge is loaded only when something has to be made.
 */
import { createHash, generateKeyPair, randomBytes, X509Certificate } from 'node:crypto'
import { chmodSync, linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { homedir, hostname, networkInterfaces, userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** PEM texts; `ca` is where the CA's certificate lies. */
export interface LocalCertificate {
  readonly cert: string
  readonly key: string
  readonly caFile: string
}

const DAY_MS = 86_400_000
const CA_DAYS = 3650
/** What browsers take at most is 398 (CA/Browser Forum, Baseline Requirements §6.3.2). */
const LEAF_DAYS = 397
/** A certificate that ends sooner is made anew; so is a CA, which is to outlive its certificates. */
const RENEW_DAYS = 30

const BLOCK = /-----BEGIN ([A-Z ]+)-----[\s\S]+?-----END \1-----\r?\n?/g

/** A key and the certificate that belongs to it. */
interface Pair {
  readonly key: string
  readonly cert: string
  readonly x509: X509Certificate
}

/** The folder of our own files: below XDG_CONFIG_HOME where that is set, else where the platform wants it. */
export const configFolder = (
  env: NodeJS.ProcessEnv = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string => {
  const { XDG_CONFIG_HOME: xdg, APPDATA: appData } = env
  if (xdg !== undefined && xdg !== '') return join(xdg, 'revproxy')
  if (platform === 'darwin') return join(home, 'Library', 'Application Support', 'revproxy')
  if (platform === 'win32') return join(appData ?? join(home, 'AppData', 'Roaming'), 'revproxy')
  return join(home, '.config', 'revproxy')
}

/** The names a certificate is made for when we listen on `host`: always those of this machine to itself. */
export const namesFor = (host: string | undefined): string[] => {
  const names = ['localhost', '*.localhost', '127.0.0.1', '::1']
  if (host === '0.0.0.0' || host === '::') {
    names.push(hostname())
    for (const addresses of Object.values(networkInterfaces()))
      for (const { address, internal } of addresses ?? []) if (!internal) names.push(address.split('%')[0]!)
  } else if (host !== undefined) names.push(host.split('%')[0]!)
  return [...new Set(names.map((name) => name.toLowerCase()))]
}

/**
 * A certificate for these names and addresses, kept in the folder: the one that lies there while it is good, else a
 * new one. Rejects with the error of the file system where the folder cannot be used.
 */
export const localCertificate = async (options: {
  readonly folder: string
  readonly names: readonly string[]
  /** ms since the epoch */
  readonly now: number
}): Promise<LocalCertificate> => {
  const { folder, names, now } = options
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const caFile = join(folder, 'ca.pem')
  const ca = await localCa(folder, now)
  // For those who are to trust it; whoever comes later writes the same.
  if (read(caFile) !== ca.cert) put(caFile, ca.cert, 0o644)
  const leafFile = join(
    folder,
    `leaf-${createHash('sha256').update(names.join()).digest('hex').slice(0, 16)}.pem`,
  )
  const kept = pairIn(read(leafFile))
  if (kept !== undefined && isGood(kept, now) && isFrom(kept, ca)) return { ...kept, caFile }
  const leaf = await makePair({ names, now, issuer: ca })
  put(leafFile, leaf.key + leaf.cert, 0o600)
  return { cert: leaf.cert, key: leaf.key, caFile }
}

const localCa = async (folder: string, now: number): Promise<Pair> => {
  const file = join(folder, 'ca-key.pem')
  const before = read(file)
  const kept = pairIn(before)
  if (kept !== undefined && isGood(kept, now)) return kept
  const made = await makePair({ names: [], now })
  // Who comes first makes it: one that was put there meanwhile is everybody's. One that is spent or spoiled is replaced.
  if (read(file) === before) put(file, made.key + made.cert, 0o600, before === undefined)
  return pairIn(read(file)) ?? made
}

const isGood = ({ x509 }: Pair, now: number): boolean =>
  Date.parse(x509.validFrom) <= now && Date.parse(x509.validTo) > now + RENEW_DAYS * DAY_MS

const isFrom = ({ x509 }: Pair, ca: Pair): boolean =>
  x509.checkIssued(ca.x509) && x509.verify(ca.x509.publicKey)

const read = (file: string): string | undefined => {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** Key and certificate in the text of a file of ours; undefined when it holds something else. */
const pairIn = (text: string | undefined): Pair | undefined => {
  if (text === undefined) return undefined
  const blocks = [...text.matchAll(BLOCK)]
  const key = blocks.find(([, label]) => label!.endsWith('PRIVATE KEY'))?.[0]
  const cert = blocks.find(([, label]) => label === 'CERTIFICATE')?.[0]
  if (key === undefined || cert === undefined) return undefined
  try {
    return { key, cert, x509: new X509Certificate(cert) }
  } catch {
    // Not what we wrote; it is made anew.
    return undefined
  }
}

/** Puts a file in its place in one step. With `onlyFirst` one that is there stays. */
const put = (file: string, text: string, mode: number, onlyFirst = false): void => {
  const beside = `${file}.${process.pid}.${randomBytes(4).toString('hex')}`
  try {
    writeFileSync(beside, text, { mode, flag: 'wx' })
    chmodSync(beside, mode)
    if (onlyFirst) {
      try {
        linkSync(beside, file)
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
        // A file system without hard links: the last one wins.
      }
    }
    renameSync(beside, file)
  } finally {
    rmSync(beside, { force: true })
  }
}

/** A certificate with a key of its own: a CA's where nobody issues it. */
const makePair = async (options: {
  readonly names: readonly string[]
  readonly now: number
  readonly issuer?: Pair
}): Promise<Pair> => {
  const { names, now, issuer } = options
  const [{ default: forge }, { privateKey, publicKey }] = await Promise.all([
    import('node-forge'),
    promisify(generateKeyPair)('rsa', {
      modulusLength: 2048,
      // As node-forge reads them.
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    }),
  ])
  const { pki } = forge
  const certificate = pki.createCertificate()
  certificate.publicKey = pki.publicKeyFromPem(publicKey)
  // RFC 5280 §4.1.2.2: positive, so the first bit is 0. The second is not: node-forge leaves zeros in front, which no DER may.
  certificate.serialNumber = `4${randomBytes(16).toString('hex').slice(1)}`
  // Clocks of one machine and its guests differ.
  certificate.validity.notBefore = new Date(now - DAY_MS)
  certificate.validity.notAfter = new Date(now + ((issuer === undefined ? CA_DAYS : LEAF_DAYS) - 1) * DAY_MS)
  const subject = [
    { name: 'organizationName', value: 'revproxy' },
    { name: 'commonName', value: issuer === undefined ? caName() : 'revproxy localhost' },
  ]
  certificate.setSubject(subject)
  if (issuer === undefined) {
    certificate.setIssuer(subject)
    certificate.setExtensions([
      { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
      { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
      { name: 'subjectKeyIdentifier' },
    ])
    certificate.sign(pki.privateKeyFromPem(privateKey), forge.md.sha256.create())
  } else {
    const ca = pki.certificateFromPem(issuer.cert)
    certificate.setIssuer(ca.subject.attributes)
    certificate.setExtensions([
      { name: 'basicConstraints', critical: true, cA: false },
      { name: 'keyUsage', critical: true, digitalSignature: true, keyEncipherment: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        // RFC 5280 §4.2.1.6: 2 is a DNS name, 7 an address.
        altNames: names.map((name) => (isIP(name) === 0 ? { type: 2, value: name } : { type: 7, ip: name })),
      },
      { name: 'subjectKeyIdentifier' },
      { name: 'authorityKeyIdentifier', keyIdentifier: ca.generateSubjectKeyIdentifier().getBytes() },
    ])
    certificate.sign(pki.privateKeyFromPem(issuer.key), forge.md.sha256.create())
  }
  const cert = pki.certificateToPem(certificate).replaceAll('\r\n', '\n')
  return { key: privateKey, cert, x509: new X509Certificate(cert) }
}

/** Whoever finds it among the trusted ones is to know where it comes from. */
const caName = (): string => {
  let user = ''
  try {
    user = `${userInfo().username}@`
  } catch {
    // A user id without a name, as in some containers.
  }
  return `revproxy local CA ${user}${hostname()}`.replace(/[^\x20-\x7e]/g, '?').slice(0, 64)
}
