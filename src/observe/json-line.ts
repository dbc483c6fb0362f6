import { quoteJson } from './escape.ts'
import { eachBody, eachFact, type Put, utcTime } from './facts.ts'
import type { Redactor } from './redact.ts'
import type { EndedExchange } from './timing.ts'

/**
 * One JSON object a line for an ended exchange, with the facts of `eachFact`. Strings are escaped so that the line can
 * be shown on a terminal as it is.
 */
export const jsonLine = ({
  redact,
  verbose,
}: {
  redact: Redactor
  verbose: boolean
}): ((ended: EndedExchange) => string) => {
  const isoTime = utcTime()
  let line = ''
  // Written by hand: JSON.stringify over an object built for it costs about twice as much.
  const put: Put = (name, value) => {
    line += typeof value === 'string' ? `,"${name}":${quoteJson(value)}` : `,"${name}":${value}`
  }
  return (over) => {
    const { exchange, ended } = over
    line = `{"time":"${isoTime(ended.at)}"`
    eachFact(over, redact, put)
    if (verbose) {
      line += `,"requestHeaders":${fieldList(redact, exchange.requestHeaders)}`
      if (exchange.responseHeaders !== undefined) {
        line += `,"responseHeaders":${fieldList(redact, exchange.responseHeaders)}`
      }
      eachBody(over, redact, put)
    }
    return `${line}}\n`
  }
}

/** Field lines as JSON. Pairs, not an object: repeats and order are facts too. */
export const fieldList = (redact: Redactor, fields: readonly string[]): string => {
  const lines = redact.fields(fields).map(([name, value]) => `[${quoteJson(name)},${quoteJson(value)}]`)
  return `[${lines.join(',')}]`
}
