/** A bare node:http server: the yardstick, and the upstream of the others. Tells its parent how much it has answered. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerTo, many } from './payload.ts'

/** How long an answer of a storm is in coming. */
const STORM_MS = 200

let answered = 0
const server = createServer({ keepAliveTimeout: 120_000, noDelay: true }, (req, res) => {
  answered++
  const answer = answerTo(req.url!)
  if (answer === undefined) res.writeHead(404).end()
  else if (req.url!.startsWith(many.storm))
    setTimeout(() => res.writeHead(200, answer.fields).end(answer.body), STORM_MS)
  else if (req.method === 'POST')
    req.on('end', () => res.writeHead(200, answer.fields).end(answer.body)).resume()
  else res.writeHead(200, answer.fields).end(answer.body)
})
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
process.on('message', () => process.send?.(answered))
process.on('disconnect', () => process.exit())
