/** Whether the target answers, on which addresses, how its certificate stands and what its clock says. */
import { type Certificate, connect, type PeerCertificate } from 'node:tls'
import type { Target } from '../../core/values.ts'
import { formatDuration } from '../../observe/units.ts'
import {
  type Address,
  addressesOf,
  type Came,
  cameText,
  isNobody,
  type ProbeOptions,
  probe,
} from '../probe.ts'
import { type Finding, fine, notice, wrong } from './check.ts'

const PROBE_MS = 5000
/** A Date of whole seconds, and the way here, are no difference. */
const CLOCK_TOLERANCE_MS = 3000
const SOON_DAYS = 14

/** Looks at the target from every side. */
export const targetFindings = async (ask: ProbeOptions): Promise<Finding[]> => {
  const { target } = ask
  let addresses: Address[]
  try {
    addresses = await addressesOf(target)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return [
      wrong(
        'target',
        `the name ${target.hostname} does not resolve (${code}).`,
        'Is it right, and is DNS reachable?',
      ),
    ]
  }
  const looks = await Promise.all(
    addresses.map(async (address) => {
      const startedAt = performance.now()
      const came = await probe(address, ask, { timeoutMs: PROBE_MS })
      return { address, came, ms: performance.now() - startedAt }
    }),
  )
  const answered = looks.filter(({ came }) => came.kind === 'answer')
  const findings: Finding[] = answered.map(({ address, came, ms }) =>
    fine(
      'target',
      `${target.display} answers ${cameText(came)} on ${address.text} in ${formatDuration(ms)}.`,
    ),
  )
  for (const { address, came } of looks) {
    if (came.kind === 'answer') continue
    const text = `${address.text}: ${cameText(came)}.`
    const elsewhere = looks.some((other) => other.came.kind === 'answer' || !isNobody(other.came.code))
    if (answered.length === 0 && !(elsewhere && isNobody(came.code)))
      findings.push(wrong('target', text, adviceFor(target, came)))
    else
      findings.push(
        notice(
          'target',
          text,
          target.hostname === 'localhost'
            ? 'revproxy tries both; a client that dials only this one does not reach the target.'
            : 'The others answer.',
        ),
      )
  }
  // Where nobody listens there is no certificate to look at.
  const [listening] = looks.filter(({ came }) => came.kind === 'answer' || !isNobody(came.code))
  if (target.protocol === 'https:' && listening !== undefined)
    findings.push(...(await chainFindings(ask, listening.address)))
  const date = answered.flatMap(({ came }) => (came.kind === 'answer' ? [came.fields.date ?? ''] : []))[0]
  if (date !== undefined) findings.push(clockFinding(date))
  return findings
}

const adviceFor = (target: Target, came: Came): string => {
  if (came.kind === 'answer') return ''
  const { code, message } = came
  if (code === 'ECONNREFUSED' || code === 'ENOENT') return 'Is it running, and on this port?'
  if (/WRONG_VERSION|packet length|EPROTO/i.test(`${code} ${message}`) && target.protocol === 'https:')
    return 'It does not speak TLS: is it http: rather than https:?'
  if (target.protocol === 'http:' && (code.startsWith('HPE_') || code === 'ECONNRESET'))
    return 'It does not speak plain HTTP: is it https: rather than http:?'
  if (/CERT|SELF_SIGNED|UNABLE_TO|ALTNAME/.test(code)) return certificateAdvice(code)
  if (code === 'TIMEOUT') return 'Does something drop the packets (a firewall, a VPN), or is it busy?'
  return 'Can this machine reach it? Try it with curl.'
}

/** What mends a certificate that is not trusted, by why it is not. */
const certificateAdvice = (code: string): string => {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return 'Renew it, and see that the clock of this machine is right; -k takes it as it is.'
    case 'CERT_NOT_YET_VALID':
      return 'Is the clock of this machine right? -k takes it as it is.'
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return 'Name the target as its certificate does; -k takes it as it is.'
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
      return 'The chain is not whole: have the target send all of it, or trust your own authority, up to its root, with --ca <file>.'
    default:
      return '--ca <file> trusts your own authority, -k any certificate.'
  }
}

/** The certificate and who issued it, as the target sends them. */
const chainFindings = ({ target, ca, insecure }: ProbeOptions, { host }: Address): Promise<Finding[]> =>
  new Promise((resolve) => {
    const socket = connect({
      host,
      port: target.port,
      servername: /^[\d.]+$|:/.test(target.hostname) ? '' : target.hostname,
      rejectUnauthorized: false,
      ...(ca === undefined ? {} : { ca: [ca] }),
    })
    socket.setTimeout(PROBE_MS, () => socket.destroy(new Error('no answer')))
    // Not being reachable at all was said already.
    socket.on('error', () => resolve([]))
    socket.on('secureConnect', () => {
      const certificate = socket.getPeerCertificate(true)
      const error = socket.authorizationError as Error | string | null | undefined
      socket.destroy()
      const code =
        typeof error === 'string' ? error : ((error as NodeJS.ErrnoException | null)?.code ?? error?.message)
      resolve(certificateFindings(certificate, code, insecure))
    })
  })

const certificateFindings = (
  certificate: PeerCertificate,
  error: string | undefined,
  insecure: boolean,
): Finding[] => {
  const chain: string[] = []
  const seen = new Set<string>()
  for (
    let each = certificate as PeerCertificate & { issuerCertificate?: PeerCertificate };
    each?.subject !== undefined;
  ) {
    if (seen.has(each.fingerprint256)) break
    seen.add(each.fingerprint256)
    chain.push(nameOf(each.subject))
    // The last one that was sent; who issued it is told all the same.
    if (each.issuerCertificate === undefined && each.issuer !== undefined) chain.push(nameOf(each.issuer))
    each = each.issuerCertificate as typeof each
  }
  const days = Math.floor((Date.parse(certificate.valid_to) - Date.now()) / 86_400_000)
  const text = `certificate of ${chain.join(', issued by ')}; valid until ${certificate.valid_to}`
  if (error !== undefined) {
    const untrusted = `${text}; not trusted (${error}).`
    return [
      insecure
        ? notice('tls', untrusted, 'It is accepted all the same, since -k is given.')
        : wrong('tls', untrusted, certificateAdvice(error)),
    ]
  }
  if (days < SOON_DAYS) return [notice('tls', `${text}, which is in ${days} days.`, 'Renew it.')]
  return [fine('tls', `${text}.`)]
}

const nameOf = ({ CN, O }: Certificate): string => String(CN ?? O ?? '?')

const clockFinding = (date: string): Finding => {
  const theirs = Date.parse(date)
  if (Number.isNaN(theirs))
    return notice(
      'clock',
      'the target sends no Date.',
      'The age of its answers is then counted from their arrival.',
    )
  const difference = theirs - Date.now()
  if (Math.abs(difference) <= CLOCK_TOLERANCE_MS)
    return fine('clock', 'the clocks of this machine and of the target agree.')
  return notice(
    'clock',
    `the clock of the target is ${formatDuration(Math.abs(difference))} ${difference > 0 ? 'ahead' : 'behind'}.`,
    'Freshness of its answers is reckoned from its Date: answers expire too early or too late. Set both by NTP.',
  )
}
