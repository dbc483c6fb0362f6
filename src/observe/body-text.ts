/** What the log shows of a body. */
import type { BodySample } from '../core/exchange.ts'
import type { Fields } from '../core/types.ts'
import { charset, mediaType, textKind } from '../http/media-type.ts'
import type { Redactor } from './redact.ts'

/** The beginning of a body as text. */
export interface BodyText {
  readonly text: string
  /** Bytes of it that are not in the text. */
  readonly moreBytes: number
}

/** In no text; and what is in none that does not even say that it is one. */
const NEVER = /\0|^\ufffd|\ufffd{3}/
const SELDOM = /[^\P{Cc}\t\n\r\f\x1b]/u

/**
 * The sample as text without secrets; undefined for what is none by its fields, or turns out to be none. `bytes` is the
 * size of the whole body.
 */
export const bodyText = (
  sample: BodySample | undefined,
  { fields, bytes, redact }: { fields: Fields; bytes: number; redact: Redactor },
): BodyText | undefined => {
  const kind = textKind(fields)
  if (sample === undefined || sample.keptBytes === 0 || kind === undefined) return undefined
  const moreBytes = Math.max(0, bytes - sample.keptBytes)
  const text = decoded(Buffer.concat(sample.kept), charset(fields), moreBytes > 0)
  if (NEVER.test(text) || (mediaType(fields) === '' && SELDOM.test(text))) return undefined
  return { text: redact.body(text, kind), moreBytes }
}

/** A character that a cut went through is left out. */
const decoded = (bytes: Buffer, label: string | undefined, cut: boolean): string => {
  const by = (name: string): string => new TextDecoder(name).decode(bytes, { stream: cut })
  try {
    return by(label ?? 'utf-8')
  } catch {
    // A name nobody knows.
    return by('utf-8')
  }
}
