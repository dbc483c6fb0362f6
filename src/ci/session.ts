/**
 * A run in CI mode, in the order in which it goes: what is started, waited for and run, and what is expected of the
 * traffic. The proxy itself is the caller's.
 */
import { exitCodes } from '../cli/exit-codes.ts'
import type { Observer } from '../core/types.ts'
import type { ColorLevel } from '../observe/palette.ts'
import { redactor } from '../observe/redact.ts'
import { routes } from '../observe/routes.ts'
import type { Summary } from '../observe/summary.ts'
import { type Options, redactedByDefault } from '../options.ts'
import type { ProcessEnd } from './backend.ts'
import type { Backends } from './backends.ts'
import { bringUp } from './bring-up.ts'
import { type Command, startCommand } from './command.ts'
import { conclude } from './conclude.ts'
import { endEvent, startEvent } from './events.ts'
import { inForeground } from './foreground.ts'
import { harFile } from './har.ts'
import { ledger } from './ledger.ts'
import { prepare } from './prepare.ts'
import type { Exit } from './report.ts'
import { watchSignals } from './signals.ts'
import { statusLine } from './status-line.ts'
import { startWatchdog, type Watchdog } from './watchdog.ts'

/** What a session is made of. */
export interface SessionInput {
  readonly options: Options
  /** The command after `--`. */
  readonly command: readonly string[] | undefined
  readonly env: NodeJS.ProcessEnv
  readonly version: string
  readonly totals: Summary
  readonly color: ColorLevel
  readonly terminal: boolean
  readonly width: () => number | undefined
  /** Takes text for stderr. */
  readonly write: (text: string) => void
  readonly say: (sentence: string) => void
  /** Resolves when what was written so far is out, or has waited for a reader too long. */
  readonly flush: () => Promise<unknown>
  /** Takes an event of `--json`; undefined without it. */
  readonly emit: ((line: string) => void) | undefined
}

/** A session, step by step. */
export interface Session {
  readonly observers: readonly Observer[]
  /** Runs everything while the proxy serves; resolves when the proxy may close. */
  run(proxy: {
    readonly url: string
    readonly adminUrl: string | undefined
    /** Our own CA, for the command to trust. */
    readonly caFile?: string | undefined
  }): Promise<void>
  /** Once the proxy has closed: ends what was started, judges and reports. Gives how the run ended. */
  finish(): Promise<Exit>
  /** The proxy could not be started. */
  cannotStart(code: number): void
  /** A fault of ours: whatever else, this run is not fine. */
  fault(): void
  /** So many requests are in no number: expectations are judged without them. */
  lost(requests: number): void
}

/** A command that is ended because all is decided has so long. */
const COMMAND_GRACE_MS = 5000

