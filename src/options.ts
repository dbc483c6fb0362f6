/**
 * The one table of options. The parser, `--help`, the environment names, `--print-config` and the README are made
 * from it or held against it, so that they cannot drift.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Expectation, parseExpectation } from './ci/expression.ts'
import {
  BadValue,
  parseAdmin,
  parseCache,
  parseChoice,
  parseChoices,
  parseCors,
  parseDuration,
  parseFraction,
  parseHeader,
  parseHostHeader,
  parseInteger,
  parseKeyRules,
  parseListenHost,
  parseOptionalDuration,
  parsePath,
  parsePathOrOff,
  parseRate,
  parseRateBy,
  parseRoute,
  parseSize,
  parseStatuses,
  parseTarget,
  parseTrace,
  parseTrustProxy,
  parseVariable,
  parseVerbosity,
  parseWorkers,
  splitList,
} from './cli/values.ts'
import type { CacheBackend, HeaderEdit, Target, TraceEndpoint } from './core/values.ts'
import { FilterError, parseFilter, pointedOut } from './observe/filter.ts'
import { redactor } from './observe/redact.ts'

/** One option: how it is written, what it means, and how its text becomes a value. */
export interface OptionSpec<T> {
  /** As commander wants it: short form, long form, placeholder. */
  readonly flags: string
  readonly group: (typeof groups)[number]
  /** One line for `--help` and the README. */
  readonly help: string
  /** The default as text, parsed like any other; absent when there is none. */
  readonly default?: string
  /** What `--help` says of the default where the text alone does not tell. */
  readonly defaultHint?: string
  /** Collects instead of replacing. */
  readonly repeatable?: boolean
  /** How several values stand in one environment variable: between spaces and commas, or one a line. */
  readonly separator?: 'list' | 'line'
  /** Environment names of the ecosystem, used when neither the flag nor REVPROXY_… is there. */
  readonly alsoEnv?: (env: NodeJS.ProcessEnv) => { name: string; value: string } | undefined
  /** A second spelling of the flag. */
  readonly alias?: string
  /** A switch: takes no value. */
  readonly boolean?: boolean
  /** A switch that says more when it is given again. */
  readonly counted?: boolean
  /** Throws BadValue with what would be right. */
  readonly parse: (text: string, env: NodeJS.ProcessEnv) => T
  /** Keeps a secret out of `--print-config`. */
  readonly conceal?: (text: string) => string
}

export const groups = [
  'Upstream',
  'Listening',
  'Cache',
  'Limits',
  'Tracing',
  'Metrics and admin',
  'Output',
  'CI mode',
] as const

const one = <T>(spec: OptionSpec<T> & { readonly default: string }) => spec
const optional = <T>(spec: Omit<OptionSpec<T>, 'default'>) => spec
const many = <T>(spec: Omit<OptionSpec<T>, 'repeatable'>) => ({ ...spec, repeatable: true as const })
const onOff = (text: string): boolean => {
  if (/^(?:1|true|yes|on)$/i.test(text)) return true
  if (/^(?:0|false|no|off|)$/i.test(text)) return false
  throw new BadValue('true or false')
}
const firstOf = (env: NodeJS.ProcessEnv, ...names: string[]) => {
  for (const name of names) {
    const value = env[name]
    if (value !== undefined && value !== '') return { name, value }
  }
  return undefined
}
/** Port 6831 of an agent takes another encoding than the one we write; its neighbour is the right one. */
const agentPort = (given: string | undefined) =>
  given === undefined || given === '' || given === '6831' ? '6832' : given
const concealHeader = (text: string) =>
  /:\s*$/.test(text) ? text : text.replace(/(?<=[^:\s])[:\s].*$/s, ': ***')
const concealing = () => redactor({ names: redactedByDefault, enabled: true })
const concealUrl = (text: string) => concealing().url(text)
const concealSecretHeader = (text: string) => {
  const [, name = '', colon = '', value = ''] = /^([^:\s]+)(\s*:\s*)(.+)$/s.exec(text) ?? []
  return name === '' ? text : name + colon + concealing().value(name, value)
}
const target = (text: string): Target => {
  const parsed = parseTarget(text)
  return { ...parsed, display: concealUrl(parsed.display) }
}
const file = (text: string): string => {
  try {
    return readFileSync(text, 'utf8')
  } catch (error) {
    throw new BadValue(`a file that can be read (${(error as NodeJS.ErrnoException).code ?? error})`)
  }
}

