import { quoteJson } from './escape.ts'
import { eachBody, eachFact, type Put, utcTime } from './facts.ts'
import { fieldList } from './json-line.ts'
import type { Redactor } from './redact.ts'
import type { EndedExchange } from './timing.ts'

/** Every character that a value may have without quotes, in any reader of logfmt. */
const BARE = /^[!#-<>-~]+$/

/** One line of `name=value` for an ended exchange, with the facts of `eachFact`; quoted where a value needs it. */
export const logfmtLine = ({
  redact,
  verbose,
}: {
  redact: Redactor
  verbose: boolean
}): ((ended: EndedExchange) => string) => {
  const isoTime = utcTime()
  let line = ''
  const put: Put = (name, value) => {
    line += ` ${name}=${typeof value !== 'string' || BARE.test(value) ? value : quoteJson(value)}`
  }
  return (over) => {
    const { exchange, ended } = over
    line = `time=${isoTime(ended.at)}`
    eachFact(over, redact, put)
    if (verbose) {
      put('requestHeaders', fieldList(redact, exchange.requestHeaders))
      if (exchange.responseHeaders !== undefined)
        put('responseHeaders', fieldList(redact, exchange.responseHeaders))
      eachBody(over, redact, put)
    }
    return `${line}\n`
  }
}
