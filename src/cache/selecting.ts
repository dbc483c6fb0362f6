/** Which of a URI's variants a request selects (RFC 9111 §4.1). */
import type { Reason } from '../core/reasons.ts'
import type { Fields } from '../core/types.ts'
import { contentLanguage, differingField, preferredLanguage, type Selection } from '../http/vary.ts'
import type { Entry } from './entry.ts'
import type { Index, Variant } from './store/store.ts'

/** What a lookup found: a selected entry, or why there is none. */
export interface Found {
  readonly entry: Entry | undefined
  readonly reason: Reason
  readonly detail?: string
  /** Names that the stored variants vary on, where there are any. */
  readonly varyOn?: readonly string[]
  /** It was selected by the language that it is in; its request had another Accept-Language. */
  readonly language?: string
}

/** Nothing is stored. */
export const nothing: Found = { entry: undefined, reason: 'uri-miss' }

/** What selecting needs. */
export interface SelectingTools {
  /** The Entry of a variant, unless it is gone. */
  readonly load: (variant: Variant) => Promise<Entry | undefined>
  /** Why the Entry under a key is gone, where that is known. */
  readonly whyGone: (key: string) => Reason | undefined
  /** Whose values must not show. */
  readonly concealed: (name: string) => boolean
}

type Difference = NonNullable<ReturnType<typeof differingField>>

/** Shown of a selecting value that did not match. */
const SHOWN = 60

/** What is selected by, of one variant. */
export type Selectable = Pick<Variant, 'selection' | 'language'>

/** Those of the variants that a request selects, in their order; where none are, how the first one differs. Pure. */
export const selected = <V extends Selectable>(
  variants: readonly V[],
  headers: Fields,
): { readonly those: readonly V[]; readonly language?: string; readonly nearest?: Difference } => {
  let nearest: Difference | undefined
  const those: V[] = []
  for (const variant of variants) {
    const difference = differingField(variant.selection, headers)
    if (difference === undefined) those.push(variant)
    else nearest ??= difference
  }
  if (those.length > 0 || nearest === undefined) return { those }
  return byLanguage(variants, headers) ?? { those, nearest }
}

/**
 * Variants that differ in Accept-Language alone, and are in the very language that this request wants most. RFC 9111
 * §4.1 knows weights only for choosing among variants that match; but no upstream that heeds them (RFC 9110 §12.5.4)
 * has a better one to choose. `--cache-key +header:accept-language` keeps the lists apart.
 */
const byLanguage = <V extends Selectable>(
  variants: readonly V[],
  headers: Fields,
): { readonly those: readonly V[]; readonly language: string } | undefined => {
  if (!variants.some(({ language }) => language !== undefined)) return undefined
  const language = preferredLanguage(headers)
  if (language === undefined) return undefined
  const those = variants.filter(
    (variant) =>
      variant.language === language &&
      differingField(variant.selection, headers, 'accept-language') === undefined,
  )
  return those.length === 0 ? undefined : { those, language }
}

/** The language that is told of a variant: only where it varies by that. */
export const languageOf = (fields: Fields, selection: Selection): string | undefined =>
  selection.includes('accept-language') ? contentLanguage(fields) : undefined

/** The newest variant that matches, or why none does. Rejects as `load` does. */
export const select = async (index: Index, headers: Fields, tools: SelectingTools): Promise<Found> => {
  const { those, language, nearest } = selected(index.variants, headers)
  const varyOn = namesOf((those[0] ?? index.variants[0])?.selection ?? [])
  let dropped: Reason | undefined
  // Newest first, so the first that is still there is the one to use.
  for (const variant of those) {
    const entry = await tools.load(variant)
    if (entry !== undefined)
      return { entry, reason: 'hit', varyOn, ...(language === undefined ? {} : { language }) }
    dropped ??= tools.whyGone(variant.key) ?? 'uri-miss'
  }
  if (dropped !== undefined) return { entry: undefined, reason: dropped, varyOn }
  if (nearest === undefined) return nothing
  return { entry: undefined, reason: 'vary-miss', detail: describe(nearest, tools), varyOn }
}

const describe = ({ name, stored, given }: Difference, { concealed }: SelectingTools): string => {
  if (concealed(name)) return name
  const show = (value: string | undefined) =>
    value === undefined ? 'none' : value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value
  return `${name} (stored ${show(stored)}, given ${show(given)})`
}

const namesOf = (selection: Selection): string[] => selection.filter((_, i) => i % 2 === 0) as string[]
