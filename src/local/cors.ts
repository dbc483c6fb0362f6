/**
 * Cross-origin requests for an upstream that knows nothing of them (Fetch standard, "HTTP extensions").
 *
 * It stands outside everything else: preflights are answered here and count for no limit; a cached answer gets the
 * origin of whoever asks now; and errors of ours carry the fields too, or a page would learn of a 502 or a 429 only
 * that "CORS" is wrong.
 */
import { ProxyError } from '../core/errors.ts'
import type { Fields, ProxyRequest, ProxyResponse, Stage } from '../core/types.ts'
import type { CorsOrigin } from '../core/values.ts'
import { firstValue, joinedValue, listMembers } from '../http/fields.ts'

/** How long browsers may keep the answer to a preflight: it spares most of them, and a changed flag is soon seen. */
const MAX_AGE_SECONDS = '600'
const EMPTY = Buffer.alloc(0)

/** Lets pages of the given origin in (`request`: of any, by name; `*`: of any, without cookies). */
export const cors =
  (allowed: CorsOrigin): Stage =>
  (next) =>
  (req) => {
    if (isPreflight(req)) return Promise.resolve(preflight(req, allowed))
    return next(req).then(
      (response) => ({ ...response, headers: withCors(response.headers, req, allowed) }),
      (error: unknown) => {
        if (!(error instanceof ProxyError)) throw error
        // A copy: several requests may have failed with this one.
        throw new ProxyError(error.status, error.code, error.message, {
          cause: error.cause ?? error,
          fields: [...(error.fields ?? []), ...corsFields(req, allowed, [])],
        })
      },
    )
  }

const isPreflight = ({ method, headers }: ProxyRequest): boolean =>
  method === 'OPTIONS' &&
  firstValue(headers, 'origin') !== undefined &&
  firstValue(headers, 'access-control-request-method') !== undefined

const preflight = (req: ProxyRequest, allowed: CorsOrigin): ProxyResponse => {
  const { headers } = req
  const asked = (name: string): string | undefined => joinedValue(headers, `access-control-request-${name}`)
  const out = [
    ...originFields(req, allowed),
    'Access-Control-Allow-Methods',
    asked('method')!,
    'Access-Control-Max-Age',
    MAX_AGE_SECONDS,
  ]
  const names = asked('headers')
  if (names !== undefined) out.push('Access-Control-Allow-Headers', names)
  // Private Network Access: a public page asks for something on this machine.
  if (asked('private-network') === 'true') out.push('Access-Control-Allow-Private-Network', 'true')
  out.push('Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers')
  return { status: 204, headers: out, body: EMPTY }
}

/** The origin that is let in, and whether with its cookies. */
const originFields = ({ headers }: ProxyRequest, allowed: CorsOrigin): string[] => {
  if (allowed === '*') return ['Access-Control-Allow-Origin', '*']
  const origin = allowed === 'request' ? firstValue(headers, 'origin') : allowed
  if (origin === undefined) return []
  return ['Access-Control-Allow-Origin', origin, 'Access-Control-Allow-Credentials', 'true']
}

/** Fields that scripts may read without being told so. */
const safelisted: ReadonlySet<string> = new Set([
  'cache-control',
  'content-language',
  'content-length',
  'content-type',
  'expires',
  'last-modified',
  'pragma',
])
/** Fields that scripts may never read. */
const forbidden: ReadonlySet<string> = new Set(['set-cookie', 'set-cookie2'])

const corsFields = (req: ProxyRequest, allowed: CorsOrigin, fields: Fields): string[] => {
  const out = originFields(req, allowed)
  if (out.length > 0) {
    // Each by its name: `*` is no wildcard for requests with credentials.
    const names = new Set<string>()
    for (let i = 0; i < fields.length; i += 2) {
      const name = fields[i]!.toLowerCase()
      if (!safelisted.has(name) && !forbidden.has(name)) names.add(name)
    }
    if (names.size > 0) out.push('Access-Control-Expose-Headers', [...names].join(', '))
  }
  // Also without an Origin, for a cache further on: with one, the answer would be another. A fixed one is for all.
  if (allowed === 'request' && !variesOnOrigin(fields)) out.push('Vary', 'Origin')
  return out
}

const variesOnOrigin = (fields: Fields): boolean =>
  listMembers(joinedValue(fields, 'vary') ?? '').some((name) => /^(?:origin|\*)$/i.test(name))

/** What the upstream says of the matter is replaced: two origins in one answer are none. */
const withCors = (fields: Fields, req: ProxyRequest, allowed: CorsOrigin): Fields => {
  const kept: string[] = []
  for (let i = 0; i < fields.length; i += 2)
    if (!/^access-control-/i.test(fields[i]!)) kept.push(fields[i]!, fields[i + 1]!)
  return [...kept, ...corsFields(req, allowed, kept)]
}
