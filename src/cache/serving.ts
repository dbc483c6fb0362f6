/** Answers that need no upstream: out of what is stored, or 504 where only that was wanted. */
import type { CacheFacts } from '../core/exchange.ts'
import type { ProxyResponse } from '../core/types.ts'
import { type Asked, type CacheOptions, labelled, setVerdict } from './asked.ts'
import { cacheStatus } from './cache-status.ts'
import { deliver } from './deliver.ts'
import type { Entry } from './entry.ts'
import { currentAge, lifetime } from './freshness.ts'

/** What serving gives. */
export interface Serving {
  /** An answer out of what is stored. */
  serve(asked: Asked, entry: Entry): ProxyResponse
  /** The same to a request of this method, nothing counted. */
  deliverAs(asked: Asked, entry: Entry, method: string): ProxyResponse
  /** 504: the client wants nothing but what is cached (RFC 9111 §5.2.1.7), and the verdict said so far forbids it. */
  onlyIfCached(facts: CacheFacts): ProxyResponse
  /** Puts Cache-Status on an answer of the upstream or of our own. */
  label(response: ProxyResponse, facts: CacheFacts): ProxyResponse
}

/** Serves on behalf of the stage. */
export const serving = (options: CacheOptions): Serving => {
  const { clock, shared } = options
  const label = (response: ProxyResponse, facts: CacheFacts): ProxyResponse =>
    labelled(response, facts, options.cacheStatus)

  const serve = (asked: Asked, entry: Entry): ProxyResponse => {
    const { facts, req } = asked
    const now = clock.now()
    entry.hits++
    const age = currentAge(entry, now)
    facts.ageSeconds = Math.floor(age)
    facts.ttlSeconds = Math.floor(lifetime(entry, shared).seconds - age)
    return deliverAs(asked, entry, req.method)
  }

  const deliverAs = (asked: Asked, entry: Entry, method: string): ProxyResponse => {
    const said = cacheStatus(asked.facts, options.cacheStatus)
    const age = asked.facts.ageSeconds ?? Math.floor(currentAge(entry, clock.now()))
    return deliver(entry, method, asked.marks, age, said === undefined ? [] : ['Cache-Status', said])
  }

  const onlyIfCached = (facts: CacheFacts): ProxyResponse => {
    const was = facts.detail === undefined ? facts.reason : `${facts.reason} ${facts.detail}`
    setVerdict(facts, 'miss', 'only-if-cached', was)
    return label(
      plain(504, `revproxy: the client wants only what is cached (only-if-cached), and that is not: ${was}.`),
      facts,
    )
  }

  return { serve, deliverAs, onlyIfCached, label }
}

/** A short answer of our own, in plain text. */
export const plain = (status: number, message: string): ProxyResponse => ({
  status,
  headers: ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'],
  body: Buffer.from(`${message}\n`),
})
