/**
 * Rewriting of answers that name the target, so that they name us.
 *
 * It stands inside the cache, between it and the target. What is put in depends on the scheme and the host that the
 * client addressed and on nothing else of the request, and both are in the cache's key: whoever finds a stored answer
 * may have it as it is, in a store shared by several proxies too. So a hit costs nothing, and the cache sees the
 * Location and Content-Location that it has to invalidate by (RFC 9111 §4.4) as the URIs it files answers under.
 */
import type { Exchange } from '../core/exchange.ts'
import type { Fields, Stage } from '../core/types.ts'

/** The new value of a field line; the same string where nothing is to be changed. */
export type ValueEdit = (value: string, exchange: Readonly<Exchange>) => string

/** Edits by the lower-case name of the field. */
export type ValueEdits = ReadonlyMap<string, ValueEdit>

/** Applies the edits to every answer's head. */
export const rewriteAnswers =
  (edits: ValueEdits): Stage =>
  (next) =>
  (req) =>
    next(req).then((response) => {
      const headers = edited(response.headers, edits, req.exchange)
      return headers === response.headers ? response : { ...response, headers }
    })

const edited = (fields: Fields, edits: ValueEdits, exchange: Readonly<Exchange>): Fields => {
  let out: string[] | undefined
  for (let i = 0; i < fields.length; i += 2) {
    const edit = edits.get(fields[i]!.toLowerCase())
    if (edit === undefined) continue
    const value = edit(fields[i + 1]!, exchange)
    if (value === fields[i + 1]) continue
    out ??= [...fields]
    out[i + 1] = value
  }
  return out ?? fields
}
