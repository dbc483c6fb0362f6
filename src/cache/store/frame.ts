/**
 * Slots as bytes, for stores outside this process. One binary frame: `RP`, a version, the kind, the guard (float64,
 * big-endian), the length of the JSON head (uint32), the head, then the body as it is. The head names the key it is
 * filed under and the length of the body. Anything else is not ours, or not whole: read as nothing.
 */
import { type Reason, reasons, type StorageReason, storageReasons } from '../../core/reasons.ts'
import { Entry, type Ruled, type StoredParts } from '../entry.ts'
import { Index, type Slot, type Standing, Tombstone, type Variant } from './store.ts'

/** Changes whenever an older reader could misread what we write. */
export const FRAME_VERSION = 1
/** Bytes before the JSON head. */
export const PREAMBLE_BYTES = 16
/** Where the guard stands. */
export const GUARD_AT = 4

/** Number of each kind in the frame. */
export const kinds = { entry: 0, index: 1, tombstone: 2 } as const

const EMPTY = Buffer.alloc(0)

/** The guard that a slot sets by itself. */
export const ownGuard = (slot: Slot): number => (slot instanceof Tombstone ? slot.at : 0)

/** The frame of a slot that is filed under this key. */
export const encodeFrame = (key: string, slot: Slot): Buffer => {
  if (slot instanceof Entry) {
    const { body, ...head } = slot.parts
    return frame(kinds.entry, 0, { key, ...head, selection: nulled(slot.parts.selection) }, body)
  }
  if (slot instanceof Index) {
    const variants = slot.variants.map((each) => ({ ...each, selection: nulled(each.selection) }))
    return frame(kinds.index, 0, { key, variants })
  }
  return frame(kinds.tombstone, slot.at, { key, reason: slot.reason })
}

/** JSON has no undefined. */
const nulled = (selection: StoredParts['selection']): Array<string | null> =>
  selection.map((value) => value ?? null)

const frame = (kind: number, guard: number, head: object, body: Buffer = EMPTY): Buffer => {
  const json = Buffer.from(JSON.stringify({ ...head, bodyBytes: body.length }))
  const preamble = Buffer.alloc(PREAMBLE_BYTES)
  preamble.write('RP', 'latin1')
  preamble[2] = FRAME_VERSION
  preamble[3] = kind
  preamble.writeDoubleBE(guard, GUARD_AT)
  preamble.writeUInt32BE(json.length, 12)
  return Buffer.concat(body.length === 0 ? [preamble, json] : [preamble, json, body])
}

/** Bytes of preamble and head by the preamble; undefined when it is none of ours. */
export const headEnd = (bytes: Buffer): number | undefined =>
  bytes.length >= PREAMBLE_BYTES &&
  bytes[0] === 0x52 &&
  bytes[1] === 0x50 &&
  bytes[2] === FRAME_VERSION &&
  bytes[3]! <= kinds.tombstone
    ? PREAMBLE_BYTES + bytes.readUInt32BE(12)
    : undefined

/** The slot of a frame; undefined for bytes that are foreign, cut short, of another version or key. Never throws. */
export const decodeFrame = (bytes: Buffer, key: string): Slot | undefined => {
  const end = headEnd(bytes)
  if (end === undefined) return undefined
  const body = bytes.subarray(end)
  const standing = decode(bytes, end, key, body)
  return standing?.bodyBytes === body.length ? standing.slot : undefined
}

/** What the first bytes of a frame tell, up to its body at least. Never throws. */
export const decodeHead = (bytes: Buffer, key: string): Standing | undefined => {
  const end = headEnd(bytes)
  return end === undefined ? undefined : decode(bytes, end, key, EMPTY)
}

