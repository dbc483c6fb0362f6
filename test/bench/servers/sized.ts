/**
 * An upstream that gives as many bytes as it is asked for: `/keep/<bytes>/…` may be cached, `/pass/<bytes>/…` not.
 * What is large is sent piece by piece, no faster than it is taken. Tells its parent how much it has answered.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const piece = Buffer.alloc(64 * 1024, 's')

const send = (res: ServerResponse, left: number): void => {
  let bytes = left
  while (bytes > piece.length) {
    bytes -= piece.length
    if (!res.write(piece)) {
      res.once('drain', () => send(res, bytes))
      return
    }
  }
  res.end(piece.subarray(0, bytes))
}

let answered = 0
const server = createServer({ keepAliveTimeout: 120_000, noDelay: true }, (req, res) => {
  answered++
  const [, kind, text] = req.url!.split('/')
  res.writeHead(200, [
    ...['Content-Type', 'application/octet-stream', 'Content-Length', String(Number(text))],
    ...['Cache-Control', kind === 'keep' ? 'max-age=86400' : 'no-store'],
  ])
  send(res, Number(text))
})
server.listen(0, '127.0.0.1', () => console.log(`listening on ${(server.address() as AddressInfo).port}`))
process.on('message', () => process.send?.(answered))
process.on('disconnect', () => process.exit())
