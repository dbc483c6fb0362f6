/** Whose requests count together. */
import { createHash } from 'node:crypto'
import { isIPv6 } from 'node:net'
import type { ProxyRequest } from '../core/types.ts'
import type { RateBy } from '../core/values.ts'
import { joinedValue } from '../http/fields.ts'

/** Longer hosts are cut to a hash, so that a client cannot fill the memory with its keys. */
const LONGEST_HOST = 100

const digest = (text: string): string =>
  createHash('sha256').update(text, 'latin1').digest('base64url').slice(0, 24)

/** The eight groups of an IPv6 address in lower-case hex, without leading zeros. */
const groupsOf = (address: string): string[] => {
  const [before = '', after] = address.split('::', 2)
  const head = before === '' ? [] : before.split(':')
  const tail = after === undefined || after === '' ? [] : after.split(':')
  const middle =
    after === undefined ? [] : new Array<string>(Math.max(0, 8 - head.length - tail.length)).fill('0')
  return [...head, ...middle, ...tail].map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''))
}

/**
 * The part of an address that stands for one client: IPv4 whole, IPv6 by its /64 (whoever has one has 2^64 addresses
 * in it). An IPv4-mapped address counts as the IPv4 one, and `::1` as 127.0.0.1: which of the two `localhost` is
 * dialled by is chance, and would double the rate.
 */
export const addressKey = (address: string): string => {
  if (!address.includes(':')) return address
  const plain = address.replace(/%.*$/, '')
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(plain)
  if (mapped !== null) return mapped[1]!
  if (!isIPv6(plain) || plain.includes('.')) return plain
  const groups = groupsOf(plain)
  if (groups.slice(0, 7).every((group) => group === '0') && groups[7] === '1') return '127.0.0.1'
  return `${groups.slice(0, 4).join(':')}::/64`
}

/**
 * The key under which a request counts. Header values are hashed: they are long at times and secret at others, and
 * keys travel to Redis; requests without the field share one key.
 */
export const keyBy = (by: RateBy): ((req: ProxyRequest) => string) => {
  switch (by.kind) {
    case 'ip':
      return (req) => `ip:${addressKey(req.exchange.clientAddress)}`
    case 'host':
      return (req) => {
        const host = req.exchange.host.toLowerCase()
        return host.length <= LONGEST_HOST ? `host:${host}` : `host#${digest(host)}`
      }
    case 'global':
      return () => 'global'
    case 'header': {
      const { name } = by
      return (req) => {
        const value = joinedValue(req.headers, name)
        return value === undefined ? `no-${name}` : `${name}:${digest(value)}`
      }
    }
  }
}
