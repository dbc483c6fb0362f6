/**
 * Parsers of option values. Each gives the value or throws BadValue with what would be right; the caller names
 * the flag.
 */

import { isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import type {
  AdminAddress,
  CacheBackend,
  CorsOrigin,
  HeaderEdit,
  KeyRule,
  Rate,
  RateBy,
  Target,
  TraceEndpoint,
  TrustProxy,
} from '../core/values.ts'

/** A value that cannot be understood; the message says what would be right. */
export class BadValue extends Error {
  /** Where in the text it stops making sense, from 0; then the message is a sentence of its own. */
  readonly at: number | undefined

  constructor(message: string, at?: number) {
    super(message)
    this.at = at
  }
}

const DURATION_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
type DurationUnit = keyof typeof DURATION_MS

/** `250ms 30s 5m 2h 1d 1m30s` and 0, in milliseconds. */
export const parseDuration = (text: string): number => {
  const given = text.trim()
  if (/^0+(?:\.0+)?$/.test(given)) return 0
  if (/^\d+(?:\.\d+)?$/.test(given)) {
    throw new BadValue(`${given} of what? ${given}ms, ${given}s, ${given}m`)
  }
  if (!/^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/i.test(given)) {
    throw new BadValue('a duration such as 250ms, 30s, 5m, 2h, 1d or 1m30s')
  }
  let total = 0
  for (const [, amount, unit] of given.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/gi)) {
    total += Number(amount) * DURATION_MS[unit!.toLowerCase() as DurationUnit]
  }
  // Beyond this, timers overflow (2^31 ms) and fire at once.
  if (total > 24.8 * DURATION_MS.d) throw new BadValue('at most 24 days')
  return total
}

const SIZE_BYTES = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3 } as const

/** `64kb 10mb 1gb` (1024-based) and 0, in bytes. */
export const parseSize = (text: string): number => {
  const given = text.trim()
  if (/^0+$/.test(given)) return 0
  if (/^\d+(?:\.\d+)?$/.test(given)) throw new BadValue(`${given} of what? ${given}b, ${given}kb, ${given}mb`)
  const match = /^(\d+(?:\.\d+)?)(b|kb|mb|gb|k|m|g)$/i.exec(given)
  if (match === null) throw new BadValue('a size such as 64kb, 10mb or 1gb')
  const unit = match[2]!.toLowerCase()
  const bytes = Number(match[1]) * SIZE_BYTES[(unit.length === 1 && unit !== 'b' ? `${unit}b` : unit) as 'kb']
  if (bytes > Number.MAX_SAFE_INTEGER) throw new BadValue('a size that fits in memory')
  return Math.round(bytes)
}

/** `5/m 100/s 20/10s`, or `off`. */
export const parseRate = (text: string): Rate | undefined => {
  const given = text.trim().toLowerCase()
  if (given === 'off' || given === '0') return undefined
  if (/^\d+$/.test(given)) throw new BadValue(`per what? ${given}/s, ${given}/m`)
  const match = /^(\d+)\/(.+)$/.exec(given)
  if (match === null) throw new BadValue('a rate such as 5/m, 100/s or 20/10s')
  const requests = Number(match[1])
  const per = match[2]!.trim()
  let windowMs: number
  try {
    windowMs = parseDuration(/^\d/.test(per) ? per : `1${per}`)
  } catch {
    throw new BadValue(
      `a rate per second, minute, hour or day: ${requests}/s, ${requests}/m, ${requests}/10s`,
    )
  }
  if (requests < 1 || requests > 1e9) throw new BadValue('between 1 and 1000000000 requests')
  if (windowMs < 10) throw new BadValue('a window of at least 10ms')
  return { requests, windowMs }
}

const isOff = (given: string): boolean => given.toLowerCase() === 'off'

/** A whole number between two bounds. */
export const parseInteger =
  (min: number, max: number) =>
  (text: string): number => {
    const value = /^\d{1,15}$/.test(text.trim()) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) throw new BadValue(`a whole number from ${min} to ${max}`)
    return value
  }

const MAX_WORKERS = 256

/** How many worker processes; `auto` is one for each CPU that this process may use. */
export const parseWorkers = (text: string): number => {
  if (text.trim().toLowerCase() === 'auto') return availableParallelism()
  const value = /^\d{1,4}$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!(value >= 1 && value <= MAX_WORKERS))
    throw new BadValue(`a whole number from 1 to ${MAX_WORKERS}, or auto`)
  return value
}

