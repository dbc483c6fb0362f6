/** One question to one address of the target: is it there, and what does it answer? */
import { lookup } from 'node:dns/promises'
import { type IncomingMessage, request as overHttp, STATUS_CODES } from 'node:http'
import { request as overHttps } from 'node:https'
import type { ConnectionOptions as TlsRequestOptions } from 'node:tls'
import type { HeaderEdit, Target } from '../core/values.ts'

/** A place where the target may listen. */
export interface Address {
  /** As people write it: `127.0.0.1:3000`, `[::1]:3000` or the path of a socket. */
  readonly text: string
  readonly host: string | undefined
  readonly family: 4 | 6 | undefined
  readonly port: number
  readonly socketPath: string | undefined
}

/** What came back. */
export type Came =
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly statusText: string
      readonly fields: IncomingMessage['headers']
    }
  | { readonly kind: 'error'; readonly code: string; readonly message: string }

/** How the target is asked. */
export interface ProbeOptions {
  readonly target: Target
  readonly path: string
  readonly hostHeader: string
  readonly header: readonly HeaderEdit[]
  readonly insecure: boolean
  readonly ca: string | undefined
}

/** Where a target may listen: both loopback addresses for `localhost`, else what its name resolves to. Rejects with DNS's error. */
export const addressesOf = async (target: Target): Promise<Address[]> => {
  const { hostname, port, socketPath } = target
  if (socketPath !== undefined)
    return [{ text: socketPath, host: undefined, family: undefined, port, socketPath }]
  const found =
    hostname === 'localhost'
      ? [
          { address: '127.0.0.1', family: 4 },
          { address: '::1', family: 6 },
        ]
      : await lookup(hostname, { all: true })
  return found.map(({ address, family }) => ({
    text: `${family === 6 ? `[${address}]` : address}:${port}`,
    host: address,
    family: family as 4 | 6,
    port,
    socketPath: undefined,
  }))
}

/** Asks once, with GET; reads nothing of the body. Never rejects. */
export const probe = async (
  address: Address,
  options: ProbeOptions,
  within: { timeoutMs: number; signal?: AbortSignal },
): Promise<Came> => {
  if (options.target.h2c === true) return overHttp2(address, options, within)
  const came = await overHttp1(address, options, within)
  // A server of gRPC, say.
  const http2Only = came.kind === 'error' && /no.application.protocol/i.test(`${came.code} ${came.message}`)
  return http2Only ? overHttp2(address, options, within) : came
}

const overHttp2 = async (
  { host, port }: Address,
  { target, path, hostHeader, header, insecure, ca }: ProbeOptions,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
): Promise<Came> => {
  const { askHttp2 } = await import('./probe-http2.ts')
  const late = AbortSignal.timeout(timeoutMs)
  const headers: Record<string, string> = { accept: '*/*', 'user-agent': 'revproxy (is it ready?)' }
  for (const { name, value } of header) if (value !== undefined) headers[name.toLowerCase()] = value
  try {
    const { status, fields } = await askHttp2({
      tls: target.h2c
        ? undefined
        : {
            servername: /^[\d.]+$|:/.test(target.hostname) ? '' : target.hostname,
            rejectUnauthorized: !insecure,
            ...(ca === undefined ? {} : { ca: [ca] }),
          },
      host,
      port,
      headers,
      path: `${target.basePath}${path}`,
      authority: hostHeader === 'target' || hostHeader === 'client' ? target.authority : hostHeader,
      signal: signal === undefined ? late : AbortSignal.any([late, signal]),
    })
    return { kind: 'answer', status, statusText: STATUS_CODES[status] ?? '', fields }
  } catch (error) {
    if (late.aborted)
      return {
        kind: 'error',
        code: 'TIMEOUT',
        message: `no answer within ${Math.round(timeoutMs / 100) / 10} s`,
      }
    const { code, message, name } = error as NodeJS.ErrnoException
    return { kind: 'error', code: code ?? name, message }
  }
}

const overHttp1 = (
  address: Address,
  { target, path, hostHeader, header, insecure, ca }: ProbeOptions,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
): Promise<Came> =>
  new Promise((resolve) => {
    const headers: Record<string, string> = {
      host: hostHeader === 'target' || hostHeader === 'client' ? target.authority : hostHeader,
      accept: '*/*',
      'user-agent': 'revproxy (is it ready?)',
    }
    for (const { name, value } of header) if (value !== undefined) headers[name.toLowerCase()] = value
    const request = target.protocol === 'https:' ? overHttps : overHttp
    const tls: TlsRequestOptions = {
      // So that a server of nothing but HTTP/2 says so.
      ALPNProtocols: ['http/1.1'],
    }
    const req = request({
      ...tls,
      ...(address.socketPath === undefined
        ? { host: address.host, port: address.port, family: address.family }
        : { socketPath: address.socketPath }),
      method: 'GET',
      path: `${target.basePath}${path}`,
      headers,
      setHost: false,
      agent: false,
      servername: /^[\d.]+$|:/.test(target.hostname) ? '' : target.hostname,
      rejectUnauthorized: !insecure,
      ...(ca === undefined ? {} : { ca: [ca] }),
      ...(signal === undefined ? {} : { signal }),
    })
    const timer = setTimeout(() => {
      req.destroy(
        Object.assign(new Error(`no answer within ${Math.round(timeoutMs / 100) / 10} s`), {
          code: 'TIMEOUT',
        }),
      )
    }, timeoutMs)
    const settle = (came: Came): void => {
      clearTimeout(timer)
      resolve(came)
    }
    req.on('response', (res) => {
      settle({
        kind: 'answer',
        status: res.statusCode ?? 0,
        statusText: res.statusMessage ?? '',
        fields: res.headers,
      })
      res.destroy()
    })
    req.on('error', (error: NodeJS.ErrnoException) =>
      settle({ kind: 'error', code: error.code ?? error.name, message: error.message }),
    )
    req.end()
  })

const NOBODY = new Set([
  'ECONNREFUSED',
  'ENOENT',
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'ENETUNREACH',
  'EHOSTUNREACH',
])

/** Whether an error says that nobody listens there. */
export const isNobody = (code: string): boolean => NOBODY.has(code)

/** What came back, in a few words. */
export const cameText = (came: Came): string => {
  if (came.kind === 'answer') return `${came.status} ${came.statusText}`.trim()
  switch (came.code) {
    case 'ECONNREFUSED':
      return 'refused: nothing listens there'
    case 'ENOENT':
      return 'there is no such socket'
    case 'ECONNRESET':
      return 'the connection was closed without an answer'
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name does not resolve (${came.code})`
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENETUNREACH':
      return `this machine has no way there (${came.code})`
    case 'TIMEOUT':
      return came.message
    case 'EPROTO':
      // The rest of the message names files of OpenSSL.
      return `it does not speak TLS as it should: ${/SSL routines:[^:]*:([^:]+)/.exec(came.message)?.[1] ?? came.message}`
    default:
      return came.code === '' || came.message.includes(came.code)
        ? came.message
        : `${came.message} (${came.code})`
  }
}
