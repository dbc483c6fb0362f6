/** Talks to the admin listener of a running proxy. */
import { exitCodes } from './exit-codes.ts'

/** The proxy did not answer, or refused; the message is for the user. */
export class AdminError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Where the admin listener is looked for: `9900`, `host:port` or a URL. Throws AdminError. */
export const adminUrl = (given: string | undefined): URL => {
  const text = given === undefined || given === '' ? '9900' : given
  const whole = /^\d+$/.test(text)
    ? `http://127.0.0.1:${text}`
    : /^https?:\/\//.test(text)
      ? text
      : `http://${text}`
  if (!URL.canParse(whole)) {
    throw new AdminError(
      `--admin ${text}: must be a port, host:port or URL of the admin listener`,
      exitCodes.usage,
    )
  }
  return new URL(whole)
}

/** One call; gives the JSON it answers. Rejects with AdminError, also when nothing has come after `withinMs`. */
export const callAdmin = async (
  base: URL,
  call: { method?: 'GET' | 'DELETE'; path: string; query: ReadonlyArray<readonly [string, string]> },
  withinMs?: number,
): Promise<unknown> => {
  const url = new URL(call.path, base)
  for (const [name, value] of call.query) url.searchParams.append(name, value)
  const signal = withinMs === undefined ? null : AbortSignal.timeout(withinMs)
  let response: Response
  let text: string
  try {
    response = await fetch(url, { method: call.method ?? 'GET', signal })
    text = await response.text()
  } catch (error) {
    if (signal?.aborted === true)
      throw new AdminError(
        `${base.origin} has not answered for ${(withinMs ?? 0) / 1000} s`,
        exitCodes.cannotStart,
      )
    const cause = (error as { cause?: { code?: string } }).cause?.code ?? (error as Error).message
    throw new AdminError(
      `no proxy answers on ${base.origin} (${cause}). Is one running? Its banner names its admin address; say it with --admin.`,
      exitCodes.cannotStart,
    )
  }
  const body = parse(text)
  if (response.headers.get('server') !== 'revproxy')
    throw new AdminError(`${base.origin} is not the admin listener of a revproxy`, exitCodes.cannotStart)
  if (!response.ok) {
    const message = (body as { error?: string } | undefined)?.error ?? text.trim()
    throw new AdminError(message, response.status === 400 ? exitCodes.usage : 1)
  }
  if (body === undefined)
    throw new AdminError(`${base.origin} is not the admin listener of a revproxy`, exitCodes.cannotStart)
  return body
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
