import type { Exchange } from '../core/exchange.ts'
import type { Target } from '../core/values.ts'
import type { Redactor } from '../observe/redact.ts'

/** Fields that curl sets itself, or that belong to one connection. */
const OWN =
  /^(?:host|connection|keep-alive|content-length|transfer-encoding|te|trailer|upgrade|expect|user-agent|priority|proxy-.*|sec-.*)$/i

/** A text as one word of a POSIX shell. */
export const shellQuoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`

/** A curl command that sends the request to the upstream again; secrets are hidden, a body is not kept. */
export const curlCommand =
  (target: Target, redact: Redactor) =>
  ({ method, url, requestHeaders, requestBytes }: Readonly<Exchange>): string => {
    const words = ['curl', method === 'HEAD' ? '-I' : '-i']
    if (target.socketPath !== undefined) words.push('--unix-socket', shellQuoted(target.socketPath))
    if (method !== 'GET' && method !== 'HEAD') words.push('-X', shellQuoted(method))
    for (const [name, value] of redact.fields(requestHeaders)) {
      if (OWN.test(name) || (name.toLowerCase() === 'accept' && value === '*/*')) continue
      if (name.toLowerCase() === 'accept-encoding') {
        if (!words.includes('--compressed')) words.push('--compressed')
      } else words.push('-H', shellQuoted(value === '' ? `${name};` : `${name}: ${value}`))
    }
    const query = target.baseQuery === '' ? '' : `${url.includes('?') ? '&' : '?'}${target.baseQuery}`
    words.push(shellQuoted(redact.url(target.origin + target.basePath + url + query)))
    const line = words.join(' ')
    return requestBytes > 0 ? `${line}  # it had a body of ${requestBytes} bytes, which is not kept` : line
  }
