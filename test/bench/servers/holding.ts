/** Opens so many connections, has each answered once, and keeps them. Says so, and how many are gone when it is asked. */
import { connect } from 'node:net'

const [port = '', path = '', connections = ''] = process.argv.slice(2)
/** Connections that are on their way at once: more do not fit the queue of a listener. */
const AT_ONCE = 100

let gone = 0
const open = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: '127.0.0.1' })
    socket.on('connect', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`))
    socket.once('data', () => resolve())
    socket.resume()
    socket.on('error', reject)
    socket.on('close', () => gone++)
  })

let left = Number(connections)
const openSome = async (): Promise<void> => {
  while (left-- > 0) await open()
}
await Promise.all(Array.from({ length: AT_ONCE }, openSome))
console.log('holding')
process.on('message', () => process.send?.(gone))
process.on('disconnect', () => process.exit())
