/** The real proxy in this process, with a clock that the test moves. */
import type { TestContext } from 'node:test'
import { type Given, settle } from '../../src/cli/settings.ts'
import type { Clock } from '../../src/core/clock.ts'
import type { Exchange } from '../../src/core/exchange.ts'
import type { OptionName } from '../../src/options.ts'
import { type ProxyDeps, type RunningProxy, startProxy as start } from '../../src/proxy.ts'

/** A clock that runs, and can be moved forward. */
export class MovedClock implements Clock {
  #offset = 0

  now(): number {
    return performance.timeOrigin + performance.now() + this.#offset
  }

  advance(ms: number): void {
    this.#offset += ms
  }
}

/** A proxy under test. */
export interface TestProxy extends RunningProxy {
  readonly url: string
  readonly clock: MovedClock
  /** Exchanges that have ended, in that order. */
  readonly exchanges: Exchange[]
  readonly opened: Exchange[]
  /** What the proxy told the person who runs it. */
  readonly notices: string[]
  advance(ms: number): void
  /** Resolves once the exchanges that ended (or opened) satisfy the condition; rejects after 5 s. */
  until(condition: (ended: readonly Exchange[], opened: readonly Exchange[]) => boolean): Promise<void>
}

/** Options as text, as on the command line; a list for repeatable ones. */
export type TextOptions = Partial<Record<OptionName, string | readonly string[]>>

/** Starts a proxy on a free port of 127.0.0.1; it ends with the test. */
export const startProxy = async (
  t: TestContext,
  texts: TextOptions,
  deps: Partial<ProxyDeps> = {},
): Promise<TestProxy> => {
  const given: Given = {}
  for (const [name, text] of Object.entries({ port: '0', host: '127.0.0.1', admin: 'off', ...texts })) {
    given[name as OptionName] = { name: `--${name}`, texts: typeof text === 'string' ? [text] : text }
  }
  const { options } = settle(given, {})
  const clock = new MovedClock()
  const exchanges: Exchange[] = []
  const opened: Exchange[] = []
  const notices: string[] = []
  const waiting = new Set<() => void>()
  const look = (): void => {
    for (const check of waiting) check()
  }
  const proxy = await start(options, {
    version: 'test',
    clock,
    observers: [
      {
        opened(exchange) {
          opened.push(exchange as Exchange)
          look()
        },
        ended(exchange) {
          exchanges.push(exchange as Exchange)
          look()
        },
      },
    ],
    notices: {
      redisAway: (url, error) => notices.push(`away ${url} ${error}`),
      redisBack: (url) => notices.push(`back ${url}`),
      trace: (sentence) => notices.push(sentence),
      internal: (error) => notices.push(`internal ${(error as Error)?.stack ?? error}`),
    },
    ...deps,
  })
  let closed: Promise<void> | undefined
  const close = (graceMs: number): Promise<void> => {
    closed ??= proxy.close(graceMs)
    return closed
  }
  t.after(() => close(0))
  return {
    ...proxy,
    close,
    url: `http://127.0.0.1:${proxy.port}`,
    clock,
    exchanges,
    opened,
    notices,
    advance: (ms) => clock.advance(ms),
    until: (condition) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          if (!condition(exchanges, opened)) return
          clearInterval(poll)
          clearTimeout(timer)
          waiting.delete(check)
          resolve()
        }
        // Facts written between opening and end are seen by looking again.
        const poll = setInterval(check, 5)
        const timer = setTimeout(() => {
          clearInterval(poll)
          waiting.delete(check)
          reject(new Error('the exchanges did not come to that within 5 s'))
        }, 5000)
        waiting.add(check)
        check()
      }),
  }
}
