/** The label sets of the HTTP histograms: found without making a string, and bounded in number. */
import type { EndFacts, Exchange, UpstreamFacts } from '../../core/exchange.ts'
import { Buckets, DURATION_BUCKETS, type Labels, SIZE_BUCKETS } from './distributions.ts'
import {
  addressLabels,
  methodNumber,
  methods,
  OTHER,
  seriesKey,
  statusLabels,
  statusNumber,
  type Words,
} from './labels.ts'

/** Label sets of the server's and of the client's histograms; what comes later shares a few coarse ones. */
const MAX_SERIES = 1000

/** What is measured for one set of labels. */
export class Series {
  readonly labels: Labels
  readonly duration = new Buckets(DURATION_BUCKETS)
  readonly responseSize = new Buckets(SIZE_BUCKETS)
  requestSize: Buckets | undefined = undefined

  constructor(labels: Labels) {
    this.labels = labels
  }

  /** Requests without a body are not counted among the sizes. */
  requestBytes(bytes: number): void {
    this.requestSize ??= new Buckets(SIZE_BUCKETS)
    this.requestSize.observe(bytes)
  }
}

/** All series of one side. `G` is what they are grouped by: the route, or the number of the upstream's address. */
class SeriesSet<G> {
  readonly all: Series[] = []
  readonly #byGroup = new Map<G, Map<number, Series>>()
  /** By class of status, for what came when there was no room. */
  readonly #late = new Map<number, Series>()

  find(group: G, key: number): Series | undefined {
    return this.#byGroup.get(group)?.get(key)
  }

  /** The series of a label set that is not there yet; `coarse` says what a late one is labelled with. */
  add(group: G, key: number, status: number, labels: () => Labels, coarse: Labels): Series {
    if (this.all.length >= MAX_SERIES) {
      const statusClass = Math.trunc(status / 100)
      let series = this.#late.get(statusClass)
      if (series === undefined) {
        series = this.#make({ ...coarse, ...statusLabels(statusClass === 0 ? 0 : `${statusClass}xx`) })
        this.#late.set(statusClass, series)
      }
      return series
    }
    const series = this.#make(labels())
    let ofGroup = this.#byGroup.get(group)
    if (ofGroup === undefined) {
      ofGroup = new Map()
      this.#byGroup.set(group, ofGroup)
    }
    ofGroup.set(key, series)
    return series
  }

  #make(labels: Labels): Series {
    const series = new Series(labels)
    this.all.push(series)
    return series
  }
}

/** Series of what clients asked. */
export class ServerSeries {
  readonly #set = new SeriesSet<string>()
  readonly #errors: Words

  constructor(errors: Words) {
    this.#errors = errors
  }

  get all(): readonly Series[] {
    return this.#set.all
  }

  of(exchange: Readonly<Exchange>, end: EndFacts, route: string): Series {
    const status = statusNumber(end.status)
    const method = methodNumber(exchange.method)
    const error = end.error === undefined ? 0 : this.#errors.number(end.error)
    const key = seriesKey(error, status, method, exchange.scheme)
    const known = this.#set.find(route, key)
    if (known !== undefined) return known
    const url_scheme = exchange.scheme === 'https' ? 'https' : 'http'
    const labels = (): Labels => ({
      http_request_method: methods[method]!,
      http_route: route,
      ...statusLabels(status),
      // The semantic conventions: the status where nothing tells more, on the server's side from 500 on.
      ...errorLabel(error === 0 ? undefined : this.#errors.list[error]!, status >= 500, status),
      url_scheme,
    })
    return this.#set.add(route, key, status, labels, {
      http_request_method: methods[0],
      http_route: OTHER,
      url_scheme,
    })
  }
}

/** Series of what was asked of the upstream. */
export class ClientSeries {
  readonly #set = new SeriesSet<number>()
  readonly #errors: Words
  readonly #addresses: Words

  constructor(errors: Words, addresses: Words) {
    this.#errors = errors
    this.#addresses = addresses
  }

  get all(): readonly Series[] {
    return this.#set.all
  }

  of(exchange: Readonly<Exchange>, upstream: UpstreamFacts, error: number): Series {
    const status = statusNumber(upstream.status)
    const method = methodNumber(exchange.method)
    const address = this.#addresses.number(upstream.address)
    const key = seriesKey(error, status, method, 'http')
    const known = this.#set.find(address, key)
    if (known !== undefined) return known
    const labels = (): Labels => ({
      http_request_method: methods[method]!,
      ...statusLabels(status),
      ...addressLabels(this.#addresses.list[address]!),
      // On the client's side a 4xx is an error too.
      ...errorLabel(error === 0 ? undefined : this.#errors.list[error]!, status >= 400, status),
    })
    return this.#set.add(address, key, status, labels, {
      http_request_method: methods[0],
      server_address: OTHER,
    })
  }
}

const errorLabel = (error: string | undefined, failed: boolean, status: number): Labels | undefined => {
  if (error !== undefined) return { error_type: error }
  return failed ? { error_type: String(status) } : undefined
}
