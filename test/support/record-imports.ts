/** Loaded by `--import`: writes the URL of every module that is imported into the file that RECORD_IMPORTS names. */
import { register } from 'node:module'

const loader = `
import { appendFileSync } from 'node:fs'
export const load = (url, context, next) => {
  appendFileSync(process.env.RECORD_IMPORTS, url + '\\n')
  return next(url, context)
}
`
register(`data:text/javascript,${encodeURIComponent(loader)}`)
