/** Stable names of what can go wrong with a request; log field, metric label and span attribute. */
export type ErrorCode =
  | 'upstream-refused'
  | 'upstream-unresolved'
  | 'upstream-unreachable'
  | 'upstream-reset'
  | 'upstream-tls'
  | 'upstream-protocol'
  | 'upstream-timeout'
  | 'connect-timeout'
  | 'upstream-aborted'
  | 'client-gone'
  | 'bad-request'
  | 'body-too-large'
  | 'queue-full'
  | 'queue-timeout'
  | 'shutting-down'
  | 'internal'

/** Whether it is the upstream, or the way to it, that failed. */
export const isOfUpstream = (code: ErrorCode): boolean =>
  code.startsWith('upstream-') || code === 'connect-timeout'

/**
 * There is no answer from the upstream; the edge turns this into one. `message` is a sentence for the person
 * who sent the request: what happened, and where it helps, what to do.
 */
export class ProxyError extends Error {
  readonly status: number
  readonly code: ErrorCode
  /** Field lines of the answer beside those that every error has. */
  readonly fields: readonly string[] | undefined

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    options?: { cause?: unknown; fields?: readonly string[] },
  ) {
    super(message, options)
    this.name = 'ProxyError'
    this.status = status
    this.code = code
    this.fields = options?.fields
  }
}
