import type { Exchange } from '../core/exchange.ts'
import type { Observer } from '../core/types.ts'
import type { TraceEndpoint } from '../core/values.ts'
import { type SpanOptions, type SpanRecord, spansOf } from '../observe/spans.ts'
import { randomHex } from './context.ts'
import { within } from './deadline.ts'
import { closedFirst, type Delivery, QUEUE_SPANS, queueFull, type SpanExporter } from './exporter.ts'

/** A standing problem is told again after that long. */
const TELL_EVERY_MS = 60_000

/** What sending spans takes. */
export interface TraceExporterOptions {
  readonly endpoints: readonly TraceEndpoint[]
  readonly serviceName: string
  readonly route: SpanOptions['route']
  readonly redactUrl: SpanOptions['redactUrl']
  readonly upstreamUrl?: string | undefined
  /** Must not throw. Told a sentence, at most once a minute and endpoint, and once more when the endpoint takes spans again. */
  readonly onProblem: (sentence: string) => void
  /** Monotonic ms, for `TELL_EVERY_MS`. */
  readonly now?: () => number
  /** Makes the exporter of an endpoint; by default loads what it takes. */
  readonly open?: (endpoint: TraceEndpoint, serviceName: string, delivery: Delivery) => Promise<SpanExporter>
}

/** The running export of spans. */
export interface TraceExporters {
  /** Builds the spans of each sampled exchange that ends and hands them on. Never throws, never waits. */
  readonly observer: Observer
  /** Spans that an endpoint did not get, over all endpoints. */
  dropped(): number
  /** Spans that an endpoint took, over all endpoints; over UDP, that were sent. */
  exported(): number
  /** Sends what is waiting, for at most `deadlineMs`; the rest is dropped. Never rejects. */
  close(deadlineMs: number): Promise<void>
}

/** Sends the spans of sampled exchanges to every endpoint. Loading begins at once, and what ends meanwhile is kept. */
export const traceExporters = (options: TraceExporterOptions): TraceExporters => {
  const lanes = options.endpoints.map((endpoint) => new Lane(endpoint, options))
  const spanOptions: SpanOptions = { ...options, spanId: () => randomHex(16) }
  return {
    observer: {
      ended(exchange: Readonly<Exchange>) {
        if (exchange.trace?.sampled !== true || exchange.ended === undefined) return
        try {
          const spans = spansOf(exchange, spanOptions)
          for (const lane of lanes) lane.add(spans)
        } catch (error) {
          for (const lane of lanes) lane.lost(1, `a span could not be made: ${error}`)
        }
      },
    },
    dropped: () => lanes.reduce((sum, { dropped }) => sum + dropped, 0),
    exported: () => lanes.reduce((sum, { exported }) => sum + exported, 0),
    close: async (deadlineMs) => {
      await Promise.all(lanes.map((lane) => lane.close(deadlineMs)))
    },
  }
}

const openExporter: NonNullable<TraceExporterOptions['open']> = async (endpoint, serviceName, delivery) => {
  if (endpoint.kind === 'otlp') {
    const { otlpExporter } = await import('./otlp.ts')
    return otlpExporter(endpoint.url, { serviceName, delivery })
  }
  const { jaegerExporter } = await import('./jaeger.ts')
  return jaegerExporter(endpoint, { serviceName, delivery })
}

/** One endpoint: what waits for its exporter to load, what became of its spans, and when that was told last. */
class Lane implements Delivery {
  dropped = 0
  exported = 0
  readonly #place: string
  readonly #options: TraceExporterOptions
  readonly #opening: Promise<void>
  #exporter: SpanExporter | undefined
  /** Why there is no exporter and never will be. */
  #refusal: string | undefined
  #early: SpanRecord[] = []
  #toldAt: number | undefined
  #toldDown = false

  constructor(endpoint: TraceEndpoint, options: TraceExporterOptions) {
    this.#place = shownEndpoint(endpoint)
    this.#options = options
    const { open = openExporter } = options
    this.#opening = open(endpoint, options.serviceName, this).then(
      (exporter) => {
        // Closed while loading.
        if (this.#refusal !== undefined) return void exporter.close(0)
        this.#exporter = exporter
        this.#giveEarly((spans) => exporter.add(spans))
      },
      (error: unknown) => {
        if (this.#refusal !== undefined) return
        this.#refusal = error instanceof Error ? error.message : String(error)
        this.#tell(this.#refusal)
        this.#giveEarly(({ length }) => this.lost(length, this.#refusal!))
      },
    )
  }

  add(spans: readonly SpanRecord[]): void {
    if (this.#exporter !== undefined) this.#exporter.add(spans)
    else if (this.#refusal !== undefined) this.lost(spans.length, this.#refusal)
    else {
      const room = QUEUE_SPANS - this.#early.length
      this.#early.push(...(spans.length > room ? spans.slice(0, room) : spans))
      if (spans.length > room) this.lost(spans.length - room, queueFull)
    }
  }

  sent(spans: number): void {
    this.exported += spans
    if (!this.#toldDown) return
    this.#toldDown = false
    this.#options.onProblem(`${this.#place} takes spans again. ${count(this.dropped)} lost.`)
  }

  lost(spans: number, why: string): void {
    this.dropped += spans
    this.#tell(why)
  }

  refused(spans: number, why: string): void {
    this.dropped += spans
    this.#tell(why, 'refuses spans')
  }

  async close(deadlineMs: number): Promise<void> {
    const startedAt = performance.now()
    if (this.#exporter === undefined && this.#refusal === undefined) await within(deadlineMs, this.#opening)
    if (this.#exporter !== undefined) {
      await this.#exporter.close(Math.max(0, deadlineMs - (performance.now() - startedAt)))
    } else if (this.#refusal === undefined) {
      this.#refusal = closedFirst
      this.#giveEarly(({ length }) => this.lost(length, closedFirst))
    }
  }

  #giveEarly(to: (spans: readonly SpanRecord[]) => void): void {
    const early = this.#early
    this.#early = []
    if (early.length > 0) to(early)
  }

  #tell(why: string, what = 'takes no spans'): void {
    const now = (this.#options.now ?? (() => performance.now()))()
    if (this.#toldAt !== undefined && now - this.#toldAt < TELL_EVERY_MS) return
    this.#toldAt = now
    this.#toldDown ||= what === 'takes no spans'
    const so = this.dropped === 0 ? '' : ` ${count(this.dropped)} lost so far.`
    this.#options.onProblem(`${this.#place} ${what}: ${why}${/[.?!]$/.test(why) ? '' : '.'}${so}`)
  }
}

const count = (spans: number): string => `${spans} ${spans === 1 ? 'span' : 'spans'}`

/** The endpoint as it may be shown: without user, password and query. */
export const shownEndpoint = (endpoint: TraceEndpoint): string => {
  if (endpoint.kind === 'jaeger-agent') {
    const { host, port } = endpoint
    return `jaeger://${host.includes(':') ? `[${host}]` : host}:${port}`
  }
  const { origin, pathname } = new URL(endpoint.url)
  return origin + pathname
}
