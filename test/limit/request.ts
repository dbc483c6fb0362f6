/** Requests and clocks for tests of a stage alone. */
import type { TestContext } from 'node:test'
import { Cancel } from '../../src/core/cancel.ts'
import type { Clock } from '../../src/core/clock.ts'
import { Exchange } from '../../src/core/exchange.ts'
import type { Fields, ProxyRequest } from '../../src/core/types.ts'
import { firstValue } from '../../src/http/fields.ts'

let exchanges = 0

/** A GET by some client. */
export const request = (
  from: { address?: string; host?: string; headers?: Fields; cancel?: Cancel } = {},
): ProxyRequest => {
  const headers = from.headers ?? []
  return {
    method: 'GET',
    url: '/',
    headers,
    body: undefined,
    cancel: from.cancel ?? new Cancel(),
    exchange: new Exchange({
      id: ++exchanges,
      cause: 'client',
      method: 'GET',
      url: '/',
      host: from.host ?? 'localhost:8080',
      scheme: 'http',
      clientAddress: from.address ?? '192.0.2.1',
      httpVersion: '1.1',
      startedAt: Date.now(),
      requestHeaders: headers,
    }),
  }
}

/** The clock that mocked timers move. */
export const dateClock: Clock = { now: () => Date.now() }

/** Mocked Date and setTimeout, and a function that moves them and lets everything due happen. */
export const mockedTime = (t: TestContext): ((ms: number) => Promise<void>) => {
  t.mock.timers.enable({ apis: ['Date', 'setTimeout'], now: Date.UTC(2026, 0, 1) })
  return async (ms) => {
    for (let i = 0; i < ms; i++) {
      t.mock.timers.tick(1)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** Values of the fields a limited answer carries. */
export const limitView = (headers: Fields): (string | undefined)[] =>
  ['ratelimit-policy', 'ratelimit', 'retry-after'].map((name) => firstValue(headers, name))
