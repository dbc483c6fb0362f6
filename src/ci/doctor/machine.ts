/** Ports, node and what stands in the environment. */
import { createServer } from 'node:net'
import { envName, type OptionName, options as table } from '../../options.ts'
import { type Finding, fine, notice, wrong } from './check.ts'

/** Node's version, as package.json asks for it. */
export const nodeFinding = (version: string): Finding => {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  return major > 20 || (major === 20 && minor >= 19)
    ? fine('node', `node ${version}.`)
    : wrong('node', `node ${version} is too old.`, 'Use node 20.19 or newer.')
}

/** Whether a port can be listened on, on each of the hosts. `next`: else the next free one is taken. */
export const portFinding = async (
  flag: '-p' | '--admin',
  { port, hosts, next }: { port: number; hosts: readonly string[]; next: boolean },
): Promise<Finding> => {
  const what = flag === '-p' ? 'the proxy' : 'the admin listener'
  if (port === 0) return fine('ports', `a free port is taken for ${what}.`)
  for (const host of hosts) {
    const code = await listenOnce(port, host)
    if (code === 'EADDRINUSE') {
      return next
        ? fine('ports', `port ${port} is in use; the next free one is taken for ${what}.`)
        : wrong('ports', `port ${port} is in use on ${host}.`, `Use ${flag} 0 for a free one.`)
    }
    if (code === 'EACCES')
      return wrong('ports', `port ${port} is not allowed to this user.`, 'Use a port above 1023.')
    // A machine without one family serves on the other.
    if (code !== undefined && code !== 'EADDRNOTAVAIL' && code !== 'EAFNOSUPPORT')
      return wrong('ports', `port ${port} cannot be had on ${host} (${code}).`, 'Use another one.')
  }
  return fine('ports', `port ${port} is free for ${what}.`)
}

const listenOnce = (port: number, host: string): Promise<string | undefined> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code))
    server.listen({ port, host, ipv6Only: host.includes(':') }, () => server.close(() => resolve(undefined)))
  })

const firstOf = (env: NodeJS.ProcessEnv, ...names: string[]): [name: string, value: string] | undefined => {
  for (const name of names) {
    const value = env[name]
    if (value !== undefined && value !== '') return [name, value]
  }
  return undefined
}

/** The variable that sends requests for this machine through another proxy; undefined when none does. */
export const proxiedLoopback = (env: NodeJS.ProcessEnv): string | undefined => {
  const found = firstOf(env, 'http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY')
  if (found === undefined) return undefined
  const except = (firstOf(env, 'no_proxy', 'NO_PROXY')?.[1] ?? '').split(/[\s,]+/)
  return except.includes('*') || except.includes('localhost') ? undefined : found[0]
}

/** What of the environment may surprise. */
export const environmentFindings = (env: NodeJS.ProcessEnv, remoteTarget: boolean): Finding[] => {
  const findings: Finding[] = []
  const loopback = proxiedLoopback(env)
  if (loopback !== undefined) {
    findings.push(
      notice(
        'environment',
        `${loopback} is set, and NO_PROXY does not name localhost: clients such as curl may send requests for revproxy to that proxy.`,
        'NO_PROXY=localhost,127.0.0.1,::1',
      ),
    )
  }
  const outward = firstOf(
    env,
    'https_proxy',
    'HTTPS_PROXY',
    'all_proxy',
    'ALL_PROXY',
    'http_proxy',
    'HTTP_PROXY',
  )
  if (outward !== undefined && remoteTarget) {
    findings.push(
      notice(
        'environment',
        `${outward[0]} is set; revproxy goes to the target directly all the same.`,
        'Where only that proxy gets out of the network, run revproxy on its other side.',
      ),
    )
  }
  if (env.NODE_TLS_REJECT_UNAUTHORIZED === '0') {
    findings.push(
      notice(
        'environment',
        'NODE_TLS_REJECT_UNAUTHORIZED=0 makes every node program accept any certificate.',
        'Unset it; -k does so for the target alone.',
      ),
    )
  }
  // REVPROXY_URL is what commands are given.
  const known = new Set(['REVPROXY_URL', ...(Object.keys(table) as OptionName[]).map(envName)])
  for (const name of Object.keys(env)) {
    if (name.startsWith('REVPROXY_') && !known.has(name))
      findings.push(
        notice('environment', `${name} is not a variable of revproxy.`, 'Is it misspelt? See --help.'),
      )
  }
  if (findings.length === 0) findings.push(fine('environment', 'no variable stands in the way.'))
  return findings
}
