/** Whether Redis and the places that spans go to are there. */
import { createSocket } from 'node:dgram'
import { connect as overTcp, type Socket } from 'node:net'
import { connect as overTls } from 'node:tls'
import type { CacheBackend, TraceEndpoint } from '../../core/values.ts'
import { redactor } from '../../observe/redact.ts'
import { formatDuration } from '../../observe/units.ts'
import { type Finding, fine, notice, wrong } from './check.ts'

const DEADLINE_MS = 3000
const shown = redactor({ names: [], enabled: true }).url

/** Each Redis that `--cache` names. */
export const redisFindings = (caches: readonly CacheBackend[], timeoutMs: number): Promise<Finding[]> =>
  Promise.all(caches.flatMap((cache) => (cache.kind === 'redis' ? [redisFinding(cache.url, timeoutMs)] : [])))

const redisFinding = async (given: string, timeoutMs: number): Promise<Finding> => {
  const url = new URL(given)
  const where = shown(given)
  try {
    const { answer, ms } = await ping(url)
    if (/NOAUTH|WRONGPASS/.test(answer)) {
      return wrong(
        'redis',
        `${where} wants a password: ${answer.slice(1)}.`,
        'redis://user:password@host:port',
      )
    }
    if (!answer.startsWith('+PONG'))
      return wrong('redis', `${where} answers ${answer.slice(0, 80)}.`, 'Is it Redis?')
    if (ms > timeoutMs / 2) {
      return notice(
        'redis',
        `${where} answers in ${formatDuration(ms)}.`,
        `That is near --cache-timeout (${formatDuration(timeoutMs)}): slower answers are misses. Raise it, or use a Redis nearer by.`,
      )
    }
    return fine('redis', `${where} answers in ${formatDuration(ms)}.`)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return wrong(
      'redis',
      `${where} does not answer (${code ?? message}).`,
      'Start it (docker run -p 6379:6379 redis), or leave --cache out; without it requests are served uncached.',
    )
  }
}

/** One PING, after AUTH where the URL has a password (https://redis.io/docs/reference/protocol-spec). */
const ping = (url: URL): Promise<{ answer: string; ms: number }> =>
  new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const port = url.port === '' ? 6379 : Number(url.port)
    const socket: Socket =
      url.protocol === 'rediss:' ? overTls({ host, port, servername: host }) : overTcp({ host, port })
    const word = (text: string): string => `$${Buffer.byteLength(text)}\r\n${text}\r\n`
    const call = (...words: string[]): string => `*${words.length}\r\n${words.map(word).join('')}`
    const credentials = [url.username, url.password].filter((part) => part !== '').map(decodeURIComponent)
    let sentAt = 0
    let pinged = credentials.length === 0
    socket.setTimeout(DEADLINE_MS, () =>
      socket.destroy(Object.assign(new Error('silent'), { code: 'TIMEOUT' })),
    )
    socket.on('error', reject)
    socket.on(url.protocol === 'rediss:' ? 'secureConnect' : 'connect', () => {
      sentAt = performance.now()
      socket.write(pinged ? call('PING') : call('AUTH', ...credentials))
    })
    socket.on('data', (chunk) => {
      const answer = chunk.toString().trim()
      if (!pinged && answer.startsWith('+')) {
        pinged = true
        sentAt = performance.now()
        socket.write(call('PING'))
        return
      }
      socket.destroy()
      resolve({ answer, ms: performance.now() - sentAt })
    })
  })

/** Each place that `--trace` names. */
export const traceFindings = (endpoints: ReadonlyArray<TraceEndpoint | undefined>): Promise<Finding[]> =>
  Promise.all(
    endpoints.flatMap((endpoint) => {
      if (endpoint === undefined) return []
      return [
        endpoint.kind === 'jaeger-agent' ? agentFinding(endpoint.host, endpoint.port) : httpFinding(endpoint),
      ]
    }),
  )

const httpFinding = async (endpoint: Exclude<TraceEndpoint, { kind: 'jaeger-agent' }>): Promise<Finding> => {
  const where = shown(endpoint.url)
  const otlp = endpoint.kind === 'otlp'
  try {
    const { status } = await fetch(endpoint.url, {
      method: 'POST',
      headers: { 'content-type': otlp ? 'application/json' : 'application/x-thrift' },
      body: otlp ? '{"resourceSpans":[]}' : '',
      signal: AbortSignal.timeout(DEADLINE_MS),
    })
    // An empty batch is no batch to Jaeger's collector: it says 400, and so that it is there.
    if (status < 300 || (!otlp && status === 400)) return fine('trace', `${where} takes spans.`)
    return wrong(
      'trace',
      `${where} answers ${status} to spans.`,
      otlp
        ? 'OTLP over HTTP is at port 4318, path /v1/traces, mostly.'
        : 'The collector takes them at :14268/api/traces.',
    )
  } catch (error) {
    const cause = (error as { cause?: NodeJS.ErrnoException }).cause?.code ?? (error as Error).name
    return wrong(
      'trace',
      `${where} does not answer (${cause}).`,
      'Is the collector running? Spans are lost without it; requests are served all the same.',
    )
  }
}

/** UDP says nothing when all is well; a closed port is told by the system where it is on this machine. */
const agentFinding = (host: string, port: number): Promise<Finding> =>
  new Promise((resolve) => {
    const where = `jaeger://${host}:${port}`
    const advice = 'Is the agent running? Newer Jaegers have none: use http://host:4318.'
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
    const settle = (finding: Finding): void => {
      clearTimeout(timer)
      socket.close()
      resolve(finding)
    }
    const timer = setTimeout(
      () => settle(notice('trace', `${where} is UDP: nothing says whether anybody listens.`, advice)),
      500,
    )
    socket.once('error', (error: NodeJS.ErrnoException) =>
      settle(wrong('trace', `${where} does not listen (${error.code}).`, advice)),
    )
    socket.connect(port, host, () => {
      socket.send(Buffer.from('\n'))
      setTimeout(() => socket.send(Buffer.from('\n'), () => {}), 100).unref()
    })
  })