/** A number from 0 to 1. */
export const parseFraction = (text: string): number => {
  const value = /^\d*\.?\d+$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!(value >= 0 && value <= 1)) throw new BadValue('a number from 0 to 1, such as 0.1')
  return value
}

/** `true` for a flag given without its duration, or a duration; `off` is 0. */
export const parseOptionalDuration =
  (otherwise: string) =>
  (text: string): number => {
    const given = text.trim().toLowerCase()
    if (given === 'off' || given === 'false') return 0
    try {
      return parseDuration(given === 'true' ? otherwise : given)
    } catch (error) {
      // `--wait :3000`: the target was meant.
      if (!/[:/]/.test(given)) throw error
      throw new BadValue('a duration such as 30s, or nothing; write the target before the flag')
    }
  }

/** Statuses such as `200`, `2xx` or `200-399`, between commas; whether one is among them. */
export const parseStatuses = (text: string): ((status: number) => boolean) => {
  const ranges = splitList(text).map((member): readonly [from: number, to: number] => {
    const match = /^([1-5])xx$|^([1-5]\d\d)(?:-([1-5]\d\d))?$/i.exec(member)
    if (match === null) throw new BadValue('statuses such as 200, 2xx or 200-399, between commas')
    const [, family, from, to = from] = match
    return family === undefined ? [Number(from), Number(to)] : [Number(`${family}00`), Number(`${family}99`)]
  })
  if (ranges.length === 0) throw new BadValue('statuses such as 200, 2xx or 200-399, between commas')
  return (status) => ranges.some(([from, to]) => status >= from && status <= to)
}

/** The name of an environment variable. */
export const parseVariable = (text: string): string => {
  const given = text.trim()
  if (!/^[A-Za-z_]\w*$/.test(given))
    throw new BadValue('the name of an environment variable, such as API_URL')
  return given
}

/** A path with its query. */
export const parsePath = (text: string): string => {
  const given = text.trim()
  if (!/^\/[\x21-\x7e]*$/.test(given) || given.includes('#')) throw new BadValue('a path such as /healthz')
  return given
}

/** One of the words. */
export const parseChoice =
  <const T extends readonly string[]>(...words: T) =>
  (text: string): T[number] => {
    const given = text.trim().toLowerCase()
    if (!words.includes(given)) throw new BadValue(`one of ${words.join(', ')}`)
    return given
  }

/** Several of the words, between commas. */
export const parseChoices =
  <const T extends readonly string[]>(...words: T) =>
  (text: string): ReadonlyArray<T[number]> => {
    const given = splitList(text).map((word) => word.toLowerCase())
    if (given.length === 0 || !given.every((word) => words.includes(word))) {
      throw new BadValue(`one or more of ${words.join(', ')}, between commas`)
    }
    return [...new Set(given)]
  }

/** Members of a list between commas or spaces, without empty ones. */
export const splitList = (text: string): string[] => text.split(/[\s,]+/).filter((member) => member !== '')

/** `Name: value`; `Name:` removes. */
export const parseHeader = (text: string): HeaderEdit => {
  const match = /^\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*:[ \t]*(.*?)[ \t]*$/s.exec(text)
  if (match === null) throw new BadValue('"Name: value", or "Name:" to remove the field')
  const value = match[2]!
  if (/[^\t\x20-\x7e\x80-\xff]/.test(value))
    throw new BadValue('a value without control or non-Latin-1 characters')
  const name = match[1]!
  if (
    /^(?:content-length|transfer-encoding|connection|proxy-connection|keep-alive|upgrade|http2-settings|te|trailer|expect)$/i.test(
      name,
    )
  ) {
    throw new BadValue(`another field: ${name} belongs to the connection and is set by the proxy itself`)
  }
  return { name, value: value === '' ? undefined : value }
}

