/** What the codes of failed connections mean to a person. */
const codes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection is refused, is it running?',
  ECONNRESET: 'it closes the connection',
  EPIPE: 'it closes the connection',
  UND_ERR_SOCKET: 'it closes the connection',
  ENOTFOUND: 'its name does not resolve',
  EAI_AGAIN: 'its name does not resolve at the moment',
  ENETUNREACH: 'its network cannot be reached',
  EHOSTUNREACH: 'its host cannot be reached',
  ETIMEDOUT: 'it does not answer',
  ABORT_ERR: 'it does not answer',
  UND_ERR_ABORTED: 'it does not answer',
  UND_ERR_CONNECT_TIMEOUT: 'it does not answer',
  UND_ERR_HEADERS_TIMEOUT: 'it does not answer',
  UND_ERR_BODY_TIMEOUT: 'it does not finish its answer',
  EMSGSIZE: 'the packet is too large for this system',
}

/** Why an endpoint did not take spans, as the end of a sentence. */
export const failureReason = (error: unknown): string => {
  const { code, message, name } = (error ?? {}) as { code?: unknown; message?: unknown; name?: unknown }
  // Before the code: a DOMException's is a number of another kind.
  if (name === 'TimeoutError' || name === 'AbortError') return 'it does not answer'
  if (typeof code === 'number') return answerReason(code)
  if (name === 'HTTPParserError') return 'its answer is not HTTP'
  const text = typeof message === 'string' ? message : String(error)
  if (typeof code === 'string') {
    const known = codes[code]
    if (known !== undefined) return known
    if (code.startsWith('HPE_')) return 'its answer is not HTTP'
  }
  // The text may quote what an endpoint sent: one line of printable characters of it.
  return text.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 200)
}

/** Why an endpoint that answered with this status did not take spans, as the end of a sentence. */
export const answerReason = (status: number): string => {
  if (status === 404 || status === 405) return `it answers ${status}, is the path right?`
  if (status === 401 || status === 403) return `it answers ${status}, credentials are missing or wrong`
  if (status === 429 || status === 503) return `it answers ${status}, overloaded`
  return `it answers ${status}`
}
