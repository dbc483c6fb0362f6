import type { Clock } from '../core/clock.ts'
import type { Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import type { Filter } from './filter.ts'
import { folding } from './fold.ts'
import { jsonLine } from './json-line.ts'
import { logfmtLine } from './logfmt-line.ts'
import type { ColorLevel } from './palette.ts'
import type { Redactor } from './redact.ts'
import { localSpans } from './spans.ts'
import { textLine } from './text-line.ts'
import { type EndedExchange, endless } from './timing.ts'
import { failed } from './verdict.ts'
import { waterfall } from './waterfall.ts'

/** How a request log is written. */
export interface RequestLogOptions {
  /** `pretty`: for a terminal, kept within its width; `plain`: the same words, uncoloured and uncut; `json`, `logfmt`. */
  readonly format: 'pretty' | 'plain' | 'json' | 'logfmt'
  readonly color: ColorLevel
  /** Requests that took at least so long are marked. */
  readonly slowMs: number
  /** Shows the fields of each request and answer too, and in `pretty` where its time went. */
  readonly verbose: boolean
  /** Shows only what failed. */
  readonly quiet?: boolean
  /** Shows only what passes. */
  readonly filter?: Filter | undefined
  /** Names the route of an exchange, for the filter and the waterfall. */
  readonly route?: ((exchange: Readonly<Exchange>) => string) | undefined
  readonly redact: Redactor
  /** Columns of the terminal, undefined where there is none. */
  readonly width: () => number | undefined
  /** Takes one or more whole lines, each with its line end. */
  readonly write: (text: string) => void
  readonly clock: Clock
}

/** An observer, and what it still has to say. */
export interface RequestLog extends Observer {
  /** Writes what is held back: how often the last line was repeated. */
  flush(): void
}

/**
 * One line for each exchange that ends, a refresh behind a stale answer too; the time is that of its end. For people,
 * failures that repeat themselves are folded into the first.
 */
export const requestLog = (options: RequestLogOptions): RequestLog => {
  const { slowMs, clock, quiet = false, filter, route = wholePath, verbose, format } = options
  const render = renderer(options, route)
  const forPeople = format === 'pretty' || format === 'plain'
  const { write, flush } = folding({ write: options.write, enabled: forPeople && !verbose })
  return {
    ended(exchange) {
      const ended = exchange.ended ?? { at: clock.now(), status: 0, bytes: 0 }
      if (quiet && !failed(ended)) return
      const durationMs = Math.max(0, ended.at - exchange.startedAt)
      if (filter !== undefined && !filter({ exchange, durationMs, route })) return
      const over = { exchange, ended, durationMs, slow: durationMs >= slowMs && !endless(exchange) }
      write(over, render)
    },
    flush,
  }
}

const wholePath = ({ url }: Readonly<Exchange>): string => url.split('?', 1)[0]!

const renderer = (
  options: RequestLogOptions,
  route: (exchange: Readonly<Exchange>) => string,
): ((over: EndedExchange) => string) => {
  const { format, redact, color } = options
  if (format === 'json') return jsonLine(options)
  if (format === 'logfmt') return logfmtLine(options)
  const drawn = (exchange: Readonly<Exchange>, width: number): string =>
    waterfall(localSpans(exchange, { route, redactUrl: redact.url }), { width, color })
  return textLine({ ...options, format, waterfall: format === 'pretty' ? drawn : undefined })
}