/** An `http:`, `https:` or `h2c:` URL, `host:port`, a port with or without colon, or `unix:/path/to.sock[:/base/path]`. */
export const parseTarget = (text: string): Target => {
  let given = text.trim()
  const right =
    'a URL such as http://localhost:3000, https://api.example.com/v1, h2c://localhost:50051 or unix:/run/app.sock'
  const unix = /^(?:http\+)?unix:(?:\/\/)?(\/[^:]+)(?::(\/.*))?$/.exec(given)
  if (unix !== null) {
    const [path, query = ''] = (unix[2] ?? '').split('?', 2) as [string, string?]
    return {
      protocol: 'http:',
      hostname: 'localhost',
      port: 80,
      authority: 'localhost',
      origin: 'http://localhost',
      basePath: path.replace(/\/+$/, ''),
      baseQuery: query,
      socketPath: unix[1],
      display: given,
    }
  }
  const h2c = /^h2c:\/\//i.test(given)
  if (h2c) given = `http${given.slice(3)}`
  if (/^:?\d{1,5}$/.test(given)) given = `http://localhost:${given.replace(':', '')}`
  else if (
    !/^[a-z][a-z0-9+.-]*:\/\//i.test(given) &&
    /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d+)?(?:\/.*)?$/i.test(given)
  ) {
    given = `http://${given}`
  }
  let url: URL
  try {
    url = new URL(given)
  } catch {
    throw new BadValue(right)
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new BadValue(right)
  if (url.username !== '' || url.password !== '') {
    throw new BadValue('a URL without user and password; send them with --header "Authorization: Basic …"')
  }
  if (url.hash !== '') throw new BadValue(`${right}, without #`)
  if (url.port === '0') throw new BadValue('a URL with a real port')
  return {
    protocol: url.protocol,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port),
    authority: url.host,
    origin: url.origin,
    basePath: url.pathname.replace(/\/+$/, ''),
    baseQuery: url.search.slice(1),
    socketPath: undefined,
    ...(h2c ? { h2c } : {}),
    display: url.href.replace(/\/$/, '').replace(/^http/, h2c ? 'h2c' : 'http'),
  }
}