/** The text of a PEM file that holds what `read` can read. */
const pem = (what: string, name: string, read: (content: string) => unknown): string => {
  const content = file(name)
  try {
    read(content)
  } catch {
    throw new BadValue(`a PEM file with a ${what}`)
  }
  return content
}

/** Whatever is written, but something. */
const given =
  (right: string) =>
  (text: string): string => {
    if (text.trim() === '') throw new BadValue(right)
    return text
  }
const fileName = given('the name of a file')

/** Names that are always kept out of logs, traces and everything saved, unless `--no-redact`. */
export const redactedByDefault = [
  'authorization',
  'proxy-authorization',
  'cookie',
  'set-cookie',
  'x-api-key',
  'x-auth-token',
  'x-csrf-token',
  'token',
  'access_token',
  'refresh_token',
  'id_token',
  'api_key',
  'apikey',
  'secret',
  'client_secret',
  'password',
  'passwd',
  'signature',
  'x-amz-signature',
  'x-amz-security-token',
] as const

export const options = {
  target: optional<Target>({
    flags: '-t, --target <url>',
    group: 'Upstream',
    help: 'the upstream: http, https, h2c (HTTP/2 without TLS), host:port, port, or unix:/path.sock; also as the first argument',
    parse: target,
    conceal: concealUrl,
  }),
  'host-header': one({
    flags: '--host-header <target|client|value>',
    group: 'Upstream',
    help: 'which Host the upstream sees',
    default: 'target',
    parse: parseHostHeader,
  }),
  header: many<HeaderEdit>({
    flags: '-H, --header <"Name: value">',
    group: 'Upstream',
    help: 'set a request field; "Name:" removes it',
    separator: 'line',
    parse: parseHeader,
    conceal: concealHeader,
  }),
  'response-header': many<HeaderEdit>({
    flags: '--response-header <"Name: value">',
    group: 'Upstream',
    help: 'set a response field; "Name:" removes it',
    separator: 'line',
    parse: parseHeader,
    conceal: concealSecretHeader,
  }),
  timeout: one({
    flags: '--timeout <duration>',
    group: 'Upstream',
    help: 'upstream silent for that long: 504; not for event streams and upgrades once they run; 0 waits for ever',
    default: '60s',
    parse: parseDuration,
  }),
  'connect-timeout': one({
    flags: '--connect-timeout <duration>',
    group: 'Upstream',
    help: 'no connection to the upstream within that time: 504',
    default: '5s',
    parse: parseDuration,
  }),
  hold: optional<number>({
    flags: '--hold <duration>',
    group: 'Upstream',
    help: 'requests wait so long while the target refuses connections (it is restarting); 0 answers 502 at once',
    defaultHint: '5s for a target on this machine, else 0',
    parse: parseDuration,
  }),
  cookies: one({
    flags: '--cookies <rewrite|keep>',
    group: 'Upstream',
    help: 'make cookies of the target work here: without its Domain, on plain http without Secure; or as they come',
    default: 'rewrite',
    parse: parseChoice('rewrite', 'keep'),
  }),
  redirects: one({
    flags: '--redirects <rewrite|keep>',
    group: 'Upstream',
    help: 'make redirects to the target come back through the proxy; or as they come',
    default: 'rewrite',
    parse: parseChoice('rewrite', 'keep'),
  }),
  cors: one({
    flags: '--cors [origin]',
    group: 'Upstream',
    help: 'let pages of this origin in, or of any that asks; answers preflights itself',
    default: 'off',
    parse: parseCors,
  }),
  insecure: one({
    flags: '-k, --insecure',
    group: 'Upstream',
    help: 'accept any certificate of the upstream',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'no-http2': one({
    flags: '--no-http2',
    group: 'Upstream',
    help: 'speak HTTP/1.1 to an https target that offers HTTP/2 too',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  ca: optional<string>({
    flags: '--ca <file>',
    group: 'Upstream',
    help: 'trust the certificates of this PEM file for the upstream too',
    parse: (text) => pem('certificate', text, (content) => new X509Certificate(content)),
    conceal: (text) => text,
  }),
  port: one({
    flags: '-p, --port <n>',
    group: 'Listening',
    help: 'port to listen on; 0 takes a free one and prints it',
    default: '8080',
    parse: parseInteger(0, 65_535),
  }),
  host: optional<string>({
    flags: '--host <address>',
    group: 'Listening',
    help: 'address to listen on; others can reach anything but loopback',
    defaultHint: '127.0.0.1 and ::1',
    parse: parseListenHost,
  }),
  https: one({
    flags: '--https',
    group: 'Listening',
    help: 'speak TLS, with HTTP/2 and HTTP/1.1, on a certificate made here by a CA of your own, or on --cert',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  cert: optional<string>({
    flags: '--cert <file>',
    group: 'Listening',
    help: 'PEM certificate for --https (and those between it and its CA), with --key',
    parse: (text) => pem('certificate', text, (content) => new X509Certificate(content)),
    conceal: (text) => text,
  }),
  key: optional<string>({
    flags: '--key <file>',
    group: 'Listening',
    help: 'PEM private key of --cert, without a passphrase',
    parse: (text) => pem('private key without a passphrase', text, createPrivateKey),
    conceal: (text) => text,
  }),
  workers: one({
    flags: '--workers <n|auto>',
    group: 'Listening',
    help: 'processes that share the port, the cache and the limits; auto: one for each CPU',
    default: '1',
    parse: parseWorkers,
  }),
  'trust-proxy': one({
    flags: '--trust-proxy <off|loopback|addresses|n>',
    group: 'Listening',
    help: 'whose Forwarded and X-Forwarded-* are believed: addresses and CIDR ranges, or so many proxies in front',
    default: 'off',
    parse: parseTrustProxy,
  }),
  drain: one({
    flags: '--drain <duration>',
    group: 'Listening',
    help: 'after SIGINT or SIGTERM nothing new is accepted and running requests have so long to end; a second one ends at once',
    default: '5s',
    parse: parseDuration,
  }),
  cache: many<CacheBackend>({
    flags: '--cache <memory|redis://…|rediss://…|off>',
    group: 'Cache',
    help: 'where responses are kept; "redis" takes REDIS_URL; several nodes of a Redis Cluster by repeating it',
    default: 'memory',
    separator: 'list',
    parse: parseCache,
    conceal: concealUrl,
  }),
  'cache-mode': one({
    flags: '--cache-mode <rfc|force>',
    group: 'Cache',
    help: 'rfc: as a shared cache by RFC 9111; force: every GET and HEAD 2xx for --ttl, whatever the upstream says',
    default: 'rfc',
    parse: parseChoice('rfc', 'force'),
  }),
  ttl: optional<number>({
    flags: '--ttl <duration>',
    group: 'Cache',
    help: 'rfc: freshness for responses that carry none at all; force: for all',
    defaultHint: 'none in rfc mode, 60s in force mode',
    parse: parseDuration,
  }),
  'cache-size': one({
    flags: '--cache-size <size>',
    group: 'Cache',
    help: 'bound of the memory cache (with Redis, of the copies kept nearby), fields and keys counted; least recently used out first',
    default: '128mb',
    parse: parseSize,
  }),
  'cache-max-entry': one({
    flags: '--cache-max-entry <size>',
    group: 'Cache',
    help: 'larger responses stream through and are not stored',
    default: '8mb',
    parse: parseSize,
  }),
  'cache-timeout': one({
    flags: '--cache-timeout <duration>',
    group: 'Cache',
    help: 'a shared store that does not answer in time is a miss, never an error',
    default: '50ms',
    parse: parseDuration,
  }),
  'no-near-cache': one({
    flags: '--no-near-cache',
    group: 'Cache',
    help: 'ask Redis at every hit; by default copies are kept nearby, which end when another process changes the original',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'cache-key': one({
    flags: '--cache-key <rules>',
    group: 'Cache',
    help: 'what counts in the key, such as -query:utm_* or +header:x-tenant or +cookie:plan; -header:x takes x out of Vary',
    default: '',
    defaultHint: 'scheme, host, path and query as sent',
    parse: parseKeyRules,
  }),
  'no-collapse': one({
    flags: '--no-collapse',
    group: 'Cache',
    help: 'let every miss go to the upstream; by default those for one key wait for the first',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'no-cache-cookies': one({
    flags: '--no-cache-cookies',
    group: 'Cache',
    help: 'do not store responses with Set-Cookie, however fresh they say they are',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  private: one({
    flags: '--private',
    group: 'Cache',
    help: 'behave as the cache of a single user: private, Authorization and s-maxage are no matter',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'force-private': one({
    flags: '--force-private',
    group: 'Cache',
    help: 'let --cache-mode force also store what belongs to one user (Authorization, Set-Cookie)',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  purge: one({
    flags: '--purge',
    group: 'Cache',
    help: 'accept the method PURGE on the proxy port; without it PURGE goes to the upstream like any other',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'cache-status': optional<'full' | 'basic' | 'off'>({
    flags: '--cache-status <full|basic|off>',
    group: 'Cache',
    help: 'the Cache-Status response field (RFC 9211): with key and detail, without, or not at all',
    defaultHint: 'full on loopback, else basic',
    parse: parseChoice('full', 'basic', 'off'),
  }),
  rate: one({
    flags: '--rate <n/duration>',
    group: 'Limits',
    help: 'admit so many requests, such as 5/m, 100/s or 20/10s; over it: 429',
    default: 'off',
    parse: parseRate,
  }),
  'rate-by': one({
    flags: '--rate-by <ip|host|global|header:X>',
    group: 'Limits',
    help: 'whose requests count together',
    default: 'ip',
    parse: parseRateBy,
  }),
  'rate-mode': one({
    flags: '--rate-mode <reject|delay>',
    group: 'Limits',
    help: 'answer 429 at once, or queue until there is room',
    default: 'reject',
    parse: parseChoice('reject', 'delay'),
  }),
  'rate-max-wait': one({
    flags: '--rate-max-wait <duration>',
    group: 'Limits',
    help: 'longest wait in a queue (delay mode, --concurrency); then 429 or 503',
    default: '5s',
    parse: parseDuration,
  }),
  'max-body': optional<number>({
    flags: '--max-body <size>',
    group: 'Limits',
    help: 'larger request bodies get 413',
    defaultHint: 'unlimited',
    parse: parseSize,
  }),
  'max-connections': optional<number>({
    flags: '--max-connections <n>',
    group: 'Limits',
    help: 'connections of clients at once; one more gets 503 and is closed',
    defaultHint: 'half of the files this process may open (ulimit -n)',
    parse: parseInteger(1, 10_000_000),
  }),
  'head-timeout': one({
    flags: '--head-timeout <duration>',
    group: 'Limits',
    help: 'a client whose request line and fields take longer gets 408; 0 waits for ever',
    default: '30s',
    parse: parseDuration,
  }),
  'body-timeout': one({
    flags: '--body-timeout <duration>',
    group: 'Limits',
    help: 'a client silent for that long in the middle of its body gets 408, unless it is being answered; 0 waits for ever',
    default: '60s',
    parse: parseDuration,
  }),
  concurrency: optional<number>({
    flags: '--concurrency <n>',
    group: 'Limits',
    help: 'requests to the upstream at once; the rest wait their turn',
    defaultHint: 'unlimited',
    parse: parseInteger(1, 1_000_000),
  }),
  trace: many<TraceEndpoint | undefined>({
    flags: '--trace <url|off>',
    alias: '--tracing',
    group: 'Tracing',
    help: 'send spans: http://host:4318 (OTLP), jaeger://host:6832 (agent), http://host:14268/api/traces (collector)',
    defaultHint: 'off',
    separator: 'list',
    parse: parseTrace,
    alsoEnv: (env) => {
      const otlp = firstOf(
        env,
        'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT',
        'OTEL_EXPORTER_OTLP_ENDPOINT',
        'JAEGER_ENDPOINT',
      )
      if (otlp !== undefined) return otlp
      const agent = firstOf(env, 'JAEGER_AGENT_HOST')
      if (agent === undefined) return undefined
      return { name: agent.name, value: `jaeger://${agent.value}:${agentPort(env.JAEGER_AGENT_PORT)}` }
    },
    conceal: concealUrl,
  }),
  'trace-sample': one({
    flags: '--trace-sample <0–1>',
    group: 'Tracing',
    help: 'share of new traces that are recorded; an incoming decision wins',
    default: '1',
    parse: parseFraction,
  }),
  'trace-propagate': one({
    flags: '--trace-propagate <w3c,jaeger,b3,b3multi>',
    group: 'Tracing',
    help: 'formats written to the upstream; all are read',
    default: 'w3c,jaeger',
    parse: parseChoices('w3c', 'jaeger', 'b3', 'b3multi'),
  }),
  'service-name': one({
    flags: '--service-name <name>',
    group: 'Tracing',
    help: 'our name in traces',
    default: 'revproxy',
    alsoEnv: (env) => firstOf(env, 'OTEL_SERVICE_NAME'),
    parse: (text) => {
      if (text.trim() === '' || /[\x00-\x1f]/.test(text)) throw new BadValue('a name')
      return text.trim()
    },
  }),
  'trace-header': one({
    flags: '--trace-header',
    group: 'Tracing',
    help: 'tell clients the id of the trace, in the response field x-trace-id',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'trace-receive': optional<number | undefined>({
    flags: '--trace-receive [port]',
    group: 'Tracing',
    help: 'take the spans of the upstream (OTLP over HTTP, on loopback), show them with ours and pass them on to --trace',
    defaultHint: 'off; 4318 when no port is given',
    parse: (text) => {
      const word = text.trim().toLowerCase()
      if (word === 'off' || word === 'false') return undefined
      return word === 'true' ? 4318 : parseInteger(0, 65_535)(word)
    },
  }),
  'no-server-timing': one({
    flags: '--no-server-timing',
    group: 'Tracing',
    help: 'no Server-Timing response field; otherwise there is one while only this machine can reach the proxy',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  metrics: one({
    flags: '--metrics <path|off>',
    group: 'Metrics and admin',
    help: 'Prometheus metrics at this path of the proxy port; the admin port always has them',
    default: '/metrics',
    parse: parsePathOrOff,
  }),
  route: many<string>({
    flags: '--route <template>',
    group: 'Metrics and admin',
    help: 'name a family of paths, such as /users/:id; numbers, UUIDs and hashes fold by themselves',
    separator: 'list',
    parse: parseRoute,
  }),
  admin: one({
    flags: '--admin <port|host:port|off>',
    group: 'Metrics and admin',
    help: 'admin listener; on loopback unless a host is given',
    default: '9900',
    defaultHint: '9900, or the next free port',
    parse: parseAdmin,
  }),
  log: optional<'pretty' | 'json' | 'logfmt' | 'off' | 'plain'>({
    flags: '--log <pretty|plain|json|logfmt|off>',
    group: 'Output',
    help: 'one line a request, on stdout',
    defaultHint: 'pretty on a terminal or in colour, else plain',
    parse: parseChoice('pretty', 'plain', 'json', 'logfmt', 'off'),
  }),
  filter: optional<ReturnType<typeof parseFilter>>({
    flags: '--filter <expression>',
    group: 'Output',
    help: 'log only what passes, such as "status>=400 and path~^/api" or "cache=miss and not duration<1s"',
    parse: (text) => {
      try {
        return parseFilter(text)
      } catch (error) {
        if (!(error instanceof FilterError)) throw error
        throw new BadValue(`a filter such as "status>=400 and path~^/api":\n${pointedOut(text, error)}`)
      }
    },
  }),
  json: one({
    flags: '--json',
    group: 'Output',
    help: 'the same as --log json',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  quiet: one({
    flags: '-q, --quiet',
    group: 'Output',
    help: 'only errors and the summary',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  verbose: one({
    flags: '-v, --verbose',
    group: 'Output',
    help: 'show the fields of each request and answer too; -vv also what of their bodies is text, up to 4 kB each',
    default: '0',
    boolean: true,
    counted: true,
    parse: parseVerbosity,
  }),
  color: one({
    flags: '--color <auto|always|never>',
    group: 'Output',
    help: 'colours; NO_COLOR, FORCE_COLOR and TERM=dumb are honoured in auto',
    default: 'auto',
    parse: parseChoice('auto', 'always', 'never'),
  }),
  slow: one({
    flags: '--slow <duration>',
    group: 'Output',
    help: 'mark requests slower than that',
    default: '500ms',
    parse: parseDuration,
  }),
  redact: one({
    flags: '--redact <names>',
    group: 'Output',
    help: 'fields and query parameters whose values never reach a log or trace, beside the usual secrets',
    default: '',
    defaultHint: 'authorization, cookie, set-cookie, x-api-key and token-like names',
    parse: (text): readonly string[] => splitList(text).map((name) => name.toLowerCase()),
  }),
  'no-redact': one({
    flags: '--no-redact',
    group: 'Output',
    help: 'show secrets as they are',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'print-config': one({
    flags: '--print-config',
    group: 'Output',
    help: 'print every value and where it came from, and end',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  start: many<string>({
    flags: '--start <command>',
    group: 'CI mode',
    help: 'run this command line too (the backend) and end its whole process tree at the end; implies --wait',
    separator: 'line',
    parse: given('a command line such as "npm run dev"'),
  }),
  wait: optional<number>({
    flags: '--wait [duration]',
    group: 'CI mode',
    help: 'wait until the target answers, by default for up to 60s; else exit code 4',
    defaultHint: 'off, with --start 60s',
    parse: parseOptionalDuration('60s'),
  }),
  'wait-path': one({
    flags: '--wait-path <path>',
    group: 'CI mode',
    help: 'what --wait asks the target for, with GET',
    default: '/',
    parse: parsePath,
  }),
  'wait-status': optional<(status: number) => boolean>({
    flags: '--wait-status <statuses>',
    group: 'CI mode',
    help: 'which answers --wait takes for ready, such as 200, 2xx or 200-399',
    defaultHint: 'all but 502, 503 and 504',
    parse: parseStatuses,
  }),
  'url-env': many<string>({
    flags: '--url-env <name>',
    group: 'CI mode',
    help: 'give the command the address of the proxy in this variable too, beside REVPROXY_URL',
    separator: 'list',
    parse: parseVariable,
  }),
  expect: many<Expectation>({
    flags: '--expect <expression>',
    group: 'CI mode',
    help: 'what the traffic must be like, such as "p99<250ms", "hit-ratio>=60%", "5xx{route=/api/*}==0"; else exit code 5',
    separator: 'line',
    parse: parseExpectation,
  }),
  'fail-fast': one({
    flags: '--fail-fast',
    group: 'CI mode',
    help: 'end as soon as an expectation can no longer be met',
    default: 'false',
    boolean: true,
    parse: onOff,
  }),
  'exit-after': optional<number>({
    flags: '--exit-after <duration>',
    group: 'CI mode',
    help: 'without a command: end after that time',
    parse: parseDuration,
  }),
  'max-requests': optional<number>({
    flags: '--max-requests <n>',
    group: 'CI mode',
    help: 'without a command: end once so many requests were answered',
    parse: parseInteger(1, 1e15),
  }),
  baseline: optional<string>({
    flags: '--baseline <file>',
    group: 'CI mode',
    help: 'values of an earlier run, for expectations such as "p95<=baseline*1.2"',
    parse: fileName,
  }),
  'save-baseline': optional<string>({
    flags: '--save-baseline <file>',
    group: 'CI mode',
    help: 'write the values of this run, if it ends with 0',
    parse: fileName,
  }),
  summary: optional<'text' | 'json' | 'markdown' | 'off'>({
    flags: '--summary <text|json|markdown|off>',
    group: 'CI mode',
    help: 'how the summary is written at the end, to stderr or --summary-file',
    defaultHint: 'text; for a file as its name ends',
    parse: parseChoice('text', 'json', 'markdown', 'off'),
  }),
  'summary-file': optional<string>({
    flags: '--summary-file <file>',
    group: 'CI mode',
    help: 'write the summary to this file; - is stdout',
    parse: fileName,
  }),
  junit: optional<string>({
    flags: '--junit <file>',
    group: 'CI mode',
    help: 'write the expectations as JUnit XML',
    parse: fileName,
  }),
  har: optional<string>({
    flags: '--har <file>',
    group: 'CI mode',
    help: 'write all requests as HAR 1.2, secrets hidden',
    parse: fileName,
  }),
  'har-bodies': one({
    flags: '--har-bodies <size>',
    group: 'CI mode',
    help: 'how much of each body --har keeps; 0 for none',
    default: '64kb',
    parse: parseSize,
  }),
} as const satisfies Record<string, OptionSpec<unknown>>

/** Name of an option, without the dashes. */
export type OptionName = keyof typeof options

type ParsedBy<S> = S extends { parse: (text: string, env: NodeJS.ProcessEnv) => infer T } ? T : never
type WithoutDefault<S> = S extends { default: string } ? never : undefined

/** Every option's value, as the table parses it; repeatable ones as lists. */
export type Options = {
  readonly [K in OptionName]: (typeof options)[K] extends { repeatable: true }
    ? ReadonlyArray<ParsedBy<(typeof options)[K]>>
    : ParsedBy<(typeof options)[K]> | WithoutDefault<(typeof options)[K]>
} & {
  /** Whether the admin port was asked for; else the next free one will do. */
  readonly adminGiven: boolean
}

/** The environment name of an option: REVPROXY_ and the flag in capitals. */
export const envName = (name: string): string => `REVPROXY_${name.toUpperCase().replaceAll('-', '_')}`