const decode = (bytes: Buffer, end: number, key: string, body: Buffer): Standing | undefined => {
  if (end > bytes.length) return undefined
  let head: unknown
  try {
    head = JSON.parse(bytes.toString('utf8', PREAMBLE_BYTES, end))
  } catch {
    return undefined
  }
  if (typeof head !== 'object' || head === null) return undefined
  const { key: filedUnder, bodyBytes, reason } = head as Record<string, unknown>
  // Another key's frame means that replies got out of step, or that someone renamed it: either way not what was asked.
  if (filedUnder !== key || typeof bodyBytes !== 'number') return undefined
  const guard = bytes.readDoubleBE(GUARD_AT)
  if (!Number.isFinite(guard)) return undefined
  const kind = bytes[3]
  const slot =
    kind === kinds.entry
      ? entryOf(head as Record<string, unknown>, body)
      : kind === kinds.index
        ? indexOf(head as Record<string, unknown>)
        : isReason(reason)
          ? new Tombstone(reason, guard)
          : undefined
  return slot === undefined ? undefined : { slot, bodyBytes, guard }
}

const isReason = (value: unknown): value is Reason =>
  typeof value === 'string' && Object.hasOwn(reasons, value)
const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)
const isSelection = (value: unknown): value is Array<string | null> =>
  Array.isArray(value) &&
  value.length % 2 === 0 &&
  value.every((each, i) => typeof each === 'string' || (i % 2 === 1 && each === null))
const present = (selection: Array<string | null>): Array<string | undefined> =>
  selection.map((value) => value ?? undefined)

const NAME = /^[!#$%&'*+\-.^_`|~\dA-Za-z]+$/
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
/** Field lines that node would refuse to send are no answer. */
const isFields = (value: unknown): value is string[] =>
  Array.isArray(value) &&
  value.length % 2 === 0 &&
  value.every((each, i) => typeof each === 'string' && (i % 2 === 0 ? NAME : VALUE).test(each))

const entryOf = (head: Record<string, unknown>, body: Buffer): Entry | undefined => {
  const { status, fields, requestedAt, receivedAt, selection, url, part, ruled, single } = head as {
    [K in keyof StoredParts]: unknown
  }
  if (!Number.isInteger(status) || (status as number) < 200 || (status as number) > 999) return undefined
  if (!isFields(fields) || !isSelection(selection) || typeof url !== 'string') return undefined
  if (!isTime(requestedAt) || !isTime(receivedAt)) return undefined
  return new Entry({
    status: status as number,
    fields,
    body,
    requestedAt,
    receivedAt,
    selection: present(selection),
    url,
    ...(isPart(part) ? { part: { first: part.first, last: part.last, total: part.total } } : {}),
    ...(isRuled(ruled) ? { ruled } : {}),
    ...(single === true ? { single } : {}),
  })
}

const isPart = (value: unknown): value is NonNullable<StoredParts['part']> => {
  if (typeof value !== 'object' || value === null) return false
  const { first, last, total } = value as Record<string, unknown>
  return isTime(first) && isTime(last) && (total === undefined || isTime(total))
}

const isRuled = (value: unknown): value is Ruled => {
  if (typeof value !== 'object' || value === null) return false
  const { seconds, by, over } = value as Record<string, unknown>
  return (
    isTime(seconds) &&
    (by === 'force' || by === 'ttl') &&
    (over === undefined || Object.hasOwn(storageReasons, over as StorageReason))
  )
}

const indexOf = ({ variants }: Record<string, unknown>): Index | undefined => {
  if (!Array.isArray(variants)) return undefined
  const read: Variant[] = []
  for (const each of variants as Array<Record<string, unknown> | null>) {
    const { key, selection, dateAt, receivedAt, bytes, keepUntil, language } = each ?? {}
    if (typeof key !== 'string' || !isSelection(selection) || !isTime(dateAt)) return undefined
    if (!isTime(receivedAt) || !isTime(bytes) || !isTime(keepUntil)) return undefined
    const variant = { key, selection: present(selection), dateAt, receivedAt, bytes, keepUntil }
    read.push(typeof language === 'string' ? { ...variant, language } : variant)
  }
  return new Index(read)
}