/** `memory`, `off`, `redis` (then REDIS_URL), or `redis://…` and `rediss://…`. */
export const parseCache = (text: string, env: NodeJS.ProcessEnv): CacheBackend => {
  const given = text.trim()
  const word = given.toLowerCase()
  if (word === 'memory' || word === 'off') return { kind: word }
  const url = word === 'redis' ? (env.REDIS_URL ?? 'redis://localhost:6379') : given
  const right = 'memory, off, redis (then REDIS_URL), redis://[user:password@]host[:port][/db] or rediss://…'
  if (!/^rediss?:\/\//i.test(url) || !URL.canParse(url)) throw new BadValue(right)
  if (!/^(?:\/\d*)?$/.test(new URL(url).pathname)) throw new BadValue(`${right}; /db is a number`)
  return { kind: 'redis', url }
}

/** `off` (undefined), OTLP over HTTP, or Jaeger's own agent and collector. */
export const parseTrace = (text: string): TraceEndpoint | undefined => {
  const given = text.trim()
  if (isOff(given)) return undefined
  const right =
    'http://host:4318 (OTLP), jaeger://host:6832 (Jaeger agent), http://host:14268/api/traces (Jaeger collector) or off'
  if (!URL.canParse(given)) throw new BadValue(right)
  const url = new URL(given)
  if (url.protocol === 'jaeger:') {
    if (url.hostname === '' || !/^\/?$/.test(url.pathname)) throw new BadValue(right)
    if (url.port === '6831') {
      throw new BadValue(
        `jaeger://${url.hostname}:6832; port 6831 takes compact Thrift, which is not spoken here`,
      )
    }
    return {
      kind: 'jaeger-agent',
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 6832 : Number(url.port),
    }
  }
  if ((url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '')
    throw new BadValue(right)
  if (url.pathname === '/api/traces') return { kind: 'jaeger-collector', url: url.href }
  if (url.pathname === '/') url.pathname = '/v1/traces'
  return { kind: 'otlp', url: url.href }
}

/** `ip`, `host`, `global` or `header:X-Name`. */
export const parseRateBy = (text: string): RateBy => {
  const given = text.trim()
  if (given === 'ip' || given === 'host' || given === 'global') return { kind: given }
  const match = /^header:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)$/i.exec(given)
  if (match === null) throw new BadValue('ip, host, global or header:X-Name')
  return { kind: 'header', name: match[1]!.toLowerCase() }
}

/** A path that begins with `/`, or `off`. */
export const parsePathOrOff = (text: string): string | undefined => {
  const given = text.trim()
  if (isOff(given)) return undefined
  if (!/^\/[\x21-\x7e]*$/.test(given) || /[?#]/.test(given))
    throw new BadValue('a path such as /metrics, or off')
  return given
}

/** `9900`, `0.0.0.0:9900`, `[::]:9900` or `off`. */
export const parseAdmin = (text: string): AdminAddress | undefined => {
  const given = text.trim()
  if (isOff(given)) return undefined
  const match = /^(?:(\[[\da-f:.]+\]|[\w.-]+):)?(\d{1,5})$/i.exec(given)
  const port = Number(match?.[2])
  if (match === null || port > 65_535) throw new BadValue('a port, host:port or off')
  return { host: match[1]?.replace(/^\[|\]$/g, ''), port }
}

/** A route template such as `/users/:id` or `/files/*`. */
export const parseRoute = (text: string): string => {
  const given = text.trim()
  if (!/^\/[\x21-\x7e]*$/.test(given) || /[?#]/.test(given)) {
    throw new BadValue('a template such as /users/:id or /files/*')
  }
  return given
}

/** `target`, `client`, or a host to send. */
export const parseHostHeader = (text: string): string => {
  const given = text.trim()
  if (given === 'target' || given === 'client') return given
  if (!/^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i.test(given)) {
    throw new BadValue('target, client, or a host such as api.example.com:8080')
  }
  return given
}

/** An address or name to listen on. */
export const parseListenHost = (text: string): string => {
  const given = text.trim().replace(/^\[|\]$/g, '')
  if (!/^[\w.:%-]+$/.test(given)) throw new BadValue('an address such as 127.0.0.1, ::1 or 0.0.0.0')
  return given
}

/** `-query:utm_*,+header:x-tenant,-cookie:_ga` */
export const parseKeyRules = (text: string): readonly KeyRule[] =>
  text
    .split(',')
    .map((rule) => rule.trim())
    .filter((rule) => rule !== '')
    .map((rule) => {
      const match = /^([+-])(query|header|cookie):([^\s,]+)$/i.exec(rule)
      if (match === null) {
        throw new BadValue(
          'rules such as -query:utm_*, +header:x-tenant, -header:user-agent or +cookie:plan, between commas',
        )
      }
      const kind = match[2]!.toLowerCase() as KeyRule['kind']
      return {
        sign: match[1] as KeyRule['sign'],
        kind,
        name: kind === 'header' ? match[3]!.toLowerCase() : match[3]!,
      }
    })

/** `true` for the flag alone, `off`, an origin such as `http://localhost:5173`, or `*`. */
export const parseCors = (text: string): CorsOrigin | undefined => {
  const given = text.trim()
  if (/^(?:off|false|no|0)$/i.test(given)) return undefined
  if (/^(?:true|on|yes|1)$/i.test(given)) return 'request'
  if (given === '*' || given === 'null') return given
  // `--cors :3000`: the target was meant.
  if (/^:?\d{1,5}$/.test(given)) throw new BadValue('an origin, or nothing; write the target before the flag')
  const right = 'an origin such as http://localhost:5173, * or nothing (then whichever origin asks)'
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s,]+\/?$/i.test(given) || !URL.canParse(given)) {
    throw new BadValue(right)
  }
  const { origin } = new URL(given)
  // Schemes of apps and extensions have no origin in the eyes of URL.
  return origin === 'null' ? given.replace(/\/$/, '').toLowerCase() : origin
}

/** What may be said for lists of addresses (RFC 6890). */
const namedRanges: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7', '169.254.0.0/16', 'fe80::/10'],
}

/** `off`, a number of proxies, or `loopback`, `private`, addresses and CIDR ranges between commas. */
export const parseTrustProxy = (text: string): TrustProxy | undefined => {
  const given = text.trim().toLowerCase()
  if (given === 'off' || given === '0' || given === 'false') return undefined
  const right =
    'off, loopback, private, addresses or ranges such as 10.0.0.0/8 between commas, or the number of proxies in front'
  if (/^\d+$/.test(given)) {
    if (Number(given) > 100) throw new BadValue(right)
    return { hops: Number(given) }
  }
  const ranges = splitList(given).flatMap((member) => {
    const named = Object.hasOwn(namedRanges, member) ? namedRanges[member] : undefined
    if (named !== undefined) return named
    const [address, bits, ...more] = member.replace(/^\[(.*)\]/, '$1').split('/') as [string, string?]
    const family = isIP(address)
    const fits = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
    if (family === 0 || !fits || more.length > 0) throw new BadValue(right)
    return [member.replace(/^\[(.*)\]/, '$1')]
  })
  if (ranges.length === 0) throw new BadValue(right)
  return { ranges }
}

/** How much is told: 0 to 2; true and false are 1 and 0. */
export const parseVerbosity = (text: string): number => {
  if (/^(?:true|yes|on)$/i.test(text)) return 1
  if (/^(?:false|no|off|)$/i.test(text)) return 0
  if (/^\d+$/.test(text)) return Math.min(2, Number(text))
  throw new BadValue('0, 1 (the fields) or 2 (the bodies too)')
}
