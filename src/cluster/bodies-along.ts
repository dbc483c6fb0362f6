/** The bodies of a batch of exchanges, as bytes behind its text: as JSON they would cost more than all else. */
import type { BodyCopy, Exchange } from '../core/exchange.ts'

/** Where a body stands. Plain JSON. */
interface BodyPlace {
  readonly at: number
  readonly length: number
  readonly whole: boolean
}

/** Where the bodies of an exchange stand. */
export interface BodyPlaces {
  readonly request?: BodyPlace | undefined
  readonly response?: BodyPlace | undefined
}

const EMPTY = Buffer.alloc(0)

/** Bodies of a batch that is being made. */
export class BodiesAlong {
  readonly #pieces: Buffer[] = []
  #bytes = 0

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes
  }

  /** Takes what was kept of an exchange's bodies. */
  add({ request, response }: NonNullable<Exchange['copies']>): BodyPlaces {
    return { request: this.#add(request), response: this.#add(response) }
  }

  /** The text, and the bodies behind it. */
  after(text: Buffer): Buffer {
    return this.#pieces.length === 0 ? text : Buffer.concat([text, ...this.#pieces])
  }

  #add(copy: BodyCopy | undefined): BodyPlace | undefined {
    if (copy === undefined) return undefined
    const { bytes, whole } = copy.take()
    const at = this.#bytes
    this.#pieces.push(bytes)
    this.#bytes += bytes.length
    return { at, length: bytes.length, whole }
  }
}

/** Bodies of an exchange among those of its batch. */
export const bodiesOf = (places: BodyPlaces | undefined, along: Buffer): Exchange['copies'] =>
  places && { request: copyOf(places.request, along), response: copyOf(places.response, along) }

const copyOf = (place: BodyPlace | undefined, along: Buffer): BodyCopy | undefined => {
  if (place === undefined) return undefined
  const { at, length, whole } = place
  let bytes = along.subarray(at, at + length)
  return {
    take() {
      const taken = { bytes, whole }
      bytes = EMPTY
      return taken
    },
  }
}
