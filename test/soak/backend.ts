/**
 * The backend of the soak: killed, frozen and started again at any moment. Every POST that reaches it is written down
 * at once, so that one that comes twice is seen however it ends. Called with its port and the file of POSTs.
 */
import { openSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'
import { Digest, payload } from './payload.ts'

const [port, file] = process.argv.slice(2)
const posts = openSync(file!, 'a')

const server = createServer({ keepAliveTimeout: 3000 }, (req, res) => {
  req.on('error', () => {})
  res.on('error', () => {})
  const { pathname, searchParams } = new URL(req.url!, 'http://x')
  if (req.method === 'POST') {
    writeSync(posts, `${req.headers['x-id']}\n`)
    const digest = new Digest()
    req.on('data', (chunk: Buffer) => digest.add(chunk))
    req.on('end', () => res.end(digest.text()))
    return
  }
  if (pathname.startsWith('/cached/')) {
    res
      .writeHead(200, { 'cache-control': `max-age=1, stale-while-revalidate=5`, vary: 'x-kind' })
      .end(`hello ${pathname}`)
  } else if (pathname === '/slow') {
    setTimeout(() => res.end('hello /slow'), Number(searchParams.get('ms')))
  } else if (pathname === '/big') {
    const bytes = Number(searchParams.get('bytes'))
    res.writeHead(200, {
      'cache-control': 'no-store',
      ...(searchParams.has('chunked') ? {} : { 'content-length': bytes }),
    })
    payload(Number(searchParams.get('seed')), bytes).pipe(res)
  } else if (pathname === '/events') {
    res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    let n = 0
    const timer = setInterval(() => {
      res.write(`data: ${n++}\n\n`)
      if (n === 20) res.end()
    }, 30)
    res.on('close', () => clearInterval(timer))
  } else res.end(`hello ${pathname}`)
})
const sockets = new WebSocketServer({ server, path: '/ws' })
sockets.on('connection', (socket) => {
  socket.on('error', () => {})
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
})
server.listen(Number(port), '127.0.0.1', () => console.log('listening'))
