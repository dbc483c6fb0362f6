/** One run of the proxy: settings, start, signals, summary, exit code. */

import { wantsSession } from '../ci/wants.ts'
import { systemClock } from '../core/clock.ts'
import type { ProxyError } from '../core/errors.ts'
import { FORCE_TTL_MS } from '../core/values.ts'
import { requestLog } from '../observe/log.ts'
import { lostLines } from '../observe/lost-lines.ts'
import { redactor } from '../observe/redact.ts'
import { routes } from '../observe/routes.ts'
import { lineSink } from '../observe/sink.ts'
import { summary } from '../observe/summary.ts'
import { formatSpan } from '../observe/units.ts'
import { type Options, redactedByDefault } from '../options.ts'
import { listenHosts, type RunningProxy, startProxy } from '../proxy.ts'
import { banner } from './banner.ts'
import { colorLevel } from './color.ts'
import { exitCodes } from './exit-codes.ts'
import { isMistake, stackOf, watchFaults } from './faults.ts'
import {
  addressUnavailable,
  adminPortInUse,
  caNotKept,
  full,
  headTooLarge,
  logLost,
  logUnread,
  notHttp,
  notLoopback,
  portForbidden,
  portInUse,
  redisAway,
  redisBack,
  requestsLost,
  speaksTls,
  stopping,
  targetIsSelf,
  tooFewFiles,
  tooSlow,
} from './messages.ts'
import { seldom } from './seldom.ts'
import { type Given, printConfig, settle, UsageError } from './settings.ts'

/** What a run is started with. */
export interface RunInput {
  readonly given: Given
  /** Proxies the built-in demo backend. */
  readonly demo: boolean
  /** Runs that backend and no proxy. */
  readonly backendOnly: boolean
  /** The command after `--`. */
  readonly command?: readonly string[] | undefined
  readonly env: NodeJS.ProcessEnv
  readonly version: string
}

/** Runs until a signal; gives the exit code. Throws UsageError for options that cannot be understood. */
export const settleAndRun = async (input: RunInput): Promise<number> => {
  if (input.backendOnly) return runBackend(input)
  if (!input.demo) return run(input, input.given)
  const { startDemo } = await import('../demo/server.ts')
  const backend = await startDemo()
  try {
    return await run(input, { ...input.given, target: { name: 'demo', texts: [backend.url] } })
  } finally {
    await backend.close()
  }
}

const runBackend = async ({ given, env }: RunInput): Promise<number> => {
  const { options } = settle(
    {
      port: { name: undefined, texts: ['3000'] },
      ...given,
      target: { name: 'demo', texts: ['http://localhost'] },
    },
    env,
  )
  const { startDemo } = await import('../demo/server.ts')
  let backend: Awaited<ReturnType<typeof startDemo>>
  try {
    backend = await startDemo({ port: options.port, host: options.host ?? '127.0.0.1' })
  } catch (error) {
    return cannotStart(error, options)
  }
  process.stderr.write(`revproxy: the demo backend listens on ${backend.url}\n`)
  const code = await signal()
  await backend.close()
  return code
}

/** Resolves with the exit code of the first signal; a second one ends the process at once. */
const signal = (): Promise<number> =>
  new Promise((resolve) => {
    let first = true
    const on = (code: number) => () => {
      if (!first) process.exit(code)
      first = false
      resolve(code)
    }
    process.on('SIGINT', on(exitCodes.interrupted))
    process.on('SIGTERM', on(exitCodes.terminated))
  })

/** Whether requests would go to where this proxy listens, and from there once more, without end. */
const isItself = (options: Options): boolean => {
  const { hostname, port, socketPath } = options.target!
  if (port !== options.port || socketPath !== undefined) return false
  const isHere = (host: string): boolean => /^(?:localhost|127\.[\d.]+|::1)$/.test(host)
  return listenHosts(options).some(
    (host) =>
      host === hostname ||
      (hostname === 'localhost' && isHere(host)) ||
      ((host === '0.0.0.0' || host === '::') && isHere(hostname)),
  )
}

/** So long a report waits for a reader that has fallen behind. */
const REPORT_ROOM_MS = 2000

