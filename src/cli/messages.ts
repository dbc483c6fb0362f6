/**
 * The sentences a person reads: what happened, why, and what to do now. Each is one line without a line end, free of
 * control characters and passwords.
 */
import { escapeControl } from '../observe/escape.ts'
import { redactor } from '../observe/redact.ts'

const concealing = redactor({ names: ['pass', 'auth', 'user'], enabled: true })

/** A URL as it may be shown: without user, password and secret parameters. */
export const shownUrl = (url: string): string => escapeControl(concealing.url(url))

const seconds = (n: number): string => `${n >= 10 ? Math.round(n) : Math.round(n * 10) / 10} s`
const sentence = (text: string): string => (/[.?!…]$/.test(text) ? text : `${text}.`)
const both = (names: readonly string[]): string =>
  names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`

/** The proxy port is taken. */
export const portInUse = (port: number): string => `port ${port} is in use. Use -p 0 for a free one.`

/** The proxy would listen where its target is. */
export const targetIsSelf = (target: string): string =>
  `the target ${shownUrl(target)} is where this proxy itself would listen. Use -p for another port; 0 takes a free one.`

/** The admin port that was asked for is taken. */
export const adminPortInUse = (port: number): string =>
  `admin port ${port} is in use. Use --admin 0 for a free one, --admin off for none.`

/** The system does not let this user listen on the port. */
export const portForbidden = (port: number): string =>
  `port ${port} is not allowed to this user. Use a port above 1023, or -p 0 for a free one.`

/** No interface of this machine has the address. */
export const addressUnavailable = (host: string): string =>
  `${escapeControl(host)} is not an address of this machine. Use --host 127.0.0.1, or 0.0.0.0 for all of its addresses.`

/** The CA of `--https` cannot be read from, or written to, the config folder. */
export const caNotKept = (folder: string, reason: string): string =>
  `a certificate for --https cannot be kept in ${escapeControl(folder)} (${escapeControl(reason)}). ` +
  'Give one with --cert and --key, or another folder with XDG_CONFIG_HOME.'

/** Others than this machine can reach the proxy. */
export const notLoopback = (host: string): string =>
  `listening on ${escapeControl(host)}: others can reach this proxy, and the target through it. ` +
  'Leave --host out to keep it to this machine.'

/** The shared cache is away; requests go on without it. */
export const redisAway = (url: string, retrySeconds: number, error = ''): string =>
  /^[A-Z]{2,}\b/.test(error) && !/^E[A-Z]{4,}$/.test(error.split(/[ :]/, 1)[0]!)
    ? `${shownUrl(url)} refuses: ${escapeControl(error.replace(/\.$/, ''))}. Serving without what it refuses, trying again.`
    : `${shownUrl(url)} does not answer; serving without the shared cache, trying again in ${seconds(retrySeconds)}.`

/** The shared cache is there again. */
export const redisBack = (url: string): string => `${shownUrl(url)} answers again; using the shared cache.`

/** The target refuses connections; `forSeconds` 0 when it was tried only once. */
export const targetRefused = (addresses: readonly string[], forSeconds: number): string =>
  `target refused on ${both(addresses.map(escapeControl))}${forSeconds > 0 ? ` for ${seconds(forSeconds)}` : ''}. Is it running?`

/** The target's name does not resolve. */
export const targetUnresolved = (host: string): string =>
  `target ${escapeControl(host)} is unknown to DNS. Is the name right?`

/** The target's certificate is not trusted. */
export const targetUntrusted = (host: string, code: string): string =>
  `the certificate of ${escapeControl(host)} is not trusted (${escapeControl(code)}). ` +
  'Use --ca <file> to trust it, or -k to accept any.'

/** The collector of spans is away. */
export const traceAway = (url: string, reason: string): string =>
  `${shownUrl(url)} takes no spans (${escapeControl(reason)}); serving on, these spans are lost.`

/** The target was not named. */
export const noTarget = (taken?: { readonly flag: string; readonly text: string }): string =>
  taken === undefined
    ? 'no target. Say where requests go: revproxy http://localhost:3000. Or look around first: revproxy demo.'
    : `no target: ${taken.flag} has taken ${shownValue(taken.text)} for its own. Write the target first: revproxy ${shownValue(taken.text)} ${taken.flag}.`

/**
 * An option that cannot be understood: its flag or environment name, what was given, and what would be right, as a
 * noun (`a duration such as …`) or as a question (`per what? 100/s, 100/m`).
 */
export const badOption = (flag: string, given: string, right: string): string => {
  const link = /^[A-Z_]+$/.test(flag) ? '=' : ' '
  const asked = /^[^,:;]*\? /.test(right)
  return sentence(`${flag}${link}${shownValue(given)}: ${asked ? '' : 'must be '}${right}`)
}

/** An expression that stops making sense at a place: two lines more than others, the last pointing there. */
export const badExpression = (flag: string, given: string, at: number, message: string): string =>
  `${flag}: column ${at + 1}: ${sentence(message)}\n  ${escapeControl(given)}\n  ${' '.repeat(escapeControl(given.slice(0, at)).length)}^`

const LONGEST_VALUE = 80

const shownValue = (given: string): string => {
  const text = shownUrl(given)
  const cut = text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE - 1)}…` : text
  return cut === '' || /\s/.test(cut) ? `"${cut}"` : cut
}