/** Checks what can be checked before anything starts. Throws Refused. */
export const session = (input: SessionInput): Session => {
  const { options, command: words, env, say, emit } = input
  const { expectations, firstBaseline } = prepare(options, words, env)
  const redact = redactor({
    names: [...redactedByDefault, ...options.redact],
    enabled: !options['no-redact'],
  })
  const startedAt = new Date()
  const start = performance.now()
  const stop = new AbortController()
  const status = statusLine(input)
  const problems: string[] = []
  const warnings: string[] = []
  let url = ''
  let caFile: string | undefined
  let running: Command | undefined
  let commandEnd: ProcessEnd | undefined
  let commandEnding: Promise<void> | undefined
  let backends: Backends | undefined
  let watchdog: Watchdog | undefined
  let cutShort = false
  let notReached = false
  let faults = 0
  let uncounted = 0

  const books = ledger({
    expectations,
    route: routes({ templates: options.route }),
    onRequest(answered) {
      if (answered >= (options['max-requests'] ?? Number.POSITIVE_INFINITY)) stop.abort()
    },
    onBroken({ text }) {
      // A command that has ended has a code of its own; its last requests take nothing from it.
      if (!options['fail-fast'] || cutShort || commandEnd !== undefined) return
      cutShort = true
      say(`${text} can no longer be met; ending the run (--fail-fast).`)
      commandEnding = running?.tree?.end(COMMAND_GRACE_MS)
      stop.abort()
    },
  })
  const har =
    options.har === undefined
      ? undefined
      : harFile(options.har, {
          redact,
          version: input.version,
          origin: () => url,
          maxBodyBytes: options['har-bodies'],
        })
  const signals = watchSignals({
    onFirst(name) {
      if (running === undefined) stop.abort()
      // A terminal has told the command already.
      else if (name !== 'SIGINT' || !inForeground()) running.signal(name)
    },
    atExit() {
      running?.tree?.killNow()
      backends?.killNow()
    },
  })

  const runCommand = async (given: readonly string[]): Promise<void> => {
    const names = ['REVPROXY_URL', ...options['url-env']]
    let pid: number | undefined
    const trusted = env.NODE_EXTRA_CA_CERTS ?? ''
    if (caFile !== undefined && trusted !== '')
      say(`NODE_EXTRA_CA_CERTS is set already and stays; it has to hold ${caFile} too.`)
    try {
      running = startCommand(given, {
        ...env,
        ...(caFile === undefined || trusted !== '' ? {} : { NODE_EXTRA_CA_CERTS: caFile }),
        ...Object.fromEntries(names.map((name) => [name, url])),
      })
      pid = running.pid
      if (pid !== undefined) watchdog?.watch(pid)
      commandEnd = await running.ended
      await commandEnding
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // The file itself was found before.
      const why = code === 'ENOENT' ? ': the program that its first line names is not there' : ''
      problems.push(`${given[0]} cannot be run (${code ?? error})${why}.`)
      say(problems.at(-1)!)
    }
    if (pid !== undefined) watchdog?.forget(pid)
    running = undefined
    // What the command sent last is still in the sockets: it is read before they close.
    for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  const untilStopped = async (): Promise<void> => {
    const limit = options['exit-after']
    const timer = limit === undefined ? undefined : setTimeout(() => stop.abort(), limit)
    if (!stop.signal.aborted)
      await new Promise<void>((resolve) =>
        stop.signal.addEventListener('abort', () => resolve(), { once: true }),
      )
    clearTimeout(timer)
  }

  return {
    observers: [books.observer, ...(har === undefined ? [] : [har.observer])],
    async run(proxy) {
      url = proxy.url
      caFile = proxy.caFile
      if (words !== undefined || options.start.length > 0) watchdog = startWatchdog()
      const came = await bringUp({
        ...input,
        status,
        watchdog,
        stop: stop.signal,
        onBackends: (started) => {
          backends = started
        },
        problem: (sentence) => void problems.push(sentence),
        warning: (sentence) => void warnings.push(sentence),
      })
      notReached = came === 'late'
      if (came !== 'ready') return
      const { version } = input
      emit?.(
        startEvent({
          version,
          url,
          target: options.target!.display,
          adminUrl: proxy.adminUrl,
          command: words,
        }),
      )
      await (words === undefined ? untilStopped() : runCommand(words))
    },
    async finish() {
      const died = backends?.failed()
      // Where the target was waited for it was said then.
      if (died !== undefined && !notReached) {
        problems.push(died)
        say(died)
      }
      await backends?.end()
      const held = backends?.held() ?? ''
      backends = undefined
      watchdog?.dismiss()
      if (faults > 0)
        problems.push(`${faults} ${faults === 1 ? 'fault' : 'faults'} of the proxy itself; see its output.`)
      if (uncounted > 0)
        warnings.push(
          `Requests that the workers served and no number counts, since this process was held up: ${uncounted}. Expectations are judged without them.`,
        )
      const lacking = await har?.close()
      if (lacking !== undefined) say(lacking)
      // The report would not find room behind what a reader has left lying.
      await input.flush()
      return conclude(
        {
          options,
          env,
          version: input.version,
          ledger: books,
          totals: input.totals,
          redact,
          url,
          startedAt,
          durationMs: performance.now() - start,
          words,
          commandEnd,
          problems,
          warnings,
          firstBaseline,
          held,
          cutShort,
          notReached,
          signalled: signals.came(),
          faults,
          backendDied: died !== undefined,
        },
        { ...input, width: input.width(), write: status.write },
      )
    },
    cannotStart(code) {
      emit?.(endEvent({ code, reason: code === exitCodes.internal ? 'internal-error' : 'cannot-start' }, {}))
    },
    fault() {
      faults++
    },
    lost(requests) {
      uncounted += requests
    },
  }
}
