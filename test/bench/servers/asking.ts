/**
 * Asks so many times over so many connections, and takes what comes as fast as it can. `#` in the path is the number of
 * the request. Prints one line of JSON.
 */
import { connect } from 'node:net'

const [port = '', path = '', connections = '', times = ''] = process.argv.slice(2)
const startedAt = performance.now()
let asked = 0
let answered = 0
let bytes = 0

const run = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    let head = ''
    /** Bytes of the body that are still to come; -1 while the head is not complete. */
    let left = -1
    const ask = (): void => {
      if (asked === Number(times)) {
        socket.end()
        return
      }
      head = ''
      left = -1
      socket.write(`GET ${path.replace('#', String(asked++))} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
    }
    socket.on('connect', ask)
    socket.on('data', (chunk) => {
      bytes += chunk.length
      if (left === -1) {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end === -1) return
        const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
        if (length === undefined || !head.startsWith('HTTP/1.1 200')) {
          reject(new Error(`not an answer: ${head.slice(0, 200)}`))
          socket.destroy()
          return
        }
        left = Number(length) - (head.length - end - 4)
      } else left -= chunk.length
      if (left > 0) return
      answered++
      ask()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve())
  })

await Promise.all(Array.from({ length: Number(connections) }, run))
if (answered !== Number(times)) throw new Error(`${answered} answers to ${times} requests`)
console.log(JSON.stringify({ answered, bytes, seconds: (performance.now() - startedAt) / 1000 }))
