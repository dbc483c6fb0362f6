/** Passes OTLP messages of others on to our endpoints, byte for byte. Bounded; what cannot be sent is counted and told. */
import { within } from './deadline.ts'
import { ANSWER_MS } from './exporter.ts'
import { answerReason, failureReason } from './failure.ts'

/** Messages on their way, over all endpoints; what comes beyond is dropped. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024
const TELL_EVERY_MS = 60_000

/** A message as it came. */
export interface Message {
  /** `traces`, `metrics` or `logs`. */
  readonly signal: string
  readonly contentType: string
  readonly contentEncoding: string | undefined
  readonly body: Buffer
  /** Spans in it. */
  readonly spans: number
}

/** A running relay. */
export interface Relay {
  /** Never throws, never waits. */
  pass(message: Message): void
  /** Spans that an endpoint did not get, over all endpoints. */
  dropped(): number
  /** Lets what is on its way arrive, for at most `deadlineMs`. Never rejects. */
  close(deadlineMs: number): Promise<void>
}

/** Passes on to these URLs of `…/v1/traces`; `onProblem` is told a sentence, at most once a minute and endpoint. */
export const relay = ({
  urls,
  onProblem,
  env = process.env,
}: {
  urls: readonly string[]
  onProblem: (sentence: string) => void
  env?: NodeJS.ProcessEnv
}): Relay => {
  const headers = headersOf(env)
  const underWay = new Set<Promise<void>>()
  const ending = new AbortController()
  const toldAt = new Map<string, number>()
  let bytes = 0
  let dropped = 0

  const lost = (url: string, { spans, signal }: Message, why: string): void => {
    dropped += spans
    const last = toldAt.get(url)
    if (last !== undefined && performance.now() - last < TELL_EVERY_MS) return
    toldAt.set(url, performance.now())
    const { origin, pathname } = new URL(url)
    onProblem(`${origin}${pathname} does not take the ${signal} of the upstream that are passed on: ${why}.`)
  }
  const send = async (url: string, message: Message): Promise<void> => {
    const { contentType, contentEncoding, body } = message
    try {
      const response = await fetch(url, {
        method: 'POST',
        body: new Uint8Array(body),
        headers: {
          ...headers,
          'content-type': contentType,
          ...(contentEncoding === undefined ? {} : { 'content-encoding': contentEncoding }),
        },
        signal: AbortSignal.any([AbortSignal.timeout(ANSWER_MS), ending.signal]),
      })
      await response.body?.cancel()
      if (!response.ok) lost(url, message, answerReason(response.status))
    } catch (error) {
      lost(url, message, failureReason((error as Error).cause ?? error))
    }
  }
  return {
    pass(message) {
      for (const base of urls) {
        const url = base.replace(/\/v1\/traces$/, `/v1/${message.signal}`)
        if (url === base && message.signal !== 'traces') continue
        if (ending.signal.aborted || bytes + message.body.length > MAX_WAITING_BYTES) {
          lost(url, message, 'more than 16 MB are waiting for it')
          continue
        }
        bytes += message.body.length
        const sending = send(url, message).finally(() => {
          bytes -= message.body.length
          underWay.delete(sending)
        })
        underWay.add(sending)
      }
    },
    dropped: () => dropped,
    async close(deadlineMs) {
      await within(deadlineMs, Promise.all(underWay))
      ending.abort()
    },
  }
}

/** OpenTelemetry, "Protocol Exporter": `key=value` between commas, percent-encoded. */
const headersOf = (env: NodeJS.ProcessEnv): Record<string, string> => {
  const given = env.OTEL_EXPORTER_OTLP_TRACES_HEADERS || env.OTEL_EXPORTER_OTLP_HEADERS || ''
  const headers: Record<string, string> = {}
  for (const member of given.split(',')) {
    const at = member.indexOf('=')
    const name = member.slice(0, Math.max(0, at)).trim()
    if (!/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) continue
    const value = member.slice(at + 1).trim()
    try {
      headers[name] = decodeURIComponent(value)
    } catch {
      // Not percent-encoded after all.
      headers[name] = value
    }
  }
  return headers
}
