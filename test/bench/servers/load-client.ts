/**
 * A load generator for machines without wrk: keep-alive connections that each ask again when they have their answer.
 * It reads no more of an answer than it must. Prints one line of JSON.
 */
import { connect } from 'node:net'

const [port = '', path = '', connections = '', seconds = ''] = process.argv.slice(2)
const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
const latencies: number[] = []
let errors = 0
const startedAt = performance.now()
const endsAt = startedAt + Number(seconds) * 1000

const run = (): Promise<void> =>
  new Promise((resolve) => {
    const socket = connect({ port: Number(port), host: '127.0.0.1', noDelay: true })
    let askedAt = 0
    let head = ''
    /** Bytes of the body that are still to come; -1 while the head is not complete. */
    let left = -1
    const ask = (): void => {
      head = ''
      left = -1
      askedAt = performance.now()
      socket.write(request)
    }
    socket.on('connect', ask)
    socket.on('data', (chunk) => {
      if (left === -1) {
        head += chunk.toString('latin1')
        const end = head.indexOf('\r\n\r\n')
        if (end === -1) return
        const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
        if (length === undefined || !head.startsWith('HTTP/1.1 200')) {
          errors++
          socket.destroy()
          return
        }
        left = Number(length) - (head.length - end - 4)
      } else left -= chunk.length
      if (left > 0) return
      const now = performance.now()
      latencies.push(now - askedAt)
      if (now < endsAt) ask()
      else socket.destroy()
    })
    socket.on('error', () => {
      errors++
    })
    socket.on('close', () => resolve())
  })

await Promise.all(Array.from({ length: Number(connections) }, run))
latencies.sort((a, b) => a - b)
const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN
console.log(
  JSON.stringify({
    requests: latencies.length,
    seconds: (performance.now() - startedAt) / 1000,
    p50: at(0.5),
    p99: at(0.99),
    errors,
  }),
)
