import type { Fields } from '../core/types.ts'
import { firstValue, joinedValue } from './fields.ts'

/** How the text of a body is written; undefined for what is no text. */
export type TextKind = 'json' | 'form' | 'text'

/** The media type in lower case, without parameters (RFC 9110 §8.3.1); empty where none is given. */
export const mediaType = (fields: Fields): string =>
  (firstValue(fields, 'content-type') ?? '').split(';', 1)[0]!.trim().toLowerCase()

const TEXT = /^text\/|[/+](?:xml|yaml|x-yaml|toml|javascript|ecmascript|graphql|sql|x-sh)$/

/** The kind of text by the fields that speak of the body; a body without a type may be text, a coded one is none. */
export const textKind = (fields: Fields): TextKind | undefined => {
  const coding = joinedValue(fields, 'content-encoding')
  if (coding !== undefined && !/^\s*(?:identity\s*)?$/i.test(coding)) return undefined
  const type = mediaType(fields)
  if (/[/+](?:json|x-ndjson|ndjson|json-seq|json5)$/.test(type)) return 'json'
  if (type === 'application/x-www-form-urlencoded') return 'form'
  return type === '' || TEXT.test(type) ? 'text' : undefined
}

/** The `charset` parameter, such as `utf-8`; undefined where none is given. */
export const charset = (fields: Fields): string | undefined =>
  /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(firstValue(fields, 'content-type') ?? '')?.[1]
