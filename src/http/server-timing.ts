/** `Server-Timing` (W3C Server Timing §3): where a server says its time went. */

/** One metric of it. */
export interface ServerTiming {
  readonly name: string
  readonly durationMs: number | undefined
  readonly description: string | undefined
}

const MAX_METRICS = 32
const MAX_CHARS = 4096
const METRIC = /^[\t ]*([!#$%&'*+\-.^_`|~\w]+)((?:[\t ]*;[^,"]*(?:"(?:[^"\\]|\\.)*"[^,"]*)*)*)[\t ]*(?:,|$)/
const PARAMETER = /;[\t ]*([!#$%&'*+\-.^_`|~\w]+)[\t ]*=[\t ]*(?:"((?:[^"\\]|\\.)*)"|([^;,"\t ]*))/g

/** The metrics of a field value in their order; reading ends where it is malformed, or longer than anybody's need. */
export const readServerTiming = (value: string): ServerTiming[] => {
  const metrics: ServerTiming[] = []
  if (value.length > MAX_CHARS) return metrics
  for (let rest = value; rest !== '' && metrics.length < MAX_METRICS; ) {
    const match = METRIC.exec(rest)
    if (match === null) break
    rest = rest.slice(match[0].length)
    let durationMs: number | undefined
    let description: string | undefined
    for (const [, parameter, quoted, token] of match[2]!.matchAll(PARAMETER)) {
      const text = quoted?.replace(/\\(.)/g, '$1') ?? token ?? ''
      const name = parameter!.toLowerCase()
      // W3C Server Timing §3.2: of several with one name the first counts.
      if (name === 'dur' && durationMs === undefined && /^\d+(?:\.\d+)?$/.test(text))
        durationMs = Number(text)
      if (name === 'desc') description ??= text
    }
    metrics.push({ name: match[1]!, durationMs, description })
  }
  return metrics
}
