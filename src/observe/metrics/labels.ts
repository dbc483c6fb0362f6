/** Label values of bounded variety, whatever clients and upstreams send. */
import type { Labels } from './distributions.ts'

/** A word for what is beyond a bound; methods have OpenTelemetry's. */
export const OTHER = 'other'

/** Methods as they stand in labels; the first is for all that are not here. */
export const methods = [
  '_OTHER',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
  'QUERY',
] as const
const methodNumbers = new Map<string, number>(methods.map((method, at) => [method, at]))

/** Place of a method in `methods`. */
export const methodNumber = (method: string): number => methodNumbers.get(method) ?? 0

/** A clock set back or a test's odd numbers must not become a sample that poisons a sum. */
export const sane = (value: number): number => (value > 0 && value < Number.POSITIVE_INFINITY ? value : 0)

/** The status, 0 for what is none. */
export const statusNumber = (status: number | undefined): number =>
  status !== undefined && status >= 100 && status < 600 ? Math.trunc(status) : 0

/** The semantic conventions: there is a status where one was sent or received, and nowhere else. */
export const statusLabels = (status: number | string): Labels =>
  status === 0 ? {} : { http_response_status_code: String(status) }

/** The address as OpenTelemetry's two attributes; a socket's path has no port. */
export const addressLabels = (address: string): Labels => {
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? []
  return host === undefined || port === undefined
    ? { server_address: address }
    : { server_address: host.replace(/^\[|\]$/g, ''), server_port: port }
}

/** One small integer for a combination of labels, so that finding its series makes no string. */
export const seriesKey = (error: number, status: number, method: number, scheme: string): number =>
  ((error * 600 + status) * methods.length + method) * 2 + (scheme === 'https' ? 1 : 0)

/** Numbers words as they come, from 1 on; all words beyond the bound share the number `max`. */
export class Words {
  readonly #numbers = new Map<string, number>()
  readonly #max: number
  readonly list: string[] = ['']

  constructor(max: number) {
    this.#max = max
  }

  number(word: string): number {
    const known = this.#numbers.get(word)
    if (known !== undefined) return known
    if (this.list.length >= this.#max) {
      this.list[this.#max] = OTHER
      return this.#max
    }
    this.#numbers.set(word, this.list.length)
    return this.list.push(word) - 1
  }
}

/** Counts by word. */
export class Tally {
  readonly counts = new Map<string, number>()

  add(word: string): void {
    this.counts.set(word, (this.counts.get(word) ?? 0) + 1)
  }
}
