/** WebSockets that each send 1 KB as soon as they have the last one back. Prints one line of JSON, as load-client does. */
import { WebSocket } from 'ws'

const [port = '', path = '', connections = '', seconds = ''] = process.argv.slice(2)
const message = Buffer.alloc(1024, 'm')
const latencies: number[] = []
let errors = 0
const startedAt = performance.now()
const endsAt = startedAt + Number(seconds) * 1000

const run = (): Promise<void> =>
  new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { perMessageDeflate: false })
    let sentAt = 0
    const send = (): void => {
      sentAt = performance.now()
      socket.send(message)
    }
    socket.on('open', send)
    socket.on('message', (data) => {
      if ((data as Buffer).length !== message.length) errors++
      const now = performance.now()
      latencies.push(now - sentAt)
      if (now < endsAt) send()
      else socket.close()
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
