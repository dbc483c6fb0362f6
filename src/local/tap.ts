/**
 * Keeps the beginning of the bodies of each exchange, for the log (`-vv`). It listens once somebody else does, and so
 * never makes a body flow: nothing is read earlier, later or by more at once. Absent from the chain where nobody looks.
 */
import type { Readable } from 'node:stream'
import type { BodySample } from '../core/exchange.ts'
import type { Stage } from '../core/types.ts'
import { textKind } from '../http/media-type.ts'

/** What is kept of a body; a log is no place for more. */
export const KEPT_BYTES = 4096

/** Notes bodies that are text on the exchange; of others the size and the type are there already. */
export const tap: Stage = (next) => (req) => {
  const bodies: NonNullable<typeof req.exchange.bodies> = {}
  req.exchange.bodies = bodies
  if (req.body !== undefined && textKind(req.headers) !== undefined) {
    bodies.request = { kept: [], keptBytes: 0 }
    sample(req.body, bodies.request)
  }
  return next(req).then((response) => {
    const { body, headers } = response
    if (textKind(headers) !== undefined) {
      bodies.response = { kept: [], keptBytes: 0 }
      if (Buffer.isBuffer(body)) add(bodies.response, body)
      else sample(body, bodies.response)
    }
    return response
  })
}

const sample = (body: Readable, to: BodySample): void => {
  const onListener = (event: string | symbol): void => {
    if (event !== 'data') return
    body.off('newListener', onListener)
    body.on('data', (chunk: Buffer) => add(to, chunk))
  }
  body.on('newListener', onListener)
}

/** Copies: a part of a buffer would keep the whole in memory. */
const add = (to: BodySample, chunk: Buffer): void => {
  const room = KEPT_BYTES - to.keptBytes
  if (room <= 0 || chunk.length === 0) return
  const copy = Buffer.from(chunk.subarray(0, room))
  to.kept.push(copy)
  to.keptBytes += copy.length
}
