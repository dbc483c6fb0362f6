/** A body as the text of a HAR: decoded where that is safe, with secrets hidden, or nothing. */
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import type { KeptBody } from '../core/exchange.ts'
import type { Redactor, TextKind } from '../observe/redact.ts'

/** What stands in a HAR (http://www.softwareishard.com/blog/har-12-spec/#content). */
export interface HarText {
  readonly text?: string
  readonly encoding?: 'base64'
  readonly comment?: string
  /** Of the decoded body, where it was decoded. */
  readonly size?: number
}

const TEXTUAL =
  /^(?:text\/|application\/(?:.*\+)?(?:json|xml|javascript|graphql|x-www-form-urlencoded|x-ndjson))/i
const decoders: Record<string, (bytes: Buffer, options: { maxOutputLength: number }) => Buffer> = {
  gzip: gunzipSync,
  'x-gzip': gunzipSync,
  deflate: inflateSync,
  br: brotliDecompressSync,
}

/** The text of what was kept. Never throws; `maxBytes` also bounds what is decompressed. */
export const harText = (
  kept: KeptBody | undefined,
  { type, coding, maxBytes, redact }: { type: string; coding: string; maxBytes: number; redact: Redactor },
): HarText => {
  if (kept === undefined || maxBytes === 0) return { comment: 'the body is not kept' }
  const encoded = coding !== '' && coding.toLowerCase() !== 'identity'
  // Parts of forms have no shape in which secrets could be told; half of what is compressed cannot be read.
  if (/^multipart\//i.test(type)) return { comment: 'multipart bodies are not kept' }
  const bytes = encoded ? decoded(kept, coding, maxBytes) : kept.bytes
  if (bytes === undefined) return { comment: `the body is ${coding}, and larger than what is kept` }
  const cut = kept.whole ? {} : { comment: `the first ${bytes.length} bytes` }
  const size = encoded ? { size: bytes.length } : {}
  if (TEXTUAL.test(type) || (type === '' && !bytes.includes(0)))
    return { text: redact.body(bytes.toString(), kindOf(type)), ...cut, ...size }
  return { text: bytes.toString('base64'), encoding: 'base64', ...cut, ...size }
}

const decoded = ({ bytes, whole }: KeptBody, coding: string, maxOutputLength: number): Buffer | undefined => {
  if (!whole) return undefined
  if (bytes.length === 0) return bytes
  try {
    return decoders[coding.toLowerCase()]?.(bytes, { maxOutputLength })
  } catch {
    // Larger than what is kept, or not what it says it is.
    return undefined
  }
}

const kindOf = (type: string): TextKind => {
  if (/x-www-form-urlencoded/i.test(type)) return 'form'
  return /json/i.test(type) ? 'json' : 'text'
}
