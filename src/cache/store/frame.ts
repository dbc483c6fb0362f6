/**
 * Slots as bytes, for stores outside this process. One binary frame: `RP`, a version, the kind, a time (float64), the
 * length of the JSON head (uint32), the head, then the body as it is. Anything else is not ours: read as nothing.
 */
import type { Reason } from '../../core/reasons.ts'
import { reasons } from '../../core/reasons.ts'
import { Entry, type StoredParts } from '../entry.ts'
import { Index, type Slot, Tombstone, type Variant } from './store.ts'

/** Changes whenever an older reader could misread what we write. */
export const FRAME_VERSION = 1
/** Bytes before the JSON head. */
export const PREAMBLE_BYTES = 16

const KINDS = ['entry', 'index', 'tombstone'] as const

/** The frame of a slot. */
export const encodeFrame = (slot: Slot): Buffer => {
  if (slot instanceof Entry) {
    const { body, ...head } = slot.parts
    const selection = slot.parts.selection.map((value) => value ?? null)
    return frame(0, slot.parts.receivedAt, { ...head, selection, bodyBytes: body.length }, body)
  }
  if (slot instanceof Index) {
    const variants = slot.variants.map((variant) => ({
      ...variant,
      selection: variant.selection.map((value) => value ?? null),
    }))
    return frame(1, slot.variants[0]?.receivedAt ?? 0, { variants })
  }
  return frame(2, slot.at, { reason: slot.reason })
}

const frame = (kind: number, at: number, head: unknown, body?: Buffer): Buffer => {
  const json = Buffer.from(JSON.stringify(head))
  const preamble = Buffer.alloc(PREAMBLE_BYTES)
  preamble.write('RP', 'latin1')
  preamble[2] = FRAME_VERSION
  preamble[3] = kind
  preamble.writeDoubleBE(at, 4)
  preamble.writeUInt32BE(json.length, 12)
  return Buffer.concat(body === undefined ? [preamble, json] : [preamble, json, body])
}

/** Kind and time of a frame from its first bytes; undefined when it is none of ours. */
export const peekFrame = (
  bytes: Buffer,
): { kind: 'entry' | 'index' | 'tombstone'; at: number } | undefined => {
  if (bytes.length < PREAMBLE_BYTES || bytes[0] !== 0x52 || bytes[1] !== 0x50 || bytes[2] !== FRAME_VERSION)
    return undefined
  const kind = KINDS[bytes[3]!]
  const at = bytes.readDoubleBE(4)
  return kind === undefined || !Number.isFinite(at) ? undefined : { kind, at }
}

/** The slot of a frame; undefined for bytes that are foreign, cut short or of another version. Never throws. */
export const decodeFrame = (bytes: Buffer): Slot | undefined => {
  const peeked = peekFrame(bytes)
  if (peeked === undefined) return undefined
  const bodyAt = PREAMBLE_BYTES + bytes.readUInt32BE(12)
  if (bodyAt > bytes.length) return undefined
  let head: unknown
  try {
    head = JSON.parse(bytes.toString('utf8', PREAMBLE_BYTES, bodyAt))
  } catch {
    return undefined
  }
  if (typeof head !== 'object' || head === null) return undefined
  if (peeked.kind === 'entry') return entryOf(head as Record<string, unknown>, bytes.subarray(bodyAt))
  if (peeked.kind === 'index') return indexOf(head as Record<string, unknown>)
  const { reason } = head as { reason?: unknown }
  return typeof reason === 'string' && Object.hasOwn(reasons, reason)
    ? new Tombstone(reason as Reason, peeked.at)
    : undefined
}

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((each) => typeof each === 'string')
const isSelection = (value: unknown): value is Array<string | null> =>
  Array.isArray(value) &&
  value.length % 2 === 0 &&
  value.every((each) => each === null || typeof each === 'string')
const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)

const entryOf = (head: Record<string, unknown>, body: Buffer): Entry | undefined => {
  const { status, fields, requestedAt, receivedAt, selection, url, part, ruled, bodyBytes } = head as {
    [K in keyof StoredParts | 'bodyBytes']: unknown
  }
  if (typeof status !== 'number' || !(status >= 200 && status <= 999)) return undefined
  if (!isStrings(fields) || fields.length % 2 !== 0 || !fields.every((text) => !/[\r\n\0]/.test(text)))
    return undefined
  if (!isTime(requestedAt) || !isTime(receivedAt) || !isSelection(selection) || typeof url !== 'string')
    return undefined
  if (bodyBytes !== undefined && bodyBytes !== body.length) return undefined
  return new Entry({
    status,
    fields,
    body,
    requestedAt,
    receivedAt,
    selection: selection.map((value) => value ?? undefined),
    url,
    ...(isPart(part) ? { part } : {}),
    ...(isRuled(ruled) ? { ruled } : {}),
  })
}

const isPart = (value: unknown): value is NonNullable<StoredParts['part']> =>
  typeof value === 'object' &&
  value !== null &&
  isTime((value as { first: unknown }).first) &&
  isTime((value as { last: unknown }).last)
const isRuled = (value: unknown): value is NonNullable<StoredParts['ruled']> =>
  typeof value === 'object' &&
  value !== null &&
  isTime((value as { seconds: unknown }).seconds) &&
  ['force', 'ttl'].includes((value as { by: string }).by)

const indexOf = ({ variants }: Record<string, unknown>): Index | undefined => {
  if (!Array.isArray(variants)) return undefined
  const read: Variant[] = []
  for (const each of variants as Array<Record<string, unknown>>) {
    const { key, selection, dateAt, receivedAt, bytes } = each ?? {}
    if (
      typeof key !== 'string' ||
      !isSelection(selection) ||
      !isTime(dateAt) ||
      !isTime(receivedAt) ||
      !isTime(bytes)
    )
      return undefined
    read.push({ key, selection: selection.map((value) => value ?? undefined), dateAt, receivedAt, bytes })
  }
  return new Index(read)
}
