/**
 * Slots of the memory store in one piece of memory outside the heap: a JSON head and
 * the body. As objects they would cost the collector several times their size, in time and in room that it leaves
 * until it runs.
 */
import { Entry, type StoredParts } from '../entry.ts'
import { Index, type Variant } from './store.ts'

/** Bodies from that size on stay where they are; a smaller one is copied behind its head. */
const APART_BYTES = 16 * 1024

/** A packed slot. */
export interface Packed {
  readonly kind: 'entry' | 'index'
  readonly bytes: Buffer
  /** Where the body begins, unless it stands apart. */
  readonly headBytes: number
  readonly apart: Buffer | undefined
  /** Times it was served. */
  hits: number
}

const EMPTY = Buffer.alloc(0)

const piece = (head: unknown, body: Buffer): { bytes: Buffer; headBytes: number } => {
  const json = JSON.stringify(head)
  const headBytes = Buffer.byteLength(json)
  // Of its own: a piece of node's pool would hold its neighbours.
  const bytes = Buffer.allocUnsafeSlow(headBytes + body.length)
  bytes.write(json)
  body.copy(bytes, headBytes)
  return { bytes, headBytes }
}

/** A body may be a view of much more memory than its own bytes, which it would hold. */
const ownPiece = (body: Buffer): Buffer => {
  if (body.buffer.byteLength <= body.length * 1.1) return body
  const own = Buffer.allocUnsafeSlow(body.length)
  body.copy(own)
  return own
}

/** Packs a slot. */
export const pack = (slot: Entry | Index): Packed => {
  if (slot instanceof Index)
    return { kind: 'index', ...piece(slot.variants, EMPTY), apart: undefined, hits: 0 }
  const { body, ...head } = slot.parts
  const apart = body.length >= APART_BYTES ? ownPiece(body) : undefined
  return { kind: 'entry', ...piece(head, apart === undefined ? body : EMPTY), apart, hits: slot.hits }
}

// undefined became null.
const selectionOf = (selection: ReadonlyArray<string | null | undefined>): StoredParts['selection'] =>
  selection.map((value) => value ?? undefined)

/** The slot that was packed; `bare` leaves an entry's body out. */
export const unpack = (packed: Packed, bare = false): Entry | Index => {
  const { bytes, headBytes, apart } = packed
  const head: unknown = JSON.parse(bytes.toString('utf8', 0, headBytes))
  if (packed.kind === 'index')
    return new Index((head as Variant[]).map((each) => ({ ...each, selection: selectionOf(each.selection) })))
  const parts = head as Omit<StoredParts, 'body'>
  const body = bare ? EMPTY : (apart ?? bytes.subarray(headBytes))
  const entry = new Entry({ ...parts, selection: selectionOf(parts.selection), body })
  entry.hits = packed.hits
  return entry
}

/** Bytes of the body of a packed entry. */
export const packedBodyBytes = ({ bytes, headBytes, apart }: Packed): number =>
  apart === undefined ? bytes.length - headBytes : apart.length