const run = async ({ env, version, demo, command }: RunInput, written: Given): Promise<number> => {
  // A command is told the port; whoever runs several of these at once wants a free one each.
  const given = command === undefined ? written : { port: { name: undefined, texts: ['0'] }, ...written }
  const { options, origins } = settle(given, env)
  if (options['print-config']) {
    process.stdout.write(printConfig(origins))
    return exitCodes.fine
  }
  if (isItself(options)) throw new UsageError(targetIsSelf(options.target!.display))
  const clock = systemClock()
  // With a command stdout is the command's.
  const outStream = command === undefined ? process.stdout : process.stderr
  const stdoutColor = colorLevel({ option: options.color, env, isTTY: outStream.isTTY === true })
  // Colours that are asked for where there is no terminal (`--color always | less -R`) are for the request lines too.
  const pretty = outStream.isTTY === true || stdoutColor > 0
  const format = options.json ? 'json' : (options.log ?? (pretty ? 'pretty' : 'plain'))
  const notice = lostLines(format)
  const err = lineSink(process.stderr, { notice: command === undefined ? () => '' : notice })
  const out =
    command === undefined
      ? lineSink(process.stdout, {
          notice,
          onFailure: ({ code = '' }) => say(code === 'EPIPE' ? logUnread() : logLost(code)),
        })
      : err
  const stderrColor = colorLevel({ option: options.color, env, isTTY: process.stderr.isTTY === true })
  const say = (sentence: string): void => err.write(`revproxy: ${sentence}\n`)
  const totals = summary({ clock })
  const route = routes({ templates: options.route })
  const log =
    format === 'off'
      ? undefined
      : requestLog({
          format,
          color: stdoutColor,
          slowMs: options.slow,
          verbose: options.verbose > 0,
          quiet: options.quiet,
          redact: redactor({
            names: [...redactedByDefault, ...options.redact],
            enabled: !options['no-redact'],
          }),
          width: () => outStream.columns,
          write: out.write,
          clock,
          filter: options.filter,
          route,
        })
  const ci = wantsSession(options, command)
    ? (await import('../ci/session.ts')).session({
        options,
        command,
        env,
        version,
        totals,
        color: stderrColor,
        terminal: process.stderr.isTTY === true,
        width: () => process.stderr.columns,
        write: err.write,
        say,
        flush: () => Promise.all([out.flush(REPORT_ROOM_MS), err.flush(REPORT_ROOM_MS)]),
        emit: format === 'json' ? out.write : undefined,
      })
    : undefined
  const faults = watchFaults({ say, count: () => ci?.fault() })
  const guests = seldom(say)
  const ended = ci === undefined ? signal() : undefined
  let proxy: RunningProxy
  const start =
    options.workers === 1
      ? startProxy
      : async (...[, deps]: Parameters<typeof startProxy>) =>
          (await import('../cluster/primary.ts')).startCluster(options, {
            ...deps,
            program: { path: process.argv[1]!, args: [] },
            given: (port) => ({ ...given, port: { name: '--port', texts: [String(port)] } }),
            say,
            onLost(requests) {
              if (log !== undefined) out.lose(requests)
              ci?.lost(requests)
              say(requestsLost(requests))
            },
            onFatal: (sentence) => void endNow(sentence),
          })
  const endNow = async (sentence: string): Promise<void> => {
    say(sentence)
    await Promise.all([out.flush(500), err.flush(500)])
    process.exit(exitCodes.cannotStart)
  }
  try {
    proxy = await start(options, {
      version,
      clock,
      observers: [...(log === undefined ? [] : [log]), totals.observer, ...(ci?.observers ?? [])],
      linesDropped: out.dropped,
      route,
      notices: {
        redisAway: (url, error) => say(redisAway(url, 1, error)),
        redisBack: (url) => say(redisBack(url)),
        trace: say,
        internal: faults.met,
        malformed: (client, error) => guests.say(unreadable(client, error)),
        full: (client, max) => guests.say(full(client, max)),
        tooFewFiles: (max, enough) => say(tooFewFiles(max, enough)),
      },
    })
  } catch (error) {
    const code = cannotStart(error, options)
    ci?.cannotStart(code)
    await out.flush(500)
    return code
  }
  faults.started()
  const facts = shown(options, proxy)
  if (!options.quiet)
    err.write(
      banner({
        ...facts,
        color: stderrColor,
        width: process.stderr.columns,
        demo: demo && command === undefined,
      }),
    )
  if (options.host !== undefined && !/^(?:127\.|::1$|localhost$)/.test(options.host))
    say(notLoopback(options.host))

  await ci?.run({ url: facts.urls[0]!, adminUrl: proxy.adminUrl, caFile: proxy.caFile })
  const code = await ended
  await proxy.caughtUp?.()
  if (proxy.active() > 0) say(stopping(proxy.active()))
  await proxy.close(options.drain)
  log?.flush()
  guests.flush()
  faults.flush()
  if (ci === undefined) {
    await out.flush(500)
    err.write(`\n${totals.text({ color: stderrColor, width: process.stderr.columns })}`)
  }
  const exit = await ci?.finish()
  await out.flush(500)
  await err.flush(500)
  return exit?.code ?? code ?? exitCodes.fine
}

