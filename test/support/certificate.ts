/** A certificate for localhost, made once for each test process by the code that makes them for users. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { localCertificate, namesFor } from '../../src/edge/local-ca.ts'

/** PEM texts, and the files that hold them. */
export interface TestCertificate {
  readonly cert: string
  readonly key: string
  readonly ca: string
  readonly certFile: string
  readonly keyFile: string
  readonly caFile: string
}

let made: Promise<TestCertificate> | undefined

/** The certificate; its files are gone when the process ends. */
export const certificate = (): Promise<TestCertificate> => {
  made ??= make()
  return made
}

const make = async (): Promise<TestCertificate> => {
  const folder = mkdtempSync(join(tmpdir(), 'revproxy-tls-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { cert, key, caFile } = await localCertificate({
    folder,
    names: namesFor(undefined),
    now: Date.now(),
  })
  const certFile = join(folder, 'cert.pem')
  const keyFile = join(folder, 'key.pem')
  writeFileSync(certFile, cert)
  writeFileSync(keyFile, key)
  return { cert, key, ca: readFileSync(caFile, 'utf8'), certFile, keyFile, caFile }
}
