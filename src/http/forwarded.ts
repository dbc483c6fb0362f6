/**
 * What proxies in front say of the client: X-Forwarded-For, -Proto and -Host, Forwarded (RFC 7239), X-Real-IP.
 *
 * Everybody can send these fields, so they are believed only from whom the user trusts, and read from the right: each
 * proxy adds at the end whom it had a connection from, so the client is the last one named that is not trusted itself.
 * What stands left of it, it may have made up.
 */
import { BlockList, isIP } from 'node:net'
import type { Fields } from '../core/types.ts'
import type { TrustProxy } from '../core/values.ts'
import { firstValue, joinedValue, listMembers } from './fields.ts'

/** The client as trusted proxies name it. */
export interface NamedClient {
  readonly address: string
  /** Undefined where they do not say. */
  readonly scheme: 'http' | 'https' | undefined
  readonly host: string | undefined
}

/** Whom to take for the client of a connection from `peer`; undefined when that one's word does not count. */
export type Trusted = (peer: string, headers: Fields) => NamedClient | undefined

/** One proxy's claim; what it does not say or says badly is undefined. */
interface Claim {
  readonly address: string | undefined
  readonly scheme: string | undefined
  readonly host: string | undefined
}

/** Reads the fields as far as they can be believed. */
export const trusted = (whom: TrustProxy): Trusted => {
  const isTrusted = 'hops' in whom ? (_: string, hop: number) => hop < whom.hops : within(whom.ranges)
  return (peer, headers) => {
    if (!isTrusted(peer, 0)) return undefined
    const claims = claimsOf(headers)
    let address = peer
    let hop = 0
    while (hop < claims.length && isTrusted(address, hop)) {
      const named = claims[claims.length - 1 - hop]!.address
      // `unknown` or a made-up name (RFC 7239 §6.2, §6.3): nobody that could be trusted further.
      if (named === undefined) break
      address = named
      hop++
    }
    // The proxy that named the client also saw how it asked; with fewer words than proxies, the first is the nearest.
    const at = Math.max(1, hop)
    const scheme = fromEnd(schemesOf(headers, claims), at)?.toLowerCase()
    const host = fromEnd(hostsOf(headers, claims), at)
    return {
      address,
      scheme: scheme === 'http' || scheme === 'https' ? scheme : undefined,
      host: host !== undefined && HOST.test(host) ? host : undefined,
    }
  }
}

/** RFC 9110 §7.2, as far as anybody uses it. */
const HOST = /^(?:[\w.-]+|\[[\da-f:.]+\])(?::\d{1,5})?$/i

const fromEnd = <T>(list: readonly T[], at: number): T | undefined => list[Math.max(0, list.length - at)]

const within = (ranges: readonly string[]): ((address: string) => boolean) => {
  const list = new BlockList()
  for (const range of ranges) {
    const [net, bits] = range.split('/') as [string, string?]
    const family = isIP(net) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) list.addAddress(net, family)
    else list.addSubnet(net, Number(bits), family)
  }
  return (address) => {
    const family = isIP(address)
    return family !== 0 && list.check(address, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/**
 * The addresses named, in order. X-Forwarded-For goes before Forwarded: nearly every proxy writes the former, and one
 * that does often lets a Forwarded of the client through.
 */
const claimsOf = (headers: Fields): readonly Claim[] => {
  const list = joinedValue(headers, 'x-forwarded-for')
  if (list !== undefined) return listMembers(list).map((node) => claim(addressIn(node)))
  const forwarded = joinedValue(headers, 'forwarded')
  if (forwarded !== undefined) return listMembers(forwarded).map(element)
  const real = firstValue(headers, 'x-real-ip')
  return real === undefined ? [] : [claim(addressIn(real))]
}

const claim = (address: string | undefined): Claim => ({ address, scheme: undefined, host: undefined })

const schemesOf = (headers: Fields, claims: readonly Claim[]): ReadonlyArray<string | undefined> => {
  const list = joinedValue(headers, 'x-forwarded-proto')
  return list === undefined ? claims.map(({ scheme }) => scheme) : listMembers(list)
}

const hostsOf = (headers: Fields, claims: readonly Claim[]): ReadonlyArray<string | undefined> => {
  const list = joinedValue(headers, 'x-forwarded-host')
  return list === undefined ? claims.map(({ host }) => host) : listMembers(list)
}

/** `for=192.0.2.60;proto=http;host="a.example"` (RFC 7239 §4) */
const element = (text: string): Claim => {
  const said = new Map<string, string>()
  for (const [, name, quoted, token] of text.matchAll(
    /([!#$%&'*+.^_`|~\w-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))/g,
  )) {
    said.set(name!.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? token!)
  }
  const node = said.get('for')
  return {
    address: node === undefined ? undefined : addressIn(node),
    scheme: said.get('proto'),
    host: said.get('host'),
  }
}

/** The address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:80`. */
const addressIn = (node: string): string | undefined => {
  const bare = /^\[([^\]]+)\](?::\w+)?$/.exec(node)?.[1] ?? node.replace(/^([\d.]+):\w+$/, '$1')
  const address = bare.replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(address) === 0 ? undefined : address
}

/** What the next hop is told. */
export interface Forwarding {
  readonly clientAddress: string
  readonly host: string
  readonly scheme: string
  /** The trusted proxy that the request came from, whose fields are kept and added to; undefined replaces all. */
  readonly forwardedBy: string | undefined
}

/** `Forwarded` wants IPv6 in brackets and quotes (RFC 7239 §6). */
const forwardedNode = (address: string): string => (address.includes(':') ? `"[${address}]"` : address)
const forwardedHost = (host: string): string =>
  /^[\w.-]+$/.test(host) ? host : `"${host.replace(/["\\]/g, '\\$&')}"`

/** The field lines X-Forwarded-For, -Proto and -Host, X-Real-IP and Forwarded for the next hop. */
export const forwardingFields = (headers: Fields, facts: Forwarding): string[] => {
  const { clientAddress, host, scheme, forwardedBy } = facts
  const peer = forwardedBy ?? clientAddress
  const before = forwardedBy === undefined ? { addresses: [], elements: [] } : earlier(headers)
  // HTTP/1.0 need not name a host.
  const ours = `for=${forwardedNode(peer)}${host === '' ? '' : `;host=${forwardedHost(host)}`};proto=${scheme}`
  return [
    'X-Forwarded-For',
    [...before.addresses, peer].join(', '),
    'X-Forwarded-Proto',
    scheme,
    ...(host === '' ? [] : ['X-Forwarded-Host', host]),
    'X-Real-IP',
    clientAddress,
    'Forwarded', // RFC 7239 §4
    [...before.elements, ours].join(', '),
  ]
}

/** What stands before our own part. Where only one of the two lists came, the other is made of it (RFC 7239 §7.4). */
const earlier = (headers: Fields): { addresses: readonly string[]; elements: readonly string[] } => {
  const list = joinedValue(headers, 'x-forwarded-for')
  const forwarded = joinedValue(headers, 'forwarded')
  const claims = claimsOf(headers)
  const addresses = claims.map(({ address }) => address ?? 'unknown')
  return {
    addresses: list === undefined ? addresses : listMembers(list),
    elements:
      forwarded === undefined
        ? claims.map(({ address }) => `for=${address === undefined ? 'unknown' : forwardedNode(address)}`)
        : listMembers(forwarded),
  }
}