/** What is told of a client that could not be understood. */
const unreadable = (client: string, { status, message, cause }: ProxyError): string => {
  const { code = message } = (cause ?? {}) as NodeJS.ErrnoException
  if (code === 'TLS_HELLO') return speaksTls(client)
  if (status === 431) return headTooLarge(client)
  return status === 408 ? tooSlow(client) : notHttp(client, code, status)
}

const shown = (options: Options, proxy: RunningProxy) => {
  const host =
    options.host === undefined || ['127.0.0.1', '::1', 'localhost'].includes(options.host)
      ? 'localhost'
      : options.host
  const urls = [`${proxy.scheme}://${host.includes(':') ? `[${host}]` : host}:${proxy.port}`]
  const redis = options.cache.flatMap((backend) => (backend.kind === 'redis' ? [backend.url] : []))
  const all = options['force-private'] ? '' : ', but none with Authorization or Set-Cookie'
  const mode =
    options['cache-mode'] === 'force'
      ? `, every GET and HEAD 2xx for ${formatSpan(options.ttl ?? FORCE_TTL_MS)} by force, over no-store, private, no-cache and the like${all}`
      : ''
  const memory = `memory, ${bound(options['cache-size'])}`
  const kind = redis.length > 0 ? redis.join(' ') : options.cache[0]?.kind === 'off' ? 'off' : memory
  const { rate } = options
  const by = options['rate-by']
  return {
    urls,
    target: options.target!.display,
    cache: kind + (kind === 'off' ? '' : mode),
    rate:
      rate === undefined
        ? undefined
        : `${rate.requests} per ${span(rate.windowMs)} by ${by.kind === 'header' ? by.name : by.kind}${options['rate-mode'] === 'delay' ? ', delayed' : ''}`,
    concurrency: options.concurrency,
    trace: options.trace.flatMap((endpoint) =>
      endpoint === undefined
        ? []
        : [endpoint.kind === 'jaeger-agent' ? `jaeger://${endpoint.host}:${endpoint.port}` : endpoint.url],
    ),
    caFile: proxy.caFile,
    metricsPath: options.metrics,
    adminUrl: proxy.adminUrl,
    traceReceiverUrl: proxy.traceReceiverUrl,
  }
}

/** A size in the units in which it is given, 1024-based. */
const bound = (bytes: number): string => {
  const unit = bytes < 1024 ? 0 : bytes < 1024 ** 2 ? 1 : bytes < 1024 ** 3 ? 2 : 3
  return `${Math.round((bytes / 1024 ** unit) * 10) / 10} ${['B', 'KB', 'MB', 'GB'][unit]}`
}

const span = (ms: number): string => {
  const names: Array<[number, string]> = [
    [86_400_000, 'day'],
    [3_600_000, 'hour'],
    [60_000, 'minute'],
    [1000, 'second'],
  ]
  for (const [unit, name] of names) if (ms % unit === 0) return ms === unit ? name : `${ms / unit} ${name}s`
  return `${ms} ms`
}

const cannotStart = (error: unknown, options: Options): number => {
  if (isMistake(error)) {
    process.stderr.write(`revproxy: cannot start, by a fault of its own: ${stackOf(error)}\n`)
    return exitCodes.internal
  }
  const { caFolder, code, listener, message } = error as NodeJS.ErrnoException & {
    readonly listener?: string
    readonly caFolder?: string
  }
  const admin = listener === 'admin'
  const port = admin ? (options.admin?.port ?? 0) : options.port
  const sentence =
    caFolder !== undefined
      ? caNotKept(caFolder, code ?? message)
      : code === 'EADDRINUSE'
        ? admin
          ? adminPortInUse(port)
          : portInUse(port)
        : code === 'EACCES'
          ? portForbidden(port)
          : code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
            ? addressUnavailable((admin ? options.admin?.host : options.host) ?? '')
            : `cannot start: ${message}.`
  process.stderr.write(`revproxy: ${sentence}\n`)
  return exitCodes.cannotStart
}