/** An option without the value it needs. */
export const missingValue = (flag: string, placeholder: string): string =>
  `${flag} needs a value: ${flag} ${placeholder}.`

/** An option we do not have; `nearest` is the one that was probably meant. */
export const unknownOption = (given: string, nearest: string | undefined): string =>
  `${escapeControl(given)} is not an option. ${nearest === undefined ? 'See --help.' : `Did you mean ${nearest}?`}`

/** A switch that was given a value. */
export const switchWithValue = (flag: string): string =>
  `${escapeControl(flag)} takes no value: it is on where it stands, and off without it.`

/** An option of the proxy before a command that has options of its own. */
export const misplacedOption = (flag: string, command: string): string =>
  `${flag} stands before the command. What ${command} takes stands behind it: see revproxy ${command} --help.`

/** A command without what it is about. */
export const missingArgument = (command: string, name: string): string =>
  `${command} needs its ${name}: revproxy ${command} <${name}>.`

/** More arguments than a command takes. */
export const tooMany = (command: string): string =>
  `that is more than ${command} takes. See revproxy ${command} --help.`

/** The demo brings its backend along. */
export const demoTarget = (): string =>
  'the demo has a target of its own. To proxy yours: revproxy http://localhost:3000.'

/** A command of a group that is missing, or is none. */
export const noCommand = (
  group: string,
  given: string,
  commands: ReadonlyArray<{ name(): string }>,
): string => {
  const right = `one of ${commands.map((command) => command.name()).join(', ')}`
  return given === '' ? `${group} what? It takes ${right}.` : badOption(group, given, right)
}

const ofOthers = new Map([
  ['--to', '--target'],
  ['--upstream', '--target'],
  ['--backend', '--target'],
  ['--listen', '--port (and --host)'],
  ['--from', '--port (and --host)'],
  ['--bind', '--host'],
  ['--cache-ttl', '--ttl'],
  // Switches elsewhere, values here.
  ...['cache', 'log', 'admin', 'metrics'].map((name) => [`--no-${name}`, `--${name} off`] as const),
  ['--no-color', '--color never'],
  ['--no-colour', '--color never'],
])

/** For the names that other tools give our options; undefined for any other flag. `given` may carry `=value`. */
export const othersFlag = (given: string): string | undefined => {
  const flag = given.split('=', 1)[0]!
  const ours = ofOthers.get(flag)
  return ours === undefined ? undefined : `${flag}: we call it ${ours}.`
}

/** A client sent bytes that are no HTTP. */
export const notHttp = (client: string, what: string, status: number): string =>
  `a client at ${escapeControl(client)} sent something that is not HTTP (${escapeControl(what)}): answered ${status}.`

/** A client began with TLS. */
export const speaksTls = (client: string): string =>
  `a client at ${escapeControl(client)} speaks TLS to the plain port. Is it https: rather than http:?`

/** A client was too slow. */
export const tooSlow = (client: string): string =>
  `a client at ${escapeControl(client)} took too long to send the head of its request (--head-timeout): answered 408.`

/** What stands before a client's body is too large. */
export const headTooLarge = (client: string): string =>
  `a client at ${escapeControl(client)} sent a request line and fields that are too large: answered 431.`

/** There are as many connections as there may be. */
export const full = (client: string, max: number): string =>
  `${max} connections of clients are open, as many as --max-connections lets in; one from ${escapeControl(client)} was answered 503.`

/** More connections are let in than there are files for. */
export const tooFewFiles = (max: number, enough: number): string =>
  `--max-connections ${max} is more than the ${enough} that there are files for. Raise ulimit -n, or lower it.`

/** A log line could not be written. */
export const logLost = (code: string): string =>
  `the log cannot be written (${escapeControl(code)}); serving on, its lines are lost meanwhile.`

/** The reader of the log has left. */
export const logUnread = (): string => 'nobody reads the log any more; serving on without it.'

/** Workers served requests that could not be told of. */
export const requestsLost = (requests: number): string =>
  `this process was held up: of ${requests} ${requests === 1 ? 'request' : 'requests'} that the workers served there is no line, and no number counts them.`

/** We were told to end while requests are on their way. */
export const stopping = (requests: number): string =>
  `stopping: ${requests} ${requests === 1 ? 'request is' : 'requests are'} on the way. Ctrl-C again ends them.`
